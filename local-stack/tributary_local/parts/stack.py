"""The stack as a whole: up, down, status."""

import fcntl
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import psutil
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tributary_local import contract
from tributary_local.account.progress import read_checkpoints
from tributary_local.failure import Failure, last_lines
from tributary_local.parts import processes
from tributary_local.parts.containers import Announce, Grafana, LocalStackContainer, localstack
from tributary_local.parts.event_source import EventSource
from tributary_local.parts.kafka import KafkaProcess, provision_topic
from tributary_local.parts.localstack import is_healthy, log_file
from tributary_local.parts.monitor import Monitor
from tributary_local.settings import Settings, broker_file, broker_that_is_up


class Stack:
    """LocalStack with its bucket, stream and queue, perhaps a broker beside it, and the event source on top."""

    def __init__(self, settings: Settings, console: Console, event_source: EventSource | None = None) -> None:
        self.settings = settings
        self.console = console
        self.localstack = localstack(settings)
        in_containers = isinstance(self.localstack, LocalStackContainer)
        # A container of it comes with LocalStack's.
        self.kafka = KafkaProcess(settings) if settings.is_kafka and not in_containers else None
        self.grafana = Grafana(settings) if in_containers else None
        self.event_source = event_source or EventSource(settings)
        self.monitor = Monitor(settings)

    def up(self, step: Announce = lambda _: nullcontext(), event_source: bool = True, dashboards: bool = False) -> None:
        """Brings up what is not up yet. On failure, and on Ctrl-C, whatever this call started is stopped again.

        `dashboards`: with Grafana, where it can be had.
        """
        with self._alone():
            start_grafana = dashboards and self.grafana and self.grafana.wanted and not self.grafana.running()
            reads_events = not event_source or self._reads_events()
            if self._is_up(event_source) and reads_events and not start_grafana:
                self.console.print(f"already up and healthy at {self.settings.endpoint}", highlight=False)
                return
            started = []
            self._refuse_another_broker()
            try:
                if not (self.localstack.running() and is_healthy(self.settings)):
                    if isinstance(self.localstack, LocalStackContainer):
                        self.localstack.build_what_is_missing(step)
                    with step("Start LocalStack"):
                        self._stop_everything()
                        self._discard_lost_state()
                        started.append(self.localstack)
                        broker_file(self.settings.state).write_text(self.settings.broker, encoding="utf-8")
                        self.localstack.start()
                if self.kafka and not self.kafka.running():
                    with step("Start Kafka"):
                        started.append(self.kafka)
                        self.kafka.start()
                what = "topic" if self.settings.is_kafka else "stream"
                with step(f"Provision bucket, {what} and queue"):
                    self.provision()
                if event_source and not self._reads_events():
                    with step("Start the event source"):
                        # One that holds events to another contract, or to what the file said before.
                        self.event_source.stop()
                        started.append(self.event_source)
                        self.event_source.start()
                        contract.remember(self.settings)
                if start_grafana:
                    with step("Start Grafana"):
                        started.append(self.grafana)
                        self._start_grafana()
            except BaseException:
                self._tear_down(started)
                raise
            self.console.print(f"up at {self.settings.endpoint}", highlight=False)

    def provision(self) -> None:
        """Runs provision.sh, unless it has run for this LocalStack with the same names."""
        marker = self.settings.run / "provisioned.json"
        wanted = {
            name: value
            for name, value in self.settings.child_environment().items()
            if name.startswith("TRIBUTARY_") or name in ("AWS_REGION", "BROKER")
        }
        if marker.exists() and json.loads(marker.read_text(encoding="utf-8")) == wanted:
            return
        result = subprocess.run(
            [self.settings.root / "local-stack/provision.sh"],
            # The AWS CLI takes commands of the user's from ~/.aws/cli/alias, even in the place of its own.
            env=self.settings.child_environment(HOME=str(self.settings.run)),
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        if result.returncode != 0:
            raise Failure("provisioning failed", result.stderr.strip())
        self.console.print(result.stdout.strip(), highlight=False)
        if self.settings.is_kafka:
            self.console.print(provision_topic(self.settings), highlight=False)
        marker.write_text(json.dumps(wanted), encoding="utf-8")

    def down(self) -> None:
        """Stops everything and makes sure that no process is left; raises Failure naming those that are."""
        with self._alone():
            was_up = any(part.remembered() for part in self._parts())
            left = self._stop_everything()
        if left:
            raise Failure("could not stop " + ", ".join(processes.describe(process) for process in left))
        self.console.print("down: no process is left" if was_up else "nothing was up")

    def status(self) -> bool:
        """Prints what runs and how far the event source is; False when something is not up."""
        table = Table(box=None, pad_edge=False)
        for column in ("part", "state", "process", "up for"):
            table.add_column(column)
        for part in self._parts():
            running = part.running()
            process = running if isinstance(running, psutil.Process) else None
            table.add_row(
                part.name,
                self._state_of(part, running),
                str(process.pid) if process else "",
                duration(time.time() - process.create_time()) if process else "",
            )
        functions = self.event_source.function_processes()
        table.add_row(
            "function",
            f"{len(functions)} environment(s)",
            " ".join(str(process.pid) for process in functions),
            "",
        )
        self.console.print(table)
        if not self._is_up(event_source=True):
            self._explain()
            return False
        self._print_checkpoints()
        return True

    def require(self) -> None:
        """Raises Failure when LocalStack is not there to be worked with."""
        if not (self.localstack.running() and is_healthy(self.settings)):
            raise Failure(f"nothing answers at {self.settings.endpoint}", "make up starts the local stack.")

    def _parts(self) -> list:
        parts = (self.localstack, self.kafka, self.event_source, self.grafana, self.monitor)
        return [part for part in parts if part]

    def _start_grafana(self) -> None:
        try:
            self.grafana.start()
        except Failure as failure:
            why = escape(f"{failure.summary}. {failure.details}")
            self.console.print(f"\n[yellow]warning: no Grafana:[/] {why}", highlight=False)

    def _refuse_another_broker(self) -> None:
        up, asked = broker_that_is_up(self.settings.state), self.settings.broker
        if self.localstack.running() and up != asked:
            raise Failure(f"the stack is up with BROKER={up}", f"make down, then make up BROKER={asked}.")

    def _is_up(self, event_source: bool) -> bool:
        return bool(
            self.localstack.running()
            and broker_that_is_up(self.settings.state) == self.settings.broker
            and is_healthy(self.settings)
            and (self.kafka is None or self.kafka.running())
            and (self.settings.run / "provisioned.json").exists()
            and (not event_source or self.event_source.running())
        )

    def _reads_events(self) -> bool:
        return bool(self.event_source.running() and contract.is_up(self.settings))

    def _state_of(self, part: object, running: object) -> str:
        if running:
            healthy = part is not self.localstack or is_healthy(self.settings)
            return "[green]up[/]" if healthy else "[red]up, but not healthy[/]"
        return "[red]died[/]" if part.remembered() else "not started"

    def _explain(self) -> None:
        for part in self._parts():
            log = log_file(self.settings) if part is self.localstack else part.log_file
            if part.remembered() and not part.running():
                self.console.print(f"\n{part.name} has died. {last_lines(log, 5)}", highlight=False, markup=False)
        self.console.print("\nmake up brings up what is missing; after LocalStack has died, its data is lost.")

    def _print_checkpoints(self) -> None:
        checkpoints = read_checkpoints(self.settings.checkpoints)
        if not checkpoints:
            return
        table = Table(box=None, pad_edge=False)
        table.add_column("shard")
        table.add_column("records", justify="right")
        table.add_column("behind", justify="right")
        for shard, checkpoint in sorted(checkpoints.items()):
            table.add_row(shard, f"{checkpoint.records:,}", f"{checkpoint.millis_behind_latest / 1000:.1f} s")
        self.console.print()
        self.console.print(table)

    def _tear_down(self, started: list) -> None:
        for part in reversed(started):
            part.stop()
        if self.localstack in started:
            self._stop_everything()

    def _stop_everything(self) -> list[psutil.Process]:
        """Event source first, so that it ends its invocations against services that still answer."""
        self.monitor.stop()
        if self.grafana:
            self.grafana.stop()
        self.event_source.stop()
        if self.kafka:
            self.kafka.stop()
        self.localstack.stop()
        broker_file(self.settings.state).unlink(missing_ok=True)
        contract.remembered_in(self.settings).unlink(missing_ok=True)
        (self.settings.run / "provisioned.json").unlink(missing_ok=True)
        return processes.kill(processes.belonging_to(self.settings.state))

    def _discard_lost_state(self) -> None:
        """A fresh LocalStack has an empty stream and bucket: what was remembered about the old ones is void."""
        kafka, catalog = self.settings.state / "kafka-broker", self.settings.catalog.parent
        for folder in (self.settings.ledger, self.settings.event_source_state, self.settings.log, kafka, catalog):
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keeps two `up` or `down` from working at the same time."""
        self.settings.run.mkdir(parents=True, exist_ok=True)
        with (self.settings.run / "lock").open("w", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Failure("another up or down is at work on this stack") from None
            yield


def duration(seconds: float) -> str:
    """Such as 4.2 s, 3 min 05 s, 2 h 07 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min {int(seconds % 60):02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def relative(path: Path) -> str:
    """As seen from the current directory, when it lies below."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
