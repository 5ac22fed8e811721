"""Serves the dashboards: python -m tributary_monitor."""

import os
import socket
import sys
from pathlib import Path

from nicegui import app, ui

from tributary_monitor.cloudwatch import CloudWatch
from tributary_monitor.dashboard import Dashboard, DashboardError, load
from tributary_monitor.page import Page, head, prefers_dark

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ("README.md", "RUNBOOK.md")
DEFAULT_PORT = 8050


def port() -> int:
    """TRIBUTARY_MONITOR_PORT, or 8050; raises ValueError."""
    text = os.environ.get("TRIBUTARY_MONITOR_PORT") or str(DEFAULT_PORT)
    if not (text.isdecimal() and 0 < int(text) < 65536):
        raise ValueError(f"TRIBUTARY_MONITOR_PORT is '{text}'; it must be a port, 1 to 65535")
    return int(text)


def is_free(chosen_port: int) -> bool:
    """Whether nobody answers there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", chosen_port)) != 0


def register(cloudwatch: CloudWatch, dashboards: list[Dashboard]) -> None:
    """The routes."""
    by_uid = {dashboard.uid: dashboard for dashboard in dashboards}

    @ui.page("/", title="Tributary")
    @ui.page("/d/{uid}", title="Tributary")
    async def show(uid: str | None = None, theme: str | None = None) -> None:
        dashboard = by_uid.get(uid or dashboards[0].uid)
        if dashboard is None:
            ui.label(f"There is no dashboard '{uid}'.")
            return
        page = Page(cloudwatch, dashboards, dashboard)
        await ui.context.client.connected()
        await page.start(await prefers_dark(theme))

    for name in DOCUMENTS:
        document(name)

    @app.get("/healthy")
    def healthy() -> dict[str, str]:
        return {"cloudwatch": cloudwatch.place}


def document(name: str) -> None:
    """A page of the repository, with an anchor at each heading: what panels link to."""

    @ui.page(f"/{name}", title=name, dark=None)
    def show() -> None:
        head()
        text = (ROOT / name).read_text(encoding="utf-8")
        ui.markdown(text, extras=["fenced-code-blocks", "tables", "header-ids"]).classes("document")


def main() -> int:
    """Runs until it is interrupted. Only this machine can reach it."""
    try:
        dashboards, chosen_port = load(ROOT / "grafana/dashboards"), port()
    except (DashboardError, ValueError) as error:
        print(f"monitor: {error}", file=sys.stderr)
        return 1
    if not is_free(chosen_port):
        print(
            f"monitor: port {chosen_port} is in use, perhaps by the demo's page: http://127.0.0.1:{chosen_port}. "
            "TRIBUTARY_MONITOR_PORT chooses another.",
            file=sys.stderr,
        )
        return 1
    cloudwatch = CloudWatch.from_environment()
    register(cloudwatch, dashboards)
    print(f"monitor: http://127.0.0.1:{chosen_port} shows {cloudwatch.place}; Ctrl-C ends it", flush=True)
    ui.run(
        host="127.0.0.1",
        port=chosen_port,
        title="Tributary",
        reload=False,
        show=False,
        show_welcome_message=False,
        tailwind=False,
        uvicorn_logging_level="warning",
    )
    return 0


if __name__ in ("__main__", "__mp_main__"):
    sys.exit(main())
