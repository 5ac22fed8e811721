"""Every rule of the lake, broken once."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from lake_of_tests import ARRIVAL, ARROW_SCHEMA, FIRST_POSITION, Lake, event
from pyspark.sql import SparkSession

from tributary_emr import rules
from tributary_emr.footers import Footer
from tributary_emr.lake import StoredObject
from tributary_emr.rules import Breach
from tributary_emr.schema import ObjectName
from tributary_emr.validate import Validation, validate

ROWS = [event(n) for n in range(3)]


def optional(*columns: str) -> pa.Schema:
    """The lake's schema with some columns declared optional."""
    return pa.schema([field.with_nullable(True) if field.name in columns else field for field in ARROW_SCHEMA])


def retyped(column: str, to: pa.DataType) -> pa.Schema:
    index = ARROW_SCHEMA.get_field_index(column)
    return ARROW_SCHEMA.set(index, ARROW_SCHEMA.field(index).with_type(to))


def off(**changes: object) -> list[dict[str, object]]:
    """Three rows, the last one off."""
    return [*ROWS[:2], event(2, **changes)]


BROKEN: dict[str, tuple[str, Callable[[Lake], object], str]] = {
    "audit absent": (rules.AUDIT_PRESENT, lambda lake: lake.write(ROWS, audit={"tributary-filtered": None}), "None"),
    "audit no number": (rules.AUDIT_PRESENT, lambda lake: lake.write(ROWS, audit={"tributary-received": "3.0"}), "3.0"),
    "audit sum": (
        rules.AUDIT_SUM,
        lambda lake: lake.write(ROWS, audit={"tributary-rejected": "1"}),
        "3 ≠ 3 + 0 + 0 + 1",
    ),
    "audit rows": (
        rules.AUDIT_ROWS,
        lambda lake: lake.write(ROWS, audit={"tributary-written": "2", "tributary-rejected": "1"}),
        "3 rows, footer 3, written 2",
    ),
    "null": (
        rules.NULLS,
        lambda lake: lake.write(off(device_id=None), schema=optional("device_id")),
        "device_id is null in 1 rows",
    ),
    "null position": (
        rules.NULLS,
        lambda lake: lake.write([ROWS[0], event(1, position=None), ROWS[2]], schema=optional("position")),
        "position is null in 1 rows",
    ),
    "optional": (rules.SCHEMA, lambda lake: lake.write(ROWS, schema=optional("shard")), "shard is optional"),
    "other type": (
        rules.SCHEMA,
        lambda lake: lake.write(ROWS, schema=retyped("schema_version", pa.int64())),
        "schema_version is int64; expected int32",
    ),
    "local time": (
        rules.SCHEMA,
        lambda lake: lake.write(ROWS, schema=retyped("event_time", pa.timestamp("us", "Europe/Berlin"))),
        "event_time is timestamp[us, tz=Europe/Berlin]",
    ),
    "column absent": (
        rules.SCHEMA,
        lambda lake: lake.write(ROWS, schema=pa.schema(list(ARROW_SCHEMA)[:-1])),
        "expected event_time, device_type",
    ),
    "not a number": (rules.VALUES, lambda lake: lake.write(off(event_duration=float("nan"))), "event_duration is off"),
    "negative": (rules.VALUES, lambda lake: lake.write(off(event_duration=-1.0)), "event_duration is off"),
    "infinite": (rules.VALUES, lambda lake: lake.write(off(value=float("-inf"))), "value is off in 1 rows"),
    "from the future": (
        rules.VALUES,
        lambda lake: lake.write(off(event_time=ARRIVAL + timedelta(hours=25))),
        "event_time is off",
    ),
    "other version": (rules.VALUES, lambda lake: lake.write(off(schema_version=2)), "schema_version is off"),
    "position beyond": (
        rules.POSITIONS,
        lambda lake: lake.write(ROWS, audit={"tributary-last-position": str(FIRST_POSITION + 1)}),
        f"rows {FIRST_POSITION} to {FIRST_POSITION + 2}",
    ),
    "position before": (
        rules.POSITIONS,
        lambda lake: lake.write(ROWS, audit={"tributary-first-position": str(FIRST_POSITION + 1)}),
        f"audit {FIRST_POSITION + 1}",
    ),
    "other shard": (
        rules.SHARD,
        lambda lake: lake.write(off(shard="shardId-000000000003")),
        "shardId-000000000002 shardId-000000000003",
    ),
    "date": (rules.DATE, lambda lake: lake.write(ROWS, name={"date": "2026-11-23"}), "the cell is of 2026-11-22"),
    "grid line": (
        rules.CELL,
        lambda lake: lake.write(off(arrival_time=ARRIVAL + timedelta(minutes=14, seconds=30))),
        "to 2026-11-22T10:30:00.123",
    ),
    "other cell": (
        rules.CELL,
        lambda lake: lake.write(ROWS, name={"cell": "20261122T1030Z"}),
        "arrivals 2026-11-22T10:15:30.123",
    ),
    "gap in the log": (
        rules.LOG,
        lambda lake: (lake.write(ROWS), lake.write([event(10)], name={"commit": "000002"})),
        "commit 1 is missing, 2 is there",
    ),
    "doubled in one object": (rules.DOUBLED, lambda lake: lake.write(off(event_id="event-1")), "2 rows in"),
    "doubled in two": (
        rules.DOUBLED,
        lambda lake: (lake.write(ROWS), lake.write([event(10), event(11, event_id="event-0")])),
        "2 rows in tributary-events.shardId-000000000002.20261122T1015Z.000000.parquet, tributary-events",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_rule_is_found(spark: SparkSession, lake: Lake, case: str) -> None:
    rule, write, value = BROKEN[case]
    write(lake)
    found = [breach for breach in check(spark, lake).breaches if breach.rule == rule]
    assert [value in breach.value for breach in found] == [True]
    assert found[0].where.startswith("events/date=") or rule in (rules.DOUBLED, rules.LOG)


def test_a_sound_lake_has_no_breach(spark: SparkSession, lake: Lake) -> None:
    audit = {
        "tributary-received": "9",
        "tributary-duplicates": "1",
        "tributary-filtered": "2",
        "tributary-rejected": "3",
        "tributary-first-position": str(FIRST_POSITION - 1),
        "tributary-last-position": str(FIRST_POSITION + 8),
    }
    lake.write(ROWS, audit=audit)
    lake.write([event(20, value=None)])
    found = check(spark, lake)
    assert found.breaches == []
    assert (found.objects, found.rows) == (2, 4)
    assert found.audit == {
        "tributary-received": 10,
        "tributary-written": 4,
        "tributary-duplicates": 1,
        "tributary-filtered": 2,
        "tributary-rejected": 3,
    }


def test_an_unreadable_object_is_named_and_the_others_are_still_checked(spark: SparkSession, lake: Lake) -> None:
    lake.write(off(event_id="event-1"))
    torn = lake.root / lake.write([event(10)])
    torn.write_bytes(torn.read_bytes()[:-10])
    assert rules_of(check(spark, lake).breaches) == [rules.READABLE, rules.DOUBLED]


def test_a_foreign_object_is_named(spark: SparkSession, lake: Lake) -> None:
    file = lake.root / lake.write(ROWS)
    file.rename(file.with_name("part-00000.parquet"))
    assert rules_of(check(spark, lake).breaches) == [rules.NAME]


def test_doubled_ids_can_be_allowed(spark: SparkSession, lake: Lake) -> None:
    lake.write(off(event_id="event-1"))
    assert validate(spark, lake.events, {}, allow_doubled=True).breaches == []


def test_metadata_and_footer_must_agree() -> None:
    audit = {"tributary-received": "1", "tributary-version": "1.0"}
    metadata = {**audit, "tributary-received": "2"}
    footer = Footer(StoredObject("s3://b/events/x"), 1, ARROW_SCHEMA, audit, metadata)
    found = [breach for breach in rules.footer_breaches(footer) if breach.rule == rules.AUDIT_METADATA]
    assert [breach.value for breach in found] == ["tributary-received = 2 in S3, 1 in the footer"]


def test_a_name_reads_back_and_a_foreign_one_is_none() -> None:
    key = "events/date=2026-11-22/my.stream.shardId-000000000001.20261122T1015Z.000042.parquet"
    cell_start = datetime(2026, 11, 22, 10, 15, tzinfo=UTC)
    name = ObjectName.of_key(key)
    assert name == ObjectName("2026-11-22", "my.stream", "shardId-000000000001", int(cell_start.timestamp()) * 1000, 42)
    for foreign in (key.removesuffix(".parquet"), key.replace("T10", "T25"), key.replace("events/", "rollups/")):
        assert ObjectName.of_key(foreign) is None


def check(spark: SparkSession, lake: Lake) -> Validation:
    return validate(spark, lake.events, {})


def rules_of(breaches: Sequence[Breach]) -> list[str]:
    return [breach.rule for breach in breaches]
