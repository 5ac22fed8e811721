"""The averages job around the rule: days, formats, places, errors."""

import csv
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from lake_of_tests import Lake, event
from pyspark.sql import SparkSession

from tributary_emr.averages import arguments, run
from tributary_emr.lake import LakeError
from tributary_emr.rollup_transforms import AVERAGES_COLUMNS

DAY = date(2026, 11, 22)
MIDNIGHT = datetime(2026, 11, 22, tzinfo=UTC)


def at(number: int, moment: datetime, **changes: object) -> dict[str, object]:
    return event(number, event_time=moment, **{"arrival_time": moment, **changes})


@pytest.fixture
def three_days(lake: Lake) -> Lake:
    """A minute at each end of the day before, of the day, and of the day after; two of them arrive far from it."""
    second = timedelta(seconds=1)
    lake.write_both([at(1, MIDNIGHT - second, value=1.0)])
    lake.write_both([at(2, MIDNIGHT, value=2.0, arrival_time=MIDNIGHT - 86_400 * second)])
    lake.write_both([at(3, MIDNIGHT + 86_399 * second, value=3.0, arrival_time=MIDNIGHT + timedelta(days=9))])
    lake.write_both([at(4, MIDNIGHT + 86_400 * second, value=4.0)])
    return lake


def averages_csv(file: Path) -> list[list[str]]:
    with file.open(encoding="utf-8", newline="") as text:
        header, *rows = csv.reader(text)
    assert tuple(header) == AVERAGES_COLUMNS
    return rows


def test_a_day_is_the_minutes_of_its_utc_date_whenever_they_arrived(
    spark: SparkSession, three_days: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    output = f"{three_days.root}/reports/averages.csv"
    run(spark, three_days.rollups, output, arguments(["--day", "2026-11-22"]))
    assert averages_csv(Path(output)) == [
        ["2026-11-22T00:00:00Z", "thermostat-7", "thermostat", "1", "2.0", "2.0", "2.0", "100.0", "0"],
        ["2026-11-22T23:59:00Z", "thermostat-7", "thermostat", "1", "3.0", "3.0", "3.0", "100.0", "1"],
    ]
    assert "2 device minutes from 4 objects" in capsys.readouterr().out


def test_parquet_has_a_folder_per_day_and_a_run_for_one_day_replaces_only_that(
    spark: SparkSession, three_days: Lake
) -> None:
    output = three_days.root / "reports" / "averages"
    run(spark, three_days.rollups, str(output), arguments([]))
    folders = ["date=2026-11-21", "date=2026-11-22", "date=2026-11-23"]
    assert sorted(folder.name for folder in output.glob("date=*")) == folders
    kept = list(output.glob("date=2026-11-21/*.parquet"))
    three_days.write_both([at(5, MIDNIGHT, value=4.0)])
    run(spark, three_days.rollups, str(output), arguments(["--day", "2026-11-22"]))
    assert list(output.glob("date=2026-11-21/*.parquet")) == kept
    (file,) = output.glob("date=2026-11-22/*.parquet")
    table = pq.ParquetFile(file).read()
    assert tuple(table.column_names) == AVERAGES_COLUMNS
    assert table.column("average_value").to_pylist() == [3.0, 3.0]
    assert [start.astimezone(UTC) for start in table.column("window_start").to_pylist()] == [
        MIDNIGHT,
        MIDNIGHT + timedelta(minutes=1439),
    ]


def test_the_local_csv_is_ordered_and_what_the_lake_has(spark: SparkSession, three_days: Lake) -> None:
    local, stored = three_days.root / "out" / "averages.csv", three_days.root / "reports" / "averages.csv"
    run(spark, three_days.rollups, str(stored), arguments(["--csv", str(local)]))
    assert local.read_bytes() == stored.read_bytes()
    assert [row[4] for row in averages_csv(local)] == ["1.0", "2.0", "3.0", "4.0"]
    beside = three_days.root / "beside.csv"
    run(spark, three_days.rollups, f"{three_days.root}/reports/averages", arguments(["--csv", str(beside)]))
    assert beside.read_bytes() == local.read_bytes()


def test_a_day_without_rollups_gives_an_empty_csv(spark: SparkSession, three_days: Lake) -> None:
    output = three_days.root / "reports" / "averages.csv"
    run(spark, three_days.rollups, str(output), arguments(["--day", "2001-01-01"]))
    assert averages_csv(output) == []


def test_an_empty_lake_is_one_clear_line(spark: SparkSession, lake: Lake) -> None:
    with pytest.raises(LakeError, match="the lake is empty"):
        run(spark, lake.rollups, f"{lake.root}/reports/averages", arguments([]))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--output", "s3a://lake/events/"], "s3a://lake/events/ is not under reports/"),
        (["--output", "s3a://lake/"], "s3a://lake/ is not under reports/"),
        (["--output", "s3a://reports/"], "s3a://reports/ is not under reports/"),
        (["--day", "22.11.2026"], "22.11.2026 is no date like 2026-11-22"),
    ],
)
def test_bad_usage_is_named(given: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_of:
        arguments(given)
    assert exit_of.value.code == 2
    assert said in capsys.readouterr().err


def test_the_day_is_a_date() -> None:
    assert arguments(["--day", "2026-11-22"]).day == DAY
