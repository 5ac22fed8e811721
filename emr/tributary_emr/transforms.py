"""The report's rule as DataFrame → DataFrame functions; no session, no storage, no clock.

The rule: the 95th percentile of `event_duration` per device type per UTC day of `event_time`, without the outliers
beyond 3 standard deviations of the mean, only for device types with at least 500 distinct events that day. The 500
are counted before outliers go.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import Enum

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from tributary_emr import report_sql
from tributary_emr.report_sql import MINIMUM_EVENTS

#: Columns of the report, in order. `mean_ms` and `stddev_ms` are the ones that the exclusion used.
REPORT_COLUMNS = (
    "day",
    "device_type",
    "distinct_events",
    "outliers_excluded",
    "mean_ms",
    "stddev_ms",
    "p95_ms",
)

#: Rows of so many bytes, by the optimizer's estimate, are few enough to be in memory: one to three million, or
#: some ten megabytes of durations.
SMALL_BYTES = 32 << 20

MICROSECONDS_PER_DAY = 86_400_000_000

#: The column of `with_copies_numbered`.
COPY_NUMBER = "_copy"


class OutlierScope(str, Enum):
    """Whose mean and standard deviation decide what an outlier is."""

    GROUP = "group"
    """The (device type, day) group's own."""
    DAY = "day"
    """Those of all distinct events of the day, of every device type."""

    def __str__(self) -> str:
        return self.value


def distinct_events(events: DataFrame) -> DataFrame:
    """One row per `event_id` and UTC day: the one that arrived first, then by shard, then by position.

    Copies of an event may differ in content, so which one counts must not depend on the order of reading.
    """
    return with_copies_numbered(events).where(F.col(COPY_NUMBER) == 1).drop(COPY_NUMBER)


def with_copies_numbered(events: DataFrame) -> DataFrame:
    """The rows with a column `COPY_NUMBER`: as which copy of its event each arrived, from 1."""
    copies = Window.partitionBy("event_id", day_number("event_time")).orderBy(*by_arrival())
    return events.withColumn(COPY_NUMBER, F.row_number().over(copies))


def by_arrival(of: str = "") -> list[Column]:
    """The order of copies of an event, of which the first counts. `of` stands before the columns' names."""
    # Positions are unpadded decimal text: the shorter is the smaller.
    position = F.col(f"{of}position")
    return [F.col(f"{of}arrival_time"), F.col(f"{of}shard"), F.length(position), position]


def day_number(timestamp: str) -> Column:
    """The UTC day of a timestamp column, in days since the Unix epoch."""
    # Casting a timestamp to a date uses the session's time zone; counting days since the epoch uses none. Without the
    # powers of two that a day has, a double has room for the last microsecond of a day in the far future.
    odd_part = MICROSECONDS_PER_DAY >> 13
    return F.expr(f"int(floor(shiftright(unix_micros({timestamp}), 13) / {odd_part}D))")


def utc_day(timestamp: str) -> Column:
    """The UTC date of a timestamp column, whatever the session's time zone is."""
    return F.date_from_unix_date(day_number(timestamp))


def of_days(events: DataFrame, days: Collection[int], *, without: bool = False) -> DataFrame:
    """The rows of `events` whose `event_time` is of one of `days` (days since the Unix epoch), or of none of them."""
    condition = condition_of_days(days)
    return events.where(f"NOT ({condition})" if without else condition)


def condition_of_days(days: Iterable[int]) -> str:
    """In SQL: whether `event_time` is of one of `days`."""
    # As stretches of time, by which a reader of the table leaves files out.
    stretches = (
        f"(event_time >= timestamp_micros({first * MICROSECONDS_PER_DAY})"
        f" AND event_time < timestamp_micros({after * MICROSECONDS_PER_DAY}))"
        for first, after in day_stretches(days)
    )
    return " OR ".join(stretches) or "false"


def day_stretches(days: Iterable[int]) -> list[tuple[int, int]]:
    """`days` as stretches without a gap: the first day, and the one after the last."""
    stretches: list[tuple[int, int]] = []
    for day in sorted(set(days)):
        if stretches and stretches[-1][1] == day:
            stretches[-1] = (stretches[-1][0], day + 1)
        else:
            stretches.append((day, day + 1))
    return stretches


def report(
    distinct: DataFrame,
    *,
    outlier_scope: OutlierScope = OutlierScope.GROUP,
    approximate: bool = False,
    minimum_events: int = MINIMUM_EVENTS,
    small_bytes: int = SMALL_BYTES,
) -> DataFrame:
    """The whole rule but for the copies: rows of `distinct_events` in, `REPORT_COLUMNS` out, in no order.

    Small reports keep all durations of a group in the memory of one task. Others are a selection by counting, for which
    a group's size does not matter: durations are counted by bucket, which tells statistics and the bucket of the rank,
    and then one by one, in that bucket and where the bound of outliers is. If `approximate`, the second reading is
    left out, and the durations of a bucket are taken for their mean.

    The rows are few, so the caller sorts them: an ordering here would range-partition, and so compute the percentiles
    once more for its sample.
    """
    spark = distinct.sparkSession
    rows = distinct.select("device_type", day_number("event_time").alias("day"), "event_duration")
    if outlier_scope is OutlierScope.GROUP and not approximate and _bytes_by_estimate(rows) <= small_bytes:
        return spark.sql(report_sql.in_memory(minimum_events), rows=rows)
    rows = rows.withColumn("bucket", F.expr(report_sql.BUCKET))
    scope = {OutlierScope.GROUP: "device_type, day", OutlierScope.DAY: "day"}[outlier_scope]
    statement = report_sql.of_buckets if approximate else report_sql.by_counting
    return spark.sql(statement(scope, minimum_events), rows=rows)


def _bytes_by_estimate(rows: DataFrame) -> int:
    """Nothing is read for it: files and the table's metadata tell."""
    return int(rows._jdf.queryExecution().optimizedPlan().stats().sizeInBytes())
