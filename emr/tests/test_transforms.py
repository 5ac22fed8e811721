"""The report's rule against a brute-force computation in exact fractions."""

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import exp, sqrt
from statistics import fmean, stdev
from typing import Any

import pytest
from lake_of_tests import ARRIVAL, Lake, event
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from tributary_emr import report_sql, schema
from tributary_emr.lake import read_events
from tributary_emr.transforms import MICROSECONDS_PER_DAY, OutlierScope, day_number, distinct_events, report

#: As bytes that are still few: everything is small.
EVERYTHING = 1 << 100

MIDNIGHT = datetime(2026, 11, 22, tzinfo=UTC)


def frame(spark: SparkSession, rows: Iterable[Mapping[str, Any]]) -> DataFrame:
    names = schema.EVENTS.fieldNames()
    return spark.createDataFrame([tuple(row[name] for name in names) for row in rows], schema.EVENTS)


def reported(events: DataFrame, **options: Any) -> dict[tuple[str, str], tuple]:
    """(day, device type) → (distinct events, outliers excluded, mean, deviation, p95)."""
    rows = report(distinct_events(events), **{"small_bytes": EVERYTHING, **options})
    return {(str(row[0]), row[1]): tuple(row)[2:] for row in rows.collect()}


def brute_force(
    rows: Iterable[Mapping[str, Any]], *, by_day: bool = False, minimum_events: int = 500
) -> dict[tuple[str, str], tuple]:
    """The rule without Spark and without rounding, up to the last square root."""
    first: dict[tuple[str, str], Mapping[str, Any]] = {}
    for row in rows:
        event_and_day = row["event_id"], row["event_time"].astimezone(UTC).date().isoformat()
        held = first.get(event_and_day)
        if held is None or _order(row) < _order(held):
            first[event_and_day] = row
    groups = defaultdict(list)
    scopes = defaultdict(list)
    for row in first.values():
        day = row["event_time"].astimezone(UTC).date().isoformat()
        groups[day, row["device_type"]].append(Fraction(row["event_duration"]))
        scopes[day if by_day else (day, row["device_type"])].append(Fraction(row["event_duration"]))
    result = {}
    for (day, device_type), durations in groups.items():
        if len(durations) < minimum_events:
            continue
        scope = scopes[day if by_day else (day, device_type)]
        mean = sum(scope) / len(scope)
        variance = sum((x - mean) ** 2 for x in scope) / (len(scope) - 1) if len(scope) > 1 else None
        kept = sorted(x for x in durations if (x - mean) ** 2 <= 9 * (variance or 0) or variance is None)
        result[day, device_type] = (
            len(durations),
            len(durations) - len(kept),
            float(mean),
            None if variance is None else sqrt(variance),
            float(_interpolated(kept, Fraction(95, 100))) if kept else None,
        )
    return result


def _order(row: Mapping[str, Any]) -> tuple:
    return row["arrival_time"], row["shard"], int(row["position"])


def _interpolated(ordered: list[Fraction], quantile: Fraction) -> Fraction:
    rank = quantile * (len(ordered) - 1)
    below = int(rank)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (rank - below) * (ordered[above] - ordered[below])


def assert_alike(actual: Mapping, expected: Mapping) -> None:
    assert actual.keys() == expected.keys()
    for group, values in expected.items():
        for value, wanted in zip(actual[group], values, strict=True):
            assert value == (None if wanted is None else pytest.approx(wanted, rel=1e-12, abs=1e-12)), group


def test_a_type_with_500_events_is_reported_and_one_with_499_is_not(spark: SparkSession) -> None:
    rows = [event(n, device_type="enough") for n in range(500)]
    rows += [event(n, device_type="few") for n in range(500, 999)]
    assert list(reported(frame(spark, rows))) == [("2026-11-22", "enough")]


def test_copies_do_not_count_towards_the_500(spark: SparkSession) -> None:
    rows = [event(n) for n in range(499)]
    assert reported(frame(spark, [*rows, *rows])) == {}


def test_the_500_are_counted_before_outliers_go(spark: SparkSession) -> None:
    rows = [event(n, event_duration=float(n % 7)) for n in range(499)] + [event(499, event_duration=1e6)]
    count, excluded, *_ = reported(frame(spark, rows))["2026-11-22", "thermostat"]
    assert (count, excluded) == (500, 1)


