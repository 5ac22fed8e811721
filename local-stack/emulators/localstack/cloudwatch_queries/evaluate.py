"""GetMetricData: queries in, series out."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cloudwatch_queries import label
from cloudwatch_queries.arithmetic import FUNCTIONS, Value, operate
from cloudwatch_queries.expression import Array, Call, Node, Number, Operation, Reference, Text, parse
from cloudwatch_queries.search import parse_search
from cloudwatch_queries.series import Metric, QueryError, Range, Series, Source
from cloudwatch_queries.statistic import by_period

MOST_QUERIES = 500
MOST_FOUND = 100
"""As on AWS: a SEARCH finds at most a hundred metrics."""


def evaluate(queries: Sequence[Mapping], span: Range, source: Source, region: str) -> list[tuple[str, Series]]:
    """The id and the labelled series of every result, in the order of the queries; raises QueryError.

    `queries` are MetricDataQueries as the API has them.
    """
    if len(queries) > MOST_QUERIES:
        raise QueryError(f"{len(queries)} queries are too many: at most {MOST_QUERIES} go into one request")
    evaluation = _Evaluation(queries, span, source, region)
    results = []
    for query in queries:
        value = evaluation.result(query["Id"])
        if not query.get("ReturnData", True):
            continue
        if isinstance(value, float):
            raise QueryError(f"Error in expression '{query['Id']}': its result is a number, not a time series")
        for series in [value] if isinstance(value, Series) else value:
            results.append((query["Id"], replace(series, label=label.resolve(query.get("Label") or "", series))))
    return results


class _Evaluation:
    def __init__(self, queries: Sequence[Mapping], span: Range, source: Source, region: str) -> None:
        self.queries = {query["Id"]: query for query in queries}
        if len(self.queries) != len(queries):
            raise QueryError("every query needs an Id of its own")
        self.span = span
        self.source = source
        self.region = region
        self.results: dict[str, Value] = {}
        self.under_way: list[str] = []

    def result(self, query_id: str) -> Value:
        """That of one query, worked out once."""
        if query_id in self.results:
            return self.results[query_id]
        if query_id in self.under_way:
            raise QueryError(f"Error in expression '{query_id}': it refers to itself")
        self.under_way.append(query_id)
        self.results[query_id] = self._work_out(self.queries[query_id])
        self.under_way.pop()
        return self.results[query_id]

    def _work_out(self, query: Mapping) -> Value:
        if stat := query.get("MetricStat"):
            return self._metric_stat(stat)
        if not query.get("Expression"):
            raise QueryError(f"the query '{query['Id']}' has neither MetricStat nor Expression")
        try:
            value = self._node(parse(query["Expression"]))
        except QueryError as error:
            if str(error).startswith("Error in expression"):
                raise
            raise QueryError(f"Error in expression '{query['Id']}': {error}") from error
        return replace(value, label=query["Id"]) if isinstance(value, Series) and not value.label else value

    def _metric_stat(self, stat: Mapping) -> Series:
        asked = stat["Metric"]
        dimensions = sorted((dimension["Name"], dimension["Value"]) for dimension in asked.get("Dimensions") or [])
        metric = Metric(asked["Namespace"], asked["MetricName"], tuple(dimensions))
        return self._series(metric, stat["Stat"], stat["Period"], stat.get("Unit"))

    def _series(self, metric: Metric, stat: str, period: int, unit: str | None = None) -> Series:
        if period < 1:
            raise QueryError(f"the period {period} is not a positive number of seconds")
        samples = self.source.samples(metric, unit, self.span.periods(period).start, self.span.end)
        values = by_period(samples, stat, self.span, period)
        return Series(period, values, metric.name, label.properties(metric, stat, period, self.region))

    def _node(self, node: Node) -> Value:
        match node:
            case Number(value):
                return value
            case Reference(query_id):
                if query_id not in self.queries:
                    raise QueryError(f"there is no query '{query_id}'")
                return self.result(query_id)
            case Operation(sign, left, right):
                return operate(sign, self._node(left), self._node(right))
            case Array(items):
                return [series for item in items for series in _as_list(self._node(item))]
            case Call("SEARCH", arguments):
                return self._search(*_search_arguments(arguments))
            case Call("METRICS", arguments):
                return self._metrics(arguments)
            case Call(function, arguments) if function in FUNCTIONS:
                return self._call(function, arguments)
            case Call(function, _):
                raise QueryError(f"the function {function} is not supported by the local CloudWatch")
        raise QueryError(f"'{node.value}' is a text where a time series was expected")

    def _call(self, name: str, arguments: Sequence[Node]) -> Value:
        count, function = FUNCTIONS[name]
        if len(arguments) != count:
            raise QueryError(f"{name} takes {count} argument(s), not {len(arguments)}")
        return function(self.span, *(self._argument(argument) for argument in arguments))

    def _argument(self, node: Node) -> Value | str:
        # The word REPEAT, which FILL takes, looks like an id.
        return "REPEAT" if node == Reference("REPEAT") else self._node(node)

    def _metrics(self, arguments: Sequence[Node]) -> list[Series]:
        """The queries for a metric, or those of them that have the text in their id."""
        match arguments:
            case ():
                wanted = ""
            case (Text(wanted),):
                pass
            case _:
                raise QueryError("METRICS takes nothing, or one text")
        found = [query_id for query_id, query in self.queries.items() if query.get("MetricStat") and wanted in query_id]
        return [series for query_id in found for series in _as_list(self.result(query_id))]

    def _search(self, text: str, stat: str, period: int) -> list[Series]:
        search = parse_search(text)
        found = sorted(
            metric for metric in self.source.metrics(search.namespace, search.name) if search.matches(metric)
        )
        series = [self._series(metric, stat, period) for metric in found[:MOST_FOUND]]
        return [replace(one, label=found_label) for one, found_label in zip(series, _labels(found), strict=False)]


def _labels(found: Sequence[Metric]) -> list[str]:
    """What tells the found apart: the values of the dimensions, and the name where there are several."""
    several = len({metric.name for metric in found}) > 1
    labels = []
    for metric in found:
        values = [value for _, value in metric.dimensions]
        labels.append(" ".join([*values, metric.name] if several or not values else values))
    return labels


def _search_arguments(arguments: Sequence[Node]) -> tuple[str, str, int]:
    match arguments:
        case (Text(search), Text(stat), Number(period)):
            return search, stat, int(period)
        case (Text(search), Text(stat), Text(period)) if period.isdecimal():
            return search, stat, int(period)
    raise QueryError("SEARCH takes the search, the statistic and the period")


def _as_list(value: Value) -> list[Series]:
    if isinstance(value, float):
        raise QueryError("a number is no time series")
    return [value] if isinstance(value, Series) else value


def page(
    results: Sequence[tuple[str, Series]], skip: int, limit: int, descending: bool
) -> tuple[list[tuple[str, str, list[int], list[float]]], int | None]:
    """Id, label, timestamps and values of the results, without the first `skip` values and with at most `limit`.

    The second part is what the next page is to skip, None after the last one.
    """
    shown, passed, room = [], 0, limit
    for query_id, series in results:
        ordered = sorted(series.values, reverse=descending)
        chosen = ordered[max(skip - passed, 0) :][:room]
        passed += len(ordered)
        if chosen or (passed >= skip and not ordered and room):
            shown.append((query_id, series.label, chosen, [series.values[at] for at in chosen]))
        room -= len(chosen)
    return shown, skip + limit if passed > skip + limit else None
