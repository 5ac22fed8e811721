"""The report job around the rule: CSV, places, errors, and the session's configuration."""

import csv
import io
import re
from datetime import date
from pathlib import Path
from xml.etree import ElementTree

import pyspark
import pytest
from lake_of_tests import Lake, event
from pyspark.sql import Row, SparkSession

from tributary_emr.lake import LakeError, bucket_uri
from tributary_emr.report import arguments, run
from tributary_emr.report_days import csv_text
from tributary_emr.session import SessionError, local_config
from tributary_emr.transforms import REPORT_COLUMNS

EMR = Path(__file__).parents[1]


def test_the_csv_reads_back_as_the_same_doubles() -> None:
    row = Row(date(2026, 11, 22), "lock, outdoor", 501, 2, 0.1 + 0.2, None, 1e-7)
    row.__fields__ = list(REPORT_COLUMNS)
    text = csv_text([row])
    header, cells = csv.reader(io.StringIO(text))
    assert header == list(REPORT_COLUMNS)
    assert cells[:4] == ["2026-11-22", "lock, outdoor", "501", "2"]
    assert (float(cells[4]), cells[5], float(cells[6])) == (0.1 + 0.2, "", 1e-7)
    assert text.endswith("\n")
    assert "\r" not in text


def test_the_report_is_one_csv_in_the_lake_and_the_same_on_disk_ordered_by_day_and_type(
    spark: SparkSession, lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    types = ["meter", "Lock", "camera"]
    lake.write([event(n, device_type=types[n % 3], event_duration=float(n % 11)) for n in range(1500)])
    local, stored = lake.root / "out" / "report.csv", lake.root / "reports" / "report.csv"
    run(spark, lake.events, str(stored), arguments(["--csv", str(local)]))
    assert local.read_bytes() == stored.read_bytes()
    lines = local.read_text().splitlines()
    assert lines[0] == ",".join(REPORT_COLUMNS)
    assert [line.split(",")[:3] for line in lines[1:]] == [
        ["2026-11-22", "Lock", "500"],
        ["2026-11-22", "camera", "500"],
        ["2026-11-22", "meter", "500"],
    ]
    assert "3 groups from 1 objects" in capsys.readouterr().out


def test_an_empty_lake_is_one_clear_line(spark: SparkSession, lake: Lake) -> None:
    with pytest.raises(LakeError, match="the lake is empty"):
        run(spark, lake.events, str(lake.root / "report.csv"), arguments([]))
    assert not (lake.root / "report.csv").exists()


def test_without_a_bucket_the_error_says_what_to_set() -> None:
    with pytest.raises(LakeError, match="set TRIBUTARY_BUCKET"):
        bucket_uri({})


def test_a_lake_on_s3_without_the_connector_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(SessionError, match="no hadoop-aws jar"):
        local_config({"TRIBUTARY_SPARK_JARS": str(tmp_path)}, uris=["s3a://lake/events/"])


def test_the_endpoint_makes_s3a_local_and_its_absence_leaves_aws(tmp_path: Path) -> None:
    (tmp_path / "hadoop-aws-3.3.4.jar").touch()
    environ = {"TRIBUTARY_SPARK_JARS": str(tmp_path)}
    assert "spark.hadoop.fs.s3a.endpoint" not in local_config(environ, uris=["s3a://lake/events/"])
    config = local_config(environ | {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566"}, uris=["s3a://lake/events/"])
    assert config["spark.hadoop.fs.s3a.endpoint"] == "http://127.0.0.1:4566"
    assert config["spark.hadoop.fs.s3a.path.style.access"] == "true"
    assert config["spark.hadoop.fs.s3a.connection.ssl.enabled"] == "false"
    with pytest.raises(SessionError, match="must start with http"):
        local_config(environ | {"AWS_ENDPOINT_URL": "127.0.0.1:4566"}, uris=["s3a://lake/events/"])


def test_the_pinned_s3_connector_is_of_the_hadoop_inside_pyspark() -> None:
    jars = Path(pyspark.__file__).parent / "jars"
    (inside,) = (re.fullmatch(r"hadoop-client-api-(.+)", jar.stem)[1] for jar in jars.glob("hadoop-client-api-*.jar"))
    pom = ElementTree.parse(EMR / "pom.xml")
    assert pom.findtext(".//{*}hadoop.version") == inside
