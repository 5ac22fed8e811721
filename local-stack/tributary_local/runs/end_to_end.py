"""The demo's path with few events, on a stack of its own, while function and event source are killed in mid-run."""

import os
import signal
import time

from rich.console import Console

from tributary_local import foreground, jobs
from tributary_local.failure import Failure, last_lines
from tributary_local.parts import ports, processes
from tributary_local.parts.stack import Stack
from tributary_local.runs import documents
from tributary_local.runs.before_and_after import before_and_after_compaction
from tributary_local.runs.catch_up import wait_for_first_commit, wait_until_caught_up
from tributary_local.runs.contracts import CONTRACTS, carry_contract
from tributary_local.runs.steps import Steps
from tributary_local.settings import Settings

EVENTS = 4_000
EVENTS_PER_SECOND = 500


def end_to_end(settings: Settings, console: Console, steps: Steps, seed: int) -> None:
    """Beside a stack that may be up: another port, another state. Always takes its stack down again."""
    apart = settings.beside("end-to-end", ports.free_port(), ports.free_port())
    stack = Stack(apart, console)
    stack.down()
    try:
        stack.up(steps.step)
        with steps.step(f"Produce {EVENTS:,} events, killing the function and the event source meanwhile"):
            _produce_under_fire(apart, stack, console, seed)
        with steps.step("Wait until the pipeline has caught up"):
            wait_until_caught_up(apart, stack.event_source, console)
        before_and_after_compaction(apart, steps, _compact_killed_and_again)
        with steps.step("Validate with Spark, the table too"):
            jobs.validate(apart)
        with steps.step("Check the table without Spark"):
            jobs.check_table(apart)
        with steps.step("Ask every query of every dashboard"):
            jobs.check_panels(apart)
        if not apart.is_kafka:  # the core is the same
            for name in CONTRACTS:
                with steps.step(f"Events of the contract {name}"):
                    carry_contract(apart, console, name, seed)
            with steps.step("Type what the documents tell people to type"):
                commands, queries = documents.try_runbook(apart), documents.try_queries(apart)
                console.print(f"{commands} blocks of the RUNBOOK, {queries} queries", highlight=False)
    finally:
        stack.down()
    console.print()
    console.print(steps.table())


def _produce_under_fire(settings: Settings, stack: Stack, console: Console, seed: int) -> None:
    console.print(f"seed {seed}", highlight=False)
    producer = jobs.start_producer(
        settings,
        ["--events", str(EVENTS), "--rate", str(EVENTS_PER_SECOND), "--days", "1", "--seed", str(seed), "--metrics"],
    )
    try:
        wait_for_first_commit(settings, stack.event_source)
        _kill_functions(stack, console)
        time.sleep(1.5)
        _kill_event_source(stack, console)
    except BaseException:
        foreground.end(producer)
        raise
    if foreground.wait(producer) != 0:
        raise Failure("the producer could not deliver everything")


def _compact_killed_and_again(settings: Settings) -> None:
    try:
        jobs.compact(settings, ["--end-at", "staged"])
    except Failure:
        jobs.compact(settings)
    else:
        raise Failure("the compaction was to be killed, and came to its end")


def _kill_functions(stack: Stack, console: Console) -> None:
    functions = stack.event_source.function_processes()
    if not functions:
        raise Failure("no function process is there to be killed", last_lines(stack.event_source.log_file))
    for function in functions:
        os.kill(function.pid, signal.SIGKILL)
    console.print(f"killed the function ({len(functions)} execution environment(s))")


def _kill_event_source(stack: Stack, console: Console) -> None:
    stack.event_source.kill()
    stack.event_source.start()
    new = stack.event_source.running()
    console.print(f"killed the event source and started it again ({processes.describe(new)})", highlight=False)
