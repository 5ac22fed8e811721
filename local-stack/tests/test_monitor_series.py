"""From results to what is drawn and written on the page."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.monitor_model import dashboard, expression, panel, row, target
from tributary_monitor.charts import chart
from tributary_monitor.check import faults, queries_of
from tributary_monitor.cloudwatch import Answer
from tributary_monitor.dashboard import AWS_ONLY, Panel
from tributary_monitor.html_parts import assign_colors, legend, numbers
from tributary_monitor.queries import build
from tributary_monitor.series import Point, Result, Series, by_panel, legend_order, put_together
from tributary_monitor.theme import DARK, LIGHT
from tributary_monitor.units import show

CHOSEN = {"stream": ["events"]}


def one_panel(*targets: dict, **more: Any) -> Panel:
    [found] = dashboard(panel(7, *(targets or [target()]), **more)).panels
    return found


def series(of: Panel, points: Mapping[str, Sequence[Point]]) -> list[Series]:
    return [Series(name, of.targets[0], found) for name, found in points.items()]


def test_pages_of_one_series_are_put_together_in_the_order_of_time() -> None:
    def result(label: str, second: int) -> dict:
        return {"Id": "a", "Label": label, "Timestamps": [datetime.fromtimestamp(second, UTC)], "Values": [second]}

    assert put_together([result("x", 60), result("y", 0), result("x", 0)]) == [
        Result("a", "x", [(0, 0), (60, 60)]),
        Result("a", "y", [(0, 0)]),
    ]


def test_series_come_in_the_order_of_the_queries_without_hidden_and_empty_ones() -> None:
    of = one_panel(target("A", id="a", hide=True), expression("B", "a * 2", id="b"), target("C", id="c"), target("D"))
    queries = build([of], CHOSEN, 60)
    results = [
        Result("p7_c", "c", [(0, 3)]),
        Result("p7_a", "a", [(0, 1)]),
        Result("p7_b", "b", [(0, 2)]),
        Result("p7_queryD", "d", []),
    ]
    assert [one.name for one in by_panel(queries, results)[7]] == ["b", "c"]


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0, "short", "0"),
        (999, "short", "999"),
        (12_345, "short", "12.3 K"),
        (1_000_000, "short", "1 M"),
        (0.0312, "short", "0.0312"),
        (-1500, "short", "-1.5 K"),
        (-0.00001, "short", "0"),
        (842.4, "ms", "842 ms"),
        (1500, "ms", "1.5 s"),
        (90_000, "ms", "1.5 min"),
        (0.25, "s", "250 ms"),
        (2_500_000, "decbytes", "2.5 MB"),
        (2048, "bytes", "2 KiB"),
        (1.234, "percent", "1.23%"),
        (0.05, "percentunit", "5%"),
        (1234, "currencyUSD", "$1.23 K"),
        (-3, "currencyUSD", "-$3"),
        (5, "of another kind", "5"),
    ],
)
def test_numbers_are_shown_in_the_unit_that_fits(value: float, unit: str, shown: str) -> None:
    assert show(value, unit) == shown


def draw(of: Panel, points: Mapping[str, Sequence[Point]], span: tuple[int, int] = (0, 600)) -> dict:
    found = series(of, points)
    return chart(of, found, assign_colors(found, LIGHT), span, 60, LIGHT)


def test_a_line_breaks_where_values_are_missing_and_a_lone_point_is_a_dot() -> None:
    [line] = draw(one_panel(), {"a": [(0, 1), (60, 2), (300, 3)]})["series"]
    assert [(item["value"], item.get("symbolSize")) for item in line["data"]] == [
        ([0, 1], 0),
        ([60_000, 2], 0),
        ([240_000, None], None),
        ([300_000, 3], 6),
    ]


def test_stacked_bars_have_a_place_for_every_time_and_an_override_stays_a_line() -> None:
    custom = {"drawStyle": "bars", "stacking": {"mode": "normal"}}
    line = [{"id": "custom.drawStyle", "value": "line"}, {"id": "custom.stacking", "value": {"mode": "none"}}]
    override = {"matcher": {"id": "byName", "options": "total"}, "properties": line}
    of = one_panel(fieldConfig={"defaults": {"custom": custom}, "overrides": [override]})
    drawn = draw(of, {"a": [(0, 1)], "b": [(60, 2)], "total": [(0, 1), (60, 2)]})["series"]
    assert [one["type"] for one in drawn] == ["bar", "bar", "line"]
    assert [one["stack"] for one in drawn] == ["stack", "stack", None]
    assert [one["data"] for one in drawn[:2]] == [[[0, 1], [60_000, None]], [[0, None], [60_000, 2]]]


def test_an_axis_is_that_of_the_unit_and_is_drawn_for_zeros_too() -> None:
    of = one_panel(fieldConfig={"defaults": {"unit": "ms", "min": 0}})
    assert draw(of, {"a": [(0, 5)]})["yAxis"][("axisLabel")][":formatter"] == "tributaryShow('ms')"
    assert "max" not in draw(of, {"a": [(0, 5)]})["yAxis"]
    assert draw(of, {"a": [(0, 0)]})["yAxis"]["max"] == 1
    assert not draw(of, {})["yAxis"]["show"]


def test_an_axis_of_counts_has_no_fractions() -> None:
    of = one_panel(fieldConfig={"defaults": {"unit": "short"}})
    assert draw(of, {"a": [(0, 2)]})["yAxis"]["minInterval"] == 1
    assert "minInterval" not in draw(of, {"a": [(0, 2.5)]})["yAxis"]


def test_a_point_of_a_longer_period_that_begins_before_the_range_is_on_the_chart() -> None:
    assert draw(one_panel(), {"a": [(-100, 1), (200, 1)]}, span=(0, 300))["xAxis"]["min"] == -100_000


def test_thresholds_are_lines_only_where_the_panel_says_so() -> None:
    steps = [{"value": None, "color": "green"}, {"value": 5, "color": "red"}]
    for mode, lines in (("line", [5]), ("off", [])):
        defaults = {"thresholds": {"steps": steps}, "custom": {"thresholdsStyle": {"mode": mode}}}
        [drawn] = draw(one_panel(fieldConfig={"defaults": defaults}), {"a": [(0, 1)]})["series"]
        assert [line["yAxis"] for line in drawn["markLine"]["data"]] == lines


def test_the_legend_has_the_calculations_and_the_order_that_the_panel_asks_for() -> None:
    options = {"legend": {"calcs": ["lastNotNull", "max", "sum"], "sortBy": "Max", "sortDesc": True}}
    of = one_panel(options=options)
    found = series(of, {"small": [(0, 1), (60, 1)], "<b>large": [(0, 9), (60, 2)]})
    assert [one.name for one in legend_order(of, found)] == ["<b>large", "small"]
    html = legend(of, found, assign_colors(found, LIGHT))
    assert "<th>Last</th><th>Max</th><th>Total</th>" in html
    assert html.index("<td>2</td><td>9</td><td>11</td>") < html.index("<td>1</td><td>1</td><td>2</td>")
    assert "&lt;b&gt;large" in html
    assert "<b>" not in html


def test_a_number_takes_the_colour_of_the_last_threshold_it_has_reached() -> None:
    steps = [{"value": None, "color": "green"}, {"value": 5, "color": "red"}]
    options = {"reduceOptions": {"calcs": ["sum"]}, "colorMode": "value"}
    of = one_panel(kind="stat", fieldConfig={"defaults": {"thresholds": {"steps": steps}}}, options=options)
    assert DARK.color("green") in numbers(of, series(of, {"a": [(0, 2), (60, 2)]}), DARK)[0]
    html, background = numbers(of, series(of, {"a": [(0, 2), (60, 3)]}), DARK)
    assert DARK.color("red") in html
    assert "<b>5</b>" in html
    assert background is None


def test_a_filled_panel_has_the_colour_of_its_worst_number() -> None:
    steps = [{"value": None, "color": "green"}, {"value": 5, "color": "red"}]
    options = {"reduceOptions": {"calcs": ["max"]}, "colorMode": "background"}
    of = one_panel(kind="stat", fieldConfig={"defaults": {"thresholds": {"steps": steps}}}, options=options)
    html, background = numbers(of, series(of, {"bad": [(0, 7)], "good": [(0, 1)]}), LIGHT)
    assert background == LIGHT.color("red")
    assert "bad" in html
    assert numbers(of, [], LIGHT) == ("", None)


def test_series_of_one_name_share_a_colour_and_others_differ() -> None:
    of = one_panel()
    found = [*series(of, {"a": [(0, 1)], "b": [(0, 1)]}), *series(of, {"a": [(0, 2)]})]
    colors = assign_colors(found, LIGHT)
    assert len(colors) == 2
    assert colors["a"] != colors["b"]


def test_the_check_names_what_is_refused_not_asked_and_empty_and_lets_aws_only_rows_be_empty() -> None:
    model = dashboard(
        row("Row", 0),
        panel(1, target("A", id="full"), target("B", id="empty", hide=True), y=1),
        panel(2, target("A", id="bad"), target("B", id="good"), y=2),
        panel(3, target("A", dimensions={"FunctionName": "$function"}), y=3),
        row(AWS_ONLY, 10),
        panel(4, target("A", id="alone"), y=11),
        panel(5, target("A", id="broken"), y=12),
    )
    queries = queries_of(model, {"stream": ["events"], "function": []}, 60)
    answer = Answer([Result("p1_full", "", [(0, 1)])], {2: "Error in expression 'p2_bad': no", 5: "refused"})
    assert [str(fault) for fault in faults(model, queries, answer)] == [
        "Test, panel 'Panel 1', query B: Lag has no data",
        "Test, panel 'Panel 2', query A: Error in expression 'p2_bad': no",
        "Test, panel 'Panel 3', query A: Lag was not asked for: a variable in it has no value",
        "Test, panel 'Panel 5', query A: refused",
    ]
    assert all(query.request["ReturnData"] for query in queries)
