"""Runs every query of every panel; fails where one is refused or finds nothing: python -m tributary_monitor.check"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from tributary_monitor.cloudwatch import Answer, CloudWatch, CloudWatchError
from tributary_monitor.dashboard import AWS_ONLY, Dashboard, DashboardError, Panel, Section, load
from tributary_monitor.queries import Query, build
from tributary_monitor.snapshot import GIVEN
from tributary_monitor.variables import Chosen, metrics_to_list, resolve

ROOT = Path(__file__).resolve().parents[2]


class Fault(NamedTuple):
    dashboard: str
    panel: str
    query: str
    what: str

    def __str__(self) -> str:
        return f"{self.dashboard}, panel '{self.panel}', query {self.query}: {self.what}"


def queries_of(dashboard: Dashboard, chosen: Chosen, period: int) -> list[Query]:
    """Those of all panels; the ones that only expressions read give their results, too."""
    queries = build(dashboard.panels, chosen, period)
    return [replace(query, request={**query.request, "ReturnData": True}) for query in queries]


def faults(
    dashboard: Dashboard, queries: Sequence[Query], answer: Answer, without: Set[str] = frozenset()
) -> list[Fault]:
    """What is refused, what could not be asked, and what is empty: but for the row of what AWS alone publishes, and the
    metrics `without` a publisher here."""
    with_data = {result.query_id for result in answer.results if result.points}
    with_data.update(query.id for query in queries if query.target.metric_name in without)
    return [
        Fault(dashboard.title, panel.title, query, what)
        for section in dashboard.sections
        for panel in section.panels
        for query, what in _of_panel(section, panel, queries, answer, with_data)
    ]


def _of_panel(
    section: Section, panel: Panel, queries: Sequence[Query], answer: Answer, with_data: set[str]
) -> Iterator[tuple[str, str]]:
    asked = {query.target.ref_id: query for query in queries if query.panel is panel}
    error = answer.errors.get(panel.id)
    if error:
        refused = [ref_id for ref_id, query in asked.items() if f"'{query.id}'" in error]
        yield ", ".join(refused or asked), error
        return
    if section.title == AWS_ONLY:
        return
    for target in panel.targets:
        name = target.metric_name or target.expression
        if target.ref_id not in asked:
            yield target.ref_id, f"{name} was not asked for: a variable in it has no value"
        elif asked[target.ref_id].id not in with_data:
            yield target.ref_id, f"{name} has no data"


def check(
    cloudwatch: CloudWatch, dashboard: Dashboard, seconds: int, now: int, without: Set[str]
) -> tuple[int, list[Fault]]:
    """How many queries were run over the last `seconds`, and what is wrong; raises CloudWatchError."""
    _, _, chosen = resolve(dashboard, cloudwatch.listed(metrics_to_list(dashboard)), {}, GIVEN)
    queries = queries_of(dashboard, chosen, cloudwatch.periods.automatic(seconds))
    return len(queries), faults(dashboard, queries, cloudwatch.run(queries, now - seconds, now), without)


def main() -> int:
    """One line on standard error for each fault, and status 1."""
    parser = argparse.ArgumentParser(prog="python -m tributary_monitor.check", description=__doc__)
    parser.add_argument("--minutes", type=int, default=60, help="how far back (60)")
    parser.add_argument(
        "--without", action="append", default=[], metavar="METRIC", help="what nothing publishes here, and may be empty"
    )
    arguments = parser.parse_args()
    seconds, without = arguments.minutes * 60, frozenset(arguments.without)
    cloudwatch = CloudWatch.from_environment()
    try:
        dashboards = load(ROOT / "grafana/dashboards")
        checked = [check(cloudwatch, dashboard, seconds, int(time.time()), without) for dashboard in dashboards]
    except (DashboardError, CloudWatchError) as error:
        print(f"check-panels: {error}", file=sys.stderr)
        return 1
    found = [fault for _, of_dashboard in checked for fault in of_dashboard]
    for fault in found:
        print(fault, file=sys.stderr)
    count = sum(queries for queries, _ in checked)
    print(
        f"{count} queries of {len(dashboards)} dashboards: {len(found) or 'no'} fault{'' if len(found) == 1 else 's'}"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
