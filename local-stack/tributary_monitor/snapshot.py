"""What a dashboard shows at one moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tributary_monitor.cloudwatch import CloudWatch
from tributary_monitor.dashboard import Dashboard, Panel
from tributary_monitor.queries import Query, build
from tributary_monitor.series import Series, by_panel
from tributary_monitor.variables import Chosen, metrics_to_list, resolve

GIVEN: Chosen = {"runbook": ["/RUNBOOK.md"], "datasource": ["cloudwatch"]}
"""Variables that are not for the dashboard to say: the runbook is served beside it."""


@dataclass(frozen=True)
class Snapshot:
    offered: Mapping[str, Sequence[str]]
    selected: Mapping[str, Sequence[str]]
    chosen: Chosen
    period: int
    span: tuple[int, int]
    """Epoch seconds."""
    queries: Sequence[Query]
    series: Mapping[int, Sequence[Series]]
    """By the id of the panel."""
    errors: Mapping[int, str]
    """By the id of the panel."""


def take(
    cloudwatch: CloudWatch, dashboard: Dashboard, panels: Sequence[Panel], wanted: Chosen, seconds: int, now: float
) -> Snapshot:
    """Asks for these panels of the dashboard over the last `seconds`; raises CloudWatchError.

    The range ends with the last whole period: one that has just begun would look like a drop.
    """
    listed = cloudwatch.listed(metrics_to_list(dashboard))
    offered, selected, chosen = resolve(dashboard, listed, wanted, GIVEN)
    period = cloudwatch.periods.automatic(seconds)
    end = int(now) // period * period
    queries = build(panels, chosen, period)
    answer = cloudwatch.run(queries, end - seconds, end)
    return Snapshot(
        offered=offered,
        selected=selected,
        chosen=chosen,
        period=period,
        span=(end - seconds, end),
        queries=queries,
        series=by_panel(queries, answer.results),
        errors=answer.errors,
    )