def test_midnight_belongs_to_the_day_that_begins_whatever_the_session_time_zone(spark: SparkSession) -> None:
    before = [event(n, event_time=MIDNIGHT - timedelta(microseconds=1)) for n in range(500)]
    after = [event(n, event_time=MIDNIGHT) for n in range(500, 1000)]
    assert {group: values[0] for group, values in reported(frame(spark, before + after)).items()} == {
        ("2026-11-21", "thermostat"): 500,
        ("2026-11-22", "thermostat"): 500,
    }


def test_a_day_is_all_of_its_microseconds_in_every_year(spark: SparkSession) -> None:
    # From the year 1 to 9999.
    days = [-719_162, -1, 0, 20_000, 2_932_896, *random.Random(1).sample(range(-719_162, 2_932_896), 2000)]
    edges = [(day, day * MICROSECONDS_PER_DAY + of) for day in days for of in (0, 1, MICROSECONDS_PER_DAY - 1)]
    times = spark.createDataFrame(edges, "day int, micros bigint").selectExpr("day", "timestamp_micros(micros) time")
    assert times.where(day_number("time") != F.col("day")).count() == 0


@pytest.mark.parametrize("small_bytes", [EVERYTHING, 0])
def test_equal_durations_have_no_outlier(spark: SparkSession, small_bytes: int) -> None:
    # 0.1 has no exact double: the mean of 500 of them is not 0.1.
    durations = [0.0, 5e-324, 1e-320, 2.2e-308, 0.1, 1e100, 1e200, 1.7976931348623157e308]
    rows = [event(n, event_duration=durations[n % 8], device_type=str(n % 8)) for n in range(500 * len(durations))]
    actual = reported(frame(spark, rows), small_bytes=small_bytes)
    assert len(actual) == len(durations)
    for (_, device_type), (count, excluded, mean, deviation, p95) in actual.items():
        duration = durations[int(device_type)]
        assert (count, excluded, p95) == (500, 0, duration)
        assert mean == pytest.approx(duration, rel=1e-12)
        assert deviation == pytest.approx(0, abs=1e-12 * duration)


@pytest.mark.parametrize("small_bytes", [EVERYTHING, 0])
@pytest.mark.parametrize("by_day", [False, True])
def test_the_rule_holds_for_durations_of_any_size(spark: SparkSession, by_day: bool, small_bytes: int) -> None:
    rng = random.Random(7)
    actual, expected = [], {}
    for day, unit in enumerate([5e-324, 1e-320, 1e-310, 1e-200, 1e-150, 1e150, 1e200, 3e304]):
        units = [rng.randrange(100) for _ in range(998)] + [3000, 5000]
        rows = [
            event(
                1000 * day + n,
                event_time=MIDNIGHT - timedelta(days=day),
                event_duration=x * unit,
                device_type="ab"[n % 2],
            )
            for n, x in enumerate(units)
        ]
        actual += rows
        expected |= exact(rows, by_day=by_day)
    scope = OutlierScope.DAY if by_day else OutlierScope.GROUP
    actual = reported(frame(spark, actual), outlier_scope=scope, small_bytes=small_bytes)
    assert actual.keys() == expected.keys()
    for group, values in expected.items():
        assert actual[group][:2] == values[:2] == (500, 1)
        assert actual[group][2:] == pytest.approx(values[2:], rel=1e-12, abs=1e-323)


def exact(rows: Iterable[Mapping[str, Any]], *, by_day: bool) -> dict[tuple[str, str], tuple]:
    """`brute_force`, where the variance is beyond a double: the rule knows no unit."""
    scale = Fraction(max(row["event_duration"] for row in rows))
    scaled = [{**row, "event_duration": Fraction(row["event_duration"]) / scale} for row in rows]
    return {
        group: (*counts, *(float(Fraction(x) * scale) for x in statistics))
        for group, (*counts, mean, deviation, p95) in brute_force(scaled, by_day=by_day).items()
        for statistics in [(mean, deviation, p95)]
    }


def test_a_group_of_one_has_no_deviation_and_no_outlier(spark: SparkSession) -> None:
    rows = reported(frame(spark, [event(1, event_duration=5.0)]), minimum_events=1)
    assert rows == {("2026-11-22", "thermostat"): (1, 0, 5.0, None, 5.0)}


