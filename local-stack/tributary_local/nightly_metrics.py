"""What Step Functions publishes of the nightly run, published in its place for the Spark jobs of the local stack."""

import sys

from tributary_local.settings import Settings

NAMESPACE = "AWS/States"
MACHINE = "local"
"""Stands for the ARN of the state machine."""


def job_metrics(*, succeeded: bool) -> list[dict]:
    """The executions of one run, as PutMetricData takes them.

    Names and dimension: https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html
    """
    counts = {"ExecutionsSucceeded": int(succeeded), "ExecutionsFailed": int(not succeeded), "ExecutionsTimedOut": 0}
    return [
        {
            "MetricName": name,
            "Dimensions": [{"Name": "StateMachineArn", "Value": MACHINE}],
            "Value": count,
            "Unit": "Count",
        }
        for name, count in counts.items()
    ]


def publish_job(settings: Settings, *, succeeded: bool) -> None:
    """A metric that cannot be published is a warning, never a failed job."""
    # Takes a third of a second to import, which the other verbs need not spend.
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    cloudwatch = boto3.client("cloudwatch", endpoint_url=settings.endpoint, region_name=settings.region)
    try:
        cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=job_metrics(succeeded=succeeded))
    except (BotoCoreError, ClientError) as error:
        print(f"warning: the report's metric was not published: {error}", file=sys.stderr)
