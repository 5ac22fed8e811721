"""Asks CloudWatch: the local stack's, or the account's where no endpoint is set. Only reads."""

import os
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tributary_monitor.queries import AWS, LOCAL, Periods, Query, batches
from tributary_monitor.series import Result, put_together
from tributary_monitor.variables import ListedMetric

CONFIG = Config(connect_timeout=3, read_timeout=20, retries={"total_max_attempts": 2})


class CloudWatchError(Exception):
    """CloudWatch cannot be asked; the message says where and why."""


class Answer(NamedTuple):
    """Results, and what went wrong by the id of the panel."""

    results: list[Result]
    errors: dict[int, str]


class CloudWatch:
    """One region of one account, or the local stack."""

    def __init__(self, client: Any, *, local: bool) -> None:
        self.client = client
        self.local = local
        self._listed: dict[tuple[str, str], tuple[float, list[ListedMetric]]] = {}

    @classmethod
    def from_environment(cls) -> "CloudWatch":
        """AWS_ENDPOINT_URL (on the loopback interface: the local stack), AWS_REGION, and boto3's credentials."""
        endpoint = os.environ.get("AWS_ENDPOINT_URL")
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        client = boto3.client("cloudwatch", endpoint_url=endpoint, region_name=region, config=CONFIG)
        return cls(client, local=urlsplit(endpoint or "").hostname in ("127.0.0.1", "localhost"))

    @property
    def place(self) -> str:
        """For people."""
        return self.client.meta.endpoint_url if self.local else f"AWS, {self.client.meta.region_name}"

    @property
    def periods(self) -> Periods:
        return LOCAL if self.local else AWS

    @property
    def refresh_seconds(self) -> float:
        """AWS bills every metric of every refresh and has new values once a minute."""
        return 5 if self.local else 60

    def listed(self, metrics: Iterable[tuple[str, str]]) -> list[ListedMetric]:
        """Those of these namespaces and names (empty: any); asked again when older than a few refreshes."""
        found: list[ListedMetric] = []
        for namespace, name in metrics:
            asked, known = self._listed.get((namespace, name), (0.0, []))
            if time.monotonic() - asked > 2 * self.refresh_seconds or not known:
                known = self._list(namespace, name)
                self._listed[namespace, name] = (time.monotonic(), known)
            found.extend(known)
        return found

    def _list(self, namespace: str, name: str) -> list[ListedMetric]:
        wanted = {"Namespace": namespace, **({"MetricName": name} if name else {})}
        try:
            pages = list(self.client.get_paginator("list_metrics").paginate(**wanted))
        except (BotoCoreError, ClientError) as error:
            raise CloudWatchError(f"{self.place} does not list metrics: {error}") from error
        return [
            ListedMetric(
                metric["Namespace"],
                metric["MetricName"],
                {dimension["Name"]: dimension["Value"] for dimension in metric.get("Dimensions") or []},
            )
            for page in pages
            for metric in page["Metrics"]
        ]

    def run(self, queries: Sequence[Query], start: int, end: int) -> Answer:
        """All queries over one range, in epoch seconds.

        A request that is refused is repeated panel by panel, so that one bad query costs its own panel only. Raises
        CloudWatchError when CloudWatch cannot be reached.
        """
        results, errors = [], {}
        for batch in batches(queries):
            try:
                results.extend(self._get(batch, start, end))
            except ClientError:
                for panel_id in dict.fromkeys(query.panel.id for query in batch):
                    try:
                        alone = [query for query in batch if query.panel.id == panel_id]
                        results.extend(self._get(alone, start, end))
                    except ClientError as error:
                        errors[panel_id] = error.response["Error"].get("Message") or str(error)
        return Answer(results, errors)

    def _get(self, batch: Sequence[Query], start: int, end: int) -> list[Result]:
        pages = self.client.get_paginator("get_metric_data").paginate(
            MetricDataQueries=[query.request for query in batch],
            StartTime=datetime.fromtimestamp(start, UTC),
            EndTime=datetime.fromtimestamp(end, UTC),
            ScanBy="TimestampAscending",
        )
        try:
            return put_together([result for page in pages for result in page["MetricDataResults"]])
        except BotoCoreError as error:
            raise CloudWatchError(f"{self.place} does not answer: {error}") from error
