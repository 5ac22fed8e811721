"""CloudWatch's rules for an alarm, each shown once."""

import json
from pathlib import Path

import pytest

from tributary_local.runs.alarm_evaluation import breaching, healthy, state

ALARMS = json.loads((Path(__file__).resolve().parents[2] / "grafana/alarms.json").read_text(encoding="utf-8"))["alarms"]


def alarm(**changes: object) -> dict:
    plain = {"ComparisonOperator": "GreaterThanThreshold", "Threshold": 5, "EvaluationPeriods": 3}
    return {**plain, "DatapointsToAlarm": 2, "TreatMissingData": "notBreaching", **changes}


def test_m_of_the_newest_n_periods_have_to_breach() -> None:
    assert state(alarm(), [9, 9, 1, 9, 1]) == "OK"
    assert state(alarm(), [1, 9, 1, 9]) == "ALARM"
    assert state(alarm(), [5, 5, 5]) == "OK"


@pytest.mark.parametrize(
    ("missing", "none", "one_breaches"),
    [
        ("breaching", "ALARM", "ALARM"),
        ("notBreaching", "OK", "OK"),
        ("ignore", "INSUFFICIENT_DATA", "OK"),
        ("missing", "INSUFFICIENT_DATA", "OK"),
    ],
)
def test_missing_data_counts_as_the_alarm_says(missing: str, none: str, one_breaches: str) -> None:
    assert state(alarm(TreatMissingData=missing), []) == none
    assert state(alarm(TreatMissingData=missing), [9, None, None]) == one_breaches


@pytest.mark.parametrize("definition", ALARMS, ids=lambda each: each["name"])
def test_every_alarm_goes_on_and_off_again(definition: dict) -> None:
    described = {
        "ComparisonOperator": definition["comparison"],
        "Threshold": definition["threshold"],
        "EvaluationPeriods": definition["evaluation_periods"],
        "DatapointsToAlarm": definition["datapoints_to_alarm"],
        "TreatMissingData": definition["treat_missing_data"],
    }
    periods = definition["evaluation_periods"]
    assert state(described, [breaching(described)] * periods) == "ALARM"
    assert state(described, [healthy(described)] * periods) == "OK"
