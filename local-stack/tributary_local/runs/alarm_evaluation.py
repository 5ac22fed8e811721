"""Whether an alarm would be on, by CloudWatch's rules, as a pure function of its definition and its data.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}


def state(alarm: Mapping[str, Any], points: Sequence[float | None]) -> str:
    """OK, ALARM or INSUFFICIENT_DATA.

    `alarm` as DescribeAlarms tells it; `points` one a period, the newest last, None where there is none.
    """
    compare = _COMPARISONS[alarm["ComparisonOperator"]]
    periods = alarm["EvaluationPeriods"]
    needed = alarm.get("DatapointsToAlarm", periods)
    window = list(points)[-periods:]
    window = [None] * (periods - len(window)) + window
    missing = alarm.get("TreatMissingData", "missing")
    if all(point is None for point in window):
        return {"breaching": "ALARM", "notBreaching": "OK"}.get(missing, "INSUFFICIENT_DATA")
    breaching = [
        compare(point, alarm["Threshold"]) if point is not None else missing == "breaching" for point in window
    ]
    return "ALARM" if sum(breaching) >= needed else "OK"


def healthy(alarm: Mapping[str, Any]) -> float:
    """A value that is well within the threshold."""
    return 0.0 if alarm["ComparisonOperator"].startswith("GreaterThan") else alarm["Threshold"] + 1


def breaching(alarm: Mapping[str, Any]) -> float:
    """A value that is well beyond it."""
    return 2 * alarm["Threshold"] + 1 if alarm["ComparisonOperator"].startswith("GreaterThan") else 0.0
