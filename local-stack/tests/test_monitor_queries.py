"""From the dashboards' JSON to the queries that Grafana would send for it."""

import json
from pathlib import Path

import pytest

from tests.monitor_model import SHARD, dashboard, expression, panel, row, target, values_of
from tributary_monitor.dashboard import DashboardError, load, parse, read
from tributary_monitor.queries import AWS, LOCAL, MOST_QUERIES, batches, build
from tributary_monitor.variables import ALL, ListedMetric, expand, interpolate, metrics_to_list, resolve

CHOSEN = {"stream": ["events"], "shard": ["*"], "function": []}
LISTED = [
    ListedMetric("Tributary", "RecordsReceived", {"Stream": "events"}),
    ListedMetric("Tributary", "RecordsReceived", {"Stream": "another"}),
    ListedMetric("Tributary", "Lag", {"Stream": "events", "Shard": "0"}),
    ListedMetric("Tributary", "Lag", {"Stream": "events", "Shard": "1"}),
    ListedMetric("Tributary", "Lag", {"Stream": "another", "Shard": "9"}),
]
REPOSITORY = Path(__file__).resolve().parents[2]


def requests(*targets: dict, chosen: dict = CHOSEN, period: int = 60) -> list[dict]:
    return [dict(query.request) for query in build(dashboard(panel(7, *targets)).panels, chosen, period)]


def test_panels_belong_to_the_row_above_them_or_to_the_row_that_holds_them() -> None:
    sections = dashboard(
        panel(4, y=21), row("second", 20), panel(1, y=1), row("first", 0), row("closed", 40, panel(5), collapsed=True)
    ).sections
    assert [(one.title, one.collapsed, [p.id for p in one.panels]) for one in sections] == [
        ("first", False, [1]),
        ("second", False, [4]),
        ("closed", True, [5]),
    ]


def test_a_panel_of_another_type_is_named() -> None:
    with pytest.raises(DashboardError, match="panel 'Panel 3' is a 'piechart'"):
        dashboard(panel(3, kind="piechart"))


@pytest.mark.parametrize("text", ["", "[]", '{"uid": "u"}', '{"uid": "u", "title": "t", "panels": [{"type": "stat"}]}'])
def test_a_file_that_is_no_dashboard_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "broken.json"
    file.write_text(text)
    with pytest.raises(DashboardError, match=r"broken\.json"):
        read(file)


def test_a_folder_without_dashboards_is_named(tmp_path: Path) -> None:
    with pytest.raises(DashboardError, match="no dashboard in"):
        load(tmp_path)


def test_every_dashboard_of_the_repository_can_be_shown_and_asked_for() -> None:
    for one in load(REPOSITORY / "grafana/dashboards"):
        _, _, chosen = resolve(one, [], {}, {})
        chosen = {name: values or ["x"] for name, values in chosen.items()}
        queries = build(one.panels, chosen, 60)
        assert len(queries) == sum(len(each.targets) for each in one.panels) > 0
        assert not any("$stream" in json.dumps(query.request) for query in queries)


def test_one_value_for_each_dimension_is_a_metric() -> None:
    assert requests(target()) == [
        {
            "Id": "p7_queryA",
            "ReturnData": True,
            "MetricStat": {
                "Metric": {
                    "Namespace": "Tributary",
                    "MetricName": "Lag",
                    "Dimensions": [{"Name": "Stream", "Value": "events"}],
                },
                "Period": 60,
                "Stat": "Maximum",
            },
            "Label": "lag",
        }
    ]


@pytest.mark.parametrize(
    ("shards", "terms"),
    [(["*"], ""), (["0", "1"], '"Shard"=("0" OR "1") ')],
)
def test_a_wildcard_and_several_values_are_the_search_that_grafana_infers(shards: list[str], terms: str) -> None:
    [request] = requests(
        target(dimensions={"Stream": "$stream", "Shard": "$shard"}, label="${PROP('Dim.Shard')}"),
        chosen={**CHOSEN, "shard": shards},
    )
    assert request["Expression"] == (
        'REMOVE_EMPTY(SEARCH(\'{"Tributary","Shard","Stream"} MetricName="Lag" '
        f'{terms}"Stream"="events"\', \'Maximum\', 60))'
    )
    assert request["Label"] == "${PROP('Dim.Shard')}"


def test_a_search_without_a_label_is_named_by_cloudwatch() -> None:
    assert requests(target(dimensions={"Stream": "*"}, label=""))[0]["Label"] == "${LABEL}"


def test_dimensions_that_need_not_match_exactly_are_searched_for_without_a_schema() -> None:
    [request] = requests(target(matchExact=False, dimensions={"Stream": "events", "Shard": "*"}))
    assert request["Expression"].startswith(
        'REMOVE_EMPTY(SEARCH(\'Namespace="Tributary" MetricName="Lag" "Stream"="events" "Shard"'
    )


def test_expressions_refer_to_the_queries_of_their_own_panel() -> None:
    inputs = [target("A", id="in", hide=True), target("B", id="out", hide=True)]
    found = requests(*inputs, expression("C", "100 * in / out + SUM(SEARCH('in', 'Sum', $__period_auto))"))
    assert [one["ReturnData"] for one in found] == [False, False, True]
    assert found[2]["Expression"] == "100 * p7_in / p7_out + SUM(SEARCH('in', 'Sum', 60))"


