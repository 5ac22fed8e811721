"""What the local CloudWatch answers to GetMetricData."""

from collections.abc import Mapping, Sequence

import pytest
from cloudwatch_queries.evaluate import evaluate, page
from cloudwatch_queries.series import Metric, QueryError, Range, Sample, Series
from cloudwatch_queries.statistic import percentile

SPAN = Range(0, 180)
BY_STREAM = Metric("T", "Rejected", (("Stream", "s"),))
BY_REASON = [Metric("T", "Rejected", (("Reason", reason), ("Stream", "s"))) for reason in ("bad", "late")]


def once(timestamp: int, value: float, count: float = 1) -> Sample:
    return Sample(timestamp, count, value * count, value, value)


class Store:
    """Metrics in memory; every sample has the unit Count."""

    def __init__(self, samples: Mapping[Metric, Sequence[Sample]]) -> None:
        self.stored = samples

    def metrics(self, namespace: str | None, name: str | None) -> list[Metric]:
        return [m for m in self.stored if namespace in (None, m.namespace) and name in (None, m.name)]

    def samples(self, metric: Metric, unit: str | None, start: int, end: int) -> list[Sample]:
        stored = self.stored.get(metric, []) if unit in (None, "Count") else []
        return [sample for sample in stored if start <= sample.timestamp < end]


STORE = Store(
    {
        BY_STREAM: [once(5, 3), once(7, 1), once(65, 2)],
        BY_REASON[0]: [once(5, 3), once(65, 2)],
        BY_REASON[1]: [once(7, 1)],
        Metric("T", "Received", (("Stream", "s"),)): [once(5, 100), once(130, 50)],
        Metric("T", "Received", ()): [once(5, 1)],
        Metric("Other", "Rejected", (("Stream", "s"),)): [once(5, 9)],
    }
)


def stat(query_id: str, name: str = "Rejected", statistic: str = "Sum", period: int = 60, **more) -> dict:
    metric = {"Namespace": "T", "MetricName": name, "Dimensions": [{"Name": "Stream", "Value": "s"}]}
    return {"Id": query_id, "MetricStat": {"Metric": metric, "Period": period, "Stat": statistic}, **more}


def math(expression: str, **more) -> dict:
    return {"Id": "e", "Expression": expression, **more}


def values(*queries: dict, span: Range = SPAN) -> dict[str, list[dict[int, float]]]:
    found: dict[str, list[dict[int, float]]] = {}
    for query_id, series in evaluate(queries, span, STORE, "us-east-1"):
        found.setdefault(query_id, []).append(dict(series.values))
    return found


def labels(*queries: dict) -> list[str]:
    return [series.label for _, series in evaluate(queries, SPAN, STORE, "us-east-1")]


def refused(*queries: dict) -> str:
    with pytest.raises(QueryError) as error:
        values(*queries)
    return str(error.value)


def test_a_metric_counts_what_has_exactly_its_dimensions() -> None:
    assert values(stat("m")) == {"m": [{0: 4, 60: 2}]}


@pytest.mark.parametrize(
    ("statistic", "first"), [("Sum", 4), ("Average", 2), ("Minimum", 1), ("Maximum", 3), ("SampleCount", 2), ("p50", 2)]
)
def test_each_statistic_is_over_the_samples_of_its_period(statistic: str, first: float) -> None:
    assert values(stat("m", statistic=statistic))["m"][0][0] == first


def test_a_percentile_counts_a_value_as_often_as_it_was_published() -> None:
    samples = [once(0, 10, count=98), once(0, 500, count=2)]
    assert percentile(samples, 0.5) == 10
    assert percentile(samples, 0.99) == 500
    assert percentile(samples, 1) == 500
    assert percentile([once(0, 7)], 0.5) == 7


def test_a_percentile_between_two_values_is_interpolated() -> None:
    assert percentile([once(0, 10), once(0, 20)], 0.75) == pytest.approx(17.5)


def test_a_statistic_set_of_unknown_values_has_no_percentile() -> None:
    assert percentile([Sample(0, 2, 30, 10, 20)], 0.5) is None


@pytest.mark.parametrize("statistic", ["p101", "p", "tm90", "Median", ""])
def test_a_statistic_that_is_not_known_is_named(statistic: str) -> None:
    assert f"'{statistic}'" in refused(stat("m", statistic=statistic))


def test_periods_begin_at_multiples_of_their_length_wherever_the_range_begins() -> None:
    assert values(stat("m"), span=Range(59, 180)) == {"m": [{0: 4, 60: 2}]}


def test_a_range_of_one_period_is_one_period() -> None:
    assert values(stat("m"), span=Range(6, 66)) == {"m": [{6: 3}]}


def test_the_unit_of_a_query_filters() -> None:
    query = stat("m")
    query["MetricStat"]["Unit"] = "Bytes"
    assert values(query) == {"m": [{}]}


def test_a_search_finds_the_metrics_with_exactly_the_names_of_its_schema() -> None:
    expression = """SEARCH('{"T","Reason","Stream"} MetricName="Rejected" "Stream"="s"', 'Sum', 60)"""
    assert values(math(expression)) == {"e": [{0: 3, 60: 2}, {0: 1}]}
    assert labels(math(expression, Label="${PROP('Dim.Reason')}")) == ["bad", "late"]


def test_a_search_by_several_values_finds_each() -> None:
    search = 'SEARCH(\'{T,Reason,Stream} "Reason"=("bad" OR "late")\', \'Sum\', 60)'
    assert len(values(math(search))["e"]) == 2
    assert len(values(math(search.replace('"late"', '"other"')))["e"]) == 1


