"""The page: a bar with the choices, and the board below it, renewed every few seconds."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from nicegui import run, ui
from nicegui.events import ValueChangeEventArguments

from tributary_monitor.board import Board
from tributary_monitor.cloudwatch import CloudWatch, CloudWatchError
from tributary_monitor.dashboard import Dashboard, Variable
from tributary_monitor.snapshot import GIVEN, Snapshot, take
from tributary_monitor.theme import DARK, LIGHT, Theme
from tributary_monitor.units import javascript
from tributary_monitor.variables import ALL

RANGES = {
    300: "last 5 minutes",
    900: "last 15 minutes",
    1800: "last 30 minutes",
    3600: "last hour",
    3 * 3600: "last 3 hours",
    12 * 3600: "last 12 hours",
    24 * 3600: "last 24 hours",
}
LOCAL_RANGE, AWS_RANGE = 300, 3600
"""At first: the local stack lives for minutes."""
CSS = Path(__file__).with_name("page.css")


def head() -> None:
    """What every page needs in its head."""
    ui.add_css(CSS)
    ui.add_head_html(f"<script>{javascript()}</script>")


async def prefers_dark(asked: str | None) -> bool:
    """What the address asks for with ?theme=light or dark, else what the browser prefers."""
    if asked in ("light", "dark"):
        return asked == "dark"
    return bool(await ui.run_javascript("matchMedia('(prefers-color-scheme: dark)').matches"))


class Page:
    """One browser tab on one dashboard."""

    def __init__(self, cloudwatch: CloudWatch, dashboards: Sequence[Dashboard], dashboard: Dashboard) -> None:
        self.cloudwatch = cloudwatch
        self.dashboard = dashboard
        self.wanted: dict[str, list[str]] = {}
        self.selects: dict[str, ui.select] = {}
        self.seconds = LOCAL_RANGE if cloudwatch.local else AWS_RANGE
        self.dark = ui.dark_mode(False)
        self.latest: Snapshot | None = None
        self.working = asyncio.Lock()
        self.settling = False
        head()
        with ui.element("header").classes("bar"):
            self._bar(dashboards)
        self.board = Board(dashboard, self.refresh, local=cloudwatch.local)

    def _bar(self, dashboards: Sequence[Dashboard]) -> None:
        ui.label("Tributary").classes("brand")
        with ui.element("nav").classes("tabs"):
            for one in dashboards:
                name = one.title.removeprefix("Tributary:").strip()
                ui.link(name, f"/d/{one.uid}").classes("here" if one is self.dashboard else "")
        with ui.element("div").classes("right"):
            self.state = ui.label("connecting").classes("state")
            for variable in self.dashboard.variables:
                if variable.kind in ("query", "custom") and not variable.hidden and variable.name not in GIVEN:
                    self._select(variable)
            look = "dense outlined options-dense"
            ui.select(RANGES, value=self.seconds, on_change=self._range).props(look).mark("range")
            self.toggle = ui.button(icon="dark_mode", on_click=self._toggle).props("flat round dense color=grey")

    def _select(self, variable: Variable) -> None:
        async def changed() -> None:
            if self.settling:
                return
            value = self.selects[variable.name].value
            self.wanted[variable.name] = _selection(value, self.latest.selected[variable.name] if self.latest else [])
            await self.refresh()

        self.selects[variable.name] = (
            ui.select([], label=variable.label, multiple=variable.multi, on_change=changed)
            .props("dense outlined options-dense")
            .style(f"min-width: {len(variable.label) * 7 + 48}px")
        )

    async def start(self, dark: bool) -> None:
        """Shows the first snapshot and keeps renewing it while the tab is open."""
        self._set_dark(dark)
        await self.refresh()
        ui.timer(self.cloudwatch.refresh_seconds, self.refresh, immediate=False)

    async def refresh(self) -> None:
        """Takes a snapshot and shows it; a CloudWatch that cannot be reached is said in the bar."""
        async with self.working:
            panels = self.board.open_panels
            arguments = (self.cloudwatch, self.dashboard, panels, dict(self.wanted), self.seconds, time.time())
            try:
                snapshot = await run.io_bound(take, *arguments)
            except CloudWatchError as error:
                self.state.classes(add="lost").set_text(str(error))
                return
            if snapshot is None:
                return
            self.latest = snapshot
            self.state.classes(remove="lost").set_text(
                f"{time.strftime('%H:%M:%S')} · {snapshot.period} s periods · {self.cloudwatch.place}"
            )
            self._show_choices(snapshot)
            self.board.show(snapshot, self.theme)

    def _show_choices(self, snapshot: Snapshot) -> None:
        self.settling = True
        variables = {variable.name: variable for variable in self.dashboard.variables}
        for name, select in self.selects.items():
            offered, selected = list(snapshot.offered[name]), list(snapshot.selected[name])
            labels = {value: value for value in [*offered, *selected] if value != ALL}
            if variables[name].include_all:
                labels = {ALL: "all", **labels}
            value = selected if variables[name].multi else next(iter(selected), None)
            if (select.options, select.value) != (labels, value):
                select.set_options(labels, value=value)
        self.settling = False

    @property
    def theme(self) -> Theme:
        return DARK if self.dark.value else LIGHT

    def _set_dark(self, dark: bool) -> None:
        self.dark.set_value(dark)
        self.toggle.props(f"icon={'light_mode' if dark else 'dark_mode'}")

    def _toggle(self) -> None:
        self._set_dark(not self.dark.value)
        if self.latest:
            self.board.show(self.latest, self.theme)

    async def _range(self, event: ValueChangeEventArguments) -> None:
        self.seconds = event.value
        await self.refresh()


def _selection(value: str | list[str] | None, before: Sequence[str]) -> list[str]:
    """All and single values exclude one another: the one that was added counts."""
    values = [value] if isinstance(value, str) else list(value or [])
    if ALL in values and len(values) > 1:
        return [one for one in values if one != ALL] if ALL in before else [ALL]
    return values
