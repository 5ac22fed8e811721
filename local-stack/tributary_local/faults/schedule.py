"""What chaos injects, and when: everything here follows from a seed. Nothing here waits or touches a process."""

import random
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from enum import StrEnum


class ProcessFault(StrEnum):
    """What befalls a process."""

    KILL_FUNCTION = "kill_function"
    """SIGKILL."""
    KILL_EVENT_SOURCE = "kill_event_source"
    """SIGKILL; it is started again at once."""
    PAUSE_FUNCTION = "pause_function"
    """SIGSTOP, and SIGCONT before the function's time-out."""
    FREEZE_FUNCTION = "freeze_function"
    """SIGSTOP for good: the event source kills the process at the time-out of its next or present invocation."""
    SECOND_EVENT_SOURCE = "second_event_source"
    """For a while, another one delivers the same records to the same lake: in turn from the stream's start and end."""


class RequestFault(StrEnum):
    """What befalls a request to S3, on its way there or back."""

    INTERNAL_ERROR = "internal_error"
    """Answered with 500, and never passed on."""
    SLOW_DOWN = "slow_down"
    """Answered with 503 SlowDown, and never passed on."""
    RESET_BEFORE = "reset_before"
    """The connection is reset; S3 never sees the request."""
    RESET_AFTER = "reset_after"
    """S3 has carried it out; the connection is reset instead of an answer."""
    DELAY = "delay"
    """It is passed on late, and answered."""
    EFFECT_AFTER_RESET = "effect_after_reset"
    """The connection is reset first; S3 carries the request out later."""
    EFFECT_AFTER_TIME_OUT = "effect_after_time_out"
    """It is held until the client has given up or was killed; S3 carries it out later."""


Fault = ProcessFault | RequestFault


@dataclass(frozen=True)
class Planned:
    """A process fault to come. Times are in seconds, `at` from the start of the run."""

    at: float
    fault: ProcessFault
    lasts: float


@dataclass(frozen=True)
class Injection:
    """A request's fault, and for how many seconds it holds the request up."""

    fault: RequestFault
    seconds: float


@dataclass(frozen=True)
class _Pace:
    """One fault in so many seconds, each lasting from `shortest` to `longest` seconds."""

    every: float
    shortest: float = 0.0
    longest: float = 0.0


_PACES: Mapping[ProcessFault, _Pace] = {
    ProcessFault.KILL_FUNCTION: _Pace(every=10),
    ProcessFault.KILL_EVENT_SOURCE: _Pace(every=25),
    ProcessFault.PAUSE_FUNCTION: _Pace(every=20, shortest=0.5, longest=8),
    ProcessFault.FREEZE_FUNCTION: _Pace(every=25),
    ProcessFault.SECOND_EVENT_SOURCE: _Pace(every=40, shortest=10, longest=25),
}

# Requests in a deck, and how many of them each fault hits. A create is where rows are won or doubled.
_READS = 50
_OF_READS: Mapping[RequestFault, int] = {
    RequestFault.INTERNAL_ERROR: 1,
    RequestFault.SLOW_DOWN: 1,
    RequestFault.RESET_BEFORE: 1,
    RequestFault.RESET_AFTER: 1,
    RequestFault.DELAY: 2,
}
_WRITES = 60
_OF_WRITES: Mapping[RequestFault, int] = {
    RequestFault.INTERNAL_ERROR: 2,
    RequestFault.SLOW_DOWN: 2,
    RequestFault.RESET_BEFORE: 2,
    RequestFault.RESET_AFTER: 3,
    RequestFault.DELAY: 3,
    RequestFault.EFFECT_AFTER_RESET: 3,
    RequestFault.EFFECT_AFTER_TIME_OUT: 1,
}
_LONGEST_HOLD_UP = 3.0


def plan(seed: int, seconds: float, without: Set[Fault] = frozenset()) -> list[Planned]:
    """The process faults of a run of `seconds`, in order of time: each kind at least once, at a steady mean pace."""
    chance = random.Random(f"processes {seed}")
    planned = []
    for fault, pace in _PACES.items():
        count = max(1, round(seconds / pace.every))
        slot = seconds / count
        for number in range(count):
            at, lasts = (number + chance.random()) * slot, chance.uniform(pace.shortest, pace.longest)
            if fault not in without:
                planned.append(Planned(at, fault, lasts))
    return sorted(planned, key=lambda planned: planned.at)


def counts(injected: Mapping[Fault, int], without: Set[Fault] = frozenset()) -> dict[Fault, int]:
    """How often each fault of a run was injected, those included that were not."""
    return {fault: injected.get(fault, 0) for fault in (*ProcessFault, *RequestFault) if fault not in without}


class RequestFaults:
    """Deals each request its fate. The decks see to it that no fault is left to luck."""

    def __init__(self, seed: int, without: Set[Fault] = frozenset()) -> None:
        self._reads = _deal(random.Random(f"reads {seed}"), _READS, _OF_READS, without)
        self._writes = _deal(random.Random(f"writes {seed}"), _WRITES, _OF_WRITES, without)

    def next(self, method: str) -> Injection | None:
        """The fate of the next request with this HTTP method; None lets it pass."""
        return next(self._writes if method == "PUT" else self._reads)


def _deal(
    chance: random.Random, size: int, shares: Mapping[RequestFault, int], without: Set[Fault]
) -> Iterator[Injection | None]:
    hit = [fault for fault, count in shares.items() for _ in range(count)]
    deck: list[RequestFault | None] = [*hit, *[None] * (size - len(hit))]
    while True:
        for fault in chance.sample(deck, size):
            seconds = chance.uniform(0, _LONGEST_HOLD_UP)
            yield None if fault is None or fault in without else Injection(fault, seconds)