@pytest.mark.parametrize(("beyond", "excluded"), [(0.0, 0), (0.01, 2)])
def test_a_duration_exactly_three_deviations_away_is_kept(spark: SparkSession, beyond: float, excluded: int) -> None:
    # With 241 pairs at ±10 and 17 at the mean, a pair at ±30 makes the sample deviation 10.
    durations = [90.0, 110.0] * 241 + [100.0] * 17 + [70.0 - beyond, 130.0 + beyond]
    rows = [event(n, event_duration=x) for n, x in enumerate(durations)]
    actual = reported(frame(spark, rows))
    assert actual["2026-11-22", "thermostat"][1] == excluded
    assert_alike(actual, brute_force(rows))


def test_of_copies_that_differ_the_first_to_arrive_counts(spark: SparkSession) -> None:
    later = ARRIVAL + timedelta(milliseconds=1)
    copies = [
        event(0, event_id="a", arrival_time=later, device_id="late"),
        event(1, event_id="a", arrival_time=ARRIVAL, device_id="first"),
        # The same arrival: the shard decides.
        event(2, event_id="b", arrival_time=ARRIVAL, shard="1", device_id="other shard"),
        event(3, event_id="b", arrival_time=ARRIVAL, shard="0", device_id="first"),
        # The same shard, too: the position as a number, not as text.
        event(4, event_id="c", arrival_time=ARRIVAL, position="10", device_id="higher"),
        event(5, event_id="c", arrival_time=ARRIVAL, position="9", device_id="first"),
    ]
    for order in (copies, copies[::-1]):
        kept = distinct_events(frame(spark, order)).collect()
        assert sorted((row["event_id"], row["device_id"]) for row in kept) == [
            ("a", "first"),
            ("b", "first"),
            ("c", "first"),
        ]


def test_copies_in_different_files_count_once(spark: SparkSession, lake: Lake) -> None:
    rows = [event(n, event_duration=float(n)) for n in range(600)]
    lake.write(rows[:400])
    lake.write([event(1000 + n, event_id=f"event-{n}", event_duration=1e9) for n in range(300, 400)] + rows[400:])
    assert_alike(reported(read_events(spark, lake.events)), brute_force(rows))


def test_an_object_of_the_lake_reads_as_it_was_written(spark: SparkSession, lake: Lake) -> None:
    lake.write([event(7, value=None, attributes='{"firmware":"1.2"}', event_time=MIDNIGHT)])
    row = read_events(spark, lake.events).selectExpr("*", "unix_micros(event_time) AS micros").first()
    assert row is not None
    assert row["micros"] == int(MIDNIGHT.timestamp()) * 1_000_000
    assert (row["event_duration"], row["value"], row["attributes"]) == (100.0, None, '{"firmware":"1.2"}')
    assert (row["schema_version"], row["event_id"]) == (1, "event-7")


@pytest.mark.parametrize("small_bytes", [EVERYTHING, 0])
@pytest.mark.parametrize("by_day", [False, True])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_report_equals_the_brute_force(spark: SparkSession, seed: int, by_day: bool, small_bytes: int) -> None:
    rows = random_events(random.Random(seed), 4000)
    scope = OutlierScope.DAY if by_day else OutlierScope.GROUP
    expected = brute_force(rows, by_day=by_day, minimum_events=100)
    assert len(expected) > 3
    assert any(excluded for _, excluded, *_ in expected.values())
    actual = reported(frame(spark, rows), outlier_scope=scope, minimum_events=100, small_bytes=small_bytes)
    assert_alike(actual, expected)


@pytest.mark.parametrize("small_bytes", [EVERYTHING, 0])
def test_a_type_of_outliers_alone_has_no_percentile(spark: SparkSession, small_bytes: int) -> None:
    rows = [event(n, device_type="many", event_duration=float(n % 3)) for n in range(9000)]
    rows += [event(n, device_type="far", event_duration=1e6) for n in range(9000, 9500)]
    actual = reported(frame(spark, rows), outlier_scope=OutlierScope.DAY, small_bytes=small_bytes)
    assert actual["2026-11-22", "far"][:2] == (500, 500)
    assert_alike(actual, brute_force(rows, by_day=True))


