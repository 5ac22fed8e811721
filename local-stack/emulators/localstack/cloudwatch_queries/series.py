"""Time series, and what they are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol


class QueryError(Exception):
    """A query that cannot be answered; the message is for whoever sent it."""


class Metric(NamedTuple):
    """What CloudWatch knows one series of samples by."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]
    """Name and value, sorted by name."""


class Sample(NamedTuple):
    """A value that was published `count` times, or a statistic set of `count` values."""

    timestamp: int
    """Epoch seconds."""
    count: float
    sum: float
    minimum: float
    maximum: float


@dataclass(frozen=True)
class Range:
    """From `start` up to, but without, `end`, in epoch seconds."""

    start: int
    end: int

    def periods(self, period: int) -> range:
        """The starts of the periods in it: multiples of `period`, the first one possibly before `start`.

        A range of one period is one period, wherever it begins: LocalStack's alarms ask for such ranges, and read one
        value from each.
        """
        one = self.end - self.start <= period
        return range(self.start if one else self.start - self.start % period, self.end, period)


@dataclass(frozen=True)
class Series:
    """Values by the start of their period, in epoch seconds, with what a label may say of them."""

    period: int
    values: Mapping[int, float]
    label: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)

    def with_values(self, values: Mapping[int, float]) -> "Series":
        return replace(self, values=values)


class Source(Protocol):
    """Where metrics are stored."""

    def metrics(self, namespace: str | None, name: str | None) -> Sequence[Metric]:
        """Those that have samples; None stands for any."""
        ...

    def samples(self, metric: Metric, unit: str | None, start: int, end: int) -> Sequence[Sample]:
        """Those of exactly this metric from `start` up to, but without, `end`."""
        ...
