"""What GetMetricData does with its queries, for the CloudWatch of the local stack: statistics, SEARCH, metric math.

Nothing here knows LocalStack; `start.d/cloudwatch_metric_data.py` puts it in.
"""
