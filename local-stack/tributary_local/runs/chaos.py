"""A stack of its own under every fault of `faults.py` for minutes, then the account: is a record missing or doubled?"""

import signal
import time
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from tributary_local import foreground, jobs
from tributary_local.account import function_log
from tributary_local.failure import Failure
from tributary_local.faults import schedule
from tributary_local.faults.process_faults import ProcessFaults
from tributary_local.faults.proxy import FaultProxy
from tributary_local.faults.schedule import Fault, RequestFaults
from tributary_local.parts import ports
from tributary_local.parts.event_source import EventSource
from tributary_local.parts.stack import Stack
from tributary_local.runs.catch_up import wait_for_first_commit, wait_until_caught_up
from tributary_local.runs.steps import Steps
from tributary_local.settings import Settings

EVENTS_PER_SECOND = 200
FUNCTION_TIMEOUT_SECONDS = 10
# Several times what a run takes.
MOST_REQUESTS_PER_MINUTE = 20_000
# For start, catching up and verification, on top of the minutes asked for.
EXTRA_SECONDS = 600


@dataclass(frozen=True)
class ChaosOptions:
    """What a run is asked for."""

    seed: int
    """Of events, schedule and faults."""
    minutes: int
    without: Set[Fault] = frozenset()
    """Fault kinds to leave out."""


def chaos(settings: Settings, console: Console, steps: Steps, options: ChaosOptions) -> None:
    """Beside a stack that may be up: another port, another state. Always takes its stack down again.

    Raises Failure when a record is missing or doubled, or when a fault has not been injected at all.
    """
    if settings.is_kafka:
        raise Failure("chaos is for the stream only so far", "make chaos BROKER=kinesis")
    apart = settings.beside("chaos", ports.free_port())
    proxy = FaultProxy(apart.port, RequestFaults(options.seed, options.without).next)
    proxy.start()
    arguments = [
        f"--function-env=AWS_ENDPOINT_URL_S3={proxy.endpoint}",
        f"--function-timeout-seconds={FUNCTION_TIMEOUT_SECONDS}",
        "--bisect-batch-on-function-error",
    ]
    stack = Stack(apart, console, EventSource(apart, arguments=arguments))
    second = EventSource(apart, state_directory=apart.state / "second-event-source", arguments=arguments)
    console.print(f"seed {options.seed}; make chaos SEED={options.seed} plans the same faults", highlight=False)
    stack.down()
    try:
        with time_limit(options.minutes * 60 + EXTRA_SECONDS):
            stack.up(steps.step)
            with steps.step(f"Produce {EVENTS_PER_SECOND} events/s for {options.minutes} min, under fire"):
                run = _Run(apart, console, stack, second, proxy, options)
                run.under_fire()
            with steps.step("Wait until the pipeline has caught up"):
                wait_until_caught_up(apart, stack.event_source, console)
                proxy.settle()
            run.show()
            with steps.step("Verify"):
                jobs.account(apart)
            with steps.step("Validate with Spark"):
                jobs.validate(apart)
            run.require_every_fault()
    finally:
        stack.down()
        proxy.stop()
    console.print()
    console.print(steps.table())


class _Run:
    """The part under fire, and what was injected."""

    def __init__(
        self,
        settings: Settings,
        console: Console,
        stack: Stack,
        second: EventSource,
        proxy: FaultProxy,
        options: ChaosOptions,
    ) -> None:
        self.settings = settings
        self.console = console
        self.stack = stack
        self.proxy = proxy
        self.options = options
        self.processes = ProcessFaults(stack.event_source, second, proxy.ports_at_work, options.seed, self._announce)
        self.started = time.monotonic()

    def under_fire(self) -> None:
        """Returns when the producer has delivered everything; from then on no fault is injected."""
        seconds = self.options.minutes * 60
        planned = schedule.plan(self.options.seed, seconds, self.options.without)
        arguments = ["--rate", str(EVENTS_PER_SECOND), "--duration", f"{seconds}s", "--seed", str(self.options.seed)]
        producer = jobs.start_producer(self.settings, arguments)
        try:
            wait_for_first_commit(self.settings, self.stack.event_source)
            self.started = time.monotonic()
            self.processes.run(planned, seconds, self._announce_requests)
        except BaseException:
            foreground.end(producer)
            raise
        self.proxy.let_everything_pass()
        if foreground.wait(producer) != 0:
            raise Failure("the producer could not deliver everything")

    def show(self) -> None:
        """What was injected, and what the function's log says about it."""
        table = Table(title="What was injected", title_justify="left", min_width=60)
        table.add_column("fault")
        table.add_column("times", justify="right")
        for fault, count in self._counts().items():
            table.add_row(fault, f"{count:,}")
        table.add_section()
        table.add_row("requests to S3", f"{self.proxy.requests:,}")
        self.console.print(table)
        seen = Table(title="What the function's log says", title_justify="left", show_header=False, min_width=60)
        seen.add_column()
        seen.add_column(justify="right")
        for what, count in function_log.count(self.stack.event_source.function_log).items():
            seen.add_row(what, f"{count:,}")
        self.console.print(seen)

    def require_every_fault(self) -> None:
        """Raises Failure naming those that were not injected once."""
        if missed := [fault for fault, count in self._counts().items() if count == 0]:
            raise Failure("not injected at all: " + ", ".join(missed))

    def _counts(self) -> dict[Fault, int]:
        return schedule.counts({**self.processes.injected, **self.proxy.injected}, self.options.without)

    def _announce(self, line: str) -> None:
        self.console.print(
            f"{time.monotonic() - self.started:6.1f} s  {line}", highlight=False, markup=False, soft_wrap=True
        )

    def _announce_requests(self) -> None:
        if self.proxy.requests > self.options.minutes * MOST_REQUESTS_PER_MINUTE:
            raise Failure(f"{self.proxy.requests:,} requests to S3 are no honest work: does the function loop?")
        injected = ", ".join(f"{fault} {count}" for fault, count in sorted(self.proxy.injected.items()))
        self._announce(f"{self.proxy.requests:,} requests to S3: {injected}")


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises Failure in the main thread when what it surrounds takes longer."""

    def over(*_: object) -> None:
        raise Failure(f"not done after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
