"""The report's rule as DataFrame → DataFrame functions; no session, no storage, no clock.

The rule: the 95th percentile of `event_duration` per device type per UTC day of `event_time`, without the outliers
beyond 3 standard deviations of the mean, only for device types with at least 500 distinct events that day. The 500
are counted before outliers go.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from enum import Enum

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

#: A device type needs this many distinct events on a day to be reported.
MINIMUM_EVENTS = 500

#: Rows further than this many standard deviations from the mean are outliers. A row exactly there is none.
OUTLIER_DEVIATIONS = 3.0

#: Slack of that comparison, as a fraction of the mean. A sum of doubles depends on its order in the last digits:
#: without slack a row exactly on the bound, or a whole group of equal durations (deviation 0), comes and goes with it.
OUTLIER_SLACK = 1e-9

#: A square of a double overflows above 1e154 and vanishes below 1e-162. Statistics of a group whose largest duration is
#: beyond these bounds are of its durations times a power of two, which changes no digit, and are divided by it again.
_LARGE, _SMALL = 2.0**400, 2.0**-400
_SCALE_OF_LARGE, _SCALE_OF_SMALL = 2.0**-600, 2.0**600

#: The reported quantile.
QUANTILE = 0.95

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

#: Rows of so many bytes, by the optimizer's estimate, are few enough for Spark's exact percentile: a few millions, of
#: which it keeps about 50 bytes each. It takes one reading less and half the stages, which decides for a small report,
#: and loses for a large one.
SMALL_BYTES = 32 << 20

# Relative rank error of percentile_approx is 1 / accuracy: with 10,000, the 95th percentile lies between the exact
# 94.99th and 95.01st.
_APPROXIMATE_ACCURACY = 10_000

MICROSECONDS_PER_DAY = 86_400_000_000
_GROUP = ("device_type", "day")

_STATISTICS = ("scale", "scaled_mean", "scaled_stddev")
_CARRIED = (*_GROUP, "distinct_events", *_STATISTICS)

# Durations of a bucket differ by 0.4 %: a thousandth or so of a group lies in one, and a group in some thousands.
_BUCKETS_PER_E = 256
# Before all others.
_BUCKET_OF_ZERO, _BUCKET_OF_OUTLIERS = -(2**30), -(2**31)


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
    first = Window.partitionBy("event_id", day_number("event_time")).orderBy(*by_arrival())
    return events.withColumn("_copy", F.row_number().over(first)).where("_copy = 1").drop("_copy")


def by_arrival(of: str = "") -> list[Column]:
    """The order of copies of an event, of which the first counts. `of` stands before the columns' names."""
    # Positions are unpadded decimal text: the shorter is the smaller.
    position = F.col(f"{of}position")
    return [F.col(f"{of}arrival_time"), F.col(f"{of}shard"), F.length(position), position]


def day_number(timestamp: str) -> Column:
    """The UTC day of a timestamp column, in days since the Unix epoch."""
    # Casting a timestamp to a date uses the session's time zone; counting days since the epoch uses none. In
    # integers: a double has no room for the last microsecond of a day in the far future.
    micros = f"unix_micros({timestamp})"
    return F.expr(f"int(({micros} - pmod({micros}, {MICROSECONDS_PER_DAY})) div {MICROSECONDS_PER_DAY})")


def utc_day(timestamp: str) -> Column:
    """The UTC date of a timestamp column, whatever the session's time zone is."""
    return F.date_from_unix_date(day_number(timestamp))


def of_days(events: DataFrame, days: Collection[int], *, without: bool = False) -> DataFrame:
    """The rows of `events` whose `event_time` is of one of `days` (days since the Unix epoch), or of none of them."""
    # As stretches of time, by which a reader of the table leaves files out.
    stretches = (
        f"(event_time >= timestamp_micros({first * MICROSECONDS_PER_DAY})"
        f" AND event_time < timestamp_micros({after * MICROSECONDS_PER_DAY}))"
        for first, after in day_stretches(days)
    )
    condition = " OR ".join(stretches) or "false"
    return events.where(f"NOT ({condition})" if without else condition)


