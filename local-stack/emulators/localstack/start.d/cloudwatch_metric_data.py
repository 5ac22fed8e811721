"""Gives the CloudWatch of LocalStack 4.8.1 what dashboards ask of GetMetricData.

Without it there are no percentiles, no SEARCH and no metric math, and a metric with the dimension Stream also counts
what was published with Stream and Reason. LocalStack executes the file inside its process, before it listens.
"""

import sqlite3
import sys
from datetime import datetime

from localstack import config

sys.path.insert(0, config.dirs.init)

from cloudwatch_queries.evaluate import evaluate, page
from cloudwatch_queries.series import Metric, QueryError, Range, Sample
from localstack.services.cloudwatch.cloudwatch_database_helper import CloudwatchDatabase
from localstack.services.cloudwatch.provider_v2 import CloudwatchProvider, ValidationError

MOST_VALUES = 100_800

METRICS = """
    SELECT DISTINCT namespace, metric_name, dimensions FROM (
        SELECT namespace, metric_name, dimensions, account_id, region FROM SINGLE_METRICS
        UNION ALL SELECT namespace, metric_name, dimensions, account_id, region FROM AGGREGATED_METRICS
    ) WHERE account_id = ? AND region = ?
    AND namespace = COALESCE(?, namespace) AND metric_name = COALESCE(?, metric_name)
"""
# IS compares as = does, and a metric without dimensions or unit to another one.
THESE = """
    account_id = ? AND region = ? AND namespace = ? AND metric_name = ? AND dimensions IS ?
    AND timestamp >= ? AND timestamp < ?
"""
SAMPLES = f"""
    SELECT timestamp, COUNT(*), SUM(value), value, value, unit FROM SINGLE_METRICS
    WHERE {THESE} GROUP BY timestamp, unit, value
    UNION ALL SELECT timestamp, sample_count, sum, min, max, unit FROM AGGREGATED_METRICS WHERE {THESE}
"""


class Database:
    """LocalStack's metrics of one account and region, as a `Source`."""

    def __init__(self, database: CloudwatchDatabase, account: str, region: str) -> None:
        self.database = database
        self.place = (account, region)

    def metrics(self, namespace: str | None, name: str | None) -> list[Metric]:
        rows = self._rows(METRICS, (*self.place, namespace, name))
        return [Metric(row[0], row[1], read_dimensions(row[2])) for row in rows]

    def samples(self, metric: Metric, unit: str | None, start: int, end: int) -> list[Sample]:
        dimensions = "".join(f"{name}={value}\t" for name, value in metric.dimensions) or None
        these = (*self.place, metric.namespace, metric.name, dimensions, start, end)
        stored_unit = None if unit == "NULL_VALUE" else unit
        return [Sample(*row[:5]) for row in self._rows(SAMPLES, these * 2) if unit is None or row[5] == stored_unit]

    def _rows(self, query: str, parameters: tuple) -> list[tuple]:
        with (
            self.database.DATABASE_LOCK,
            sqlite3.connect(self.database.METRICS_DB_READ_ONLY, uri=True) as connection,
        ):
            return connection.execute(query, parameters).fetchall()


def read_dimensions(stored: str | None) -> tuple[tuple[str, str], ...]:
    """From the form `Name=Value<tab>Name=Value<tab>`; only the first = separates."""
    return tuple(tuple(pair.split("=", 1)) for pair in (stored or "").split("\t") if pair)


def seconds(time: datetime) -> int:
    return int(time.timestamp())


def get_metric_data(
    self: CloudwatchProvider,
    context,
    metric_data_queries,
    start_time,
    end_time,
    next_token=None,
    scan_by=None,
    max_datapoints=None,
    **_,
) -> dict:
    """The operation, for MetricStat and Expression."""
    source = Database(self.cloudwatch_database, context.account_id, context.region)
    span = Range(seconds(start_time), seconds(end_time))
    if span.start >= span.end:
        raise ValidationError("The parameter StartTime must be less than the parameter EndTime.")
    try:
        results = evaluate(metric_data_queries, span, source, context.region)
    except QueryError as error:
        raise ValidationError(str(error)) from error
    descending = scan_by != "TimestampAscending"
    shown, following = page(results, int(next_token or 0), max_datapoints or MOST_VALUES, descending)
    return {
        "MetricDataResults": [
            {"Id": query_id, "Label": label, "StatusCode": "Complete", "Timestamps": timestamps, "Values": values}
            for query_id, label, timestamps, values in shown
        ],
        "NextToken": None if following is None else str(following),
        "Messages": [],
    }


def get_metric_data_stat(self: CloudwatchDatabase, account_id, region, query, start_time, end_time, scan_by) -> dict:
    """One statistic of one metric, which is what GetMetricStatistics reads."""
    span = Range(seconds(start_time), seconds(end_time))
    try:
        [(_, series)] = evaluate([{"Id": "m", **query}], span, Database(self, account_id, region), region)
    except QueryError as error:
        raise ValidationError(str(error)) from error
    timestamps = sorted(series.values, reverse=scan_by != "TimestampAscending")
    return {"timestamps": timestamps, "values": [series.values[timestamp] for timestamp in timestamps]}


CloudwatchProvider.get_metric_data = get_metric_data
CloudwatchDatabase.get_metric_data_stat = get_metric_data_stat
