"""From panels to the queries of GetMetricData, the way Grafana's CloudWatch data source builds them."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tributary_monitor.dashboard import Panel, Target
from tributary_monitor.variables import Chosen, expand, interpolate

MOST_QUERIES = 500
"""In one GetMetricData request; a limit of CloudWatch."""

# Words of an expression, and the quoted texts in which there are none.
WORD = re.compile(r"'[^']*'|\"[^\"]*\"|[A-Za-z_]\w*")


@dataclass(frozen=True)
class Periods:
    """Which periods are asked for: the shortest of `steps` with which a range has at most `points` of them."""

    steps: Sequence[int]
    points: int

    def automatic(self, seconds: int) -> int:
        """For a range of so many seconds."""
        wanted = math.ceil(seconds / self.points)
        return next((step for step in self.steps if step >= wanted), self.steps[-1])


AWS = Periods((60, 300, 900, 3600, 21600, 86400), 2000)
"""As Grafana does it for ranges of the last days. Metrics of standard resolution know no shorter period."""
LOCAL = Periods((10, 30, 60, 300, 900, 3600, 21600, 86400), 200)
"""The local CloudWatch keeps every sample's own second, and lives for minutes."""


@dataclass(frozen=True)
class Query:
    """One MetricDataQuery and whose it is. Ids are unique over all panels, so that one request can carry many."""

    panel: Panel
    target: Target
    id: str
    request: Mapping[str, Any]


def build(panels: Iterable[Panel], chosen: Chosen, period: int) -> list[Query]:
    """The queries of all panels. Those of a variable that has no value yet are left out, and what refers to them."""
    return [query for panel in panels for query in _panel(panel, chosen, period)]


def _panel(panel: Panel, chosen: Chosen, period: int) -> Iterator[Query]:
    ids = {target.query_id for target in panel.targets}
    missing: set[str] = set()
    for target in sorted(panel.targets, key=lambda target: bool(target.expression)):
        request = _request(target, chosen, period)
        if request is None or missing & set(WORD.findall(target.expression)):
            missing.add(target.query_id)
            continue
        if target.expression:
            expression = interpolate(request["Expression"], chosen).replace("$__period_auto", str(period))
            request["Expression"] = _with_prefix(expression, ids, panel)
        query_id = _prefix(panel) + target.query_id
        yield Query(panel, target, query_id, {"Id": query_id, "ReturnData": not target.hidden, **request})


def _prefix(panel: Panel) -> str:
    return f"p{panel.id}_"


def _with_prefix(expression: str, ids: set[str], panel: Panel) -> str:
    return WORD.sub(lambda match: _prefix(panel) + match[0] if match[0] in ids else match[0], expression)


def _request(target: Target, chosen: Chosen, automatic: int) -> dict[str, Any] | None:
    """A MetricDataQuery without its id; None when a dimension has no value."""
    label = {"Label": interpolate(target.label, chosen)} if target.label else {}
    period = int(target.period) if target.period.isdecimal() else automatic
    if target.expression:
        return {"Expression": target.expression, "Period": period, **label}
    dimensions = {name: expand(values, chosen) for name, values in target.dimensions.items()}
    if not all(dimensions.values()):
        return None
    if _is_search(target, dimensions):
        # Grafana names a found series by CloudWatch's own label unless the query says otherwise.
        return {"Expression": search(target, dimensions, period), "Label": "${LABEL}", **label}
    metric = {
        "Namespace": target.namespace,
        "MetricName": target.metric_name,
        "Dimensions": [{"Name": name, "Value": value} for name, [value] in dimensions.items()],
    }
    return {"MetricStat": {"Metric": metric, "Period": period, "Stat": target.statistic}, **label}


def _is_search(target: Target, dimensions: Mapping[str, Sequence[str]]) -> bool:
    several = any(len(values) > 1 or "*" in values for values in dimensions.values())
    return several or not target.match_exact


def search(target: Target, dimensions: Mapping[str, Sequence[str]], period: int) -> str:
    """The search that Grafana infers from a wildcard, from several values, or from not matching exactly."""
    terms = [f'MetricName="{target.metric_name}"']
    for name in sorted(name for name, values in dimensions.items() if "*" not in values):
        quoted = [f'"{value}"' for value in dimensions[name]]
        terms.append(f'"{name}"=' + (quoted[0] if len(quoted) == 1 else f"({' OR '.join(quoted)})"))
    names = sorted(dimensions)
    if target.match_exact:
        schema = ",".join(f'"{part}"' for part in (target.namespace, *names))
        text = " ".join([f"{{{schema}}}", *terms])
    else:
        wild = [f'"{name}"' for name in names if "*" in dimensions[name]]
        text = " ".join([f'Namespace="{target.namespace}"', *terms, *wild])
    return f"REMOVE_EMPTY(SEARCH('{text}', '{target.statistic}', {period}))"


def batches(queries: Sequence[Query]) -> list[list[Query]]:
    """As few requests as possible; the queries of one panel, which may refer to one another, stay together."""
    batched: list[list[Query]] = [[]]
    for panel_id in dict.fromkeys(query.panel.id for query in queries):
        together = [query for query in queries if query.panel.id == panel_id]
        if len(batched[-1]) + len(together) > MOST_QUERIES:
            batched.append([])
        batched[-1].extend(together)
    return [batch for batch in batched if batch]
