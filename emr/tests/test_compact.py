"""The table holds each event once, whatever happens to the job that loads it."""

import argparse
import json
import os
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from lake_of_tests import ARRIVAL, ARROW_SCHEMA, SHARD, Lake, event
from pyspark.sql import SparkSession

from tributary_emr import catalog as catalogs
from tributary_emr.catalog import Catalog
from tributary_emr.compact import STEPS, Run, arguments, compact
from tributary_emr.lake import LakeError
from tributary_emr.load import Stopped
from tributary_emr.table import BRANCH, FILE_BYTES, Table
from tributary_emr.table_check import check_table
from tributary_emr.tail import list_objects
from tributary_emr.upkeep import ORPHANS, keep_up

NOW = datetime(2026, 11, 29, 1, 30, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


class Job:
    """The job of one lake and one table."""

    def __init__(self, spark: SparkSession, lake: Lake, where: Catalog) -> None:
        self.spark, self.lake, self.where = spark, lake, where

    def run(self, *options: str, at: Callable[[str], None] = lambda step: None, now: datetime = NOW) -> Run:
        return compact(self.spark, self.lake.events, self.where, arguments(list(options)), now=now, at=at)

    def kill_at(self, step: str, *options: str) -> None:
        def at(reached: str) -> None:
            if reached == step:
                raise Killed

        with pytest.raises(Killed):
            self.run(*options, at=at)

    @property
    def table(self) -> Table:
        table = Table.open(self.spark, self.where)
        assert table is not None
        return table

    def rows(self) -> list[tuple[str, datetime, float | None]]:
        """Of each row id, time and value, in order."""
        rows = self.table.rows().selectExpr("event_id", "unix_micros(event_time)", "value").collect()
        start = datetime(1970, 1, 1, tzinfo=UTC)
        return sorted((row[0], start + timedelta(microseconds=row[1]), row[2]) for row in rows)

    def breaches(self) -> list[str]:
        objects = list_objects(self.spark, self.lake.events, None).objects
        return [breach.rule for breach in check_table(self.table, objects).breaches]


@pytest.fixture
def job(spark: SparkSession, lake: Lake, where: Catalog) -> Job:
    return Job(spark, lake, where)


def expected(*objects: Sequence[Mapping[str, Any]]) -> list[tuple[str, datetime, float | None]]:
    """What the table holds of rows, by the rule, without Spark."""
    first: dict[tuple[str, str], Mapping[str, Any]] = {}
    for row in (row for rows in objects for row in rows):
        key = row["event_id"], f"{row['event_time'].astimezone(UTC):%F}"
        if key not in first or _order(row) < _order(first[key]):
            first[key] = row
    return sorted((row["event_id"], row["event_time"], row["value"]) for row in first.values())


def _order(row: Mapping[str, Any]) -> tuple:
    return row["arrival_time"], row["shard"], len(row["position"]), row["position"]


def test_each_event_is_in_the_table_once_a_day_as_its_first_copy_to_arrive(job: Job) -> None:
    midnight = datetime(2026, 11, 22, tzinfo=UTC)
    first = [event(n, value=float(n)) for n in range(10)]
    # Of these, three are copies; one is the same id on another day, across a midnight that is none in Kolkata.
    second = [event(n, value=-1.0, arrival_time=ARRIVAL + HOUR) for n in range(7, 12)]
    second += [
        event(20, event_time=midnight - timedelta(microseconds=1), arrival_time=ARRIVAL + HOUR),
        event(21, event_id="event-20", event_time=midnight, arrival_time=ARRIVAL + HOUR),
    ]
    for rows in (first, second):
        job.lake.write(rows)
    run = job.run()
    assert (run.account.objects, run.account.read, run.account.added, run.account.copies) == (2, 17, 14, 3)
    assert job.rows() == expected(first, second)
    # A late event of last year; a copy of another one; and one that arrived before the table's copy, redriven.
    third = [
        event(30, event_time=ARRIVAL - 365 * DAY, arrival_time=ARRIVAL + DAY),
        event(3, value=-2.0, arrival_time=ARRIVAL + DAY),
    ]
    redriven = [event(4, value=44.0, position="7", arrival_time=ARRIVAL - 3 * HOUR)]
    for rows in (third, redriven):
        job.lake.write(rows)
    run = job.run()
    assert (run.account.read, run.account.added, run.account.copies, run.account.replaced) == (3, 1, 2, 1)
    assert run.rows == 15
    assert job.rows() == expected(first, second, third, redriven)
    summary = job.spark.sql(f"SELECT summary FROM {job.where.table}.snapshots ORDER BY committed_at").collect()[-1][0]
    assert {name: summary[f"tributary.{name}"] for name in ("read", "added", "copies")} == {
        "read": "3",
        "added": "1",
        "copies": "2",
    }
    before = job.table.snapshot_id
    assert job.run().account.objects == 0
    assert job.table.snapshot_id == before
    assert job.breaches() == []


@pytest.mark.parametrize("step", STEPS)
def test_a_run_that_is_killed_changes_nothing_in_what_the_next_one_makes(job: Job, step: str) -> None:
    first, second = [event(n) for n in range(6)], [event(n, arrival_time=ARRIVAL + HOUR) for n in range(4, 9)]
    for rows in (first, second):
        job.lake.write(rows)
    # Each object is a commit of its own.
    job.kill_at(step, "--slice-objects", "1")
    assert job.rows() in ([], expected(first), expected(first, second))
    job.run()
    assert job.rows() == expected(first, second)
    assert job.breaches() == []


def test_of_two_runs_at_once_one_starts_over_and_the_table_is_the_same(job: Job) -> None:
    rows = [event(n) for n in range(6)], [event(n, arrival_time=ARRIVAL + HOUR) for n in range(3, 9)]
    job.lake.write(rows[0])
    others: list[Run] = []

    def at(step: str) -> None:
        if step == "staged" and not others:
            # More has come meanwhile, and the other one loads all of it.
            job.lake.write(rows[1])
            others.append(job.run())

    run = job.run(at=at)
    assert (others[0].account.read, run.account.read) == (12, 0)
    assert job.rows() == expected(*rows)
    assert job.breaches() == []
    # Both loaded the same object before either committed; the branch of the one that lost is dropped in time.
    assert [branch for branch in job.table.branches() if branch.startswith(BRANCH)] != []
    assert "killed run" in job.run(now=NOW + 2 * DAY).upkeep[0]
    assert job.table.branches() == []


def test_a_backlog_of_days_is_loaded_in_portions_and_goes_on_where_it_was_killed(job: Job) -> None:
    days = [[event(n, arrival_time=ARRIVAL + n * DAY, event_time=ARRIVAL + n * DAY)] for n in range(8)]
    for rows in days:
        job.lake.write(rows)
    # Far more than the reach of 48 hours lies between the first portion and the last.
    job.kill_at("published", "--slice-objects", "2")
    assert job.rows() == expected(*days[:2])
    run = job.run("--slice-objects", "3")
    assert (run.account.objects, job.rows()) == (6, expected(*days))


def test_a_day_of_many_objects_is_committed_in_portions_of_at_most_so_many(job: Job) -> None:
    objects = [[event(n, arrival_time=ARRIVAL + n * timedelta(seconds=60))] for n in range(60)]
    for rows in objects:
        job.lake.write(rows)
    assert job.run("--slice-objects", "25", "--small-files", "0").account.objects == 60
    summaries = f"SELECT summary['tributary.objects'] FROM {job.where.table}.snapshots ORDER BY committed_at"
    assert [row[0] for row in job.spark.sql(summaries).collect()] == [None, "25", "25", "10"]
    assert job.rows() == expected(*objects)
    assert job.breaches() == []


@pytest.mark.parametrize("clock", [datetime(1990, 1, 1, tzinfo=UTC), datetime(2090, 1, 1, tzinfo=UTC)])
def test_a_clock_that_is_years_off_changes_no_row(job: Job, clock: datetime) -> None:
    objects = [[event(n, arrival_time=ARRIVAL + n * HOUR)] for n in range(2)]
    for rows, now in zip(objects, (clock, NOW), strict=True):
        job.lake.write(rows)
        assert job.run(now=now).account.added == 1
    assert job.rows() == expected(*objects)
    assert job.breaches() == []


def test_a_load_whose_branch_a_run_with_a_clock_ahead_has_dropped_starts_over(job: Job) -> None:
    rows = [event(n) for n in range(4)]
    job.lake.write(rows)
    dropped: list[str] = []

    def at(step: str) -> None:
        if step == "staged" and not dropped:
            dropped.extend(keep_up(job.table, arguments([]), now=NOW + 2 * DAY))

    assert job.run(at=at).account.added == 4
    assert "killed run" in dropped[0]
    assert job.rows() == expected(rows)
    assert job.breaches() == []


def damaged(job: Job, kind: str) -> str:
    """Puts something that cannot be loaded into `events/`, and returns what the job must call it."""
    events = job.lake.root / "events"
    rows = [event(n, arrival_time=ARRIVAL + 2 * HOUR) for n in range(5)]
    if kind == "foreign":
        file = events / "date=2026-11-22/part-00000.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"PAR1")
        return "events/date=2026-11-22/part-00000.parquet: it is no object of ours"
    if kind == "beside":
        (events / "_temporary").mkdir(parents=True)
        return "_temporary: it is no object of ours"
    if kind == "audit":
        return f"{job.lake.write(rows, audit={'tributary-written': '6'})}: it has 5 rows, and its audit says 6"
    if kind == "column":
        wider = ARROW_SCHEMA.append(pa.field("colour", pa.string()))
        key = job.lake.write([{**row, "colour": "red"} for row in rows], schema=wider)
        return f"{key}: this job does not know its column colour"
    key = job.lake.write(rows)
    file = job.lake.root / key
    file.write_bytes(b"" if kind == "empty" else file.read_bytes()[:-9])
    return f"{key}: " + ("it is empty" if kind == "empty" else "it cannot be read as Parquet")


@pytest.mark.parametrize("kind", ["truncated", "empty", "foreign", "beside", "audit", "column"])
def test_what_cannot_be_loaded_is_named_and_stops_the_run_or_is_left_out(job: Job, kind: str) -> None:
    good = [event(n) for n in range(3)]
    job.lake.write(good)
    named = damaged(job, kind)
    with pytest.raises(Stopped) as stopped:
        job.run()
    assert len(stopped.value.faults) == 1
    assert named in stopped.value.faults[0]
    run = job.run("--on-unreadable", "skip")
    assert named in run.faults[0]
    assert job.rows() == expected(good)
    # It stays in sight, and its age is what the alarm looks at.
    again = job.run("--on-unreadable", "skip")
    assert again.faults == run.faults
    assert kind in ("foreign", "beside") or again.lag_ms >= 0
    assert job.rows() == expected(good)
    assert job.breaches() == []


def test_a_log_that_has_expired_and_begins_anew_is_loaded(job: Job) -> None:
    key = job.lake.write([event(n) for n in range(3)])
    job.run()
    (job.lake.root / key).unlink()
    later = [event(9)]
    assert job.lake.write(later) == key
    # Beyond the reach of a nightly run; after a redrive one asks for all.
    assert job.run("--all").account.added == 1
    assert job.rows() == expected([event(n) for n in range(3)], later)
    assert job.breaches() == []


def test_a_column_that_somebody_added_to_the_table_stays(job: Job) -> None:
    job.lake.write([event(1)])
    job.run()
    job.spark.sql(f"ALTER TABLE {job.where.table} ADD COLUMN note string")
    job.spark.sql(f"UPDATE {job.where.table} SET note = 'seen'")
    job.lake.write([event(2)])
    job.run()
    notes = {row[0]: row[1] for row in job.spark.sql(f"SELECT event_id, note FROM {job.where.table}").collect()}
    assert notes == {"event-1": "seen", "event-2": None}
    assert job.breaches() == []


def test_a_table_that_somebody_rolled_back_is_loaded_again(job: Job) -> None:
    rows = [event(n) for n in range(3)]
    job.lake.write(rows[:2])
    job.run()
    before = job.table.snapshot_id
    job.lake.write(rows[2:])
    job.run()
    name = job.where.table.partition(".")[2]
    job.spark.sql(f"CALL lake.system.rollback_to_snapshot('{name}', {before})")
    assert job.rows() == expected(rows[:2])
    job.run()
    assert job.rows() == expected(rows)
    assert job.breaches() == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "ALTER COLUMN schema_version TYPE bigint",
            "column schema_version is bigint; expected int: somebody altered it",
        ),
        ("DROP COLUMN value", "column value is gone: somebody altered it"),
        ("RENAME COLUMN value TO reading", "column value is gone: somebody altered it"),
    ],
)
def test_a_table_that_somebody_altered_is_one_clear_line(job: Job, change: str, said: str) -> None:
    job.lake.write([event(1)])
    job.run()
    job.spark.sql(f"ALTER TABLE {job.where.table} {change}")
    job.lake.write([event(2)])
    with pytest.raises(LakeError, match=f"^the table {job.where}: {said}$"):
        job.run()


