"""Rollups against a computation without Spark, and every rule about them broken once."""

import math
import random
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from lake_of_tests import ARRIVAL, LATE_AFTER, ROLLUP_ARROW_SCHEMA, Lake, event, rollup
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from tributary_emr import rules, schema
from tributary_emr.averages import arguments, run
from tributary_emr.lake import LakeError, read_events, read_rollups
from tributary_emr.rollup_transforms import aggregate, averages, differences, merge
from tributary_emr.rules import Breach
from tributary_emr.validate import validate

MIDNIGHT = datetime(2026, 11, 22, tzinfo=UTC)
Key = tuple[int, str, str]


def random_events(rng: random.Random, count: int) -> list[dict[str, Any]]:
    """Three devices of two types, five minutes around midnight, some events late, some without a value."""
    return [
        event(
            n,
            event_time=MIDNIGHT + timedelta(microseconds=rng.randrange(-120_000_000, 180_000_000)),
            arrival_time=MIDNIGHT + timedelta(minutes=2, microseconds=rng.randrange(780_000_000)),
            device_id=f"device-{rng.randrange(3)}",
            device_type=rng.choice(["lock", "meter"]),
            event_duration=rng.lognormvariate(3, 1),
            value=None if rng.random() < 0.2 else rng.uniform(-50, 50),
        )
        for n in range(count)
    ]


def expected_averages(rows: Iterable[Mapping[str, Any]]) -> dict[Key, tuple]:
    """The averages of events, in exact fractions up to the last division."""
    return {
        _key(row): (
            row["events"],
            float(Fraction(row["value_sum"]) / row["value_count"]) if row["value_count"] else None,
            row["value_min"],
            row["value_max"],
            float(Fraction(row["duration_sum"]) / row["events"]),
            row["late_events"],
        )
        for row in rollup(rows)
    }


def averaged(table: DataFrame) -> dict[Key, tuple]:
    rows = table.selectExpr("unix_seconds(window_start)", *table.columns[1:]).collect()
    return {tuple(row)[:3]: tuple(row)[3:] for row in rows}


def _key(row: Mapping[str, Any]) -> Key:
    return int(row["window_start"].timestamp()), row["device_id"], row["device_type"]


def assert_alike(actual: Mapping[Key, tuple], expected: Mapping[Key, tuple]) -> None:
    assert actual.keys() == expected.keys()
    for key, values in expected.items():
        approximately = tuple(pytest.approx(x, rel=1e-12, abs=1e-12) if isinstance(x, float) else x for x in values)
        assert actual[key] == approximately, key


def written(lake: Lake, rows: list[dict[str, Any]], objects: int) -> Lake:
    """`rows` in so many objects, dealt out like cards: each minute is in several of them."""
    for n in range(objects):
        lake.write_both(rows[n::objects])
    return lake


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_merged_rollups_are_the_averages_of_the_events(spark: SparkSession, lake: Lake, seed: int) -> None:
    rows = random_events(random.Random(seed), 900)
    rollups = read_rollups(spark, written(lake, rows, 7).rollups)
    expected = expected_averages(rows)
    assert rollups.count() > len(expected) == 30
    assert_alike(averaged(averages(merge(rollups))), expected)


@pytest.mark.parametrize("seed", [4, 5])
def test_merged_rollups_do_not_differ_from_the_aggregated_events(spark: SparkSession, lake: Lake, seed: int) -> None:
    written(lake, random_events(random.Random(seed), 900), 5)
    direct = direct_aggregate(spark, lake)
    assert direct.count() == 30
    assert differences(merge(read_rollups(spark, lake.rollups)), direct).collect() == []


def test_a_device_of_two_types_has_two_rows_and_a_minute_without_values_no_average(
    spark: SparkSession, lake: Lake
) -> None:
    rows = [event(1, device_type="lock", value=None), event(2, device_type="meter", value=3.0)]
    rows.append(event(3, device_type="meter", value=None))
    lake.write_both(rows)
    start = int((ARRIVAL - timedelta(hours=1)).replace(second=0, microsecond=0).timestamp())
    assert averaged(averages(merge(read_rollups(spark, lake.rollups)))) == {
        (start, "thermostat-7", "lock"): (1, None, None, None, 100.0, 1),
        (start, "thermostat-7", "meter"): (2, 3.0, 3.0, 3.0, 100.0, 2),
    }


