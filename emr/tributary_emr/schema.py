"""The lake's layout as its readers see it: the columns, the audit of an object, the name of an object.

The writer's side is `functions/pipeline/src/encode.rs` and `layout.rs`; `validate` holds every object to this file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from pyspark.sql.types import (
    DoubleType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

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

#: The version of the event contract that these readers know.
SCHEMA_VERSION = 1

#: No event happened before this (the contract's lower bound of `event_time`).
MIN_EVENT_TIME = datetime(2000, 1, 1, tzinfo=timezone.utc)

#: How far `event_time` may lie ahead of `arrival_time`.
MAX_EVENT_TIME_AHEAD = timedelta(hours=24)

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

AUDIT_NUMBERS = (FIRST_POSITION, LAST_POSITION, RECEIVED, WRITTEN, DUPLICATES, FILTERED, REJECTED)
AUDIT = (*AUDIT_NUMBERS, VERSION)

_KEY = re.compile(
    r"events/date=(?P<date>\d{4}-\d\d-\d\d)/"
    r"(?P<stream>[^/]+)\.(?P<shard>[^./]+)\.(?P<cell>\d{8}T\d{4})Z\.(?P<commit>\d{6,})\.parquet"
)


@dataclass(frozen=True)
class ObjectName:
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
        match = _KEY.fullmatch(key)
        if match is None:
            return None
        shown = match["stream"]
        stream = shown.removeprefix("!")
        if stream.startswith(("_", ".", "!")) != (shown != stream):
            return None
        try:
            cell_start = datetime.strptime(match["cell"], "%Y%m%dT%H%M").replace(tzinfo=timezone.utc)
        except ValueError:
            return None
        return cls(
            date=match["date"],
            stream=stream,
            shard=match["shard"],
            cell_start_ms=int(cell_start.timestamp()) * 1000,
            commit=int(match["commit"]),
        )