def test_a_catalog_that_cannot_be_reached_is_one_clear_line(tmp_path) -> None:
    options = argparse.Namespace(catalog=f"jdbc:sqlite:{tmp_path}/none/lake.db", warehouse="w", namespace="history")
    with pytest.raises(LakeError, match=f"there is no folder {tmp_path}/none$"):
        catalogs.required(options, {})
    options.catalog = "hive"
    with pytest.raises(LakeError, match=r"^--catalog hive: must be glue, or an address that begins with jdbc:$"):
        catalogs.required(options, {})
    options.catalog = None
    with pytest.raises(LakeError, match=r"^no table: give --catalog, or set TRIBUTARY_CATALOG$"):
        catalogs.required(options, {})


def test_a_catalog_that_has_its_tables_is_not_asked_for_them(job: Job, tmp_path: Path) -> None:
    # Iceberg would lock every other process out: test_compact_chaos shows what follows.
    asks = "spark.sql.catalog.lake.jdbc.init-catalog-tables"
    fresh = Catalog(f"jdbc:sqlite:{tmp_path}/new.db", "w", "history")
    assert fresh.spark_config({})[asks] == "true"
    assert not (tmp_path / "new.db").exists()
    job.run()
    assert job.where.spark_config({})[asks] == "false"
    assert asks not in Catalog("jdbc:postgresql://db/lake", "w", "history").spark_config({})


