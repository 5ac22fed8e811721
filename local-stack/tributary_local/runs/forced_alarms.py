"""Forces every deployed alarm on and off by data, and sees it.

On LocalStack, which evaluates few alarms and those late, the data goes to the very metrics of the deployed alarm, comes
back through GetMetricData for its own query, and is judged by CloudWatch's rules. On an account, AWS alone writes to
its own namespaces: there each alarm is copied over a namespace of the rehearsal's, and CloudWatch itself has to switch
the copy.
"""

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tributary_local.failure import Failure
from tributary_local.runs.alarm_evaluation import breaching, healthy, state
from tributary_local.runs.place import Place

REHEARSAL = "TributaryRehearsal"
SEEN_SECONDS = 20 * 60
# One hour after another, a copy of an alarm over a day would take a day.
COPY_PERIOD_SECONDS = 60


def force(place: Place) -> None:
    """Raises Failure that names the alarms that could not be forced."""
    alarms = deployed_alarms(place)
    if not alarms:
        raise Failure(f"there is no alarm {place.name}-*")
    wrong = list(by_data(place, alarms) if place.local else by_copies(place, alarms))
    if wrong:
        raise Failure(f"{len(wrong)} of {len(alarms)} alarms were not forced: {'; '.join(wrong)}")


def deployed_alarms(place: Place) -> list[dict[str, Any]]:
    """As DescribeAlarms tells them."""
    pages = place.client("cloudwatch").get_paginator("describe_alarms").paginate(AlarmNamePrefix=f"{place.name}-")
    return [alarm for page in pages for alarm in page["MetricAlarms"]]


def metrics_of(alarm: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The metrics that it reads: namespace, name and dimensions."""
    if "MetricName" in alarm:
        return [{name: alarm[name] for name in ("Namespace", "MetricName", "Dimensions")}]
    return [query["MetricStat"]["Metric"] for query in alarm["Metrics"] if "MetricStat" in query]


def queries_of(alarm: Mapping[str, Any]) -> tuple[list[dict[str, Any]], int]:
    """The alarm's own query, and its period."""
    if "MetricName" in alarm:
        stat = {"Metric": metrics_of(alarm)[0], "Period": alarm["Period"], "Stat": alarm.get("Statistic", "Average")}
        return [{"Id": "m", "MetricStat": stat, "ReturnData": True}], alarm["Period"]
    names = ("Id", "Expression", "MetricStat", "ReturnData", "Period")
    queries = [{name: query[name] for name in names if name in query} for query in alarm["Metrics"]]
    return queries, next(query["MetricStat"]["Period"] for query in queries if "MetricStat" in query)


def by_data(place: Place, alarms: list[dict[str, Any]]) -> Iterator[str]:
    """Data for the alarm's own metrics, each alarm in hours of its own, so that none sees another's."""
    cloudwatch = place.client("cloudwatch")
    today = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    for index, alarm in enumerate(alarms):
        queries, period = queries_of(alarm)
        span = timedelta(seconds=period * alarm["EvaluationPeriods"])
        for shift, (wanted, value) in enumerate((("ALARM", breaching(alarm)), ("OK", healthy(alarm)))):
            # The furthest back that two spans of the longest alarm need is below the two weeks that data may be old.
            end = today - timedelta(hours=1 + 4 * index) - shift * (span + timedelta(hours=1))
            values = [value] * alarm["EvaluationPeriods"]
            if len(metrics_of(alarm)) > 1 and wanted == "ALARM":
                values = [100.0] * alarm["EvaluationPeriods"]
            for metric in metrics_of(alarm):
                publish(cloudwatch, metric, end - span, period, values)
            points = read(cloudwatch, queries, end - span, end, period)
            found = state(alarm, points)
            if found != wanted:
                yield f"{alarm['AlarmName']} is {found}, not {wanted}, with {points[-3:]}"


def publish(cloudwatch: Any, metric: dict[str, Any], start: datetime, period: int, values: list[float]) -> None:
    """One value a period."""
    for number, value in enumerate(values):
        when = start + timedelta(seconds=number * period + 1)
        datum = {
            "MetricName": metric["MetricName"],
            "Dimensions": metric["Dimensions"],
            "Value": value,
            "Timestamp": when,
        }
        cloudwatch.put_metric_data(Namespace=metric["Namespace"], MetricData=[datum])


def read(cloudwatch: Any, queries: list[dict], start: datetime, end: datetime, period: int) -> list[float | None]:
    """The points of the query that is compared, oldest first, None for a period without one."""
    answer = cloudwatch.get_metric_data(MetricDataQueries=queries, StartTime=start, EndTime=end)
    returned = {query["Id"] for query in queries if query.get("ReturnData", True)}
    result = next(each for each in answer["MetricDataResults"] if each["Id"] in returned)
    points = dict(zip(result["Timestamps"], result["Values"], strict=True))
    count = round((end - start).total_seconds() / period)
    slots: list[float | None] = [None] * count
    for when, value in points.items():
        slots[int((when - start).total_seconds() // period)] = value
    return slots


def by_copies(place: Place, alarms: list[dict[str, Any]]) -> Iterator[str]:
    """Each alarm over a metric of the rehearsal's, with the same rule; CloudWatch has to switch it on."""
    cloudwatch = place.client("cloudwatch")
    copies = {f"{alarm['AlarmName']}-forced": alarm for alarm in alarms}
    try:
        for name, alarm in copies.items():
            cloudwatch.put_metric_alarm(
                AlarmName=name,
                Namespace=REHEARSAL,
                MetricName=name,
                Statistic="Maximum",
                Period=COPY_PERIOD_SECONDS,
                EvaluationPeriods=min(alarm["EvaluationPeriods"], 5),
                DatapointsToAlarm=min(alarm.get("DatapointsToAlarm", 5), 5),
                Threshold=alarm["Threshold"],
                ComparisonOperator=alarm["ComparisonOperator"],
                TreatMissingData=alarm["TreatMissingData"],
                AlarmActions=alarm["AlarmActions"],
            )
        waiting = set(copies)
        until = time.monotonic() + SEEN_SECONDS
        while waiting and time.monotonic() < until:
            for name in waiting:
                datum = {"MetricName": name, "Value": breaching(copies[name])}
                cloudwatch.put_metric_data(Namespace=REHEARSAL, MetricData=[datum])
            time.sleep(30)
            pages = cloudwatch.get_paginator("describe_alarms").paginate(
                AlarmNamePrefix=f"{place.name}-", StateValue="ALARM"
            )
            waiting -= {alarm["AlarmName"] for page in pages for alarm in page["MetricAlarms"]}
        yield from (f"{name} did not go on within {SEEN_SECONDS // 60} min" for name in sorted(waiting))
    finally:
        cloudwatch.delete_alarms(AlarmNames=list(copies))
