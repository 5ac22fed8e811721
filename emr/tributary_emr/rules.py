"""The rules that every stored object obeys, as pure functions: facts in, breaches out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

import pyarrow as pa
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

from tributary_emr import schema
from tributary_emr.footers import Footer
from tributary_emr.lake import PASSED_OVER, StoredObject
from tributary_emr.schema import ObjectName
from tributary_emr.table_rules import Breach

_CELL_MS = int(schema.CELL.total_seconds() * 1000)
_ARROW_TYPES: Mapping[type[DataType], Sequence[pa.DataType]] = {
    # Both spell UTC; Parquet itself stores only that the time is one.
    TimestampType: (pa.timestamp("us", "UTC"), pa.timestamp("us", "+00:00")),
    DoubleType: (pa.float64(),),
    StringType: (pa.string(),),
    IntegerType: (pa.int32(),),
    LongType: (pa.int64(),),
    BooleanType: (pa.bool_(),),
}

READABLE = "object is readable as Parquet"
READ = "Spark reads the object"
NAME = "object's name is events/date=…/<stream>.<shard>.<cell>.<commit>.parquet"
SCHEMA = "columns are those of the lake's schema"
AUDIT_PRESENT = "footer carries the audit"
AUDIT_METADATA = "S3 metadata and footer carry the same audit"
AUDIT_SUM = "received = written + duplicates + filtered + rejected"
AUDIT_ROWS = "rows = the footer's number of rows = written"
NULLS = "required columns have no nulls"
VALUES = "values are within the event contract"
POSITIONS = "positions lie within the audit's first and last"
SHARD = "rows are of the name's shard"
DATE = "date partition is the cell's date"
CELL = "rows arrived within the name's cell of the time grid"
LOG = "commits of a cell are numbered from 0 without a gap"
DOUBLED = "event ids are distinct"
ROLLUP_PRESENT = "every events object has its rollup beside it"
ROLLUP_OWNED = "every rollup has its events object"
ROLLUP_LATENESS = "a rollup's footer says when an event is late"
ROLLUP_KEY = "a rollup has one row per minute, device and type"
ROLLUP_EQUAL = "a rollup is the aggregation of its events object"

#: Every rule, in the order of the table.
RULES = (
    READABLE,
    READ,
    NAME,
    SCHEMA,
    AUDIT_PRESENT,
    AUDIT_METADATA,
    AUDIT_SUM,
    AUDIT_ROWS,
    NULLS,
    VALUES,
    POSITIONS,
    SHARD,
    DATE,
    CELL,
    LOG,
    DOUBLED,
)

#: The rules about rollups, in the order of the table.
ROLLUP_RULES = (ROLLUP_PRESENT, ROLLUP_OWNED, ROLLUP_LATENESS, ROLLUP_KEY, ROLLUP_EQUAL)


@dataclass(frozen=True)
class RowFacts:
    """What Spark found in the rows of one object."""

    rows: int
    nulls: Mapping[str, int]
    """Number of nulls per required column."""
    off_contract: Mapping[str, int]
    """Number of values per column that the event contract does not allow."""
    first_position: str | None
    last_position: str | None
    min_arrival_ms: int | None
    """Arrival of the earliest row, in milliseconds since the Unix epoch."""
    max_arrival_ms: int | None
    shards: Sequence[str]


def footer_breaches(footer: Footer) -> Iterator[Breach]:
    """The rules that need no row."""
    key = footer.stored.key
    if footer.schema is None:
        yield Breach(READABLE, key, footer.error or "no schema")
        return
    if ObjectName.of_key(key) is None:
        yield Breach(NAME, key, "not such a name")
    for value in schema_differences(footer.schema):
        yield Breach(SCHEMA, key, value)
    audit = footer.audit or {}
    wrong = [f"{name} = {audit.get(name)}" for name in schema.AUDIT if not _is_audit_value(name, audit)]
    if wrong:
        yield Breach(AUDIT_PRESENT, key, ", ".join(wrong))
    if footer.object_metadata is not None and footer.object_metadata != audit:
        names = sorted({*audit, *footer.object_metadata})
        differing = [
            f"{name} = {footer.object_metadata.get(name)} in S3, {audit.get(name)} in the footer"
            for name in names
            if footer.object_metadata.get(name) != audit.get(name)
        ]
        yield Breach(AUDIT_METADATA, key, ", ".join(differing))
    if wrong:
        return
    received, written, duplicates, filtered, rejected = (
        int(audit[name])
        for name in (schema.RECEIVED, schema.WRITTEN, schema.DUPLICATES, schema.FILTERED, schema.REJECTED)
    )
    if received != written + duplicates + filtered + rejected:
        yield Breach(AUDIT_SUM, key, f"{received} ≠ {written} + {duplicates} + {filtered} + {rejected}")


def passed_over(readable: Sequence[Footer], keys: Collection[str]) -> tuple[list[Footer], list[Breach]]:
    """The footers whose objects are among the `keys` that Spark reads, and a breach for each of the others."""
    read = [footer for footer in readable if footer.stored.key in keys]
    return read, [Breach(READ, f.stored.key, PASSED_OVER) for f in readable if f.stored.key not in keys]


def row_breaches(footer: Footer, rows: RowFacts) -> Iterator[Breach]:
    """The rules about the rows of an object whose footer could be read."""
    key = footer.stored.key
    audit = footer.audit or {}
    written = audit.get(schema.WRITTEN)
    if rows.rows != footer.rows or ((written or "").isdecimal() and rows.rows != int(written or 0)):
        yield Breach(AUDIT_ROWS, key, f"{rows.rows} rows, footer {footer.rows}, written {written}")
    for column, count in rows.nulls.items():
        if count:
            yield Breach(NULLS, key, f"{column} is null in {count} rows")
    for column, count in rows.off_contract.items():
        if count:
            yield Breach(VALUES, key, f"{column} is off in {count} rows")
    if rows.first_position and rows.last_position and all(_is_audit_value(n, audit) for n in _BOUNDS):
        first, last = (int(audit[name]) for name in _BOUNDS)
        if not first <= int(rows.first_position) <= int(rows.last_position) <= last:
            value = f"rows {rows.first_position} to {rows.last_position}, audit {first} to {last}"
            yield Breach(POSITIONS, key, value)
    name = ObjectName.of_key(key)
    if name is not None:
        yield from _name_breaches(name, key, rows)


def log_breaches(keys: Iterable[str], expired: Callable[[ObjectName], bool] = lambda name: False) -> Iterator[Breach]:
    """A breach per cell whose commits have a gap: an object is gone, and with it the ids that kept rows single.

    One that may have `expired`, because the table holds its rows, leaves none.
    """
    logs: defaultdict[ObjectName, set[int]] = defaultdict(set)
    for name in filter(None, map(ObjectName.of_key, keys)):
        logs[name._replace(commit=0)].add(name.commit)
    for log, commits in logs.items():
        missing = [
            commit
            for commit in range(max(commits))
            if commit not in commits and not expired(log._replace(commit=commit))
        ]
        if missing:
            cell = f"{log.stream}.{log.shard} from {_utc(log.cell_start_ms)}"
            yield Breach(LOG, cell, f"commit {missing[0]} is missing, {max(commits)} is there")


def rollup_footer_breaches(footer: Footer) -> Iterator[Breach]:
    """The rules about a rollup that need no row."""
    if footer.schema is None:
        yield Breach(READABLE, footer.stored.key, footer.error or "no schema")
        return
    for value in schema_differences(footer.schema, schema.ROLLUPS):
        yield Breach(SCHEMA, footer.stored.key, value)
    if lateness_ms(footer) is None:
        value = (footer.audit or {}).get(schema.LATENESS)
        yield Breach(ROLLUP_LATENESS, footer.stored.key, f"{schema.LATENESS} = {value}")


def lateness_ms(rollup: Footer) -> int | None:
    """The bound for late events of a rollup, in milliseconds; `None` when its footer does not say."""
    value = (rollup.audit or {}).get(schema.LATENESS, "")
    return int(value) if value.isdecimal() else None


def pairing_breaches(events: Iterable[StoredObject], rollups: Iterable[StoredObject]) -> Iterator[Breach]:
    """A breach per object that has no partner of its name on the other side."""
    event_names, rollup_names = ({stored.name for stored in side} for side in (events, rollups))
    for name in sorted(event_names - rollup_names):
        yield Breach(ROLLUP_PRESENT, f"events/{name}", f"rollups/{name} is missing")
    for name in sorted(rollup_names - event_names):
        yield Breach(ROLLUP_OWNED, f"rollups/{name}", f"events/{name} is missing")


def schema_differences(actual: pa.Schema, columns: StructType = schema.EVENTS) -> Iterator[str]:
    """How the columns of a file differ from `columns`, one text per difference."""
    types = list(type_differences(actual, columns))
    yield from types
    if not types:
        for expected, field in zip(_those_of(actual, columns), actual):
            if field.nullable != expected.nullable:
                yield f"{field.name} is {'optional' if field.nullable else 'required'}; expected the opposite"


def type_differences(actual: pa.Schema, columns: StructType = schema.EVENTS) -> Iterator[str]:
    """The differences in name, order and type: Spark cannot read such a file as `columns`."""
    present = _those_of(actual, columns)
    expected_names = [column.name for column in present]
    if actual.names != expected_names:
        yield f"columns {', '.join(actual.names)}; expected {', '.join(expected_names)}"
        return
    for expected, field in zip(present, actual):
        if field.type not in _ARROW_TYPES[type(expected.dataType)]:
            yield f"{field.name} is {field.type}; expected {_ARROW_TYPES[type(expected.dataType)][0]}"


def _those_of(actual: pa.Schema, columns: StructType) -> list[StructField]:
    """`columns` without those typed ones that an object of an earlier contract does not have."""
    return [c for c in columns if c.name in actual.names or c.name not in schema.TYPED_COLUMNS]


_BOUNDS = (schema.FIRST_POSITION, schema.LAST_POSITION)


def _name_breaches(name: ObjectName, key: str, rows: RowFacts) -> Iterator[Breach]:
    if any(shard != name.shard for shard in rows.shards):
        yield Breach(SHARD, key, f"rows are of {' '.join(rows.shards)}")
    if _utc(name.cell_start_ms)[:10] != name.date:
        yield Breach(DATE, key, f"the cell is of {_utc(name.cell_start_ms)[:10]}")
    bounds = [ms for ms in (rows.min_arrival_ms, rows.max_arrival_ms) if ms is not None]
    if any(ms // _CELL_MS * _CELL_MS != name.cell_start_ms for ms in bounds):
        yield Breach(CELL, key, f"arrivals {' to '.join(map(_utc, bounds))}")


def _is_audit_value(name: str, audit: Mapping[str, str]) -> bool:
    value = audit.get(name, "")
    return value.isdecimal() if name in schema.AUDIT_NUMBERS else value != ""


def _utc(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, timezone.utc).isoformat(timespec="milliseconds")
