"""What the jobs ask of AWS beside reading and writing: tags of objects, and metrics. By the AWS SDK for Java that is on
Spark's class path, here and on EMR: EMR has no package of Python's for it that one could count on.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from py4j.protocol import Py4JError, Py4JJavaError
from pyspark.sql import SparkSession

from tributary_emr.lake import LakeError, first_line, place_of
from tributary_emr.loaded import Named

#: The tag of an object that the table holds. The bucket's lifecycle expires objects that carry it, and no other.
TAG = ("tributary", "in-table")
NAMESPACE = "Tributary"
_CONCURRENT_REQUESTS = 16


def can_tag(source: str) -> bool:
    """Whether objects under the URI `source` can have a tag."""
    return place_of(source)[0] in ("s3", "s3a")


def tag_objects(spark: SparkSession, objects: Sequence[Named]) -> list[Named]:
    """Tags these objects of `events/` and their rollups; gives back those of which both have the tag.

    A rollup may be missing: a later delivery makes it. Raises `LakeError`.
    """
    if not objects:
        return []
    sdk = spark._jvm.software.amazon.awssdk
    model = sdk.services.s3.model
    try:
        client = _client(spark, sdk.services.s3.S3Client.builder().forcePathStyle(_is_local(spark)))
    except TypeError as error:
        # A class that is not there shows as a package, which cannot be called.
        raise LakeError("objects cannot be tagged: Spark has no AWS SDK for Java (2) on its class path") from error
    tags = spark._jvm.java.util.ArrayList()
    tags.add(model.Tag.builder().key(TAG[0]).value(TAG[1]).build())
    tagging = model.Tagging.builder().tagSet(tags).build()
    # Looked up once: each name on the way to a class is a call.
    request_of = model.PutObjectTaggingRequest

    def tag(found: Named) -> bool:
        bucket, *keys = _keys(found)
        for name in keys:
            request = request_of.builder().bucket(bucket).key(name).tagging(tagging).build()
            try:
                client.putObjectTagging(request)
            except Py4JJavaError as error:
                if error.java_exception.getClass().getSimpleName() == "NoSuchKeyException":
                    return False
                raise LakeError(f"{name}: cannot be tagged: {first_line(error)}") from error
        return True

    try:
        with ThreadPoolExecutor(_CONCURRENT_REQUESTS) as pool:
            return [found for found, done in zip(objects, pool.map(tag, objects)) if done]
    finally:
        client.close()


def _keys(found: Named) -> tuple[str, str, str]:
    """Bucket, and the keys to tag. The rollup comes first: an object whose rollup is missing must not expire alone."""
    _, bucket, path = place_of(found.stored.uri)
    # A lake may lie below another folder of the name.
    lake = path.lstrip("/")[: -len(found.stored.key)]
    return bucket, f"{lake}rollups/{found.stored.name}", f"{lake}{found.stored.key}"


def publish(spark: SparkSession, metrics: Mapping[str, tuple[float, str]], dimensions: Mapping[str, str]) -> None:
    """Publishes metrics, each a value and its unit. No run fails for it.

    Where CloudWatch does not answer they are printed, as a line of which CloudWatch Logs makes the same metrics: from a
    job without a VPC EMR Serverless reaches the logs alone
    (https://docs.aws.amazon.com/emr/latest/EMR-Serverless-UserGuide/considerations.html).
    """
    try:
        sdk = spark._jvm.software.amazon.awssdk
        model = sdk.services.cloudwatch.model
        client = _client(spark, sdk.services.cloudwatch.CloudWatchClient.builder())
        named = spark._jvm.java.util.ArrayList()
        for name, value in dimensions.items():
            named.add(model.Dimension.builder().name(name).value(value).build())
        data = spark._jvm.java.util.ArrayList()
        for name, (value, unit) in metrics.items():
            datum = model.MetricDatum.builder().metricName(name).value(float(value)).unit(unit).dimensions(named)
            data.add(datum.build())
        try:
            client.putMetricData(model.PutMetricDataRequest.builder().namespace(NAMESPACE).metricData(data).build())
        finally:
            client.close()
    except (Py4JError, TypeError) as error:
        # A class that is not there shows as a package, which cannot be called.
        why = first_line(error) if isinstance(error, Py4JJavaError) else type(error).__name__
        print(f"compact: warning: CloudWatch took no metrics, they are in the log: {why}", file=sys.stderr)
        print(embedded(metrics, dimensions, int(time.time() * 1000)))


def embedded(metrics: Mapping[str, tuple[float, str]], dimensions: Mapping[str, str], now_ms: int) -> str:
    """In the embedded metric format:
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html.
    """
    definitions = [{"Name": name, "Unit": unit} for name, (_, unit) in metrics.items()]
    directive = {"Namespace": NAMESPACE, "Dimensions": [list(dimensions)], "Metrics": definitions}
    values = {name: value for name, (value, _) in metrics.items()}
    return json.dumps({"_aws": {"Timestamp": now_ms, "CloudWatchMetrics": [directive]}, **dimensions, **values})


def _client(spark: SparkSession, builder):
    jvm = spark._jvm
    if region := _setting(spark, "client.region"):
        builder = builder.region(jvm.software.amazon.awssdk.regions.Region.of(region))
    if endpoint := _setting(spark, "s3.endpoint"):
        builder = builder.endpointOverride(jvm.java.net.URI.create(endpoint))
    http = jvm.software.amazon.awssdk.http.apache.ApacheHttpClient.builder()
    return builder.httpClientBuilder(http).build()


def _is_local(spark: SparkSession) -> bool:
    return _setting(spark, "s3.endpoint") is not None


def _setting(spark: SparkSession, name: str) -> str | None:
    # As `catalog` has set them: one place says where AWS is.
    return spark.conf.get(f"spark.sql.catalog.lake.{name}", None)
