"""Whose process is whose."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tributary_local.parts import processes

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
# Starts a grandchild in a session of its own, as LocalStack does with the Kinesis emulator, and names it.
WITH_CHILD = [
    sys.executable,
    "-c",
    "import subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True)\n"
    "print(child.pid, flush=True)\n"
    "time.sleep(60)",
]


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    processes.kill(processes.belonging_to(tmp_path))


def start(state: Path, command: list[str]) -> psutil.Process:
    return processes.start(
        command, log=state / "log", pid_file=state / "pid", state=state, environment=dict(os.environ)
    )


def grandchild(state: Path) -> psutil.Process:
    deadline = time.monotonic() + 10
    while not (printed := (state / "log").read_text().strip()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return psutil.Process(int(printed))


def test_a_started_process_is_found_again_by_its_pid_file(state: Path) -> None:
    assert processes.read_pid_file(state / "pid") is None
    process = start(state, SLEEP)
    assert processes.read_pid_file(state / "pid") == process


def test_a_process_id_that_was_given_to_somebody_else_is_not_ours(state: Path) -> None:
    somebody = psutil.Process()
    (state / "pid").write_text(json.dumps({"pid": somebody.pid, "started": somebody.create_time() - 5}))
    assert processes.read_pid_file(state / "pid") is None


@pytest.mark.parametrize("text", ["", "12", "{}", '{"pid": 4000000000, "started": 1}'])
def test_a_damaged_pid_file_remembers_nobody(state: Path, text: str) -> None:
    (state / "pid").write_text(text)
    assert processes.read_pid_file(state / "pid") is None


def test_an_ended_child_that_was_not_reaped_is_not_alive(state: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    process = psutil.Process(child.pid)
    while process.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    processes.write_pid_file(state / "pid", process)
    assert processes.read_pid_file(state / "pid") is None
    child.wait()


def test_stopping_a_process_stops_what_it_has_started(state: Path) -> None:
    process = start(state, WITH_CHILD)
    child = grandchild(state)
    processes.stop(process, grace_seconds=0.2)
    assert not processes.is_alive(process)
    assert not processes.is_alive(child)


def test_an_orphan_is_still_known_to_belong_to_its_stack(state: Path) -> None:
    process = start(state, WITH_CHILD)
    child = grandchild(state)
    process.kill()
    process.wait(5)
    assert processes.belonging_to(state) == [child]
    assert processes.belonging_to(state / "another") == []
    assert processes.kill([child]) == []
    assert processes.belonging_to(state) == []
