"""What the jobs ask of AWS: metrics reach CloudWatch or its logs, and tags the right keys."""

import json

import pytest
from pyspark.sql import SparkSession

from tributary_emr import aws
from tributary_emr.lake import StoredObject
from tributary_emr.loaded import named

METRICS = {"TableRows": (7, "Count"), "TableLag": (1500, "Milliseconds")}


def test_metrics_that_cloudwatch_does_not_take_are_a_line_of_the_log(
    spark: SparkSession, capsys: pytest.CaptureFixture[str]
) -> None:
    # The tests' session has no class of CloudWatch's.
    aws.publish(spark, METRICS, {"Stream": "tributary-events"})
    out, err = capsys.readouterr()
    assert "warning: CloudWatch took no metrics, they are in the log: " in err
    line = json.loads(out)
    assert 1_700_000_000_000 < line["_aws"].pop("Timestamp") < 5_000_000_000_000
    assert line == {
        "_aws": {
            "CloudWatchMetrics": [
                {
                    "Namespace": "Tributary",
                    "Dimensions": [["Stream"]],
                    "Metrics": [{"Name": "TableRows", "Unit": "Count"}, {"Name": "TableLag", "Unit": "Milliseconds"}],
                }
            ]
        },
        "Stream": "tributary-events",
        "TableRows": 7,
        "TableLag": 1500,
    }


def test_the_rollup_is_tagged_first_wherever_the_lake_lies() -> None:
    name = "date=2026-11-22/tributary-events.s-0.20261122T1015Z.000000.parquet"
    for lake in ("", "my-events/events/"):
        found = named(StoredObject(f"s3a://bucket/{lake}events/{name}", 1, 1))
        assert found is not None
        assert aws._keys(found) == ("bucket", f"{lake}rollups/{name}", f"{lake}events/{name}")


def test_without_the_sdk_tagging_is_one_clear_line(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    def client(*arguments: object) -> None:
        raise TypeError("'JavaPackage' object is not callable")

    monkeypatch.setattr(aws, "_client", client)
    with pytest.raises(aws.LakeError, match=r"^objects cannot be tagged: Spark has no AWS SDK"):
        aws.tag_objects(spark, [object()])  # type: ignore[list-item]
