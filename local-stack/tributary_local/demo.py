"""From an empty machine to a verified report, in one go."""

import time

from rich.console import Console

from tributary_local import jobs
from tributary_local.catch_up import wait_until_caught_up
from tributary_local.settings import Settings
from tributary_local.stack import Stack, relative
from tributary_local.steps import Steps

EVENTS = 60_000
DAYS = 3


def demo(settings: Settings, console: Console, steps: Steps, seed: int, started_at: float | None) -> None:
    """Leaves the stack up. `started_at` (epoch seconds) is when the caller began to set up."""
    if started_at is not None:
        steps.done("Prerequisites and set-up", time.time() - started_at)
    stack = Stack(settings, console)
    stack.up(steps.step)
    with steps.step(f"Produce {EVENTS:,} events"):
        console.print(f"seed {seed}; make demo SEED={seed} makes the same events again", highlight=False)
        jobs.produce(settings, ["--events", str(EVENTS), "--days", str(DAYS), "--seed", str(seed), "--metrics"])
    with steps.step("Wait until the pipeline has caught up"):
        wait_until_caught_up(settings, stack.event_source, console)
    with steps.step("Report with Spark"):
        jobs.report(settings)
    with steps.step("Verify"):
        jobs.verify(settings)
    console.print()
    console.print(steps.table())
    console.print(NEXT.format(csv=relative(settings.out / jobs.REPORT_CSV), bucket=settings.bucket), highlight=False)


NEXT = """
The stack is still up. What to look at next:
  {csv}                           the report
  make status                                          what runs, and how far each shard is
  make logs                                            the function's and the event source's logs
  make produce ARGS="--duration 30s --rate 500"        more events; then make report, make verify
  . local-stack/env.sh && .local/venv/stack/bin/aws s3 ls --recursive s3://{bucket}/events/
  make down                                            stops all of it"""