def test_a_search_without_a_schema_finds_by_its_terms() -> None:
    assert values(math('SEARCH(\'Namespace="T" MetricName="Rejected" "Reason"\', \'Sum\', 180)')) == {
        "e": [{0: 5}, {0: 1}]
    }


@pytest.mark.parametrize("search", ["{T", "{T x}", 'Reason=("a" "b")', "a OR b", "Reason=", '"open'])
def test_a_search_that_is_not_understood_is_refused(search: str) -> None:
    assert "Error in expression 'e'" in refused(math(f"SEARCH('{search}', 'Sum', 60)"))


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("m + r", {0: 104}),
        ("100 * m / r", {0: 4}),
        ("(r - m) * -2", {0: -192}),
        ("2 + 3 * m", {0: 14, 60: 8}),
        ("m / 0", {}),
        ("m / (m - m)", {}),
        ("FILL(m, 0) + FILL(r, 0)", {0: 104, 60: 2, 120: 50}),
        ("FILL(m, REPEAT)", {0: 4, 60: 2, 120: 2}),
        ("SUM([m, r])", {0: 104, 60: 2, 120: 50}),
        ("SUM(METRICS())", {0: 104, 60: 2, 120: 50}),
        ('MAX(METRICS("m"))', {0: 4, 60: 2}),
        ("MIN([m, r])", {0: 4, 60: 2, 120: 50}),
        ("AVG([m, r])", {0: 52, 60: 2, 120: 50}),
        ("m - AVG(m)", {0: 1, 60: -1}),
        ("m / PERIOD(m)", {0: 4 / 60, 60: 2 / 60}),
    ],
)
def test_arithmetic_is_done_where_both_sides_have_a_value(expression: str, result: dict[int, float]) -> None:
    inputs = [stat("m", ReturnData=False), stat("r", "Received", ReturnData=False)]
    assert values(*inputs, math(expression)) == {"e": [pytest.approx(result)]}


def test_arithmetic_with_a_search_is_done_to_each_series() -> None:
    search = "SEARCH('{T,Reason,Stream}', 'Sum', 60)"
    assert values(math(f"2 * {search}")) == {"e": [{0: 6, 60: 4}, {0: 2}]}
    assert values(math(f"SUM({search})")) == {"e": [{0: 4, 60: 2}]}


def test_series_without_values_are_removed_on_request() -> None:
    search = "SEARCH('{T,Reason,Stream}', 'Sum', 60)"
    assert len(values(math(search), span=Range(60, 180))["e"]) == 2
    assert len(values(math(f"REMOVE_EMPTY({search})"), span=Range(60, 180))["e"]) == 1


def test_an_expression_may_refer_to_another_and_come_before_it() -> None:
    queries = [math("half + half"), {"Id": "half", "Expression": "m / 2", "ReturnData": False}, stat("m")]
    assert values(*queries) == {"e": [{0: 4, 60: 2}], "m": [{0: 4, 60: 2}]}


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("nothing", "no query 'nothing'"),
        ("e + 1", "refers to itself"),
        ("m ^ 2", "'^' is not supported"),
        ("m > 2", "'>' is not supported"),
        ("RATE(m)", "the function RATE is not supported"),
        ("m +", "the end where a value was expected"),
        ("(m", "the end where ) was expected"),
        ("m m", "'m' where the end was expected"),
        ("FILL(m)", "FILL takes 2 argument(s), not 1"),
        ("FILL(m, LINEAR)", "there is no query 'LINEAR'"),
        ("5", "its result is a number"),
        ("PERIOD(m)", "its result is a number"),
        ("METRICS() + METRICS()", "several time series on both sides"),
        ("'m'", "a text where a time series was expected"),
        ("1 / 0", "division by zero"),
    ],
)
def test_an_expression_that_cannot_be_evaluated_says_which_and_why(expression: str, reason: str) -> None:
    message = refused(stat("m"), math(expression))
    assert "Error in expression 'e'" in message
    assert reason in message


def test_ids_are_unique_and_at_most_five_hundred_go_into_one_request() -> None:
    assert "Id of its own" in refused(stat("m"), stat("m"))
    assert "at most 500" in refused(*(stat(f"m{number}") for number in range(501)))


def test_labels_are_filled_in_for_each_series() -> None:
    label = "${PROP('MetricName')} ${PROP('Stat')} ${PROP('Period')} ${LABEL} ${MAX} ${LAST} ${PROP('Dim.None')}."
    assert labels(stat("m", Label=label)) == ["Rejected Sum 60 Rejected 4 2 ."]
    assert labels(stat("m"), math("m + m")) == ["Rejected", "e"]
    assert labels(math("SEARCH('{T,Reason,Stream}', 'Sum', 60)")) == ["bad s", "late s"]


def test_pages_hold_every_value_once_and_in_order() -> None:
    results = [("a", Series(60, {0: 1, 60: 2}, "A")), ("b", Series(60, {}, "B")), ("c", Series(60, {0: 3, 60: 4}, "C"))]
    first, following = page(results, 0, 3, descending=False)
    second, end = page(results, following or 0, 3, descending=False)
    assert first == [("a", "A", [0, 60], [1, 2]), ("b", "B", [], []), ("c", "C", [0], [3])]
    assert second == [("c", "C", [60], [4])]
    assert (following, end) == (3, None)
    assert page(results, 0, 100, descending=True)[0][0] == ("a", "A", [60, 0], [2, 1])
