"""The report's rule in SQL: from rows of `device_type`, `day`, `bucket` and `event_duration` to the report's columns.

Days are numbers, since the Unix epoch.

In SQL and not as a chain of DataFrame calls: of those, each has Spark analyse the whole plan so far, which took as long
as computing a small report.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log

#: A device type needs this many distinct events on a day to be reported.
MINIMUM_EVENTS = 500

#: Rows further than this many standard deviations from the mean are outliers. A row exactly there is none.
OUTLIER_DEVIATIONS = 3.0

#: Slack of that comparison, as a fraction of the mean. A sum of doubles depends on its order in the last digits:
#: without slack a row exactly on the bound, or a whole group of equal durations (deviation 0), comes and goes with it.
OUTLIER_SLACK = 1e-9

#: The reported quantile.
QUANTILE = 0.95

# A square of a double overflows above 1e154 and vanishes below 1e-162. Statistics of a group whose largest duration is
# beyond these bounds are of its durations times a power of two, which changes no digit, and are divided by it again.
_LARGE, _SMALL = 2.0**400, 2.0**-400
_SCALE_OF_LARGE, _SCALE_OF_SMALL = 2.0**-600, 2.0**600

# Durations of a bucket differ by 0.4 %: a thousandth or so of a group lies in one, and a group in some thousands.
_BUCKETS_PER_E = 256

#: Spark's logarithm is StrictMath's, in order and alike on every machine; of zero it is NULL, which comes first.
BUCKET = f"int(coalesce(floor(ln(event_duration) * {_BUCKETS_PER_E}), {-(2**30)}))"

# A logarithm and its power are off by less than this fraction.
_EDGE_SLACK = 1e-9

_GROUP = "device_type, day, distinct_events, scale, scaled_mean, scaled_stddev"


def _double(value: float) -> str:
    return f"{value!r}D"


def _edge(bucket: str, side: int) -> str:
    """What no duration of a bucket is below (`side` -1), or of the one before it above (1)."""
    return f"exp(({bucket}) / {_BUCKETS_PER_E}D) * {_double(1 + side * _EDGE_SLACK)}"


def _rank(kept: str) -> str:
    """Where the percentile of so many durations lies among them, counted from 0: mostly between two."""
    return f"({kept} - 1) * {_double(QUANTILE)}"


def _is_outlier(duration: str) -> str:
    """By the statistics of its row. A group of one row has no standard deviation (NULL), and no outlier."""
    deviations = f"{_double(OUTLIER_DEVIATIONS)} * coalesce(scaled_stddev, 0D)"
    return f"abs({duration} * scale - scaled_mean) > {deviations} + {_double(OUTLIER_SLACK)} * scaled_mean"


def _by_size(size: str, large: str, small: str, of: Callable[[str], str]) -> str:
    """What `of` makes of the scale for durations of that size."""
    at_large, at_small, at_one = (of(_double(scale)) for scale in (_SCALE_OF_LARGE, _SCALE_OF_SMALL, 1.0))
    return f"CASE WHEN {size} > {large} THEN {at_large} WHEN {size} < {small} THEN {at_small} ELSE {at_one} END"


def _scale_of_bucket(bucket: str) -> str:
    large, small = (str(int(log(bound) * _BUCKETS_PER_E)) for bound in (_LARGE, _SMALL))
    return _by_size(bucket, large, small, str)


def in_memory(minimum_events: int) -> str:
    """The report of `{rows}`, in one reading: all durations of a group are in the memory of one task."""

    def scaled(of: Callable[[str], str]) -> str:
        return _by_size("max(event_duration)", _double(_LARGE), _double(_SMALL), of)

    mean, stddev = (scaled(f"{of}(event_duration * {{}})".format) for of in ("avg", "stddev_samp"))
    return f"""
        WITH grouped AS (
            SELECT device_type, day, count(*) AS distinct_events, {scaled(str)} AS scale,
                   {mean} AS scaled_mean, {stddev} AS scaled_stddev,
                   collect_list(event_duration) AS durations
            FROM {{rows}} GROUP BY device_type, day HAVING count(*) >= {minimum_events}
        ), ordered AS (
            SELECT *, sort_array(filter(durations, duration -> NOT {_is_outlier("duration")})) AS ordered FROM grouped
        ), ranked AS (
            SELECT *, size(ordered) AS kept, {_rank("size(ordered)")} AS rank,
                   get(ordered, int(floor({_rank("size(ordered)")}))) AS lower,
                   get(ordered, int(ceil({_rank("size(ordered)")}))) AS upper
            FROM ordered
        )
        {_REPORTED}"""


def by_counting(scope: str, minimum_events: int) -> str:
    """The report of `{rows}`, in two readings; outliers are those of the statistics of `scope` (columns).

    A group of outliers alone, which only a scope that is larger than a group can make, has no percentile (NULL).
    """
    return f"WITH {_buckets(scope, minimum_events)}, {_THAT_MATTER}, {_COUNTED}, {_BY_RANK} {_REPORTED}"


def of_buckets(scope: str, minimum_events: int) -> str:
    """What `by_counting` is, as if all durations of a bucket were their mean: in one reading."""
    return f"WITH {_buckets(scope, minimum_events)}, {_MEANS}, {_BY_RANK} {_REPORTED}"


def _buckets(scope: str, minimum_events: int) -> str:
    """The durations of the groups that are large enough, by bucket: a first reading.

    How many `rows` a bucket has, their `mean`, and whether they are outliers: `outlier`, which is NULL where the bound
    may run through the bucket.
    """
    # Within a bucket, durations are scaled by its own size; then again, by that of the largest of the scope.
    own_scale = _scale_of_bucket("bucket")
    return f"""
    counted AS (
        SELECT device_type, day, bucket, count(*) AS rows, avg(event_duration * {own_scale}) AS own_mean,
               var_pop(event_duration * {own_scale}) AS own_variance
        FROM {{rows}} GROUP BY device_type, day, bucket
    ), scaled AS (
        SELECT *, sum(rows) OVER (PARTITION BY device_type, day) AS distinct_events,
               sum(rows) OVER scope AS rows_of_scope, {_scale_of_bucket("max(bucket) OVER scope")} AS scale
        FROM counted WINDOW scope AS (PARTITION BY {scope})
    ), rescaled AS (
        SELECT *, own_mean * (scale / {own_scale}) AS scaled_mean_of_bucket,
               own_variance * (scale / {own_scale}) * (scale / {own_scale}) AS scaled_variance_of_bucket
        FROM scaled
    ), centred AS (
        SELECT *, sum(rows * scaled_mean_of_bucket) OVER (PARTITION BY {scope}) / rows_of_scope AS scaled_mean
        FROM rescaled
    ), spread AS (
        SELECT *, sqrt(sum(rows * (scaled_variance_of_bucket + pow(scaled_mean_of_bucket - scaled_mean, 2)))
                       OVER (PARTITION BY {scope}) / nullif(rows_of_scope - 1, 0)) AS scaled_stddev
        FROM centred
    ), bounded AS (
        SELECT *, {_edge("bucket", -1)} AS lower_edge, {_edge("bucket + 1", 1)} AS upper_edge
        FROM spread WHERE distinct_events >= {minimum_events}
    ), buckets AS (
        SELECT {_GROUP}, bucket, rows, scaled_mean_of_bucket / scale AS mean,
               CASE WHEN NOT ({_is_outlier("lower_edge")} OR {_is_outlier("upper_edge")}) THEN FALSE
                    WHEN {_is_outlier("lower_edge")} AND {_is_outlier("upper_edge")}
                         AND (lower_edge * scale >= scaled_mean OR upper_edge * scale <= scaled_mean) THEN TRUE
               END AS outlier
        FROM bounded
    )"""


_MEANS = f"""
    durations AS (
        SELECT {_GROUP}, 0 AS elsewhere, 0 AS elsewhere_below, mean AS event_duration, rows,
               coalesce(outlier, {_is_outlier("mean")}) AS outlier
        FROM buckets
    )"""

# The buckets that may hold the bound of outliers, or the percentile's rank, of which is known that between `surely` and
# `perhaps` so many rows are kept. Of those of the group that lie in other buckets: `elsewhere`, and below this one. A
# group of outliers alone is a group, too.
_THAT_MATTER = f"""
    bounds AS (
        SELECT *, if(outlier IS FALSE, rows, 0) AS surely, if(outlier IS TRUE, 0, rows) AS perhaps FROM buckets
    ), running AS (
        SELECT *, sum(surely) OVER whole AS surely_of_group, sum(perhaps) OVER whole AS perhaps_of_group,
               sum(surely) OVER upwards AS surely_up_to, sum(perhaps) OVER upwards AS perhaps_up_to
        FROM bounds
        WINDOW whole AS (PARTITION BY device_type, day), upwards AS (PARTITION BY device_type, day ORDER BY bucket)
    ), chosen AS (
        SELECT *, outlier IS NULL OR perhaps_of_group = 0 OR perhaps > 0
                  AND surely_up_to - surely <= ceil({_rank("perhaps_of_group")})
                  AND perhaps_up_to > floor({_rank("surely_of_group")}) AS matters
        FROM running
    ), placed AS (
        SELECT *, sum(if(matters, 0, surely)) OVER (PARTITION BY device_type, day) AS elsewhere,
               sum(if(matters, 0, surely)) OVER (PARTITION BY device_type, day ORDER BY bucket) AS elsewhere_below
        FROM chosen
    ), that_matter AS (
        SELECT {_GROUP}, bucket, elsewhere, elsewhere_below FROM placed WHERE matters
    )"""

# Their durations, one by one: a second reading. Spark packs a key of two integers into one, and looks that up without
# building a row: the device type must not become part of the key, as it would by an equality.
_COUNTED = f"""
    looked_up AS (
        SELECT /*+ BROADCAST(that_matter) */ that_matter.*, event_duration, count(*) AS rows
        FROM {{rows}} AS read
        JOIN that_matter ON read.day = that_matter.day AND read.bucket = that_matter.bucket
             AND read.device_type BETWEEN that_matter.device_type AND that_matter.device_type
        GROUP BY ALL
    ), durations AS (
        SELECT *, {_is_outlier("event_duration")} AS outlier FROM looked_up
    )"""

# From how many rows of a group have which duration. Of a group of outliers alone the rank is below 0, and no row lies
# above it: it has no `upper`, and no percentile.
_BY_RANK = f"""
    summed AS (
        SELECT *, elsewhere + sum(if(outlier, 0, rows)) OVER (PARTITION BY device_type, day) AS kept,
               elsewhere_below
               + sum(if(outlier, 0, rows)) OVER (PARTITION BY device_type, day ORDER BY event_duration) AS up_to
        FROM durations
    ), ranked AS (
        SELECT {_GROUP}, kept, {_rank("kept")} AS rank,
               min(event_duration) FILTER (WHERE up_to > floor({_rank("kept")})) AS lower,
               min(event_duration) FILTER (WHERE up_to > ceil({_rank("kept")})) AS upper
        FROM summed GROUP BY {_GROUP}, kept
    )"""

_REPORTED = """
    SELECT date_from_unix_date(day) AS day, device_type, distinct_events, distinct_events - kept AS outliers_excluded,
           scaled_mean / scale AS mean_ms, scaled_stddev / scale AS stddev_ms,
           if(lower = upper, lower, (ceil(rank) - rank) * lower + (rank - floor(rank)) * upper) AS p95_ms
    FROM ranked"""
