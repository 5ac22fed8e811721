"""The monitor beside the stack: started for the demo, and never in its way."""

import io
import time
from collections.abc import Iterator

import pytest
from rich.console import Console

from tributary_local.nightly_metrics import job_metrics
from tributary_local.parts import processes
from tributary_local.parts.monitor import PORT_VARIABLE, Monitor
from tributary_local.parts.ports import free_port
from tributary_local.parts.stack import Stack
from tributary_local.runs.demo import show_dashboards, warn_if_died
from tributary_local.settings import Settings


@pytest.fixture
def stack(settings: Settings) -> Iterator[Stack]:
    """Its monitor is a program that sleeps, on a free port; no container, whatever this machine has."""
    settings.environment[PORT_VARIABLE] = str(free_port())
    settings.environment["TRIBUTARY_DOCKER"] = "0"
    python = settings.python("monitor")
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nsleep 60\n")
    python.chmod(0o755)
    yield Stack(settings, Console(file=io.StringIO(), width=200))
    processes.kill(processes.belonging_to(settings.state))


def shown(stack: Stack) -> tuple[str, str]:
    """What the demo is told, and what it prints."""
    address = show_dashboards(stack, stack.console)
    return address, stack.console.file.getvalue()


def test_the_demo_starts_the_monitor_and_says_where_it_is(stack: Stack) -> None:
    address, printed = shown(stack)
    assert address == stack.monitor.address
    assert f"Live dashboards: {address}" in printed
    first = stack.monitor.running()
    assert first is not None
    show_dashboards(stack, stack.console)
    assert stack.monitor.running() == first


def test_down_stops_the_monitor(stack: Stack) -> None:
    show_dashboards(stack, stack.console)
    process = stack.monitor.running()
    stack.down()
    assert process is not None
    assert not processes.is_alive(process)
    assert not stack.monitor.remembered()


@pytest.mark.parametrize(
    ("port", "reason"), [("0", "must be a port"), ("x", "must be a port"), ("99999", "must be a port")]
)
def test_a_port_that_is_none_is_a_warning(settings: Settings, stack: Stack, port: str, reason: str) -> None:
    settings.environment[PORT_VARIABLE] = port
    stack.monitor = Monitor(settings)
    address, printed = shown(stack)
    assert address == "make monitor"
    assert "warning: no live dashboards" in printed
    assert reason in printed


def test_a_monitor_that_is_not_installed_is_a_warning(stack: Stack) -> None:
    stack.settings.python("monitor").unlink()
    address, printed = shown(stack)
    assert address == "make monitor"
    assert "warning: no live dashboards: the monitor is not installed" in printed


def test_a_monitor_that_ended_is_a_warning_with_the_end_of_its_log(stack: Stack) -> None:
    stack.settings.python("monitor").write_text("#!/bin/sh\necho no module\nexit 1\n")
    show_dashboards(stack, stack.console)
    deadline = time.monotonic() + 10
    while stack.monitor.running():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    warn_if_died(stack, stack.console)
    printed = stack.console.file.getvalue()
    assert "the monitor has died" in printed
    assert "no module" in printed


def test_a_report_counts_as_one_job_that_succeeded_or_failed() -> None:
    counts = {metric["MetricName"]: metric["Value"] for metric in job_metrics(succeeded=True)}
    assert counts == {"ExecutionsSucceeded": 1, "ExecutionsFailed": 0, "ExecutionsTimedOut": 0}
    counts = {metric["MetricName"]: metric["Value"] for metric in job_metrics(succeeded=False)}
    assert counts == {"ExecutionsSucceeded": 0, "ExecutionsFailed": 1, "ExecutionsTimedOut": 0}
    dimensions = [metric["Dimensions"] for metric in job_metrics(succeeded=True)]
    assert dimensions == [[{"Name": "StateMachineArn", "Value": "local"}]] * 3
