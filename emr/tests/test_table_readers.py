"""Report, averages and validation read the table and what it does not hold yet: all of it, once."""

import csv
import io
import os
from datetime import timedelta

import pytest
from lake_of_tests import ARRIVAL, Lake, event
from pyspark.sql import SparkSession
from test_compact import Job

from tributary_emr import averages, report, rules, table_rules, validate_table
from tributary_emr.lake import LakeError
from tributary_emr.table_check import check_table
from tributary_emr.tail import list_objects
from tributary_emr.validate import validate

DAY = timedelta(days=1)


@pytest.fixture
def job(spark: SparkSession, lake: Lake, where) -> Job:
    return Job(spark, lake, where)


def some_events(first: int, count: int, day: int, **changes: object) -> list[dict]:
    """Events that happen and arrive `day` days after the first one."""
    moment = ARRIVAL + day * DAY
    return [
        event(n, event_time=moment, arrival_time=moment, event_duration=float(n % 17), **changes)
        for n in range(first, first + count)
    ]


def report_csv(job: Job, *options: str, with_table: bool = True) -> str:
    output = job.lake.root / "reports" / ("report.csv" if with_table else "objects.csv")
    report.run(
        job.spark, job.lake.events, str(output), report.arguments(list(options)), job.where if with_table else None
    )
    return output.read_text()


def rounded(text: str) -> list[list[str]]:
    """A report without the digits in which sums differ that were made in another order."""
    _, *rows = csv.reader(io.StringIO(text))
    return [[*row[:4], *(f"{float(cell):.9g}" for cell in row[4:])] for row in rows]


def days_of(text: str) -> list[str]:
    return [row["day"] for row in csv.DictReader(io.StringIO(text))]


