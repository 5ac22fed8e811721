"""A table that somebody has altered, rolled back or lost: one clear line, or the same rows in the end."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from lake_of_tests import Lake, event
from pyspark.sql import SparkSession
from test_compact import Job, expected
from test_table_readers import days_of, report_csv, rounded, some_events

from tributary_emr import aws
from tributary_emr.catalog import Catalog
from tributary_emr.lake import LakeError
from tributary_emr.loaded import Named
from tributary_emr.table import Table

FEW = ("--minimum-events", "1")
#: Over a month later, in seconds since the Unix epoch.
LATER = 1_803_000_000


@pytest.fixture
def job(spark: SparkSession, lake: Lake, where: Catalog) -> Job:
    return Job(spark, lake, where)


@pytest.fixture
def tagged(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The keys of what is tagged."""
    keys: set[str] = set()

    def tag(spark: SparkSession, objects: Sequence[Named]) -> Sequence[Named]:
        keys.update(found.stored.key for found in objects)
        return objects

    monkeypatch.setattr(aws, "can_tag", lambda source: True)
    monkeypatch.setattr(aws, "tag_objects", tag)
    return keys


def in_sql(job: Job, procedure: str, *arguments: str) -> None:
    name = job.where.table.partition(".")[2]
    job.spark.sql(f"CALL lake.system.{procedure}({', '.join([repr(name), *arguments])})")


def test_a_table_that_the_catalog_has_lost_is_not_made_anew_but_given_back(job: Job) -> None:
    rows = some_events(0, 5, 0)
    job.lake.write(rows)
    job.run()
    before = report_csv(job, *FEW)
    job.spark.sql(f"DROP TABLE {job.where.table}")
    said = f"the table {job.where}: the catalog has lost it, and its files are in {job.where.location}"
    for reads in (job.run, lambda: report_csv(job, *FEW)):
        with pytest.raises(LakeError, match=said):
            reads()
    late = some_events(5, 2, 1)
    job.lake.write(late)
    run = job.run("--restore")
    assert run.upkeep[0].startswith(f"restored the table from {job.where.location}/metadata/0000")
    assert run.account.read == 2
    assert job.rows() == expected(rows, late)
    assert rounded(report_csv(job, *FEW))[:1] == rounded(before)
    assert job.breaches() == []
    with pytest.raises(LakeError, match="cannot be restored: "):
        job.run("--restore")


def test_there_is_nothing_to_give_back_of_a_table_that_never_was(job: Job) -> None:
    with pytest.raises(LakeError, match=f"there is no metadata of it in {job.where.location}$"):
        job.run("--restore")


def test_a_rollback_is_noticed_when_what_was_rolled_back_has_expired(job: Job) -> None:
    job.lake.write([event(0)])
    job.run()
    first = job.table.snapshot_id
    job.lake.write([event(1)])
    job.run()
    in_sql(job, "rollback_to_snapshot", str(first))
    in_sql(job, "expire_snapshots", "TIMESTAMP '2090-01-01 00:00:00'", "1")
    job.run()
    assert job.rows() == expected([event(0), event(1)])


def test_an_expired_object_of_a_log_that_was_loaded_again_is_no_breach(job: Job) -> None:
    keys = [job.lake.write([event(n)]) for n in range(2)]
    job.run()
    first = job.table.snapshot_id
    job.lake.write([event(2)])
    job.run()
    in_sql(job, "rollback_to_snapshot", str(first))
    (job.lake.root / keys[0]).unlink()
    job.run()
    assert job.rows() == expected([event(n) for n in range(3)])
    assert job.breaches() == []


@pytest.mark.parametrize(
    "changes",
    [
        ("RENAME COLUMN event_duration TO duration",),
        ("DROP COLUMN event_duration",),
        ("DROP COLUMN event_duration", "ADD COLUMN event_duration double"),
    ],
)
def test_a_report_is_not_made_of_another_column(job: Job, changes: Sequence[str]) -> None:
    job.lake.write(some_events(0, 5, 0))
    job.run()
    report_csv(job, *FEW)
    for change in changes:
        job.spark.sql(f"ALTER TABLE {job.where.table} {change}")
    job.spark.sql(f"UPDATE {job.where.table} SET value = 1 WHERE event_id = 'event-0'")
    for reads in (job.run, lambda: report_csv(job, *FEW)):
        with pytest.raises(LakeError, match=r"column event_duration is gone: somebody altered it$"):
            reads()


def test_a_day_of_which_another_engine_deleted_rows_is_computed_again(job: Job) -> None:
    for day in range(2):
        job.lake.write(some_events(day * 5, 5, day))
    job.run()
    report_csv(job, *FEW)
    job.spark.sql(f"ALTER TABLE {job.where.table} SET TBLPROPERTIES ('write.delete.mode' = 'merge-on-read')")
    job.spark.sql(f"DELETE FROM {job.where.table} WHERE event_id IN ('event-0', 'event-1')")
    assert rounded(report_csv(job, *FEW)) == rounded(report_csv(job, *FEW, "--full"))


