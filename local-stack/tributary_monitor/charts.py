"""A time series panel as an Apache ECharts option."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tributary_monitor.dashboard import Panel
from tributary_monitor.series import Point, Series
from tributary_monitor.theme import Theme

MOST_TICKS = 5
FONT = "Roboto, sans-serif"


def style(panel: Panel, series: Series) -> dict[str, Any]:
    """The panel's custom options with the overrides that name this series."""
    merged = dict(panel.custom)
    for override in panel.overrides:
        matcher = override["matcher"]
        if matcher["id"] == "byName" and matcher.get("options") == series.name:
            for one in override["properties"]:
                if one["id"].startswith("custom."):
                    merged[one["id"].removeprefix("custom.")] = one["value"]
    return merged


def chart(
    panel: Panel, series: Sequence[Series], colors: Mapping[str, str], span: tuple[int, int], period: int, theme: Theme
) -> dict[str, Any]:
    """`colors` by the name of the series; `span` is the range shown, in epoch seconds.

    Keys that begin with a colon are JavaScript, which NiceGUI evaluates on the page.
    """
    drawn = [_series(panel, one, colors[one.name], period, series) for one in series]
    if drawn:
        drawn[0]["markLine"] = _thresholds(panel, theme)
    show = f"tributaryShow('{panel.unit}')"
    return {
        "animation": False,
        "textStyle": {"fontFamily": FONT},
        "grid": {"left": 8, "right": 12, "top": 12, "bottom": 4, "containLabel": True},
        "xAxis": {
            "type": "time",
            # A panel with longer periods than the others has a point before the range.
            "min": min([span[0], *(one.points[0][0] for one in series)]) * 1000,
            "max": span[1] * 1000,
            "axisLine": {"lineStyle": {"color": theme.line}},
            "axisTick": {"show": False},
            "axisLabel": {
                "color": theme.muted,
                "fontSize": 11,
                "hideOverlap": True,
                "alignMinLabel": "left",
                "alignMaxLabel": "right",
                # One format for all ticks, instead of ECharts' bold mixture.
                "formatter": "{HH}:{mm}" if span[1] - span[0] > 120 else "{HH}:{mm}:{ss}",
            },
            "splitLine": {"show": False},
        },
        "yAxis": {
            "type": "value",
            "show": bool(series),
            **_bounds(panel, series),
            "splitNumber": MOST_TICKS - 1,
            "axisLabel": {"color": theme.muted, "fontSize": 11, ":formatter": show},
            "splitLine": {"lineStyle": {"color": theme.line}},
        },
        "tooltip": {
            "trigger": "axis",
            "appendTo": "body",
            ":formatter": f"tributaryTooltip('{panel.unit}')",
            "backgroundColor": theme.surface,
            "borderColor": theme.line,
            "textStyle": {"color": theme.text, "fontSize": 12},
            "axisPointer": {"type": "line", "lineStyle": {"color": theme.muted, "type": "dashed"}},
        },
        "series": drawn,
    }


def _bounds(panel: Panel, series: Sequence[Series]) -> dict[str, Any]:
    """An axis whose values are all 0, or not there, still has a length; one of counts has no fractions."""
    bounds = {name: panel.defaults[name] for name in ("min", "max") if panel.defaults.get(name) is not None}
    values = [value for one in series for value in one.values]
    if panel.unit == "short" and all(value == int(value) for value in values):
        bounds["minInterval"] = 1
    if not any(values):
        bounds |= {"max": 1, "interval": 0.5}
    return bounds


def _series(panel: Panel, series: Series, color: str, period: int, together: Sequence[Series]) -> dict[str, Any]:
    look = style(panel, series)
    stacked = (look.get("stacking") or {}).get("mode") == "normal"
    common = {
        "name": series.name,
        "color": color,
        "itemStyle": {"color": color},
        "emphasis": {"disabled": True},
        "stack": "stack" if stacked else None,
    }
    if look.get("drawStyle") == "bars":
        # ECharts piles up the n-th values of a stack, whatever their times.
        times = sorted({at for one in together for at, _ in one.points}) if stacked else [at for at, _ in series.points]
        values = dict(series.points)
        return {**common, "type": "bar", "barMaxWidth": 24, "data": [[at * 1000, values.get(at)] for at in times]}
    return {
        **common,
        "type": "line",
        "symbol": "circle",
        "lineStyle": {"color": color, "width": max(look.get("lineWidth", 1), 1) * 1.5},
        # Areas that lie over one another would hide the lines.
        "areaStyle": {"opacity": look.get("fillOpacity", 0) / 100 / len(together)},
        "data": _line(series.points, period),
    }


def _line(points: Sequence[Point], period: int) -> list[dict[str, Any]]:
    """The line breaks where more than one period has no value; a point on its own is drawn as a dot."""
    data: list[dict[str, Any]] = []
    for index, (at, value) in enumerate(points):
        before = at - points[index - 1][0] if index else math.inf
        after = points[index + 1][0] - at if index + 1 < len(points) else math.inf
        if data and before > 2 * period:
            data.append({"value": [(at - period) * 1000, None]})
        alone = before > 2 * period and after > 2 * period
        data.append({"value": [at * 1000, value], "symbolSize": 6 if alone else 0})
    return data


def _thresholds(panel: Panel, theme: Theme) -> dict[str, Any]:
    shown = (panel.custom.get("thresholdsStyle") or {}).get("mode", "off") != "off"
    lines = [
        {"yAxis": step.value, "lineStyle": {"color": theme.color(step.color), "type": "dashed", "width": 1}}
        for step in panel.steps
        if shown and step.value is not None
    ]
    return {"silent": True, "symbol": "none", "label": {"show": False}, "data": lines}
