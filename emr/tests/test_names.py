"""What a lake, a stream, an object may be called: whatever is listed is read, or the job says so and fails."""

import csv
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from lake_of_tests import Lake, event
from pyspark.sql import SparkSession

from tributary_emr import averages, report, rules
from tributary_emr.lake import LakeError, StoredObject, _file_system, _listed
from tributary_emr.schema import ObjectName
from tributary_emr.validate import Validation, validate

TAIL = "shardId-000000000002.20261122T1015Z.000000.parquet"


def jobs_read(spark: SparkSession, lake: Lake, out: Path) -> tuple[int, int, Validation]:
    """The events that the report and the averages count, and what `validate` finds."""
    everything = report.arguments(["--minimum-events", "1", "--csv", str(out / "report.csv")])
    report.run(spark, lake.events, f"{lake.root}/reports/report.csv", everything)
    averages.run(
        spark,
        lake.rollups,
        f"{lake.root}/reports/averages.csv",
        averages.arguments(["--csv", str(out / "averages.csv")]),
    )
    for name in ("report.csv", "averages.csv"):
        assert (lake.root / "reports" / name).read_bytes() == (out / name).read_bytes()
    counted = (
        sum(int(row[column]) for row in csv.DictReader((out / name).open(newline="")))
        for name, column in (("report.csv", "distinct_events"), ("averages.csv", "events"))
    )
    return *counted, validate(spark, lake.events, {}, rollups=lake.rollups)


def test_streams_whose_names_begin_like_hidden_files_are_read_by_every_job(
    spark: SparkSession, lake: Lake, tmp_path: Path
) -> None:
    for number, stream in enumerate(["plain", "!_events", "!.hidden", "!_metadata", "!..", "-a"]):
        lake.write_both([event(10 * number), event(10 * number + 1)], stream=stream)
    *counted, found = jobs_read(spark, lake, tmp_path)
    assert (counted, found.breaches, found.rows, found.rollups.rows) == ([12, 12], [], 12, 6)
    count = f"SELECT count(*) FROM read_parquet('{lake.root}/events/*/*.parquet')"
    assert duckdb.sql(count).fetchall() == [(12,)]


def test_a_local_folder_is_listed_as_hadoop_lists_it(spark: SparkSession, tmp_path: Path) -> None:
    for name in ("a b#c?d%20e+f", "wü", ".hidden", ".a.parquet.crc", "a.crc", "date=2026-11-22/a.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    path, hadoop = _file_system(spark, str(tmp_path))
    files = hadoop.listFiles(path, True)
    below = []
    while files.hasNext():
        below.append(files.next())
    for theirs, recursive in ((hadoop.listStatus(path), False), (below, True)):
        expected = {
            (StoredObject(found.getPath().toString(), found.getLen(), found.getModificationTime()), found.isDirectory())
            for found in theirs
        }
        assert set(_listed(spark, hadoop, path, recursive=recursive)) == expected
        assert len(expected) == 5


@pytest.mark.parametrize("name", ["a b#c?d%20e+f", "x*y[z]{p,q}\\wü", "~'!$&;(v):w"])
def test_a_local_lake_may_lie_under_any_name(spark: SparkSession, tmp_path: Path, name: str) -> None:
    lake = Lake(tmp_path / name)
    for number in range(3):
        lake.write_both([event(10 * number), event(10 * number + 1)])
    *counted, found = jobs_read(spark, lake, tmp_path / name)
    assert (counted, found.breaches, found.rows, found.rollups.rows) == ([6, 6], [], 6, 3)
    # An object that cannot be read is left out by the name of the others.
    (lake.root / lake.write([event(50)])).write_bytes(b"torn")
    assert {breach.rule for breach in validate(spark, lake.events, {}).breaches} == {rules.READABLE}


def rename(name: str) -> Callable[[Path], object]:
    return lambda file: file.rename(file.with_name(name))


def hide_the_folder(file: Path) -> None:
    folder = file.parent.with_name("_old")
    folder.mkdir()
    file.rename(folder / file.name)


def empty(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.parametrize(
    "pass_over",
    [rename(f"_events.{TAIL}"), rename(f".hidden.{TAIL}"), rename(f"_metadata.{TAIL}"), hide_the_folder, empty],
    ids=["_", ".", "_metadata", "folder", "empty"],
)
def test_a_job_that_reads_fewer_objects_than_are_listed_says_so_and_fails(
    spark: SparkSession, lake: Lake, tmp_path: Path, pass_over: Callable[[Path], object]
) -> None:
    lake.write_both([event(1)], stream="plain")
    key = lake.write_both([event(2)], stream="other")
    for prefix in ("events", "rollups"):
        pass_over(lake.root / key.replace("events", prefix, 1))
    for run, arguments, source in (
        (report.run, report.arguments([]), lake.events),
        (averages.run, averages.arguments([]), lake.rollups),
    ):
        output = tmp_path / "reports" / "out.csv"
        with pytest.raises(LakeError, match=r"Spark passes over 1 of 2 objects, first (events|rollups)/"):
            run(spark, source, str(output), arguments)
        assert not output.exists()
    found = validate(spark, lake.events, {}, rollups=lake.rollups)
    assert (rules.READABLE if pass_over is empty else rules.READ) in {breach.rule for breach in found.breaches}
    assert not [breach for breach in found.breaches if breach.rule == rules.AUDIT_ROWS]


def test_an_unreadable_object_ends_the_job_whatever_the_settings_say(spark: SparkSession, lake: Lake) -> None:
    lake.write([event(1)])
    (lake.root / lake.write([event(2)])).write_bytes(b"PAR1 torn PAR1")
    for setting in ("spark.sql.files.ignoreCorruptFiles", "spark.sql.files.ignoreMissingFiles"):
        spark.conf.set(setting, "true")
    try:
        with pytest.raises(Exception, match="Parquet"):
            report.run(spark, lake.events, f"{lake.root}/report.csv", report.arguments([]))
    finally:
        for setting in ("spark.sql.files.ignoreCorruptFiles", "spark.sql.files.ignoreMissingFiles"):
            spark.conf.unset(setting)
    assert not (lake.root / "report.csv").exists()


@pytest.mark.parametrize("stream", ["_events", ".hidden", "..", "!a"])
def test_a_stream_that_begins_like_a_hidden_file_has_a_mark_before_its_name(stream: str) -> None:
    name = ObjectName.of_key(f"events/date=2026-11-22/!{stream}.{TAIL}")
    assert name is not None
    assert name.stream == stream
    assert ObjectName.of_key(f"events/date=2026-11-22/{stream}.{TAIL}") is None


def test_no_other_name_has_the_mark() -> None:
    assert ObjectName.of_key(f"events/date=2026-11-22/!events.{TAIL}") is None
