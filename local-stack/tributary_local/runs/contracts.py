"""Events of other contracts through a stack that is up: each with a stream, a bucket and an event source of its own."""

import shutil
from dataclasses import replace

from rich.console import Console

from tributary_local import contract, jobs
from tributary_local.parts.event_source import EventSource
from tributary_local.parts.stack import Stack
from tributary_local.runs.catch_up import wait_until_caught_up
from tributary_local.settings import Settings

#: In functions/events/tests/contracts: an envelope with nested data, and flat events with an epoch.
CONTRACTS = ("cloudevents", "clicks")
EVENTS = 1_000
#: So that groups of so few events are reported.
MINIMUM = ("--minimum-events", "20")


def carry_contract(settings: Settings, console: Console, name: str, seed: int) -> None:
    """Sends events of a contract; holds lake, report, table and ledger to them. `settings` are those of the stack."""
    own = of_contract(settings, name)
    # The stack's streams and buckets are new, so what an earlier run has left behind is void.
    shutil.rmtree(own.state, ignore_errors=True)
    own.run.mkdir(parents=True, exist_ok=True)
    Stack(own, console).provision()
    event_source = EventSource(own)
    event_source.start()
    try:
        jobs.produce(own, ["--events", str(EVENTS), "--days", "1", "--seed", str(seed), "--malformed", "0.1"])
        wait_until_caught_up(own, event_source, console)
    finally:
        event_source.stop()
    jobs.report(own, MINIMUM)
    jobs.verify(own, MINIMUM)
    jobs.compact(own)
    jobs.validate(own)
    jobs.check_table(own)


def of_contract(settings: Settings, name: str) -> Settings:
    """A part of the stack for one contract."""
    state = settings.state / name
    file = settings.root / "functions/events/tests/contracts" / f"{name}.toml"
    return replace(
        settings,
        state=state,
        out=state / "out",
        bucket=f"{settings.bucket}-{name}",
        stream=f"{settings.stream}-{name}",
        shards=1,
        environment={**settings.environment, contract.VARIABLE: str(file)},
    )