def test_an_expression_editors_leftovers_do_not_count_in_a_metrics_query() -> None:
    assert "MetricStat" in requests(target(expression="a + b"))[0]


def test_a_period_of_its_own_is_kept() -> None:
    assert requests(target(period="300"))[0]["MetricStat"]["Period"] == 300
    assert requests(expression("A", "1 * b", period="300"), target("B", id="b"))[1]["Period"] == 300


def test_a_query_of_a_variable_without_value_is_left_out_with_what_refers_to_it() -> None:
    absent = target("A", id="absent", dimensions={"FunctionName": "$function"})
    assert [one["Id"] for one in requests(absent, target("B", id="b"), expression("C", "absent + b"))] == ["p7_b"]


def test_requests_hold_at_most_five_hundred_queries_and_whole_panels() -> None:
    targets = [target(f"A{number}", id=f"a{number}") for number in range(200)]
    model = dashboard(*(panel(number, *targets, y=number) for number in range(1, 5)))
    batched = batches(build(model.panels, CHOSEN, 60))
    assert [len(batch) for batch in batched] == [400, 400]
    assert [{query.panel.id for query in batch} for batch in batched] == [{1, 2}, {3, 4}]
    assert MOST_QUERIES == 500


@pytest.mark.parametrize(
    ("periods", "seconds", "period"),
    [
        (LOCAL, 300, 10),
        (LOCAL, 1800, 10),
        (LOCAL, 3600, 30),
        (AWS, 300, 60),
        (AWS, 30 * 3600, 60),
        (AWS, 7 * 86400, 900),
    ],
)
def test_periods_grow_with_the_range_and_are_a_minute_at_least_on_aws(periods, seconds: int, period: int) -> None:
    assert periods.automatic(seconds) == period


def test_options_are_the_values_that_are_listed_under_the_variables_before() -> None:
    model = dashboard(panel())
    assert metrics_to_list(model) == {("Tributary", "RecordsReceived"), ("Tributary", "Lag")}
    offered, selected, chosen = resolve(model, LISTED, {}, {})
    assert offered == {"stream": ["another", "events"], "shard": ["0", "1"]}
    assert selected == {"stream": ["events"], "shard": [ALL]}
    assert chosen == {"stream": ["events"], "shard": ["*"]}


def test_what_the_user_wants_counts_as_far_as_it_is_offered() -> None:
    model = dashboard(panel())
    _, selected, _ = resolve(model, LISTED, {"stream": ["another"], "shard": ["9", "0"]}, {})
    assert selected == {"stream": ["another"], "shard": ["9"]}


def test_all_without_a_wildcard_stands_for_every_option() -> None:
    model = dashboard(
        panel(), variables=({**SHARD, "allValue": "", "query": {**SHARD["query"], "dimensionFilters": {}}},)
    )
    assert resolve(model, LISTED, {}, {})[2] == {"shard": ["0", "1", "9"]}


def test_without_any_option_a_variable_is_what_the_dashboard_has_saved() -> None:
    fresh = values_of("function", "AWS/Lambda", "Invocations", "FunctionName", current={"value": "ingest"})
    absent = values_of("mapping", "AWS/Lambda", "InvokedEventCount", "EventSourceMappingUUID")
    assert resolve(dashboard(panel(), variables=(fresh, absent)), [], {}, {})[2] == {
        "function": ["ingest"],
        "mapping": [],
    }


def test_a_given_value_counts_whatever_the_dashboard_says() -> None:
    text_box = {"name": "runbook", "type": "textbox", "query": "elsewhere"}
    model = dashboard(panel(), variables=(text_box,))
    assert resolve(model, [], {}, {})[2] == {"runbook": ["elsewhere"]}
    assert resolve(model, [], {"runbook": ["x"]}, {"runbook": ["/here"]})[2] == {"runbook": ["/here"]}


def test_variables_are_replaced_in_texts_but_dynamic_labels_are_not() -> None:
    text = "$stream ${stream} ${stream:raw} $streams ${PROP('Dim.Shard')} ${LABEL}"
    assert interpolate(text, CHOSEN) == "events events events $streams ${PROP('Dim.Shard')} ${LABEL}"
    assert interpolate("$shard", {"shard": ["0", "1"]}) == "0 + 1"
    assert expand(["$shard", "x-$stream"], {"shard": ["0", "1"], "stream": ["s"]}) == ["0", "1", "x-s"]


def test_a_custom_variable_offers_its_list_and_a_constant_its_value() -> None:
    custom = {"name": "size", "type": "custom", "query": "small, large"}
    constant = {"name": "fixed", "type": "constant", "query": "one"}
    offered, _, chosen = resolve(dashboard(panel(), variables=(custom, constant)), [], {"size": ["large"]}, {})
    assert offered == {"size": ["small", "large"], "fixed": ["one"]}
    assert chosen == {"size": ["large"], "fixed": ["one"]}


def test_a_dashboard_without_variables_is_one() -> None:
    assert parse({"uid": "u", "title": "t", "panels": []}).variables == []