def test_a_sum_beyond_a_double_is_no_average_and_no_difference(
    spark: SparkSession, lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    largest = 1.7e308
    values = {
        "over": [largest, largest],
        "under": [-largest, -largest],
        # Infinite in one order, the largest in another.
        "either": [largest, largest, -largest],
        "fits": [largest, None, 1.0],
        "none": [None],
    }
    rows = [
        event(n, device_id=device, value=value, event_duration=largest if device == "over" else 1.0)
        for n, (device, value) in enumerate((device, value) for device, all_ in values.items() for value in all_)
    ]
    key = lake.write(rows)
    sums = {"over": math.inf, "under": -math.inf, "either": math.inf, "fits": largest, "none": 0.0}
    stored = [
        {
            **row,
            "value_sum": sums[row["device_id"]],
            "duration_sum": math.inf if row["device_id"] == "over" else float(row["events"]),
        }
        for row in rollup(
            [{**row, "value": None if row["value"] is None else 0.0, "event_duration": 0.0} for row in rows]
        )
    ]
    for row in stored:
        known = [value for value in values[row["device_id"]] if value is not None]
        row["value_min"], row["value_max"] = min(known, default=None), max(known, default=None)
        row["duration_min"] = row["duration_max"] = largest if row["device_id"] == "over" else 1.0
    lake.write_rollup(key, stored)
    assert validate(spark, lake.events, {}, rollups=lake.rollups).breaches == []
    by_device = {
        device: cells[1:5]
        for (_, device, _), cells in averaged(averages(merge(read_rollups(spark, lake.rollups)))).items()
    }
    assert by_device == {
        "over": (None, largest, largest, None),
        "under": (None, -largest, -largest, 1.0),
        "either": (None, -largest, largest, 1.0),
        "fits": (largest / 2, 1.0, largest, 1.0),
        "none": (None, None, None, 1.0),
    }
    run(spark, lake.rollups, f"{lake.root}/reports/averages.csv", arguments([]))
    assert "3 of them have an empty average" in capsys.readouterr().err


def test_a_late_event_is_merged_into_its_minute(spark: SparkSession, lake: Lake) -> None:
    lake.write_both([event(1, value=1.0, event_time=ARRIVAL)])
    lake.write_both([event(2, value=4.0, event_time=ARRIVAL, arrival_time=ARRIVAL + timedelta(days=3))])
    (values,) = averaged(averages(merge(read_rollups(spark, lake.rollups)))).values()
    assert values == (2, 2.5, 1.0, 4.0, 100.0, 1)


def test_an_id_that_comes_again_beyond_the_horizon_counts_in_both_objects(spark: SparkSession, lake: Lake) -> None:
    lake.write_both([event(1, event_id="again")])
    lake.write_both([event(2, event_id="again", arrival_time=ARRIVAL + timedelta(hours=2))])
    (values,) = averaged(averages(merge(read_rollups(spark, lake.rollups)))).values()
    assert values[0] == 2
    assert validate(spark, lake.events, {}, allow_doubled=True, rollups=lake.rollups).breaches == []


def test_sums_in_another_order_do_not_differ_and_a_wrong_sum_does(spark: SparkSession, lake: Lake) -> None:
    # Their sum in this order is 0.0, in the rollup it is 1.0: rounding, far below 1e-9 of 1e16.
    rows = [event(n, value=x) for n, x in enumerate([1e16, 1.0, -1e16])]
    key = lake.write_both(rows)
    direct = direct_aggregate(spark, lake)
    assert rollup(rows)[0]["value_sum"] == 1.0
    assert differences(merge(read_rollups(spark, lake.rollups)), direct).collect() == []
    lake.write_rollup(key, [{**rollup(rows)[0], "value_sum": 1e8}])
    (row,) = differences(merge(read_rollups(spark, lake.rollups)), direct).collect()
    assert re.fullmatch(r"value_sum 1\.0E8 ≠ [01]\.0", row["difference"])


@pytest.mark.parametrize("column", [name for name in schema.ROLLUPS.fieldNames() if name not in schema.ROLLUP_KEY])
def test_each_column_that_is_off_is_named(spark: SparkSession, lake: Lake, column: str) -> None:
    rows = [event(1, value=2.0), event(2, value=4.0)]
    key = lake.write(rows)
    right = rollup(rows)[0]
    lake.write_rollup(key, [{**right, column: right[column] + 1}])
    direct = direct_aggregate(spark, lake)
    (row,) = differences(merge(read_rollups(spark, lake.rollups)), direct).collect()
    assert row["difference"] == f"{column} {right[column] + 1} ≠ {right[column]}"


def test_each_rollup_is_held_to_its_own_lateness_bound(spark: SparkSession, lake: Lake) -> None:
    # An hour old: late by the bound of 5 minutes, and not by that of 2 hours.
    lake.write_both([event(1)])
    lake.write_rollup(lake.write([event(2)]), [{**rollup([event(2)])[0], "late_events": 0}], lateness_ms="7200000")
    assert check(spark, lake) == []
    lake.write_rollup(lake.write([event(3)]), rollup([event(3)]), lateness_ms="7200000")
    assert ["late_events 1 ≠ 0" in str(breach) for breach in check(spark, lake)] == [True]


ROWS = [event(n, device_id=f"device-{n % 2}", value=float(n)) for n in range(4)]


def without(column: str) -> pa.Schema:
    return ROLLUP_ARROW_SCHEMA.remove(ROLLUP_ARROW_SCHEMA.get_field_index(column))


def beside(**arguments: Any) -> Callable[[Lake], object]:
    """A sound events object, and the rollup that the arguments of `write_rollup` describe."""
    return lambda lake: lake.write_rollup(lake.write(ROWS), **{"rows": rollup(ROWS), **arguments})


def torn(lake: Lake) -> None:
    file = lake.root / beside()(lake)
    file.write_bytes(file.read_bytes()[:-10])


def swapped(lake: Lake) -> None:
    """Two rollups under each other's name: merged, they are right."""
    first, second = lake.write(ROWS), lake.write([event(9)])
    lake.write_rollup(first, rollup([event(9)]))
    lake.write_rollup(second, rollup(ROWS))


BROKEN: dict[str, tuple[list[str], Callable[[Lake], object], str]] = {
    "unreadable": ([rules.READABLE], torn, "rollups/date="),
    "other columns": (
        [rules.SCHEMA],
        beside(schema=without("late_events")),
        "columns window_start, device_id",
    ),
    "no bound": ([rules.ROLLUP_LATENESS], beside(lateness_ms=None), "tributary-lateness-ms = None"),
    "bound no number": ([rules.ROLLUP_LATENESS], beside(lateness_ms="1h"), "tributary-lateness-ms = 1h"),
    "missing": (
        [rules.ROLLUP_PRESENT],
        lambda lake: (lake.write(ROWS), lake.write_both([event(9)])),
        ".000000.parquet is missing",
    ),
    "orphan": (
        [rules.ROLLUP_OWNED],
        lambda lake: lake.write_rollup(lake.write_both(ROWS).replace(".000000.", ".000001."), rollup([event(9)])),
        ".000001.parquet is missing",
    ),
    "two rows for a key": (
        [rules.ROLLUP_KEY],
        beside(rows=[row for n in range(4) for row in rollup(ROWS[n : n + 1])]),
        "2 keys are off, first 2026-11-22T09:15Z device-0 thermostat: 2 rows",
    ),
    "row missing": (
        [rules.ROLLUP_EQUAL],
        beside(rows=rollup(ROWS)[:1]),
        "1 keys are off, first 2026-11-22T09:15Z device-1 thermostat: events none ≠ 2",
    ),
    "row too many": (
        [rules.ROLLUP_EQUAL],
        beside(rows=rollup([*ROWS, event(9)])),
        "thermostat-7 thermostat: events 1 ≠",
    ),
    "sum off": (
        [rules.ROLLUP_EQUAL],
        beside(rows=[{**rollup(ROWS)[0], "value_sum": 2.5}, rollup(ROWS)[1]]),
        "1 keys are off, first 2026-11-22T09:15Z device-0 thermostat: value_sum 2.5 ≠ 2.0",
    ),
    "swapped": ([rules.ROLLUP_EQUAL] * 2, swapped, "keys are off"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_rule_about_rollups_is_found_and_no_other(spark: SparkSession, lake: Lake, case: str) -> None:
    rule, write, text = BROKEN[case]
    write(lake)
    found = check(spark, lake)
    assert [breach.rule for breach in found] == rule
    assert all(text in str(breach) for breach in found)


def test_sound_rollups_have_no_breach(spark: SparkSession, lake: Lake) -> None:
    written(lake, random_events(random.Random(6), 200), 3)
    found = validate(spark, lake.events, {}, rollups=lake.rollups)
    assert found.breaches == []
    assert found.rollups is not None
    assert (found.rollups.objects, found.objects) == (3, 3)
    assert found.rollups.rows == read_rollups(spark, lake.rollups).count()


def test_rollups_of_an_events_object_that_cannot_be_read_are_not_blamed(spark: SparkSession, lake: Lake) -> None:
    lake.write_both(ROWS)
    broken = lake.root / lake.write_both([event(9)])
    broken.write_bytes(b"no Parquet")
    assert [breach.rule for breach in check(spark, lake)] == [rules.READABLE]


def test_rollups_that_are_not_there_are_one_clear_line(spark: SparkSession, lake: Lake) -> None:
    lake.write(ROWS)
    with pytest.raises(LakeError, match=r"/rollups/: the lake is empty"):
        check(spark, lake)


def test_the_query_of_the_docs_gives_the_averages(spark: SparkSession, lake: Lake) -> None:
    rows = random_events(random.Random(7), 300)
    written(lake, rows, 4)
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    (query,) = re.findall(r"^    (SELECT [^;]*/rollups/[^;]*;)$", readme, re.MULTILINE)
    query = query.replace("s3://tributary-lake/", f"{lake.root}/")
    with duckdb.connect() as connection:
        found = connection.execute(
            "SELECT epoch(window_start)::BIGINT, device_id, device_type, events, average_value "
            f"FROM ({query.rstrip(';')})"
        ).fetchall()
    expected = expected_averages(rows)
    assert_alike(
        {row[:3]: row[3:] for row in found},
        {key: values[:2] for key, values in expected.items()},
    )


def direct_aggregate(spark: SparkSession, lake: Lake) -> DataFrame:
    return aggregate(read_events(spark, lake.events), lateness_ms=F.lit(LATE_AFTER // timedelta(milliseconds=1)))


def check(spark: SparkSession, lake: Lake) -> list[Breach]:
    return list(validate(spark, lake.events, {}, rollups=lake.rollups).breaches)