def test_upkeep_changes_files_and_no_row(job: Job) -> None:
    objects = [[event(n, arrival_time=ARRIVAL + n * HOUR, shard=SHARD)] for n in range(6)]
    for rows in objects:
        job.lake.write(rows)
    run = job.run("--slice-objects", "1", "--small-files", "0")
    files = f"SELECT count(*) FROM {job.where.table}.files"
    assert job.spark.sql(files).first()[0] == 6
    changed = job.table.snapshot_id
    snapshots = f"SELECT snapshot_id FROM {job.where.table}.snapshots ORDER BY committed_at"
    oldest = job.spark.sql(snapshots).first()[0]
    run = job.run()
    assert run.upkeep == ["rewrote 6 files as 1"]
    assert job.spark.sql(files).first()[0] == 1
    assert job.table.changed_days(changed) == set()
    # Snapshots count from when they were made; the newest ten stay.
    for n in range(6, 12):
        job.lake.write([event(n, arrival_time=ARRIVAL + n * HOUR)])
        objects.append([event(n)])
    job.run("--slice-objects", "1", "--small-files", "0")
    run = job.run("--snapshot-days", "7", "--orphan-days", "0", now=datetime.now(UTC) + 8 * DAY)
    assert any("expired snapshots" in line for line in run.upkeep)
    assert len(job.table.snapshots()) == 10
    assert job.table.changed_days(oldest) is None
    assert job.rows() == expected(*objects)
    assert job.breaches() == []


