"""The verbs of the local stack; `make help` lists them for people."""

import argparse
import os
import signal
import sys
import time
from pathlib import Path

from rich.console import Console

from tributary_local import contract, jobs
from tributary_local.benches import backlog, freshness
from tributary_local.console import consoles
from tributary_local.failure import Failure
from tributary_local.faults.schedule import ProcessFault, RequestFault
from tributary_local.parts.stack import Stack
from tributary_local.runs.chaos import ChaosOptions, chaos
from tributary_local.runs.demo import demo
from tributary_local.runs.end_to_end import end_to_end
from tributary_local.runs.send import send
from tributary_local.runs.steps import Steps
from tributary_local.settings import Settings, SettingsError

ROOT = Path(__file__).resolve().parents[2]
NEED_THE_STACK = {"produce", "report", "averages", "compact", "check-table", "validate", "verify", "send"}
ON_A_STACK_OF_THEIR_OWN = {"end-to-end", "chaos", "bench-freshness", "bench-backlog"}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    main = argparse.ArgumentParser(prog="python -m tributary_local", description=__doc__)
    verbs = main.add_subparsers(dest="verb", required=True, metavar="VERB")
    up = verbs.add_parser("up", help="start what is not running")
    up.add_argument("--without-event-source", action="store_true", help="only LocalStack, provisioned")
    verbs.add_parser("down", help="stop everything")
    verbs.add_parser("status", help="what runs, and how far it is; status 1 when something does not")
    logs = verbs.add_parser("logs", help="print and follow the logs")
    logs.add_argument("--no-follow", action="store_true", help="print their last lines and end")
    for verb, help_text in (
        ("produce", "send events, with a ledger of what was acknowledged"),
        ("report", "the Spark report over the lake"),
        ("averages", "the Spark averages per device and minute"),
        ("compact", "load what is new into the table"),
        ("validate", "the Spark check of the lake"),
        ("verify", "compare ledgers, lake and report"),
    ):
        job = verbs.add_parser(verb, help=help_text)
        job.add_argument("arguments", nargs="*", help="the job's own, after --")
    own = verbs.add_parser("send", help="send a file of your own events, and say what becomes of each line")
    own.add_argument("file", type=Path)
    verbs.add_parser("check-table", help="the table without Spark, against the objects")
    demonstration = verbs.add_parser("demo", help="up, produce, wait, report, verify")
    demonstration.add_argument("--started-at", type=float, metavar="EPOCH", help="when the caller began to set up")
    small = verbs.add_parser("end-to-end", help="the demo's path with few events, under fire, on a stack of its own")
    fire = verbs.add_parser("chaos", help="minutes of kills, freezes and S3 faults, on a stack of its own")
    fire.add_argument("--minutes", type=minutes, default=3, metavar="1-60", help="how long (3)")
    kinds = [fault.value for fault in (*ProcessFault, *RequestFault)]
    fire.add_argument(
        "--without", choices=kinds, action="append", default=[], metavar="FAULT", help="leave a kind out: %(choices)s"
    )
    age = verbs.add_parser("bench-freshness", help="how old a row is when it can be read, on stacks of its own")
    age.add_argument("--seconds", type=int, default=freshness.SECONDS, help="of events, for each broker (%(default)s)")
    full = verbs.add_parser("bench-backlog", help="a full topic, carried into a lake, on stacks of its own")
    full.add_argument("--events", type=int, default=backlog.EVENTS, help="that wait (%(default)s)")
    for seeded in (demonstration, small, fire):
        seeded.add_argument("--seed", type=int, help="of all that is random; drawn from the clock by default")
    return main


def run(arguments: argparse.Namespace, settings: Settings, console: Console, steps: Steps) -> int:
    """Carries out one verb; gives back the exit status."""
    if arguments.verb not in ON_A_STACK_OF_THEIR_OWN:
        settings = contract.followed(settings)
    stack = Stack(settings, console)
    if arguments.verb in NEED_THE_STACK:
        stack.require()
    match arguments.verb:
        case "up":
            whole = not arguments.without_event_source
            stack.up(steps.step, event_source=whole, dashboards=whole)
        case "down":
            stack.down()
        case "status":
            return 0 if stack.status() else 1
        case "logs":
            follow_logs(settings, follow=not arguments.no_follow)
        case "produce":
            jobs.produce(settings, arguments.arguments)
        case "send":
            send(settings, stack.event_source, console, arguments.file)
        case "report":
            jobs.report(settings, arguments.arguments)
        case "averages":
            jobs.averages(settings, arguments.arguments)
        case "compact":
            jobs.compact(settings, arguments.arguments)
        case "check-table":
            jobs.check_table(settings)
        case "validate":
            jobs.validate(settings, arguments.arguments)
        case "verify":
            jobs.verify(settings, arguments.arguments)
        case "demo":
            demo(settings, console, steps, seed_of(arguments), arguments.started_at)
        case "end-to-end":
            end_to_end(settings, console, steps, seed_of(arguments))
        case "chaos":
            options = ChaosOptions(seed_of(arguments), arguments.minutes, frozenset(arguments.without))
            chaos(settings, console, steps, options)
        case "bench-freshness":
            freshness.freshness(settings, console, steps, arguments.seconds)
        case "bench-backlog":
            backlog.backlog(settings, console, steps, arguments.events)
    return 0


def minutes(text: str) -> int:
    """A whole number from 1 to 60."""
    if not (text.isdecimal() and 1 <= int(text) <= 60):
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1 to 60")
    return int(text)


def seed_of(arguments: argparse.Namespace) -> int:
    """The one that was asked for, or another one each time."""
    return arguments.seed if arguments.seed is not None else int(time.time())


def follow_logs(settings: Settings, follow: bool) -> None:
    """Becomes `tail`; raises Failure when there is no log."""
    logs = sorted(settings.log.glob("*.log"))
    if not logs:
        raise Failure(f"there is no log in {settings.log}", "make up writes them.")
    os.execvp("tail", ["tail", "-n", "20", *(["-F"] if follow else []), *map(str, logs)])


def main() -> int:
    """Every failure becomes one line on standard error, and status 1; Ctrl-C becomes 130."""
    # A terminated run winds down like one that is interrupted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    arguments = parser().parse_args()
    console, errors = consoles()
    steps = Steps(console)
    try:
        return run(arguments, Settings.from_environment(ROOT, os.environ), console, steps)
    except SettingsError as error:
        complain(errors, arguments.verb, steps.current, str(error))
        return 1
    except Failure as failure:
        complain(errors, arguments.verb, steps.current, failure.summary, failure.details)
        return 1
    except KeyboardInterrupt:
        complain(errors, arguments.verb, steps.current, "interrupted; make status says what is still up")
        return 130


def complain(errors: Console, verb: str, step: str | None, summary: str, details: str = "") -> None:
    """Which verb and which step, then why."""
    where = verb if step is None else f"{verb}, at '{step}'"
    errors.print(f"\n[bold red]{where}:[/] ", end="")
    errors.print(summary, markup=False, highlight=False, soft_wrap=True)
    if details:
        errors.print(details, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
