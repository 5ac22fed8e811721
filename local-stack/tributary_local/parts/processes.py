"""Starting, finding and stopping the processes of a stack.

A process id alone may have been given to somebody else since, so a pid file also holds the start time, and a
process counts as ours only when both agree.
"""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import psutil

from tributary_local.settings import STATE_VARIABLE


def write_pid_file(path: Path, process: psutil.Process) -> None:
    """Remembers `process` under `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"pid": process.pid, "started": process.create_time()}), encoding="utf-8")


def read_pid_file(path: Path) -> psutil.Process | None:
    """The running process that `path` remembers; None when there is none, or when its id is another's by now."""
    try:
        remembered = json.loads(path.read_text(encoding="utf-8"))
        process = psutil.Process(remembered["pid"])
        same = abs(process.create_time() - remembered["started"]) < 0.01
    except (FileNotFoundError, ValueError, TypeError, KeyError, psutil.NoSuchProcess):
        return None
    return process if same and is_alive(process) else None


def is_alive(process: psutil.Process) -> bool:
    """Whether it still runs; one that only waits to be reaped does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def start(
    command: Sequence[str | Path], *, log: Path, pid_file: Path, state: Path, environment: Mapping[str, str]
) -> psutil.Process:
    """Starts a process that outlives the orchestrator, in a session of its own, appending its output to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**environment, STATE_VARIABLE: str(state)},
            start_new_session=True,
        )
    process = psutil.Process(child.pid)
    write_pid_file(pid_file, process)
    return process


def stop(process: psutil.Process, grace_seconds: float) -> None:
    """Asks a process to end, and kills it and what it has started if it has not within `grace_seconds`."""
    try:
        family = [process, *process.children(recursive=True)]
        process.send_signal(signal.SIGTERM)
    except psutil.NoSuchProcess:
        return
    _, left = psutil.wait_procs(family, timeout=grace_seconds)
    kill(left)


def kill(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Kills at once; gives back those that are still there after five seconds."""
    processes = list(processes)
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    _, left = psutil.wait_procs(processes, timeout=5)
    return [process for process in left if is_alive(process)]


def belonging_to(state: Path) -> list[psutil.Process]:
    """Every running process of the stack whose state is `state`, whoever its parent is now."""
    found = []
    for process in psutil.process_iter():
        try:
            ours = process.pid != os.getpid() and process.environ().get(STATE_VARIABLE) == str(state)
            if ours and is_alive(process):
                found.append(process)
        except (psutil.AccessDenied, psutil.NoSuchProcess, OSError):
            continue
    return found


def describe(process: psutil.Process) -> str:
    """For messages: name and process id."""
    try:
        return f"{process.name()} (process {process.pid})"
    except psutil.Error:
        return f"process {process.pid}"
