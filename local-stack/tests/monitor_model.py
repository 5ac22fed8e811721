"""Pieces of Grafana's dashboard JSON, for the tests of the monitor."""

from typing import Any

from tributary_monitor.dashboard import Dashboard, parse


def target(ref_id: str = "A", **more: Any) -> dict[str, Any]:
    return {
        "refId": ref_id,
        "id": "",
        "namespace": "Tributary",
        "metricName": "Lag",
        "dimensions": {"Stream": "$stream"},
        "statistic": "Maximum",
        "period": "",
        "matchExact": True,
        "metricEditorMode": 0,
        "label": "lag",
        "expression": "",
        "hide": False,
        **more,
    }


def expression(ref_id: str, text: str, **more: Any) -> dict[str, Any]:
    empty = {"namespace": "", "metricName": "", "dimensions": {}, "metricEditorMode": 1}
    return target(ref_id, expression=text, **{**empty, **more})


def panel(panel_id: int = 1, *targets: dict[str, Any], kind: str = "timeseries", y: int = 0, **more: Any) -> dict:
    grid = {"x": 0, "y": y, "w": 12, "h": 8}
    return {
        "id": panel_id,
        "type": kind,
        "title": f"Panel {panel_id}",
        "gridPos": grid,
        "targets": list(targets),
        **more,
    }


def row(title: str, y: int, *panels: dict, collapsed: bool = False) -> dict[str, Any]:
    grid = {"x": 0, "y": y, "w": 24, "h": 1}
    return {
        "id": 900 + y,
        "type": "row",
        "title": title,
        "gridPos": grid,
        "collapsed": collapsed,
        "panels": list(panels),
    }


def values_of(name: str, namespace: str, metric: str, key: str, **more: Any) -> dict[str, Any]:
    query = {"queryType": "dimensionValues", "namespace": namespace, "metricName": metric, "dimensionKey": key}
    filters = more.pop("filters", {})
    return {"name": name, "type": "query", "query": {**query, "dimensionFilters": filters}, **more}


STREAM = values_of("stream", "Tributary", "RecordsReceived", "Stream", current={"value": "events"})
SHARD = values_of(
    "shard", "Tributary", "Lag", "Shard", filters={"Stream": ["$stream"]}, multi=True, includeAll=True, allValue="*"
)


def dashboard(*panels: dict[str, Any], variables: tuple[dict, ...] = (STREAM, SHARD)) -> Dashboard:
    return parse({"uid": "u", "title": "Test", "templating": {"list": list(variables)}, "panels": list(panels)})
