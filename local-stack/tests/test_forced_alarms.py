"""That an alarm which cannot go on, or not off, is named."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from tributary_local.failure import Failure
from tributary_local.runs import forced_alarms

ALARM = {
    "AlarmName": "tributary-FunctionErrors",
    "Namespace": "AWS/Lambda",
    "MetricName": "Errors",
    "Dimensions": [],
    "Statistic": "Sum",
    "Period": 60,
    "EvaluationPeriods": 5,
    "DatapointsToAlarm": 3,
    "Threshold": 0,
    "ComparisonOperator": "GreaterThanThreshold",
    "TreatMissingData": "notBreaching",
}


class CloudWatch:
    """Keeps what is put under one name, and answers for the name that is asked."""

    def __init__(self, alarms: list[dict], stored_as: str = "Errors") -> None:
        self.alarms = alarms
        self.stored_as = stored_as
        self.data: list[tuple] = []

    def get_paginator(self, _: str) -> "CloudWatch":
        return self

    def paginate(self, **_: str) -> list[dict]:
        return [{"MetricAlarms": self.alarms}]

    def put_metric_data(self, Namespace: str, MetricData: list[dict]) -> None:
        self.data += [(self.stored_as, datum["Timestamp"], datum["Value"]) for datum in MetricData]

    def get_metric_data(self, MetricDataQueries: list[dict], StartTime: object, EndTime: object) -> dict:
        asked = MetricDataQueries[0]["MetricStat"]["Metric"]["MetricName"]
        found = [(when, value) for name, when, value in self.data if name == asked and StartTime <= when < EndTime]
        answer = {"Id": "m", "Timestamps": [when for when, _ in found], "Values": [value for _, value in found]}
        return {"MetricDataResults": [answer]}


def place(cloudwatch: CloudWatch) -> SimpleNamespace:
    return SimpleNamespace(name="tributary", local=True, root=Path(), client=lambda _: cloudwatch)


def test_an_alarm_is_forced_on_and_off_by_data_of_its_own_metric() -> None:
    forced_alarms.force(place(CloudWatch([ALARM])))


@pytest.mark.parametrize("change", [{"Threshold": float("inf")}, {"ComparisonOperator": "LessThanThreshold"}])
def test_an_alarm_that_cannot_go_on_is_named(change: dict) -> None:
    with pytest.raises(Failure, match="1 of 1 alarms were not forced: tributary-FunctionErrors is OK, not ALARM"):
        forced_alarms.force(place(CloudWatch([{**ALARM, **change}])))


def test_an_alarm_on_a_metric_that_nobody_publishes_is_named() -> None:
    with pytest.raises(Failure, match="is OK, not ALARM"):
        forced_alarms.force(place(CloudWatch([ALARM], stored_as="Misspelt")))


def test_without_an_alarm_nothing_is_proven() -> None:
    with pytest.raises(Failure, match="there is no alarm"):
        forced_alarms.force(place(CloudWatch([])))
