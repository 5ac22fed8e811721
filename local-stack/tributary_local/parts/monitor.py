"""The page with the dashboards, as a process of the stack, where there is no Grafana."""

from pathlib import Path

import psutil

from tributary_local.failure import Failure
from tributary_local.parts import ports, processes
from tributary_local.settings import Settings

STOP_SECONDS = 5
PORT_VARIABLE = "TRIBUTARY_MONITOR_PORT"
DEFAULT_PORT = "8050"


class Monitor:
    """The stack runs without it; what goes wrong with it is never more than a warning."""

    name = "monitor"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.pid_file = settings.run / "monitor.pid"
        self.log_file: Path = settings.log / "monitor.log"
        self.port = settings.environment.get(PORT_VARIABLE) or DEFAULT_PORT

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def running(self) -> psutil.Process | None:
        return processes.read_pid_file(self.pid_file)

    def remembered(self) -> bool:
        """Whether it was started and not stopped since, running or not."""
        return self.pid_file.exists()

    def start(self) -> None:
        """Does not wait for it. Raises Failure when it is not installed, or its port is taken or no port."""
        python = self.settings.python("monitor")
        if not python.exists():
            raise Failure("the monitor is not installed", "make setup installs it.")
        if not (self.port.isdecimal() and 0 < int(self.port) < 65536):
            raise Failure(f"{PORT_VARIABLE} is '{self.port}'; it must be a port, 1 to 65535")
        if not ports.is_free(int(self.port)):
            raise Failure(
                f"port {self.port} is in use by {ports.owner(int(self.port))}", f"{PORT_VARIABLE} chooses another port."
            )
        processes.start(
            # The demo's own work goes first.
            ["nice", python, "-m", "tributary_monitor"],
            log=self.log_file,
            pid_file=self.pid_file,
            state=self.settings.state,
            environment=self.settings.child_environment(
                **{PORT_VARIABLE: self.port}, PYTHONPATH=str(self.settings.root / "local-stack")
            ),
        )

    def stop(self) -> None:
        if process := self.running():
            processes.stop(process, STOP_SECONDS)
        self.pid_file.unlink(missing_ok=True)
