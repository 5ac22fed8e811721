"""`make bench-backlog`: a topic that is full before the event source starts, and how fast it is carried into a lake.

Twice: into the local S3, and into one that answers at once, so that no emulator is the limit of the second figure.
"""

import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace

import psutil
from rich.console import Console
from rich.table import Table

from tributary_local import jobs
from tributary_local.account.function_log import durations_ms
from tributary_local.account.progress import Acknowledged, progress, read_checkpoints, read_ledgers
from tributary_local.failure import Failure, last_lines
from tributary_local.parts import ports
from tributary_local.parts.event_source import EventSource
from tributary_local.parts.stack import Stack
from tributary_local.runs.steps import Steps
from tributary_local.settings import Settings

EVENTS = 2_000_000
BATCH_SIZE = 10_000
LOCAL = "the local S3"
AT_ONCE = "one that answers at once"
POLL_SECONDS = 0.05
MOST_SECONDS = 1800


@dataclass(frozen=True)
class Drained:
    """What it took to carry the backlog."""

    seconds: float
    in_the_function: float
    """Seconds of all invocations together."""
    processor_seconds: Mapping[str, float]
    """By part of the pipeline."""


def backlog(settings: Settings, console: Console, steps: Steps, events: int = EVENTS) -> None:
    """Always takes its stacks down again; raises Failure when the backlog is not carried within half an hour."""
    drained = {}
    for lake in (LOCAL, AT_ONCE):
        apart = settings.beside("backlog", ports.free_port(), ports.free_port())
        with s3_that_answers_at_once(settings) if lake == AT_ONCE else nullcontext() as endpoint:
            drained[lake] = _drain(replace(apart, broker="redpanda"), console, steps, events, endpoint)
    console.print(table(drained, events))


@contextmanager
def s3_that_answers_at_once(settings: Settings) -> Iterator[str]:
    """Its endpoint."""
    program = settings.root / "target/lambda/bench-s3-at-once/bootstrap"
    with subprocess.Popen([program], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def _drain(settings: Settings, console: Console, steps: Steps, events: int, endpoint: str | None) -> Drained:
    arguments = [f"--batch-size={BATCH_SIZE}", f"--pollers={settings.shards}"]
    if endpoint:
        arguments.append(f"--function-env=AWS_ENDPOINT_URL_S3={endpoint}")
    event_source = EventSource(settings, arguments=arguments)
    stack = Stack(settings, console, event_source)
    stack.down()
    try:
        stack.up(steps.step, event_source=False)
        with steps.step(f"Produce {events:,} events"):
            jobs.produce(settings, ["--events", str(events), "--days", "1", "--seed", "1"])
        sent = read_ledgers(settings.ledger)
        before = _processor_seconds(stack)
        with steps.step(f"Carry them into {AT_ONCE if endpoint else LOCAL}"):
            started = time.monotonic()
            event_source.start()
            _wait(event_source, sent)
            seconds = time.monotonic() - started
        after = _processor_seconds(stack)
        return Drained(
            seconds=seconds,
            in_the_function=sum(durations_ms(event_source.function_log)) / 1000,
            processor_seconds={part: used - before.get(part, 0) for part, used in after.items()},
        )
    finally:
        stack.down()


def _wait(event_source: EventSource, sent: Mapping[str, Acknowledged]) -> None:
    deadline = time.monotonic() + MOST_SECONDS
    while not progress(sent, read_checkpoints(event_source.settings.checkpoints)).caught_up:
        if event_source.running() is None:
            raise Failure("the event source has died", last_lines(event_source.log_file))
        if time.monotonic() > deadline:
            raise Failure(f"the backlog is not carried after {MOST_SECONDS} s", last_lines(event_source.function_log))
        time.sleep(POLL_SECONDS)


def _processor_seconds(stack: Stack) -> Mapping[str, float]:
    """Of the processes that run now."""

    def used(processes: list[psutil.Process]) -> float:
        times = [process.cpu_times() for process in processes]
        return sum(time.user + time.system for time in times)

    def tree(process: psutil.Process | None) -> list[psutil.Process]:
        return [process, *process.children(recursive=True)] if process else []

    functions = stack.event_source.function_processes()
    event_source = [process for process in tree(stack.event_source.running()) if process not in functions]
    return {
        "function": used(functions),
        "event source": used(event_source),
        "broker": used(tree(stack.kafka.running() if stack.kafka else None)),
        "LocalStack": used(tree(stack.localstack.running())),
    }


def table(drained: Mapping[str, Drained], events: int) -> Table:
    """A column for each lake."""
    shown = Table(title=f"{events:,} events waiting in a topic", title_justify="left")
    shown.add_column("")
    for lake in drained:
        shown.add_column(f"into {lake}", justify="right")

    def row(name: str, cells: Iterator[str]) -> None:
        shown.add_row(name, *cells)

    of = list(drained.values())
    row("seconds", (f"{one.seconds:,.1f}" for one in of))
    row("events/s", (f"{events / one.seconds:,.0f}" for one in of))
    row("events/s of an environment at work", (f"{events / one.in_the_function:,.0f}" for one in of))
    shown.add_section()
    for part in of[0].processor_seconds:
        row(f"processor seconds, {part}", (f"{one.processor_seconds[part]:,.1f}" for one in of))
    return shown
