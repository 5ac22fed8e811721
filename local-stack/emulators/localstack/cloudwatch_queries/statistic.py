"""Statistics over the samples of a period."""

import re
from collections.abc import Callable, Sequence

from cloudwatch_queries.series import QueryError, Range, Sample

PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,10})?|100)")

SIMPLE: dict[str, Callable[[Sequence[Sample]], float]] = {
    "SampleCount": lambda samples: sum(sample.count for sample in samples),
    "Sum": lambda samples: sum(sample.sum for sample in samples),
    "Average": lambda samples: sum(sample.sum for sample in samples) / sum(sample.count for sample in samples),
    "Minimum": lambda samples: min(sample.minimum for sample in samples),
    "Maximum": lambda samples: max(sample.maximum for sample in samples),
}


def statistic(name: str) -> Callable[[Sequence[Sample]], float | None]:
    """The statistic of that name over the samples of one period; raises QueryError when there is none."""
    if name in SIMPLE:
        return SIMPLE[name]
    match = PERCENTILE.fullmatch(name)
    if match is None:
        raise QueryError(f"the statistic '{name}' is not one of {', '.join(SIMPLE)}, p0 to p100")
    return lambda samples: percentile(samples, float(match[1]) / 100)


def percentile(samples: Sequence[Sample], share: float) -> float | None:
    """Linear interpolation between the two values next to the rank.

    None when a statistic set is among the samples whose values are not known, as on AWS.
    """
    if any(sample.minimum != sample.maximum for sample in samples):
        return None
    ordered = sorted((sample.maximum, sample.count) for sample in samples)
    rank = share * (sum(count for _, count in ordered) - 1)
    lower = _at(ordered, int(rank))
    return lower + (_at(ordered, int(rank) + 1) - lower) * (rank - int(rank))


def _at(ordered: Sequence[tuple[float, float]], rank: int) -> float:
    """The value of this rank, from 0; the greatest one beyond the last."""
    passed = 0.0
    for value, count in ordered:
        passed += count
        if rank < passed:
            return value
    return ordered[-1][0]


def by_period(samples: Sequence[Sample], name: str, span: Range, period: int) -> dict[int, float]:
    """The statistic of each period of `span` that has samples."""
    compute = statistic(name)
    starts = span.periods(period)
    collected: dict[int, list[Sample]] = {}
    for sample in samples:
        start = starts.start + (sample.timestamp - starts.start) // period * period
        collected.setdefault(start, []).append(sample)
    values = {start: compute(collected[start]) for start in sorted(collected)}
    return {start: value for start, value in values.items() if value is not None}
