"""Injects the planned process faults into a stack at work, in time."""

import contextlib
import random
import sched
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Set

import psutil

from tributary_local.failure import Failure, last_lines
from tributary_local.faults.schedule import Planned, ProcessFault
from tributary_local.parts.event_source import EventSource

VICTIM_SECONDS = 30
VICTIM_AT_WORK_SECONDS = 2
STARTING_POSITIONS = ("TRIM_HORIZON", "LATEST")

Announce = Callable[[str], None]
"""Takes a short line about what has just been done."""


class ProcessFaults:
    """What is done to the event sources of a stack and to their functions."""

    def __init__(
        self,
        first: EventSource,
        second: EventSource,
        ports_at_work: Callable[[], Set[int]],
        seed: int,
        announce: Announce,
    ) -> None:
        """`ports_at_work` tells the local ports of the connections on which somebody waits for S3."""
        self.injected: Counter[ProcessFault] = Counter()
        self._first = first
        self._second = second
        self._ports_at_work = ports_at_work
        self._chance = random.Random(f"victims {seed}")
        self._announce = announce
        self._stopped: set[psutil.Process] = set()
        self._schedule = sched.scheduler(time.monotonic, time.sleep)

    def run(self, planned: Iterable[Planned], seconds: float, every_ten_seconds: Callable[[], None]) -> None:
        """Takes `seconds`, and leaves nothing stopped and no second event source behind.

        Raises Failure when something has died that was not killed here.
        """
        for fault in planned:
            self._schedule.enter(fault.at, 1, self._inject, (fault,))
        for at in range(10, int(seconds), 10):
            self._schedule.enter(at, 2, every_ten_seconds)
        self._schedule.enter(seconds, 3, self._cancel_the_rest)
        try:
            self._schedule.run()
        finally:
            for process in list(self._stopped):
                self._resume(process)
            self._end_second()

    def _inject(self, planned: Planned) -> None:
        match planned.fault:
            case ProcessFault.KILL_FUNCTION:
                victim = self._victim()
                victim.kill()
                done = f"process {victim.pid}"
            case ProcessFault.KILL_EVENT_SOURCE:
                killed = self._first.kill()
                self._first.start()
                done = f"process {killed.pid}"
            case ProcessFault.PAUSE_FUNCTION:
                victim = self._stop_victim()
                self._schedule.enter(planned.lasts, 1, self._resume, (victim,))
                done = f"process {victim.pid} for {planned.lasts:.1f} s"
            case ProcessFault.FREEZE_FUNCTION:
                done = f"process {self._stop_victim().pid}"
            case ProcessFault.SECOND_EVENT_SOURCE:
                self._end_second()
                position = STARTING_POSITIONS[self.injected[planned.fault] % 2]
                self._second.start(f"--starting-position={position}")
                self._schedule.enter(planned.lasts, 1, self._end_second)
                done = f"from {position}, for {planned.lasts:.1f} s"
        self.injected[planned.fault] += 1
        self._announce(f"{planned.fault} {self.injected[planned.fault]}: {done}")

    def _victim(self) -> psutil.Process:
        """An execution environment, one that waits for S3 if there is; after a kill there may be none for a moment."""
        started = time.monotonic()
        while True:
            found = [*self._first.function_processes(), *self._second.function_processes()]
            running = [process for process in found if process not in self._stopped]
            ports = self._ports_at_work()
            if at_work := [process for process in running if _has_a_connection(process, ports)]:
                return self._chance.choice(at_work)
            waited = time.monotonic() - started
            if running and waited > VICTIM_AT_WORK_SECONDS:
                return self._chance.choice(running)
            if waited > VICTIM_SECONDS:
                raise Failure("no function process is there to be hit", last_lines(self._first.log_file))
            time.sleep(0.01)

    def _stop_victim(self) -> psutil.Process:
        victim = self._victim()
        victim.suspend()
        self._stopped.add(victim)
        return victim

    def _resume(self, process: psutil.Process) -> None:
        self._stopped.discard(process)
        with contextlib.suppress(psutil.NoSuchProcess):
            process.resume()

    def _cancel_the_rest(self) -> None:
        for event in self._schedule.queue:
            self._schedule.cancel(event)

    def _end_second(self) -> None:
        """SIGKILL: its functions end with it. How far it was is forgotten."""
        if self._second.remembered():
            self._second.kill()
            self._second.stop()
        shutil.rmtree(self._second.state_directory, ignore_errors=True)


def _has_a_connection(process: psutil.Process, local_ports: Set[int]) -> bool:
    try:
        return any(connection.laddr.port in local_ports for connection in process.net_connections("tcp4"))
    except psutil.Error:
        return False