@pytest.mark.parametrize("by_day", [False, True])
def test_the_approximate_percentile_is_within_a_bucket_of_the_exact_one(spark: SparkSession, by_day: bool) -> None:
    rng = random.Random(4)
    rows = [event(n, event_duration=rng.lognormvariate(4, 1), device_type="abc"[n % 3]) for n in range(20_000)]
    scope = OutlierScope.DAY if by_day else OutlierScope.GROUP
    actual = reported(frame(spark, rows), outlier_scope=scope, approximate=True)
    expected = brute_force(rows, by_day=by_day)
    assert actual.keys() == expected.keys()
    for group, (count, excluded, mean, deviation, p95) in expected.items():
        assert actual[group][0] == count
        # Those of the bucket with the bound may be on the wrong side of it, and no others.
        assert actual[group][1] == pytest.approx(excluded, abs=5)
        assert actual[group][2:4] == pytest.approx((mean, deviation), rel=1e-12)
        assert actual[group][4] == pytest.approx(p95, rel=0.004)


def test_the_approximate_percentile_of_one_bucket_is_its_mean(spark: SparkSession) -> None:
    # Its ends are outliers, on both sides of the mean.
    durations = [exp(1768.5 / 256) * x for x in [0.999, *[1.0, 1.00001] * 150, 1.001]]
    rows = [event(n, event_duration=x) for n, x in enumerate(durations)]
    (actual,) = reported(frame(spark, rows), approximate=True, minimum_events=1).values()
    assert actual[:2] == (302, 0)
    assert actual[4] == pytest.approx(fmean(durations), rel=1e-12)


@pytest.mark.parametrize(
    ("options", "readings"),
    [({}, 1), ({"small_bytes": 0}, 2), ({"approximate": True}, 1), ({"outlier_scope": OutlierScope.DAY}, 2)],
)
def test_the_rows_of_events_are_shuffled_once(
    spark: SparkSession, lake: Lake, options: dict[str, Any], readings: int
) -> None:
    lake.write([event(n) for n in range(500)])
    rows = report(distinct_events(read_events(spark, lake.events)), **options)
    rows.collect()
    plan = rows._jdf.queryExecution().executedPlan().toString().split("== Initial Plan ==")[0]
    reused = [line for line in plan.splitlines() if "ReusedExchange" in line and "hashpartitioning(event_id" in line]
    assert plan.count("Exchange hashpartitioning(event_id") == readings, "the exchange, and notes of its reuse"
    assert len(reused) == readings - 1
    assert plan.count("ReusedExchange") == len(reused), "nothing else is read again"
    keys = [line.partition("BroadcastHashJoin")[2].partition("]")[0] for line in plan.splitlines()]
    assert "device_type" not in "".join(keys), "a key of integers is looked up faster"
    assert any("bucket" in key for key in keys) == (readings == 2)


@pytest.mark.parametrize("small_bytes", [EVERYTHING, 0])
@pytest.mark.parametrize("side", [-1, 1], ids=["below", "above"])
@pytest.mark.parametrize("outliers", [0.0, 0.5, 1.0], ids=["few outliers", "half of them outliers", "mostly outliers"])
def test_the_bound_of_outliers_may_run_through_many_durations(
    spark: SparkSession, outliers: float, side: int, small_bytes: int
) -> None:
    rng = random.Random(6)
    most = [rng.gauss(1000, 150) for _ in range(5000)]
    around = [1 + side * (rng.random() - 1 + outliers) / 300 for _ in range(400)]
    # Where they stand moves the bound, which comes to rest among them.
    bound = 1000.0
    for _ in range(200):
        durations = most + [x * bound for x in around]
        bound = fmean(durations) + 3 * side * stdev(durations)
    rows = [event(n, event_duration=x) for n, x in enumerate(durations)]
    actual = reported(frame(spark, rows), small_bytes=small_bytes)
    assert_alike(actual, brute_force(rows))
    assert actual["2026-11-22", "thermostat"][1] == pytest.approx(400 * outliers, abs=60)