def day_stretches(days: Iterable[int]) -> list[tuple[int, int]]:
    """`days` as stretches without a gap: the first day, and the one after the last."""
    stretches: list[tuple[int, int]] = []
    for day in sorted(set(days)):
        if stretches and stretches[-1][1] == day:
            stretches[-1] = (stretches[-1][0], day + 1)
        else:
            stretches.append((day, day + 1))
    return stretches


def durations(events: DataFrame) -> DataFrame:
    """What the rule needs of distinct events: `device_type`, `day`, `event_duration` (ms)."""
    return events.select("device_type", utc_day("event_time").alias("day"), "event_duration")


def eligible_groups(durations: DataFrame, minimum_events: int = MINIMUM_EVENTS) -> DataFrame:
    """`device_type`, `day`, `distinct_events` and `_STATISTICS` of the groups that are large enough."""
    groups = durations.groupBy(*_GROUP).agg(F.count("*").alias("distinct_events"), *_statistics())
    return groups.where(F.col("distinct_events") >= minimum_events)


def with_day_statistics(groups: DataFrame, durations: DataFrame) -> DataFrame:
    """The same groups, with the statistics replaced by those of all events of their day."""
    days = durations.groupBy("day").agg(*_statistics())
    return groups.drop(*_STATISTICS).join(F.broadcast(days), "day")


def mark_outliers(durations: DataFrame, groups: DataFrame) -> DataFrame:
    """The rows of `groups`, each with its group's columns and `outlier`: true or false.

    A group of one row has no standard deviation (NULL), and no outlier.
    """
    distance = F.abs(F.col("event_duration") * F.col("scale") - F.col("scaled_mean"))
    bound = OUTLIER_DEVIATIONS * F.coalesce("scaled_stddev", F.lit(0.0)) + OUTLIER_SLACK * F.col("scaled_mean")
    # A handful of groups against many rows: broadcast whatever the optimizer's estimate says.
    return durations.join(F.broadcast(groups), list(_GROUP)).withColumn("outlier", distance > bound)


def percentile(marked: DataFrame, *, approximate: bool = False) -> DataFrame:
    """`_CARRIED`, `outliers_excluded` and `p95_ms` of each group of the rows that `mark_outliers` marked.

    The exact one keeps all durations of a group in the memory of one task. A group of outliers alone, which only
    `OutlierScope.DAY` can make, has no percentile (NULL).
    """
    # Not filtered, so that a group of outliers alone is still a group; a percentile passes over NULL.
    kept = F.when(~F.col("outlier"), F.col("event_duration"))
    p95 = (
        F.percentile_approx(kept, QUANTILE, _APPROXIMATE_ACCURACY)
        if approximate
        else F.percentile(kept, F.lit(QUANTILE))
    )
    # The statistics are one value per group; grouping by them carries them through.
    return marked.groupBy(*_CARRIED).agg(F.count_if("outlier").alias("outliers_excluded"), p95.alias("p95_ms"))


def percentile_of_many(marked: DataFrame, durations: DataFrame) -> DataFrame:
    """What `percentile` computes, for groups of any size: a selection by counting.

    Buckets of durations are counted first, and then, one by one, the durations of those that hold the rank.
    """
    ranked = _around_rank(marked)
    up_to = F.col("below") + F.sum("rows").over(Window.partitionBy(*_GROUP).orderBy("event_duration"))
    between = "(ceil(rank) - rank) * lower + (rank - floor(rank)) * upper"
    return (
        durations.join(F.broadcast(ranked), list(_GROUP))
        .where("event_duration BETWEEN low AND high")
        .groupBy(*ranked.columns, "event_duration")
        .agg(F.count("*").alias("rows"))
        .withColumn("up_to", up_to)
        .groupBy(*_CARRIED, "outliers_excluded", "rank")
        .agg(
            F.expr("min(event_duration) FILTER (WHERE up_to > floor(rank))").alias("lower"),
            F.expr("min(event_duration) FILTER (WHERE up_to > ceil(rank))").alias("upper"),
        )
        .withColumn("p95_ms", F.expr(f"if(lower = upper, lower, {between})"))
    )