def test_what_is_left_out_of_a_log_that_begins_anew_is_not_taken_for_loaded(job: Job, tagged: set[str]) -> None:
    old = job.lake.write([event(0)])
    os.utime(job.lake.root / old, (1_800_000_000, 1_800_000_000))
    job.run()
    (job.lake.root / old).unlink()
    tagged.clear()
    # The new log is longer than the old one.
    keys = [job.lake.write([event(10)], audit={"tributary-written": "6"}), job.lake.write([event(11)])]
    for number, key in enumerate(keys):
        os.utime(job.lake.root / key, (LATER + 100 * number, LATER + 100 * number))
    for _ in range(2):
        assert job.run("--all", "--on-unreadable", "skip").faults != []
        assert tagged == {keys[1]}


@pytest.mark.parametrize("kind", ["in portions", "in two runs", "left out"])
def test_of_a_log_that_begins_anew_nothing_is_taken_for_loaded(job: Job, tagged: set[str], kind: str) -> None:
    def written(number: int, moment: int, **audit: str) -> str:
        key = job.lake.write([event(number)], audit=audit)
        os.utime(job.lake.root / key, (moment, moment))
        return key

    keys = [written(number, 1_800_000_000) for number in (0, 1)]
    job.run()
    for key in keys:
        (job.lake.root / key).unlink()
    tagged.clear()
    assert written(10, LATER, **({"tributary-written": "6"} if kind == "left out" else {})) == keys[0]
    if kind == "in two runs":
        job.run("--all")
    assert written(11, LATER + (100 if kind == "left out" else 0)) == keys[1]
    job.run("--all", "--slice-objects", "1", "--on-unreadable", "skip")
    whole = [event(n) for n in (0, 1, 10, 11) if n != 10 or kind != "left out"]
    assert job.rows() == expected(whole)
    assert tagged == ({keys[1]} if kind == "left out" else set(keys))


def test_what_an_ended_run_found_is_not_beyond_a_run_that_had_listed_before(job: Job) -> None:
    job.lake.write(some_events(0, 2, 0))
    job.run()
    found = [some_events(10, 1, -21), some_events(11, 1, -20)]
    job.lake.write(some_events(12, 1, 1))
    begun = False

    def at(step: str) -> None:
        nonlocal begun
        if step == "staged" and not begun:
            begun = True
            for rows in found:
                job.lake.write(rows)
            job.kill_at("published", "--all", "--slice-objects", "1")

    job.run(at=at)
    assert days_of(report_csv(job, *FEW)) == days_of(report_csv(job, *FEW, with_table=False))
    job.run()
    assert job.breaches() == []


@pytest.mark.parametrize("kind", ["another commit", "its branch is dropped"])
def test_a_load_that_another_commit_crosses_starts_over(job: Job, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    job.lake.write([event(0)])
    job.run()
    job.lake.write([event(1)])
    stage, times = Table.stage, []

    def crossed(table: Table, branch: str, snapshot_id: int) -> None:
        times.append(branch)
        if len(times) > 1:
            stage(table, branch, snapshot_id)
        elif kind == "another commit":
            change = table._java.manageSnapshots()
            job.table.set_property("another", "commit")
            change.createBranch(branch, snapshot_id).commit()
        else:
            stage(table, branch, snapshot_id)
            job.table.drop_branch(branch)

    monkeypatch.setattr(Table, "stage", crossed)
    job.run()
    assert len(times) == 2
    assert job.rows() == expected([event(0), event(1)])


@pytest.mark.parametrize("kind", ["latin-1", "edited", "no state", "NUL"])
def test_a_last_report_that_cannot_be_read_is_none(job: Job, kind: str) -> None:
    job.lake.write(some_events(0, 5, 0, device_type="K\0hler" if kind == "NUL" else "Kühler"))
    job.run()
    first = report_csv(job, *FEW)
    file = job.lake.root / "reports/report.csv"
    if kind == "latin-1":
        file.write_bytes(first.encode("latin-1"))
        (file.parent / ".report.csv.crc").unlink()
    elif kind == "edited":
        # Hadoop's sum beside it no longer holds.
        file.write_text(first + "\n", encoding="utf-8")
    elif kind == "no state":
        state = Path(f"{file}.state")
        told = state.read_text(encoding="utf-8")
        state.write_text(told.replace('"tail_days": []', '"tail_days": null'), encoding="utf-8")
        (file.parent / ".report.csv.state.crc").unlink()
    job.lake.write(some_events(5, 5, 1))
    for options in ((), ("--full",)):
        assert rounded(report_csv(job, *FEW, *options))[:1] == rounded(first)[:1]


def test_what_a_report_leaves_out_is_named(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    job.lake.write(some_events(0, 3, 0))
    job.run()
    empty, strange = (job.lake.write(some_events(n, 3, 1)) for n in (5, 8))
    (job.lake.root / empty).write_bytes(b"")
    foreign = str(Path(strange).with_name("part-0001.parquet"))
    (job.lake.root / strange).rename(job.lake.root / foreign)
    report_csv(job, *FEW)
    assert capsys.readouterr().err.splitlines() == [
        f"report: left out: {foreign}: it is no object of ours",
        f"report: left out: {empty}: it is empty",
    ]
    for number in range(30):
        (job.lake.root / foreign).with_name(f"part-{number}.parquet").touch()
    report_csv(job, *FEW)
    said = capsys.readouterr().err.splitlines()
    assert (len(said), said[-1]) == (21, "report: and 12 more")
