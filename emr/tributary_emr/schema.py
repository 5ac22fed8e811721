"""The lake's layout as its readers see it: the columns, the audit of an object, the name of an object.

The writer's side is `functions/pipeline/src/encode.rs` and `layout.rs`; `validate` holds every object to this file. The
typed columns are those of the contract that `contract.py` was generated from.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import NamedTuple

from pyspark.sql.types import (
    BooleanType,
    DataType,
    DoubleType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from tributary_emr import contract

#: Spark's types of typed columns, by the contract's names.
_TYPES: Mapping[str, type[DataType]] = {
    "string": StringType,
    "integer": LongType,
    "double": DoubleType,
    "boolean": BooleanType,
    "timestamp": TimestampType,
    "json": StringType,
}


@dataclass(frozen=True)
class Contract:
    """What readers need of the event contract."""

    columns: Sequence[tuple[str, str, bool]] = contract.COLUMNS
    """The typed columns, in stored order: name, type, whether it may be null."""
    versions: Sequence[int] = contract.VERSIONS
    """What `schema_version` may be."""
    not_before_us: int = contract.NOT_BEFORE_US
    """No event happened before this, in microseconds since the Unix epoch."""
    max_ahead_hours: int = contract.MAX_AHEAD_HOURS
    """How far `event_time` may lie ahead of `arrival_time`."""

    @classmethod
    def of_environment(cls, environ: Mapping[str, str]) -> Contract:
        """The generated one, or that of TRIBUTARY_READ_CONTRACT: these fields as JSON, as the local stack sets it."""
        text = environ.get("TRIBUTARY_READ_CONTRACT")
        return cls(**json.loads(text)) if text else cls()


#: The contract of this lake.
CONTRACT = Contract.of_environment(os.environ)

#: Columns of `events/`, in stored order. Times are UTC microseconds, `event_duration` is milliseconds, `position` is
#: the broker's sequence number as decimal text without padding, `attributes` is the text of a JSON object.
#: `event_id` stays last: it then lies next to the footer, where one suffix-range GET reaches both.
EVENTS = StructType(
    [
        StructField("event_time", TimestampType(), nullable=False),
        StructField("device_type", StringType(), nullable=False),
        StructField("device_id", StringType(), nullable=False),
        StructField("event_duration", DoubleType(), nullable=False),
        StructField("value", DoubleType(), nullable=True),
        StructField("attributes", StringType(), nullable=True),
        StructField("arrival_time", TimestampType(), nullable=False),
        StructField("shard", StringType(), nullable=False),
        StructField("position", StringType(), nullable=False),
        StructField("schema_version", IntegerType(), nullable=False),
        *(StructField(name, _TYPES[type_name](), nullable=nullable) for name, type_name, nullable in CONTRACT.columns),
        StructField("event_id", StringType(), nullable=False),
    ]
)

#: What a row of `rollups/` is about: a UTC minute of event time, a device, a type. A device that sends several types
#: has several rows.
ROLLUP_KEY = ("window_start", "device_id", "device_type")

#: Columns of `rollups/`, in stored order: the partial aggregates of one `events/` object, one row per `ROLLUP_KEY`,
#: sorted by it. `value_…` covers the `value_count` events that have a value (none: sum 0, no minimum or maximum);
#: `duration_…` is in milliseconds. Rows merge by sums, minima and maxima. A sum beyond a double is infinite, or NaN.
ROLLUPS = StructType(
    [
        StructField("window_start", TimestampType(), nullable=False),
        StructField("device_id", StringType(), nullable=False),
        StructField("device_type", StringType(), nullable=False),
        StructField("events", LongType(), nullable=False),
        StructField("value_count", LongType(), nullable=False),
        StructField("value_sum", DoubleType(), nullable=False),
        StructField("value_min", DoubleType(), nullable=True),
        StructField("value_max", DoubleType(), nullable=True),
        StructField("duration_sum", DoubleType(), nullable=False),
        StructField("duration_min", DoubleType(), nullable=False),
        StructField("duration_max", DoubleType(), nullable=False),
        StructField("late_events", LongType(), nullable=False),
    ]
)

#: Name of what a rollup's footer says of late events: they arrived more than so many milliseconds after they happened.
LATENESS = "tributary-lateness-ms"

#: Names of the typed columns. Objects of an earlier contract may lack some; rows of theirs have null there.
TYPED_COLUMNS = tuple(name for name, _, _ in CONTRACT.columns)

#: What `schema_version` may be.
SCHEMA_VERSIONS = tuple(CONTRACT.versions)

#: No event happened before this (the contract's lower bound of `event_time`).
MIN_EVENT_TIME = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=CONTRACT.not_before_us)

#: How far `event_time` may lie ahead of `arrival_time`.
MAX_EVENT_TIME_AHEAD = timedelta(hours=CONTRACT.max_ahead_hours)

#: The time grid over arrival time; no object crosses one of its lines.
CELL = timedelta(minutes=15)

#: Names of the audit, alike in S3 object metadata and in the Parquet footer; the values are decimal text.
FIRST_POSITION = "tributary-first-position"
LAST_POSITION = "tributary-last-position"
RECEIVED = "tributary-received"
WRITTEN = "tributary-written"
DUPLICATES = "tributary-duplicates"
FILTERED = "tributary-filtered"
REJECTED = "tributary-rejected"
VERSION = "tributary-version"
#: The contract's hash; objects of older functions have none.
CONTRACT_HASH = "tributary-contract"

AUDIT_NUMBERS = (FIRST_POSITION, LAST_POSITION, RECEIVED, WRITTEN, DUPLICATES, FILTERED, REJECTED)
AUDIT = (*AUDIT_NUMBERS, VERSION)

_LOG = re.compile(r"events/date=(?P<date>\d{4}-\d\d-\d\d)/(?P<stream>[^/]+)\.(?P<shard>[^./]+)\.(?P<cell>\d{8}T\d{4})Z")
_COMMIT = re.compile(r"\d{6,}")


class ObjectName(NamedTuple):
    """What the key of an `events/` object says: its place in the log of a shard and a cell of the time grid."""

    date: str
    stream: str
    shard: str
    cell_start_ms: int
    """Start of the cell in which the rows arrived, in milliseconds since the Unix epoch."""
    commit: int
    """Place in the cell's log, from 0."""

    @classmethod
    def of_key(cls, key: str) -> ObjectName | None:
        """Reads `events/date=…/<stream>.<shard>.<cell>.<commit>.parquet`; `None` for any other key.

        A stream's name that begins like a hidden file has a `!` before it.
        """
        name, _, kind = key.rpartition(".")
        log, _, commit = name.rpartition(".")
        of_log = _log(log) if kind == "parquet" and _COMMIT.fullmatch(commit) else None
        return None if of_log is None else cls(*of_log, int(commit))


# Objects are many and logs few, and this is most of what reading a name takes.
@lru_cache(maxsize=10_000)
def _log(text: str) -> tuple[str, str, str, int] | None:
    match = _LOG.fullmatch(text)
    if match is None:
        return None
    shown = match["stream"]
    stream = shown.removeprefix("!")
    if stream.startswith(("_", ".", "!")) != (shown != stream):
        return None
    try:
        start = datetime.strptime(match["cell"], "%Y%m%dT%H%M").replace(tzinfo=timezone.utc)
    except ValueError:
        return None
    return match["date"], stream, match["shard"], int(start.timestamp()) * 1000
