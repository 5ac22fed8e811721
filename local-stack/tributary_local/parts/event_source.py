"""The event source: the process that polls the stream and runs the function."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

import psutil

from tributary_local.failure import Failure, last_lines
from tributary_local.parts import processes
from tributary_local.settings import STATE_VARIABLE, Settings

STOP_SECONDS = 20
KILL_SECONDS = 10
# So that the function's SDK reads no file of the user's either.
HANDED_OVER = ("AWS_CONFIG_FILE", "AWS_EC2_METADATA_DISABLED", "AWS_SHARED_CREDENTIALS_FILE")


class EventSource:
    """The built event source over the built function."""

    def __init__(
        self, settings: Settings, *, state_directory: Path | None = None, arguments: Sequence[str] = ()
    ) -> None:
        """Each event source of a stack has a state directory of its own; `arguments` end its command line."""
        self.settings = settings
        self.arguments = arguments
        self.state_directory = state_directory or settings.event_source_state
        file_name = self.state_directory.name
        self.name = file_name.replace("-", " ")
        self.pid_file = settings.run / f"{file_name}.pid"
        self.log_file = settings.log / f"{file_name}.log"
        self.function_log = settings.log / "function.log"

    def running(self) -> psutil.Process | None:
        return processes.read_pid_file(self.pid_file)

    def remembered(self) -> bool:
        """Whether it was started and not stopped since, running or not."""
        return self.pid_file.exists()

    def function_processes(self) -> list[psutil.Process]:
        """The execution environments that run now: one process of the artifact for each concurrent invocation."""
        process = self.running()
        if process is None:
            return []
        found = []
        for child in process.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                # A function takes no argument, and psutil takes a lone path with a space in it for two.
                if " ".join(child.cmdline()) == str(self.settings.function):
                    found.append(child)
        return found

    def start(self, *more: str) -> None:
        """With `more` arguments on top. Raises Failure when an artifact is missing or the event source ends at once."""
        settings = self.settings
        for binary in (settings.artifact("event-source"), settings.function):
            if not binary.exists():
                raise Failure(f"{binary.relative_to(settings.root)} does not exist", "make setup builds it.")
        process = processes.start(
            [
                settings.artifact("event-source"),
                "run",
                *self._source(),
                "--function",
                settings.function,
                "--function-name",
                settings.function.parent.name,
                "--state",
                self.state_directory,
                "--function-log",
                self.function_log,
                "--on-failure-destination",
                f"{settings.endpoint}/000000000000/{settings.queue}",
                "--metrics",
                *self._function_environment(),
                *self.arguments,
                *more,
            ],
            log=self.log_file,
            pid_file=self.pid_file,
            state=settings.state,
            environment=settings.child_environment(),
        )
        try:
            process.wait(timeout=0.5)
        except psutil.TimeoutExpired:
            return
        raise Failure("the event source ended at once", last_lines(self.log_file))

    def _source(self) -> list[str]:
        settings = self.settings
        if not settings.is_kafka:
            return ["--stream", settings.stream]
        # With a destination and no limit of its own, a mapping for Kafka gives up after 10 retries.
        limit = ["--maximum-retry-attempts", "10000"]
        return ["--topic", settings.stream, "--brokers", settings.brokers, "--consumer-group", "tributary", *limit]

    def _function_environment(self) -> list[str]:
        """The function inherits nothing from here, as on Lambda: what it is to see is handed over by name."""
        variables = self.settings.child_environment(**{STATE_VARIABLE: str(self.settings.state)})
        by_name = {"RUST_LOG", *HANDED_OVER}
        handed_over = (name for name in sorted(variables) if name.startswith("TRIBUTARY_") or name in by_name)
        return [f"--function-env={name}={variables[name]}" for name in handed_over]

    def kill(self) -> psutil.Process:
        """SIGKILL, for it alone: what it has started must not outlive it. Gives back the process that was killed."""
        process = self.running()
        if process is None:
            raise Failure(f"the {self.name} has died", last_lines(self.log_file))
        process.kill()
        process.wait(KILL_SECONDS)
        return process

    def stop(self) -> None:
        if process := self.running():
            processes.stop(process, STOP_SECONDS)
        self.pid_file.unlink(missing_ok=True)
