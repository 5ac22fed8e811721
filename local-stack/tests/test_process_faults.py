"""What is done to processes under chaos, and what is left of it afterwards."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tributary_local.faults.process_faults import ProcessFaults
from tributary_local.faults.schedule import Planned, ProcessFault

# Connects to a port, if it is given one, and waits.
FUNCTION = "import socket, sys, time; s = [socket.create_connection(('127.0.0.1', int(p))) for p in sys.argv[1:]]; "


class Functions:
    """Starts processes that stand for execution environments."""

    def __init__(self) -> None:
        self.started: list[subprocess.Popen] = []

    def start(self, *ports: int) -> psutil.Process:
        command = [sys.executable, "-c", FUNCTION + "time.sleep(60)", *map(str, ports)]
        self.started.append(subprocess.Popen(command))
        return psutil.Process(self.started[-1].pid)


@pytest.fixture
def functions() -> Iterator[Functions]:
    functions = Functions()
    yield functions
    for process in functions.started:
        process.kill()
        process.wait()


class Source:
    """Stands for an event source: notes what is done to it."""

    def __init__(self, directory: Path, *environments: psutil.Process) -> None:
        self.done: list[str] = []
        self.environments = environments
        self.state_directory = directory
        self.log_file = directory / "log"

    def function_processes(self) -> list[psutil.Process]:
        return [process for process in self.environments if process.status() != psutil.STATUS_ZOMBIE]

    def start(self, *arguments: str) -> None:
        self.state_directory.mkdir(parents=True)
        self.done.append(" ".join(["start", *arguments]))

    def kill(self) -> psutil.Process:
        self.done.append("kill")
        return psutil.Process()

    def stop(self) -> None:
        self.done.append("stop")

    def remembered(self) -> bool:
        return self.state_directory.exists()


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., tuple[ProcessFaults, list[str]]]:
    """Runs faults on `first` for half a second; gives back what was announced."""

    def run(first: Source, *planned: Planned, ports: frozenset[int] = frozenset(), second: Source | None = None):
        announced: list[str] = []
        second = second or Source(tmp_path / "second")
        faults = ProcessFaults(first, second, lambda: ports, 1, announced.append)
        faults.run(planned, 0.5, lambda: None)
        return faults, announced

    return run


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tributary_local.faults.process_faults.VICTIM_AT_WORK_SECONDS", 0)


def test_a_killed_function_is_gone_and_counted_and_announced(
    functions: Functions, run: Callable, tmp_path: Path
) -> None:
    victim = functions.start()
    faults, announced = run(Source(tmp_path, victim), Planned(0, ProcessFault.KILL_FUNCTION, 0))
    assert victim.status() == psutil.STATUS_ZOMBIE
    assert faults.injected == {ProcessFault.KILL_FUNCTION: 1}
    assert announced == [f"kill_function 1: process {victim.pid}"]


def test_a_function_that_waits_for_s3_is_hit_first(functions: Functions, run: Callable, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as s3:
        at_work = functions.start(s3.getsockname()[1])
        idle = [functions.start() for _ in range(5)]
        _, (_, port) = s3.accept()
        kill = Planned(0, ProcessFault.KILL_FUNCTION, 0)
        run(Source(tmp_path, *idle, at_work), kill, ports=frozenset({port}))
    assert at_work.status() == psutil.STATUS_ZOMBIE
    assert all(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in idle)


def test_a_paused_function_goes_on(functions: Functions, run: Callable, tmp_path: Path) -> None:
    victim = functions.start()
    states = []

    class Watched(Source):
        def kill(self) -> psutil.Process:
            states.append(victim.status())
            return super().kill()

    watch = [Planned(at, ProcessFault.KILL_EVENT_SOURCE, 0) for at in (0.1, 0.3)]
    source = Watched(tmp_path / "first", victim)
    source.start = lambda: None
    run(source, Planned(0, ProcessFault.PAUSE_FUNCTION, 0.2), *watch)
    assert states[0] == psutil.STATUS_STOPPED
    assert states[1] != psutil.STATUS_STOPPED


@pytest.mark.parametrize("fault", [ProcessFault.FREEZE_FUNCTION, ProcessFault.PAUSE_FUNCTION])
def test_nothing_is_left_stopped_when_the_run_ends(
    functions: Functions, run: Callable, tmp_path: Path, fault: ProcessFault
) -> None:
    victim = functions.start()
    started = time.monotonic()
    run(Source(tmp_path, victim), Planned(0, fault, 60))
    assert time.monotonic() - started < 5
    assert victim.status() != psutil.STATUS_STOPPED


def test_a_killed_event_source_is_started_again(run: Callable, tmp_path: Path) -> None:
    source = Source(tmp_path / "first")
    run(source, Planned(0, ProcessFault.KILL_EVENT_SOURCE, 0))
    assert source.done == ["kill", "start"]


def test_the_second_event_source_begins_at_the_start_and_at_the_end_in_turn_and_never_stays(
    run: Callable, tmp_path: Path
) -> None:
    second = Source(tmp_path / "second")
    planned = [Planned(0, ProcessFault.SECOND_EVENT_SOURCE, 0.1), Planned(0.2, ProcessFault.SECOND_EVENT_SOURCE, 60)]
    run(Source(tmp_path / "first"), *planned, second=second)
    end = ["kill", "stop"]
    assert second.done == ["start --starting-position=TRIM_HORIZON", *end, "start --starting-position=LATEST", *end]
    assert not second.state_directory.exists()