@pytest.mark.parametrize("tenths", [8, 12, 15, 18, 22, 27, 55])
def test_a_day_in_order_is_left_as_it_is_whatever_its_size(job: Job, tenths: int) -> None:
    target = 200_000
    job.lake.write([event(0)])
    job.run()
    job.spark.sql(f"ALTER TABLE {job.where.table} SET TBLPROPERTIES ('{FILE_BYTES}'='{target}')")
    rng = random.Random(tenths)
    objects = max(8, tenths // 3)
    for number in range(1, objects + 1):
        # As hex digits, noise takes its own size when it is compressed.
        noise = [rng.randbytes(target * tenths // 100 // objects).hex() for _ in range(10)]
        arrival = ARRIVAL + number * HOUR
        rows = [
            event(
                number * 10 + n,
                arrival_time=arrival,
                event_time=ARRIVAL - (number * 10 + n) * timedelta(minutes=1),
                attributes=json.dumps(noise[n]),
            )
            for n in range(10)
        ]
        job.lake.write(rows)
    job.run("--slice-objects", "1", "--small-files", "0")
    assert "rewrote" in " ".join(job.run().upkeep)
    assert job.run().upkeep == []


def test_files_that_nothing_refers_to_go_once_a_week_when_they_are_old(job: Job) -> None:
    job.lake.write([event(1)])
    job.run()
    data = Path(job.where.warehouse) / job.where.namespace / "events/data"
    old, young = data / "old.parquet", data / "young.parquet"
    for file, days in ((old, 4), (young, 2)):
        file.write_bytes(b"PAR1")
        moment = (datetime.now(UTC) - days * DAY).timestamp()
        os.utime(file, (moment, moment))
    assert job.run(now=datetime.now(UTC)).upkeep == []
    job.table.set_property(ORPHANS, str(int((datetime.now(UTC) - 8 * DAY).timestamp())))
    assert job.run(now=datetime.now(UTC)).upkeep == ["deleted 1 files that nothing refers to"]
    assert (old.exists(), young.exists()) == (False, True)
    assert job.rows() == expected([event(1)])