def test_the_report_of_table_and_tail_is_that_of_all_objects_and_computes_only_days_that_changed(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ("--minimum-events", "3")
    job.lake.write(some_events(0, 5, 0))
    job.lake.write(some_events(5, 5, 1))
    job.run()
    first = report_csv(job, *few)
    assert days_of(first) == ["2026-11-22", "2026-11-23"]
    assert rounded(first) == rounded(report_csv(job, *few, with_table=False))

    def said() -> str:
        return next(line for line in capsys.readouterr().out.splitlines() if "→" in line and "the same" not in line)

    # Nothing has changed: nothing is computed.
    said()
    assert report_csv(job, *few) == first
    assert said().startswith("0 days computed again")
    # A tail: a new day, a copy of what the table holds, and a late event of the first day.
    job.lake.write([*some_events(10, 4, 2), *some_events(3, 1, 0, value=-1.0)[:1], *some_events(90, 1, 0)])
    second = report_csv(job, *few)
    assert said().startswith("2 days computed again from the table and 1 objects")
    assert rounded(second) == rounded(report_csv(job, *few, with_table=False))
    capsys.readouterr()
    # Loaded: the same rows, from elsewhere; files put together change no day.
    job.run()
    assert rounded(report_csv(job, *few)) == rounded(second)
    assert said().startswith("2 days computed again from the table and 0 objects")
    assert rounded(report_csv(job, *few, "--full")) == rounded(second)
    # Other options, or somebody else's CSV, hold for no day.
    assert days_of(report_csv(job, "--minimum-events", "6")) == ["2026-11-22"]
    (job.lake.root / "reports/report.csv").write_text("day,device_type\n")
    (job.lake.root / "reports/.report.csv.crc").unlink()
    assert rounded(report_csv(job, *few)) == rounded(second)
    # A row that somebody deletes changes its day.
    job.spark.sql(f"DELETE FROM {job.where.table} WHERE event_id IN ('event-10', 'event-11')")
    assert days_of(report_csv(job, *few)) == ["2026-11-22", "2026-11-23"]


def test_an_empty_table_and_an_empty_lake_are_one_clear_line(job: Job) -> None:
    job.run()
    with pytest.raises(LakeError, match="the lake is empty"):
        report_csv(job)


def test_averages_of_table_and_tail_are_those_of_all_rollups(job: Job) -> None:
    job.lake.write_both(some_events(0, 3, 0) + some_events(3, 2, 1))
    job.run()
    job.lake.write_both(some_events(5, 2, 1, value=None) + some_events(7, 2, 2))

    def averages_csv(name: str, *options: str, with_table: bool) -> str:
        output = job.lake.root / "reports" / name
        parsed = averages.arguments(["--late-after-minutes", "5", *options])
        averages.run(job.spark, job.lake.rollups, str(output), parsed, job.where if with_table else None)
        return output.read_text()

    for options in ((), ("--day", "2026-11-23")):
        alike = [averages_csv(f"{which}.csv", *options, with_table=which) for which in (True, False)]
        # Averages of halves and whole numbers: no digit is rounded.
        assert alike[0] == alike[1]
        assert alike[0].count("\n") == (4 if not options else 2)


def test_averages_need_no_rollups_and_say_where_they_look_for_them(job: Job) -> None:
    job.lake.write(some_events(0, 3, 0))
    job.run()
    job.lake.write(some_events(5, 2, 0))
    output = job.lake.root / "reports" / "averages.csv"

    def made(source: str) -> str:
        averages.run(job.spark, source, str(output), averages.arguments([]), job.where)
        return output.read_text()

    assert made(job.lake.rollups) == made(f"{job.lake.rollups}//") == made(job.lake.rollups.rstrip("/"))
    assert made(job.lake.rollups).count("\n") == 2
    with pytest.raises(LakeError, match=r"date=2026-11-22: with a table it must end in rollups/"):
        made(f"{job.lake.rollups}date=2026-11-22")


def broken(job: Job, kind: str) -> None:
    table = job.where.table
    statements = {
        table_rules.TABLE_HAS: f"DELETE FROM {table} WHERE event_id = 'event-1'",
        table_rules.TABLE_ONCE: f"INSERT INTO {table} SELECT * FROM {table} WHERE event_id = 'event-1'",
        table_rules.TABLE_ONLY: f"UPDATE {table} SET event_id = 'event-99' WHERE event_id = 'event-1'",
        table_rules.TABLE_FIRST: f"UPDATE {table} SET position = position || '0' WHERE event_id = 'event-1'",
        table_rules.TABLE_ALIKE: f"UPDATE {table} SET value = 99 WHERE event_id = 'event-1'",
    }
    if statement := statements.get(kind):
        job.spark.sql(statement)
    else:
        job.lake.write(some_events(50, 1, -20))


@pytest.mark.parametrize("kind", table_rules.TABLE_RULES)
def test_validate_finds_each_way_in_which_table_and_objects_differ(job: Job, kind: str) -> None:
    job.lake.write(some_events(0, 3, 0))
    job.lake.write(some_events(3, 3, 1))
    job.run()
    clean = validate(job.spark, job.lake.events, {}, table=job.table)
    assert (clean.breaches, clean.table and clean.table.rows) == ([], 6)
    broken(job, kind)
    objects = list_objects(job.spark, job.lake.events, None).objects
    of_last_days = check_table(job.table, objects, arrival_days=2).breaches
    assert kind in {breach.rule for breach in of_last_days}
    found = {breach.rule for breach in validate(job.spark, job.lake.events, {}, table=job.table).breaches}
    assert kind in found
    assert found <= {*table_rules.TABLE_RULES}


def test_what_arrived_before_the_last_days_is_not_read(job: Job) -> None:
    old = job.lake.write(some_events(0, 3, 0))
    job.lake.write(some_events(3, 3, 9))
    job.run()
    written = (job.lake.root / old).stat().st_mtime
    (job.lake.root / old).write_bytes(b"not read")
    os.utime(job.lake.root / old, (written, written))
    objects = list_objects(job.spark, job.lake.events, None).objects
    checked = check_table(job.table, objects, arrival_days=8)
    assert (checked.objects, checked.not_loaded, checked.breaches) == (1, 0, [])


@pytest.mark.parametrize("days", ["0", "-3"])
def test_a_check_of_no_days_is_refused(days: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_of:
        validate_table.main(["--days", days])
    assert exit_of.value.code == 2
    assert f"argument --days: {days} is not above 0" in capsys.readouterr().err


def test_a_log_whose_loaded_objects_have_expired_has_no_gap(job: Job) -> None:
    keys = [job.lake.write(some_events(n, 2, 0)) for n in (0, 2, 4)]
    job.run()
    (job.lake.root / keys[1]).unlink()
    assert validate(job.spark, job.lake.events, {}, table=job.table).breaches == []
    assert [breach.rule for breach in validate(job.spark, job.lake.events, {}).breaches] == [rules.LOG]
