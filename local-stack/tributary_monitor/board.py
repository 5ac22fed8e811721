"""The sections and panels of a dashboard as elements of the page, and how a snapshot gets into them."""

import json
from collections.abc import Awaitable, Callable

from nicegui import ui

from tributary_monitor.charts import chart
from tributary_monitor.dashboard import AWS_ONLY, Dashboard, Panel, Section
from tributary_monitor.html_parts import assign_colors, legend, numbers
from tributary_monitor.snapshot import GIVEN, Snapshot
from tributary_monitor.theme import Theme
from tributary_monitor.variables import interpolate


class PanelView:
    """The frame of a panel: title, explanation, links, and below them its body."""

    def __init__(self, panel: Panel, first_row: int) -> None:
        self.panel = panel
        grid = panel.grid
        row = grid.y - first_row + 1
        place = f"grid-column: {grid.x + 1} / span {grid.width}; grid-row: {row} / span {grid.height}"
        self.frame = ui.element("section").classes(f"panel {panel.kind}").style(place).props(f"data-panel={panel.id}")
        with self.frame:
            self._heading()
            with ui.element("div").classes("body") as self.body:
                self.build()
                self.message = ui.label("…").classes("message")

    def _heading(self) -> None:
        with ui.element("div").classes("title"):
            ui.label(self.panel.title).classes("name")
            if self.panel.description:
                with ui.icon("info_outline"):
                    ui.tooltip(self.panel.description).classes("explanation")
            for link in self.panel.links:
                ui.link(link.title, interpolate(link.url, GIVEN), new_tab=True)

    def build(self) -> None:
        """Makes the body."""

    def show(self, snapshot: Snapshot, theme: Theme) -> None:
        """Puts the panel's part of a snapshot into the body, or why there is none."""
        error = snapshot.errors.get(self.panel.id)
        series = snapshot.series.get(self.panel.id, [])
        self.message.set_text(error or ("" if series else "no data"))
        self.message.classes(add="error" if error else "", remove="" if error else "error")
        self.fill(snapshot, theme)

    def fill(self, snapshot: Snapshot, theme: Theme) -> None:
        """Puts the series of a snapshot into the body."""


class GraphView(PanelView):
    """A chart and its legend."""

    def build(self) -> None:
        options = self.panel.options.get("legend") or {}
        if options.get("placement") == "right":
            self.body.classes("beside")
        self.chart = ui.echart({"series": []}).classes("chart")
        self.legend = ui.html(sanitize=False).classes("legend")
        self.legend.set_visibility(bool(options.get("showLegend", True)))
        self.shown = ""

    def fill(self, snapshot: Snapshot, theme: Theme) -> None:
        series = snapshot.series.get(self.panel.id, [])
        colors = assign_colors(series, theme)
        options = chart(self.panel, series, colors, snapshot.span, snapshot.period, theme)
        self.legend.set_content(legend(self.panel, series, colors) if series else "")
        if self.shown != (text := json.dumps(options)):
            self.shown = text
            self.chart.options.clear()
            self.chart.options.update(options)
            self.chart.update()


class StatView(PanelView):
    """One number for each series."""

    def build(self) -> None:
        self.numbers = ui.html(sanitize=False).classes("numbers")

    def fill(self, snapshot: Snapshot, theme: Theme) -> None:
        content, background = numbers(self.panel, snapshot.series.get(self.panel.id, []), theme)
        self.numbers.set_content(content)
        self.frame.classes(add="filled" if background else "", remove="" if background else "filled")
        self.frame.style(f"background: {background or 'var(--surface)'}")


class TextView(PanelView):
    """Markdown."""

    def build(self) -> None:
        self.text = ui.markdown(interpolate(self.panel.options.get("content") or "", GIVEN)).classes("prose")

    def show(self, snapshot: Snapshot, theme: Theme) -> None:
        self.message.set_text("")
        self.text.set_content(interpolate(self.panel.options.get("content") or "", snapshot.chosen))


VIEWS = {"timeseries": GraphView, "stat": StatView, "text": TextView}


class SectionView:
    """A row that opens and closes, and its panels. A closed one's panels are not asked for."""

    def __init__(self, section: Section, renew: Callable[[], Awaitable[None]], *, open_at_first: bool) -> None:
        self.section = section
        self.renew = renew
        self.open = open_at_first
        with ui.element("div").classes("row-title").on("click", self.toggle) as heading:
            self.arrow = ui.icon("")
            ui.label(section.title)
            if section.title == AWS_ONLY and not open_at_first:
                ui.html("published by AWS itself; empty on the local stack", tag="small")
        heading.set_visibility(bool(section.title))
        first_row = min((panel.grid.y for panel in section.panels), default=0)
        with ui.element("div").classes("grid") as self.grid:
            self.views = [VIEWS[panel.kind](panel, first_row) for panel in section.panels]
        self._arrange()

    async def toggle(self) -> None:
        self.open = not self.open
        self._arrange()
        if self.open:
            await self.renew()

    def _arrange(self) -> None:
        self.grid.set_visibility(self.open)
        self.arrow.set_name("expand_more" if self.open else "chevron_right")

    def show(self, snapshot: Snapshot, theme: Theme) -> None:
        if self.open:
            for view in self.views:
                view.show(snapshot, theme)


class Board:
    """All sections of a dashboard. `renew` is to show a new snapshot."""

    def __init__(self, dashboard: Dashboard, renew: Callable[[], Awaitable[None]], *, local: bool) -> None:
        with ui.element("main").classes("board"):
            self.sections = [
                SectionView(
                    section, renew, open_at_first=not (section.collapsed or (local and section.title == AWS_ONLY))
                )
                for section in dashboard.sections
            ]

    @property
    def open_panels(self) -> list[Panel]:
        return [panel for view in self.sections if view.open for panel in view.section.panels]

    def show(self, snapshot: Snapshot, theme: Theme) -> None:
        for section in self.sections:
            section.show(snapshot, theme)