def _around_rank(marked: DataFrame) -> DataFrame:
    """For each group the `rank` of its percentile among the rows that are no outliers, counted from 0, mostly between
    two of them; the durations `low` to `high` of the buckets that hold it, and how many rows lie `below` these.

    Of a group of outliers alone the rank is below 0, and no row lies above it: it has no `upper`, and no percentile.
    """
    # Spark's logarithm is StrictMath's, in order and alike on every machine; of zero it is NULL.
    logarithm = F.coalesce(F.floor(F.log("event_duration") * _BUCKETS_PER_E), F.lit(_BUCKET_OF_ZERO))
    outliers = F.when(F.col("bucket") == _BUCKET_OF_OUTLIERS, F.col("rows")).otherwise(0)
    group = Window.partitionBy(*_CARRIED)
    return (
        marked.withColumn("bucket", F.when(F.col("outlier"), _BUCKET_OF_OUTLIERS).otherwise(logarithm))
        .groupBy(*_CARRIED, "bucket")
        .agg(F.count("*").alias("rows"), F.min("event_duration").alias("low"), F.max("event_duration").alias("high"))
        .withColumn("outliers_excluded", F.sum(outliers).over(group))
        .withColumn("rank", (F.sum("rows").over(group) - F.col("outliers_excluded") - 1) * QUANTILE)
        .withColumn("below", F.sum("rows").over(group.orderBy("bucket")) - F.col("outliers_excluded") - F.col("rows"))
        .where("below <= ceil(rank) AND below + rows > floor(rank)")
        .groupBy(*_CARRIED, "outliers_excluded", "rank")
        .agg(F.min("below").alias("below"), F.min("low").alias("low"), F.max("high").alias("high"))
    )


def report(
    distinct: DataFrame,
    *,
    outlier_scope: OutlierScope = OutlierScope.GROUP,
    approximate: bool = False,
    minimum_events: int = MINIMUM_EVENTS,
    small_bytes: int = SMALL_BYTES,
) -> DataFrame:
    """The whole rule but for the copies: rows of `distinct_events` in, `REPORT_COLUMNS` out, in no order.

    The rows are few, so the caller sorts them: an ordering here would range-partition, and so compute the percentiles
    once more for its sample.
    """
    rows = durations(distinct)
    groups = eligible_groups(rows, minimum_events)
    if outlier_scope is OutlierScope.DAY:
        groups = with_day_statistics(groups, rows)
    marked = mark_outliers(rows, groups)
    if approximate or _bytes_by_estimate(rows) <= small_bytes:
        reported = percentile(marked, approximate=approximate)
    else:
        reported = percentile_of_many(marked, rows)
    return (
        reported.withColumn("mean_ms", F.col("scaled_mean") / F.col("scale"))
        .withColumn("stddev_ms", F.col("scaled_stddev") / F.col("scale"))
        .select(*REPORT_COLUMNS)
    )


def _bytes_by_estimate(rows: DataFrame) -> int:
    """Nothing is read for it: files and the table's metadata tell."""
    return int(rows._jdf.queryExecution().optimizedPlan().stats().sizeInBytes())


def _statistics() -> list[Column]:
    """`_STATISTICS` of a group: mean and sample deviation of its durations times `scale`."""
    largest = F.max("event_duration")

    def at_scale(of: Callable[[float], Column]) -> Column:
        by_size = F.when(largest > _LARGE, of(_SCALE_OF_LARGE)).when(largest < _SMALL, of(_SCALE_OF_SMALL))
        return by_size.otherwise(of(1.0))

    scale = at_scale(F.lit)
    mean = at_scale(lambda scale: F.avg(F.col("event_duration") * scale))
    deviation = at_scale(lambda scale: F.stddev_samp(F.col("event_duration") * scale))
    # The mean of equal durations may round to above them, and the largest double has none above.
    statistics = scale, F.least(mean, largest * scale), deviation
    return [column.alias(name) for name, column in zip(_STATISTICS, statistics)]
