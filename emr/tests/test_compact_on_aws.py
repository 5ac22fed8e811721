"""The job with Glue for a catalog and S3 for everything else, as a process of its own against moto's services."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from emr_of_tests import Aws
from emr_of_tests import moto as moto_services
from lake_of_tests import Lake, event

from tributary_emr import schema

EMR = Path(__file__).parents[1]
TABLE = ["--catalog", "glue", "--warehouse", "s3://lake/table/"]


@pytest.fixture
def aws() -> Iterator[Aws]:
    with moto_services() as services:
        yield services


def run(aws: Aws, job: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"tributary_emr.{job}", *arguments, *TABLE],
        env=aws.environ | {"PYTHONPATH": str(EMR)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def tags(aws: Aws, key: str) -> list[dict[str, str]]:
    return aws.client("s3").get_object_tagging(Bucket="lake", Key=key)["TagSet"]


def test_the_table_is_in_glue_and_on_s3_and_what_it_holds_is_tagged(aws: Aws, lake: Lake) -> None:
    s3 = aws.client("s3")
    whole = lake.write_both([event(n) for n in range(600)])
    without_rollup = lake.write([event(n) for n in range(590, 610)])
    for file in lake.root.rglob("*.parquet"):
        s3.upload_file(str(file), "lake", str(file.relative_to(lake.root)))
    done = run(aws, "compact", "--input", "s3a://lake/events/", "--metrics", "tributary-events")
    assert done.returncode == 0, done.stderr
    assert "620 rows read = 610 added + 10 copies" in done.stdout
    assert "warning" not in done.stderr
    table = aws.client("glue").get_table(DatabaseName="history", Name="events")["Table"]
    assert table["Parameters"]["table_type"] == "ICEBERG"
    assert table["Parameters"]["metadata_location"].startswith("s3://lake/table/")
    # As Athena sees them; `events/` has the same from the same contract.
    assert [(column["Name"], column["Type"]) for column in table["StorageDescriptor"]["Columns"]] == [
        (field.name, field.dataType.simpleString()) for field in schema.EVENTS
    ]
    held = [{"Key": "tributary", "Value": "in-table"}]
    assert tags(aws, whole) == tags(aws, whole.replace("events/", "rollups/")) == held
    # An object whose rollup is still to come is tagged with it.
    assert tags(aws, without_rollup) == []
    assert "1 objects and their rollups may expire" in done.stdout
    metrics = aws.client("cloudwatch").list_metrics(Namespace="Tributary")["Metrics"]
    assert {(metric["MetricName"], metric["Dimensions"][0]["Value"]) for metric in metrics} == {
        ("TableRows", "tributary-events"),
        ("TableLag", "tributary-events"),
    }
    done = run(aws, "report", "--input", "s3a://lake/events/", "--output", "s3a://lake/reports/a.csv")
    assert done.returncode == 0, done.stderr
    text = s3.get_object(Bucket="lake", Key="reports/a.csv")["Body"].read().decode()
    assert text.splitlines()[1].startswith("2026-11-22,thermostat,610,0,")
    aws.client("glue").delete_table(DatabaseName="history", Name="events")
    done = run(aws, "compact", "--input", "s3a://lake/events/")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        1,
        "compact: the table history.events in glue: the catalog has lost it, and its files are in "
        "s3://lake/table/history/events: compact --restore gives it back",
    )
    done = run(aws, "compact", "--input", "s3a://lake/events/", "--restore")
    assert done.returncode == 0, done.stderr
    assert "0 objects loaded" in done.stdout
    assert "610 rows" in done.stdout
    assert "restored the table from s3://lake/table/history/events/metadata/0000" in done.stdout
    assert without_rollup in {stored["Key"] for stored in s3.list_objects_v2(Bucket="lake")["Contents"]}
