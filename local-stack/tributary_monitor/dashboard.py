"""Grafana's dashboard JSON, as far as the dashboards of this repository use it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KINDS = ("row", "timeseries", "stat", "text")
AWS_ONLY = "On AWS only"
"""The row of what nobody publishes on the local stack."""


class DashboardError(Exception):
    """A dashboard that cannot be shown; the message names it and what of it is not known."""


@dataclass(frozen=True)
class Grid:
    """Position and size on a grid of 24 columns."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Link:
    title: str
    url: str


@dataclass(frozen=True)
class Step:
    """From `value` on (None: from the beginning), things have this colour."""

    value: float | None
    color: str


@dataclass(frozen=True)
class Target:
    """One query of a panel, in the terms of Grafana's CloudWatch data source."""

    ref_id: str
    id: str
    namespace: str
    metric_name: str
    dimensions: Mapping[str, Sequence[str]]
    statistic: str
    period: str
    match_exact: bool
    label: str
    expression: str
    hidden: bool

    @property
    def query_id(self) -> str:
        return self.id or f"query{self.ref_id}"


@dataclass(frozen=True)
class Panel:
    id: int
    kind: str
    title: str
    description: str
    grid: Grid
    targets: Sequence[Target]
    links: Sequence[Link]
    defaults: Mapping[str, Any]
    """`fieldConfig.defaults`."""
    overrides: Sequence[Mapping[str, Any]]
    """`fieldConfig.overrides`."""
    options: Mapping[str, Any]

    @property
    def custom(self) -> Mapping[str, Any]:
        return self.defaults.get("custom") or {}

    @property
    def unit(self) -> str:
        return self.defaults.get("unit") or "short"

    @property
    def steps(self) -> list[Step]:
        """Thresholds, the lowest first."""
        steps = (self.defaults.get("thresholds") or {}).get("steps") or []
        return [Step(step.get("value"), step["color"]) for step in steps]


@dataclass(frozen=True)
class Section:
    """The panels below one row."""

    title: str
    collapsed: bool
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Variable:
    name: str
    kind: str
    label: str
    query: Any
    multi: bool
    include_all: bool
    all_value: str
    hidden: bool
    current: Sequence[str]


@dataclass(frozen=True)
class Dashboard:
    uid: str
    title: str
    description: str
    variables: Sequence[Variable]
    sections: Sequence[Section]
    links: Sequence[Link] = field(default_factory=tuple)

    @property
    def panels(self) -> list[Panel]:
        return [panel for section in self.sections for panel in section.panels]


def load(folder: Path) -> list[Dashboard]:
    """Every dashboard in `folder`, by title; raises DashboardError when there is none."""
    files = sorted(folder.glob("*.json"))
    if not files:
        raise DashboardError(f"there is no dashboard in {folder}")
    dashboards = [read(file) for file in files]
    # What flows before what rests: the pipeline is what one looks at first.
    return sorted(dashboards, key=lambda dashboard: (not dashboard.uid.endswith("pipeline"), dashboard.title))


def read(file: Path) -> Dashboard:
    """Raises DashboardError when the file cannot be shown."""
    try:
        return parse(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError) as error:
        raise DashboardError(f"{file} is not a dashboard of Grafana: {type(error).__name__}: {error}") from error
    except DashboardError as error:
        raise DashboardError(f"{file}: {error}") from error


def parse(model: Mapping[str, Any]) -> Dashboard:
    """From the decoded JSON; raises DashboardError at a type of panel that is not known."""
    return Dashboard(
        uid=model["uid"],
        title=model["title"],
        description=model.get("description") or "",
        variables=[_variable(one) for one in (model.get("templating") or {}).get("list") or []],
        sections=_sections(model["panels"]),
        links=[_link(one) for one in model.get("links") or []],
    )


def _sections(panels: Sequence[Mapping[str, Any]]) -> list[Section]:
    """A row holds its panels itself when it is collapsed; otherwise they follow it."""
    ordered = sorted(panels, key=lambda panel: (panel["gridPos"]["y"], panel["gridPos"]["x"]))
    sections: list[tuple[str, bool, list[Panel]]] = []
    for panel in ordered:
        if panel["type"] == "row":
            inner = [_panel(one) for one in panel.get("panels") or []]
            sections.append((panel.get("title") or "", bool(panel.get("collapsed")), inner))
            continue
        if not sections:
            sections.append(("", False, []))
        sections[-1][2].append(_panel(panel))
    return [Section(*section) for section in sections]


def _panel(model: Mapping[str, Any]) -> Panel:
    title = model.get("title") or ""
    if model["type"] not in KINDS:
        raise DashboardError(f"panel '{title}' is a '{model['type']}'; known are {', '.join(KINDS)}")
    grid = model["gridPos"]
    config = model.get("fieldConfig") or {}
    return Panel(
        id=model["id"],
        kind=model["type"],
        title=title,
        description=model.get("description") or "",
        grid=Grid(grid["x"], grid["y"], grid["w"], grid["h"]),
        targets=[_target(one) for one in model.get("targets") or []],
        links=[_link(one) for one in model.get("links") or []],
        defaults=config.get("defaults") or {},
        overrides=config.get("overrides") or [],
        options=model.get("options") or {},
    )


def _target(model: Mapping[str, Any]) -> Target:
    dimensions = {
        name: [value] if isinstance(value, str) else list(value)
        for name, value in (model.get("dimensions") or {}).items()
    }
    return Target(
        ref_id=model["refId"],
        id=model.get("id") or "",
        namespace=model.get("namespace") or "",
        metric_name=model.get("metricName") or "",
        dimensions=dimensions,
        statistic=model.get("statistic") or "Average",
        period=str(model.get("period") or ""),
        match_exact=model.get("matchExact", True),
        label=model.get("label") or "",
        # The code editor's text counts only in the code editor's mode.
        expression=(model.get("expression") or "") if model.get("metricEditorMode") == 1 else "",
        hidden=bool(model.get("hide")),
    )


def _link(model: Mapping[str, Any]) -> Link:
    return Link(model.get("title") or "", model.get("url") or "")


def _variable(model: Mapping[str, Any]) -> Variable:
    current = (model.get("current") or {}).get("value")
    return Variable(
        name=model["name"],
        kind=model["type"],
        label=model.get("label") or model["name"],
        query=model.get("query"),
        multi=bool(model.get("multi")),
        include_all=bool(model.get("includeAll")),
        all_value=model.get("allValue") or "",
        hidden=model.get("hide") in (2, "hideVariable"),
        current=[current] if isinstance(current, str) else list(current or []),
    )
