"""The report once more, by DuckDB straight from the Parquet files, compared cell by cell with Spark's CSV.

Written apart from the Spark job on purpose: the two share the rule, and not a line.
"""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import duckdb

from tributary_local.account.reconcile import NAMED, Breach, Unreadable

#: Largest relative difference of two cells.
TOLERANCE = 1e-9
_ROUNDING = 1e-12
_FEW_SMALLEST = 4 * 5e-324

COLUMNS = ("day", "device_type", "distinct_events", "outliers_excluded", "mean_ms", "stddev_ms", "p95_ms")
_KEY = COLUMNS[:2]

RULE = "the report equals its recomputation"

# One row per event id and day, the first to arrive; the deviation by the textbook's two passes; the slack of 1e-9 of
# the mean keeps a row that is exactly on the bound, whatever the order of summation. All of it in units of the largest
# duration: the square of a double may overflow or vanish.
_REPORT = """
    WITH first_copies AS (
        SELECT device_type, CAST(event_time AT TIME ZONE 'UTC' AS DATE) AS day, event_duration AS x FROM events
        QUALIFY row_number() OVER (
            PARTITION BY event_id, CAST(event_time AT TIME ZONE 'UTC' AS DATE)
            ORDER BY arrival_time, shard, length(position), position) = 1
    ), units AS (
        SELECT *, greatest(max(x) OVER (PARTITION BY {scope}), 5e-324) AS unit, x / unit AS y FROM first_copies
    ), means AS (
        SELECT *, avg(y) OVER scope AS mean, count(*) OVER scope AS n FROM units
        WINDOW scope AS (PARTITION BY {scope})
    ), deviations AS (
        SELECT *, sqrt(sum((y - mean) * (y - mean)) OVER scope / nullif(n - 1, 0)) AS deviation FROM means
        WINDOW scope AS (PARTITION BY {scope})
    ), marked AS (
        SELECT *, abs(y - mean) <= 3 * coalesce(deviation, 0) + 1e-9 * mean AS inlier FROM deviations
    )
    SELECT CAST(day AS VARCHAR), device_type, count(*), count(*) FILTER (NOT inlier),
        any_value(least(mean, 1) * unit), any_value(deviation * unit), quantile_cont(x, 0.95) FILTER (inlier)
    FROM marked GROUP BY day, device_type HAVING count(*) >= {minimum_events} ORDER BY day, device_type"""

_SCOPES = {"group": "device_type, day", "day": "day"}


def recompute(database: duckdb.DuckDBPyConnection, *, outlier_scope: str, minimum_events: int = 500) -> list[tuple]:
    """The report's rows, in `COLUMNS`, from the table `events`; the day as text. `outlier_scope`: group or day."""
    query = _REPORT.format(scope=_SCOPES[outlier_scope], minimum_events=minimum_events)
    return database.execute(query).fetchall()


def compare(report: Path, expected: Sequence[tuple]) -> Iterator[Breach]:
    """At most one breach, with the first rows and cells of the CSV `report` that differ. Raises `Unreadable`."""
    differences = list(_differences(_read(report), {tuple(row[:2]): row for row in expected}))
    if differences:
        yield Breach(RULE, len(differences), differences[:NAMED])


def _read(report: Path) -> list[dict[str, str]]:
    try:
        with report.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except OSError as error:
        raise Unreadable(f"{report}: {error.strerror}") from error
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise Unreadable(f"{report}: header {','.join(reader.fieldnames or ())}, expected {','.join(COLUMNS)}")
    return rows


def _differences(theirs: list[dict[str, str]], ours: Mapping[tuple, tuple]) -> Iterator[str]:
    keys = [tuple(row[name] for name in _KEY) for row in theirs]
    if keys != sorted(set(keys)):
        yield "rows are not ordered by day, device_type"
    for key in sorted(ours.keys() - set(keys)):
        yield f"{' '.join(key)}: not in the CSV"
    for key, row in zip(keys, theirs, strict=True):
        if key not in ours:
            yield f"{' '.join(key)}: not in the recomputation"
            continue
        expected = dict(zip(COLUMNS, ours[key], strict=True))
        # The deviation of equal durations is the rounding of their mean: 0 on one side, 1e-16 on the other.
        rounding = _ROUNDING * abs(expected["mean_ms"])
        for name in COLUMNS[2:]:
            if not _alike(row[name], expected[name], rounding if name == "stddev_ms" else 0.0):
                yield f"{' '.join(key)}: {name} is {row[name] or 'empty'}, recomputed {expected[name]}"


def _alike(cell: str, expected: float | int | None, absolute_tolerance: float) -> bool:
    if expected is None or cell == "":
        return expected is None and cell == ""
    try:
        number = type(expected)(cell)
    except ValueError:
        return False
    if isinstance(expected, int):
        return number == expected
    # The smallest doubles have no digits to round in.
    return math.isclose(number, expected, rel_tol=TOLERANCE, abs_tol=max(absolute_tolerance, _FEW_SMALLEST))
