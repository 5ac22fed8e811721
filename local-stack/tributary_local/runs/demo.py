"""From an empty machine to a verified report, in one go."""

import time

from rich.console import Console
from rich.markup import escape

from tributary_local import jobs
from tributary_local.failure import Failure, last_lines
from tributary_local.parts.stack import Stack, relative
from tributary_local.runs.before_and_after import before_and_after_compaction
from tributary_local.runs.catch_up import wait_until_caught_up
from tributary_local.runs.steps import Steps
from tributary_local.settings import Settings

EVENTS = 60_000
DAYS = 3


def demo(settings: Settings, console: Console, steps: Steps, seed: int, started_at: float | None) -> None:
    """Leaves the stack up. `started_at` (epoch seconds) is when the caller began to set up."""
    if started_at is not None:
        steps.done("Prerequisites and set-up", time.time() - started_at)
    stack = Stack(settings, console)
    stack.up(steps.step, dashboards=True)
    dashboards = show_dashboards(stack, console)
    with steps.step(f"Produce {EVENTS:,} events"):
        console.print(f"seed {seed}; make demo SEED={seed} makes the same events again", highlight=False)
        jobs.produce(settings, ["--events", str(EVENTS), "--days", str(DAYS), "--seed", str(seed), "--metrics"])
    with steps.step("Wait until the pipeline has caught up"):
        wait_until_caught_up(settings, stack.event_source, console)
    before_and_after_compaction(settings, steps, jobs.compact)
    console.print()
    console.print(steps.table())
    warn_if_died(stack, console)
    csv = relative(settings.out / jobs.REPORT_CSV)
    console.print(NEXT.format(csv=csv, bucket=settings.bucket, dashboards=dashboards), highlight=False)


def show_dashboards(stack: Stack, console: Console) -> str:
    """The address of the live dashboards: Grafana's where it runs, else the monitor's, which is started here.

    A monitor that cannot be started is a warning; the verb that starts it is given back instead.
    """
    if stack.grafana and stack.grafana.running():
        address = stack.grafana.address
    else:
        try:
            if not stack.monitor.running():
                stack.monitor.start()
        except Failure as failure:
            warn(console, failure.summary, failure.details)
            return "make monitor"
        address = stack.monitor.address
    console.print(f"\n[bold]Live dashboards: {address}[/]", highlight=False)
    return address


def warn_if_died(stack: Stack, console: Console) -> None:
    """Nobody waits for the monitor when it is started, so it may have failed since."""
    if stack.monitor.remembered() and not stack.monitor.running():
        warn(console, "the monitor has died", last_lines(stack.monitor.log_file, 5))


def warn(console: Console, summary: str, details: str) -> None:
    """The demo goes on without dashboards."""
    console.print("\n[yellow]warning: no live dashboards:[/] " + escape(f"{summary}. {details}"), highlight=False)


NEXT = """
The stack is still up. What to look at next:
  {dashboards:<51}  the dashboards, live
  {csv:<51}  the report
  make status                                          what runs, and how far each shard is
  make logs                                            the function's and the event source's logs
  make produce ARGS="--duration 30s --rate 500"        more events; then make report, make verify
  . local-stack/env.sh && .local/venv/stack/bin/aws s3 ls --recursive s3://{bucket}/events/
  make down                                            stops all of it"""
