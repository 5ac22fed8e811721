"""What EMR Serverless publishes of its jobs, published in its place for the Spark jobs of the local stack."""

import sys

from tributary_local.settings import Settings

NAMESPACE = "AWS/EMRServerless"
APPLICATION = "local"
"""Stands for the id of the application."""


def job_metrics(*, succeeded: bool) -> list[dict]:
    """SuccessJobs and FailedJobs of one job run, as PutMetricData takes them.

    Names and dimension: https://docs.aws.amazon.com/emr/latest/EMR-Serverless-UserGuide/app-job-metrics.html
    """
    counts = {"SuccessJobs": int(succeeded), "FailedJobs": int(not succeeded)}
    return [
        {
            "MetricName": name,
            "Dimensions": [{"Name": "ApplicationId", "Value": APPLICATION}],
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
