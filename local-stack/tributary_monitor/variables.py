"""Template variables: what can be chosen for them, and their place in texts and dimensions."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tributary_monitor.dashboard import Dashboard, Variable

ALL = "$__all"
# $name, ${name}, ${name:format}; a dynamic label such as ${PROP('Dim.Shard')} is none.
REFERENCE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::\w+)?\})")

Chosen = Mapping[str, Sequence[str]]
"""The values that a variable stands for; a name without an entry is no variable."""


class ListedMetric(NamedTuple):
    """A metric that CloudWatch lists."""

    namespace: str
    name: str
    dimensions: Mapping[str, str]


def metrics_to_list(dashboard: Dashboard) -> set[tuple[str, str]]:
    """Namespace and name of those whose dimensions give the variables of the dashboard their values."""
    queries = [variable.query for variable in dashboard.variables if _asks_for_values(variable)]
    return {(query["namespace"], query.get("metricName") or "") for query in queries}


def _asks_for_values(variable: Variable) -> bool:
    query = variable.query
    return variable.kind == "query" and isinstance(query, Mapping) and query.get("queryType") == "dimensionValues"


def options(variable: Variable, listed: Iterable[ListedMetric], chosen: Chosen) -> list[str]:
    """What a variable can be, in order. `chosen` are the variables before it, which its query may name."""
    match variable.kind:
        case "query" if _asks_for_values(variable):
            return _dimension_values(variable.query, listed, chosen)
        case "custom":
            return [value.strip() for value in str(variable.query).split(",") if value.strip()]
        case "constant" | "textbox":
            return [str(variable.query or "")]
    return list(variable.current)


def _dimension_values(query: Mapping[str, Any], listed: Iterable[ListedMetric], chosen: Chosen) -> list[str]:
    key, name = query["dimensionKey"], query.get("metricName")
    filters = {
        dimension: set(expand(values, chosen)) - {"*"}
        for dimension, values in (query.get("dimensionFilters") or {}).items()
    }
    return sorted(
        {
            metric.dimensions[key]
            for metric in listed
            if metric.namespace == query["namespace"]
            and (not name or metric.name == name)
            and key in metric.dimensions
            and all(not wanted or metric.dimensions.get(one) in wanted for one, wanted in filters.items())
        }
    )


def choose(variable: Variable, offered: Sequence[str], wanted: Sequence[str] = ()) -> list[str]:
    """What is selected: what is wanted as far as it is offered, else what the dashboard has saved, all, or the first.

    `[ALL]` stands for all of them. Where nothing is offered yet, it is what the dashboard has saved.
    """
    for candidates in (wanted, variable.current):
        if variable.include_all and ALL in candidates:
            return [ALL]
        if found := [value for value in candidates if value in offered]:
            return found if variable.multi else found[:1]
    if variable.include_all:
        return [ALL]
    return list(offered[:1] if offered else variable.current)


def values(variable: Variable, offered: Sequence[str], selection: Sequence[str]) -> list[str]:
    """What a selection stands for in a query."""
    if ALL not in selection:
        return list(selection)
    return [variable.all_value] if variable.all_value else list(offered)


def resolve(
    dashboard: Dashboard, listed: Sequence[ListedMetric], wanted: Chosen, given: Chosen
) -> tuple[dict[str, list[str]], dict[str, list[str]], dict[str, list[str]]]:
    """Each variable's options, selection and values, in the order in which they depend on one another.

    `wanted` are selections of the user. `given` are variables that have this value here whatever the dashboard says.
    """
    offered: dict[str, list[str]] = {}
    selected: dict[str, list[str]] = {}
    chosen: dict[str, list[str]] = {}
    for variable in dashboard.variables:
        name = variable.name
        offered[name] = list(given[name]) if name in given else options(variable, listed, chosen)
        selected[name] = choose(variable, offered[name], [] if name in given else wanted.get(name, []))
        chosen[name] = values(variable, offered[name], selected[name])
    return offered, selected, chosen


def expand(items: Sequence[str] | str, chosen: Chosen) -> list[str]:
    """Dimension values: an item that is a variable becomes its values, as many as there are."""
    expanded: list[str] = []
    for item in [items] if isinstance(items, str) else items:
        match = REFERENCE.fullmatch(item)
        name = match and (match[1] or match[2])
        expanded.extend(chosen[name] if name in chosen else [interpolate(item, chosen)])
    return expanded


def interpolate(text: str, chosen: Chosen) -> str:
    """A text with the values of the variables in it; what is no variable stays."""

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        return " + ".join(chosen[name]) if name in chosen else match[0]

    return REFERENCE.sub(value, text)
