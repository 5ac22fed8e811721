"""The parts of a panel that are plain HTML: legends and numbers."""

from collections.abc import Mapping, Sequence
from html import escape

from tributary_monitor.dashboard import Panel, Step
from tributary_monitor.series import CALCULATIONS, Series, calculations, legend_order
from tributary_monitor.theme import Theme
from tributary_monitor.units import show


def legend(panel: Panel, series: Sequence[Series], colors: Mapping[str, str]) -> str:
    """A table with one row a series and one column a calculation."""
    calcs = calculations((panel.options.get("legend") or {}).get("calcs") or [])
    headings = "".join(f"<th>{CALCULATIONS[name][0]}</th>" for name in calcs)
    rows = []
    for one in legend_order(panel, series):
        cells = "".join(f"<td>{show(CALCULATIONS[name][1](one.values), panel.unit)}</td>" for name in calcs)
        name = escape(one.name)
        swatch = f'<i style="background:{colors[one.name]}"></i>'
        rows.append(f'<tr><td class="name" title="{name}">{swatch}{name}</td>{cells}</tr>')
    return f"<table><thead><tr><th></th>{headings}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def step_of(steps: Sequence[Step], value: float) -> Step | None:
    """The last threshold that the value has reached."""
    return next((step for step in reversed(steps) if step.value is None or value >= step.value), None)


def numbers(panel: Panel, series: Sequence[Series], theme: Theme) -> tuple[str, str | None]:
    """The values of a stat panel, and the background that its colour mode asks for."""
    names = calculations((panel.options.get("reduceOptions") or {}).get("calcs") or ["lastNotNull"])
    with_name = panel.options.get("textMode") in ("value_and_name", "name") or len(series) > 1
    on_background = panel.options.get("colorMode") == "background"
    parts, worst = [], None
    for one in series:
        value = CALCULATIONS[names[0]][1](one.values)
        step = step_of(panel.steps, value)
        worst = max([worst, step], key=lambda each: panel.steps.index(each) if each else -1)
        color = theme.color(step.color) if step and not on_background else "inherit"
        name = f"<small>{escape(one.name)}</small>" if with_name else ""
        parts.append(f'<div class="number" style="color:{color}"><b>{show(value, panel.unit)}</b>{name}</div>')
    background = theme.background(worst.color) if on_background and worst else None
    return "".join(parts), background


def assign_colors(series: Sequence[Series], theme: Theme) -> dict[str, str]:
    """By name, in the order of the panel's queries."""
    names = dict.fromkeys(one.name for one in series)
    return {name: theme.palette[index % len(theme.palette)] for index, name in enumerate(names)}