def test_the_rank_depends_on_how_many_durations_far_below_are_kept(spark: SparkSession) -> None:
    rows = []
    for at in range(1894, 1901):
        # A bucket ends after so many of the 2,000; without the kept ones of the 200, the rank would be 1,899.
        most = [exp(1774 / 256) + (n - at + 0.5) / 20 for n in range(2000)]
        durations, below, above = most, 1.0, 1000.0
        for _ in range(60):
            # Until the bound runs through the 200.
            middle = (below + above) / 2
            durations = most + [middle * (1 + (n - 99.5) / 80_000) for n in range(200)]
            is_below = middle < fmean(durations) - 3 * stdev(durations)
            below, above = (middle, above) if is_below else (below, middle)
        rows += [event(10_000 * at + n, device_type=str(at), event_duration=x) for n, x in enumerate(durations)]
    expected = brute_force(rows)
    assert all(50 < excluded < 150 for _, excluded, *_ in expected.values())
    assert_alike(reported(frame(spark, rows), small_bytes=0), expected)


def test_few_durations_are_read_again(spark: SparkSession) -> None:
    rng = random.Random(8)
    rows = [event(n, event_duration=rng.lognormvariate(4, 1), device_type="abc"[n % 3]) for n in range(9000)]
    again = f"WITH {report_sql._buckets('device_type, day', 500)}, {report_sql._THAT_MATTER} SELECT * FROM that_matter"
    days = frame(spark, rows).withColumn("day", day_number("event_time"))
    read = days.withColumn("bucket", F.expr(report_sql.BUCKET))
    # Of each type the bucket of the rank, perhaps the next one, and that of the bound.
    assert 3 <= spark.sql(again, rows=read).count() <= 12


def test_only_a_small_report_keeps_durations_in_memory(spark: SparkSession, lake: Lake) -> None:
    lake.write([event(n) for n in range(500)])
    plan = report(read_events(spark, lake.events))._jdf.queryExecution().optimizedPlan().toString()
    assert "collect_list(" in plan
    many = spark.range(10_000_000).selectExpr(
        "'a' device_type", "timestamp_micros(id) event_time", "1.5D event_duration"
    )
    assert "collect_list(" not in report(many)._jdf.queryExecution().optimizedPlan().toString()


@pytest.mark.parametrize("small_bytes", [EVERYTHING, 0])
def test_the_percentile_is_exact_whatever_durations_are_alike(spark: SparkSession, small_bytes: int) -> None:
    rng = random.Random(5)
    shapes = {
        "one": [7.25],
        "two": [3.0, 9.0],
        "three of two": [0.0, 0.0, 1e-300],
        "zeros and one": [0.0] * 19 + [5.0],
        "the rank between two far ones": [1.0] * 7 + [80.0],
        "the rank between two near ones": [100.0] * 7 + [100.00000000000001],
        "all in one bucket": [1000 + rng.random() / 1000 for _ in range(300)],
        "as many buckets as rows": [1.02**n for n in range(300)],
        "outliers on both sides in one bucket": [exp(1768.5 / 256) * x for x in [0.999, *[1.0, 1.00001] * 150, 1.001]],
        "ties": [float(rng.randrange(4)) for _ in range(301)],
    }
    rows = [
        event(n, device_type=name, event_duration=duration)
        for n, (name, duration) in enumerate((name, duration) for name, shape in shapes.items() for duration in shape)
    ]
    actual = reported(frame(spark, rows), minimum_events=1, small_bytes=small_bytes)
    assert_alike(actual, brute_force(rows, minimum_events=1))


def random_events(rng: random.Random, count: int) -> list[dict[str, Any]]:
    """Three days and types, whole milliseconds (so many ties), outliers, and copies with other content."""
    rows = []
    for n in range(count):
        duration = float(round(rng.lognormvariate(3, 0.5))) * (30 if rng.random() < 0.01 else 1)
        rows.append(
            event(
                n,
                event_time=MIDNIGHT + timedelta(microseconds=rng.randrange(3 * 86_400_000_000)),
                device_type=rng.choices(["camera", "lock", "meter"], [6, 3, 0.1])[0],
                event_duration=duration,
                arrival_time=ARRIVAL + timedelta(milliseconds=rng.randrange(50)),
                shard=f"shardId-00000000000{rng.randrange(3)}",
            )
        )
    for original in rng.sample(rows, count // 10):
        copy = {**original, "event_duration": rng.random() * 50, "position": str(rng.randrange(10**55, 10**56))}
        copy["arrival_time"] = ARRIVAL + timedelta(milliseconds=rng.randrange(50))
        rows.append(copy)
    rng.shuffle(rows)
    return rows
