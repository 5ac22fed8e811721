"""Rollups as DataFrame → DataFrame functions: aggregation, merging, averages, comparison; no session, no storage.

A row of `rollups/` aggregates what one object of `events/` has of a minute, a device and a type (`schema.ROLLUPS`).
Rows of many objects merge into all that is known of the minute, whenever its events arrived. An event id that a
producer sends again after the horizon lies in two objects and counts twice here; the report counts distinct ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from tributary_emr import schema

#: Columns of the averages, in order. `average_value` is `value_sum / value_count`; it, the minimum and the maximum are
#: NULL for a minute without a value. An average is NULL, too, where the sum is beyond a double: infinite, or NaN.
AVERAGES_COLUMNS = (
    "window_start",
    "device_id",
    "device_type",
    "events",
    "average_value",
    "minimum_value",
    "maximum_value",
    "average_duration_ms",
    "late_events",
)

#: How far two sums of the same doubles may lie apart, as a fraction of their count times the largest of them: a sum of
#: doubles depends on its order in the last digits. Relative to the sum itself there is no bound, as 1e16 - 1e16 shows.
SUM_TOLERANCE = 1e-9

_MICROSECONDS_PER_MINUTE = 60_000_000
_EXACT = ("events", "value_count", "value_min", "value_max", "duration_min", "duration_max", "late_events")
# Each sum with its count, and the columns between which its addends lie.
_SUMS = (
    ("value_sum", "value_count", "value_min", "value_max"),
    ("duration_sum", "events", "duration_min", "duration_max"),
)


def utc_minute(timestamp: str) -> Column:
    """The start of the UTC minute of a timestamp column."""
    # date_trunc goes by the session's time zone, and old ones are off by odd seconds.
    micros = f"unix_micros({timestamp})"
    return F.expr(f"timestamp_micros({micros} - pmod({micros}, {_MICROSECONDS_PER_MINUTE}))")


def aggregate(events: DataFrame, *, by: Sequence[str] = (), lateness_ms: Column) -> DataFrame:
    """The rollup of rows of `events/`, per `by` and `schema.ROLLUP_KEY`.

    An event is late when it arrived more than `lateness_ms` milliseconds after it happened.
    """
    age = F.expr("unix_micros(arrival_time) - unix_micros(event_time)")
    return (
        events.withColumn("window_start", utc_minute("event_time"))
        .groupBy(*by, *schema.ROLLUP_KEY)
        .agg(
            F.count("*").alias("events"),
            F.count("value").alias("value_count"),
            F.coalesce(F.sum("value"), F.lit(0.0)).alias("value_sum"),
            F.min("value").alias("value_min"),
            F.max("value").alias("value_max"),
            F.sum("event_duration").alias("duration_sum"),
            F.min("event_duration").alias("duration_min"),
            F.max("event_duration").alias("duration_max"),
            F.count_if(age > lateness_ms * 1000).alias("late_events"),
        )
    )


def merge(rollups: DataFrame, *, by: Sequence[str] = ()) -> DataFrame:
    """One row per `by` and `schema.ROLLUP_KEY`, of rows of any number of rollups."""
    merged = {"min": F.min, "max": F.max}
    columns = [name for name in schema.ROLLUPS.fieldNames() if name not in schema.ROLLUP_KEY]
    return rollups.groupBy(*by, *schema.ROLLUP_KEY).agg(
        *(merged.get(name.rpartition("_")[2], F.sum)(name).alias(name) for name in columns)
    )


def averages(merged: DataFrame) -> DataFrame:
    """`AVERAGES_COLUMNS` of merged rollups, in no order."""
    return merged.select(
        *schema.ROLLUP_KEY,
        "events",
        _average("value_sum", "value_count").alias("average_value"),
        F.col("value_min").alias("minimum_value"),
        F.col("value_max").alias("maximum_value"),
        _average("duration_sum", "events").alias("average_duration_ms"),
        "late_events",
    ).select(*AVERAGES_COLUMNS)


def _average(total: str, count: str) -> Column:
    return F.when((F.col(count) > 0) & (F.abs(total) < float("inf")), F.col(total) / F.col(count))


def of_day(rollups: DataFrame, day: date) -> DataFrame:
    """The rows of minutes of the UTC date `day`. `rollups` may have the partition column `date`."""
    start = datetime(day.year, day.month, day.day, tzinfo=timezone.utc)
    minutes = rollups.where(
        (F.col("window_start") >= F.lit(start)) & (F.col("window_start") < F.lit(start + timedelta(days=1)))
    )
    if "date" not in rollups.columns:
        return minutes
    # Objects are stored by arrival: never before the event by more than the contract allows, but any time after it.
    return minutes.where(F.col("date") >= F.lit(day - schema.MAX_EVENT_TIME_AHEAD))


def differences(rollups: DataFrame, events: DataFrame, *, by: Sequence[str] = ()) -> DataFrame:
    """Where merged rollups are not the aggregation of the events: `by`, `schema.ROLLUP_KEY`, `difference` (a text).

    `rollups` is as `merge` makes it, `events` as `aggregate` does. Counts, minima and maxima are equal, sums up to
    `SUM_TOLERANCE`; a sum that can overflow, depending on its order, is equal to any.
    """
    columns = [name for name in schema.ROLLUPS.fieldNames() if name not in schema.ROLLUP_KEY]
    key = [*by, *schema.ROLLUP_KEY]
    left = rollups.select(*key, *(F.col(name).alias(f"rollup_{name}") for name in columns))
    right = events.select(*key, *(F.col(name).alias(f"events_{name}") for name in columns))
    equal = {name: _same(name) for name in _EXACT}
    equal |= {total: _same(total) | _close(total, *bounds) for total, *bounds in _SUMS}
    # NULL is what a comparison with an absent row gives.
    texts = (F.when(~F.coalesce(equal[name], F.lit(False)), _versus(name)) for name in columns)
    return (
        left.join(right, key, "full")
        .select(*key, F.concat_ws(", ", *texts).alias("difference"))
        .where(F.col("difference") != "")
    )


def _same(name: str) -> Column:
    return F.col(f"rollup_{name}").eqNullSafe(F.col(f"events_{name}"))


def _close(total: str, count: str, low: str, high: str) -> Column:
    largest = F.greatest(F.abs(f"events_{low}"), F.abs(f"events_{high}"))
    most = F.col(f"events_{count}") * largest
    distance = F.abs(F.col(f"rollup_{total}") - F.col(f"events_{total}"))
    return (most == float("inf")) | (distance <= SUM_TOLERANCE * most)


def _versus(name: str) -> Column:
    shown = [F.coalesce(F.col(f"{side}_{name}").cast("string"), F.lit("none")) for side in ("rollup", "events")]
    return F.concat(F.lit(f"{name} "), shown[0], F.lit(" ≠ "), shown[1])
