"""From the results of GetMetricData to the series of a panel, and to the numbers that sum them up."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tributary_monitor.dashboard import Panel, Target
from tributary_monitor.queries import Query

Point = tuple[int, float]
"""Epoch seconds and value."""


@dataclass(frozen=True)
class Series:
    name: str
    target: Target
    points: Sequence[Point]
    """In the order of time."""

    @property
    def values(self) -> list[float]:
        return [value for _, value in self.points]


class Result(NamedTuple):
    """One of GetMetricData's, its pages put together."""

    query_id: str
    label: str
    points: Sequence[Point]


def put_together(results: Iterable[Mapping[str, Any]]) -> list[Result]:
    """MetricDataResults of all pages: those of one id and label are one series."""
    points: dict[tuple[str, str], list[Point]] = {}
    for result in results:
        found = points.setdefault((result["Id"], result.get("Label") or ""), [])
        timestamps = (int(timestamp.timestamp()) for timestamp in result["Timestamps"])
        found.extend(zip(timestamps, result["Values"], strict=True))
    return [Result(*key, sorted(found)) for key, found in points.items()]


def by_panel(queries: Sequence[Query], results: Iterable[Result]) -> dict[int, list[Series]]:
    """The series of each panel by its id, in the order of its queries; empty ones are left out."""
    of_query: dict[str, list[Result]] = {}
    for result in results:
        of_query.setdefault(result.query_id, []).append(result)
    series: dict[int, list[Series]] = {query.panel.id: [] for query in queries}
    for query in sorted(queries, key=lambda query: query.panel.targets.index(query.target)):
        for result in of_query.get(query.id, []):
            if result.points and not query.target.hidden:
                series[query.panel.id].append(Series(result.label, query.target, result.points))
    return series


CALCULATIONS: Mapping[str, tuple[str, Callable[[Sequence[float]], float]]] = {
    "lastNotNull": ("Last", lambda values: values[-1]),
    "last": ("Last", lambda values: values[-1]),
    "firstNotNull": ("First", lambda values: values[0]),
    "max": ("Max", max),
    "min": ("Min", min),
    "mean": ("Mean", lambda values: sum(values) / len(values)),
    "sum": ("Total", sum),
    "count": ("Count", len),
}
"""Grafana's name of a calculation: its heading, and itself over at least one value."""


def calculations(names: Sequence[str]) -> list[str]:
    """Those of the names that are known."""
    return [name for name in names if name in CALCULATIONS]


def legend_order(panel: Panel, series: Sequence[Series]) -> list[Series]:
    """As the legend's `sortBy` and `sortDesc` say."""
    legend = panel.options.get("legend") or {}
    by_heading = dict(CALCULATIONS.values())
    calculate = by_heading.get(legend.get("sortBy") or "")
    if calculate is None:
        return list(series)
    return sorted(series, key=lambda one: calculate(one.values), reverse=bool(legend.get("sortDesc")))
