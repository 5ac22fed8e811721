"""Runs a child whose output the user sees, and hands Ctrl-C to it exactly once."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tributary_local.failure import Failure

WIND_DOWN_SECONDS = 30


def start(command: Sequence[str | Path], environment: Mapping[str, str], directory: Path) -> subprocess.Popen[bytes]:
    """Starts it in a process group of its own: the terminal's Ctrl-C reaches only us."""
    return subprocess.Popen(
        [str(part) for part in command], env=dict(environment), cwd=directory, process_group=0, stdin=subprocess.DEVNULL
    )


def wait(child: subprocess.Popen[bytes]) -> int:
    """Its exit status. On Ctrl-C, or past a time limit, it is interrupted and has 30 s to wind down; then we go on."""
    try:
        return child.wait()
    except BaseException:
        end(child)
        raise


def end(child: subprocess.Popen[bytes]) -> None:
    """Interrupts the child and whatever it has started, and kills them if they do not wind down."""
    if child.poll() is not None:
        return
    try:
        os.killpg(child.pid, signal.SIGINT)
        child.wait(WIND_DOWN_SECONDS)
    except ProcessLookupError:
        child.wait()
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def run(what: str, command: Sequence[str | Path], environment: Mapping[str, str], directory: Path) -> None:
    """Runs `command` to its end; raises Failure, naming `what`, when its exit status is not 0."""
    status = wait(start(command, environment, directory))
    if status != 0:
        raise Failure(f"{what} ended with status {status}")
