"""However long the job stood still, and whatever of it failed: what the table holds is tagged, and nothing else is."""

import os
from collections.abc import Sequence
from datetime import date

import pytest
from lake_of_tests import ARRIVAL, Lake, event
from pyspark.sql import SparkSession
from test_compact import DAY, Job, Killed, expected

from tributary_emr import aws, table_rules
from tributary_emr.catalog import Catalog
from tributary_emr.lake import LakeError
from tributary_emr.loaded import Named, day_of

#: Each object is a commit of its own, and little is kept in mind.
SHORT = ("--slice-objects", "1", "--reach-hours", "24", "--remember-days", "2")


class Tags:
    """The tags of a lake's objects, which a directory has none of."""

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.without_rollup: set[str] = set()
        self.denied = False

    def tag(self, spark: SparkSession, objects: Sequence[Named]) -> list[Named]:
        if self.denied and objects:
            raise LakeError("cannot be tagged: AccessDenied")
        done = [found for found in objects if found.stored.key not in self.without_rollup]
        self.keys |= {found.stored.key for found in done}
        return done


@pytest.fixture
def tags(monkeypatch: pytest.MonkeyPatch) -> Tags:
    tags = Tags()
    monkeypatch.setattr(aws, "can_tag", lambda source: True)
    monkeypatch.setattr(aws, "tag_objects", tags.tag)
    return tags


@pytest.fixture
def job(spark: SparkSession, lake: Lake, where: Catalog) -> Job:
    return Job(spark, lake, where)


def write_days(job: Job, days: range) -> list[str]:
    """An object a day, and their keys."""
    rows = ([event(n, arrival_time=ARRIVAL + n * DAY)] for n in days)
    return [job.lake.write(each) for each in rows]


def first_days(job: Job) -> list[date | None]:
    """From when on the next run looks for something to load, and for something to tag."""
    return [job.table.loaded().first_day, job.table.tagged().first_day]


def test_a_backlog_whose_run_is_killed_is_tagged_by_the_next_one(job: Job, tags: Tags) -> None:
    keys = write_days(job, range(8))
    published = 0

    def killed(step: str) -> None:
        nonlocal published
        published += step == "published"
        if published == 4:
            raise Killed

    with pytest.raises(Killed):
        job.run(*SHORT, at=killed)
    assert tags.keys == set(keys[:3])
    job.run(*SHORT)
    assert tags.keys == set(keys)
    assert job.breaches() == []


@pytest.mark.parametrize("again", [(), ("--all",)])
def test_objects_older_than_what_is_kept_in_mind_are_loaded_and_tagged_and_left_alone(
    job: Job, tags: Tags, again: Sequence[str]
) -> None:
    keys = write_days(job, range(8))
    job.run(*SHORT)
    assert tags.keys == set(keys)
    if again:
        # They are read again, and are copies.
        run = job.run(*SHORT, *again)
        assert (run.account.added, run.account.copies > 0) == (0, True)
    assert first_days(job) == [(ARRIVAL + 6 * DAY).date()] * 2
    assert job.run(*SHORT).account.objects == 0
    kept = {day_of(log.cell_start_ms) for log in job.table.loaded().logs}
    assert min(kept) >= (ARRIVAL + 4 * DAY).date()
    assert job.breaches() == []


def test_what_could_not_be_tagged_for_longer_than_the_reach_is_tagged_later(job: Job, tags: Tags) -> None:
    tags.denied = True
    keys = []
    for night in range(5):
        keys += write_days(job, range(night, night + 1))
        with pytest.raises(LakeError, match="AccessDenied"):
            job.run(*SHORT)
    assert job.rows() == expected([event(n) for n in range(5)])
    tags.denied = False
    job.run(*SHORT)
    assert tags.keys == set(keys)


def test_what_may_not_be_tagged_is_loaded(job: Job, tags: Tags) -> None:
    tags.denied = True
    write_days(job, range(4))
    with pytest.raises(LakeError, match="AccessDenied"):
        job.run(*SHORT)
    assert len(job.rows()) == 4


@pytest.mark.parametrize("kind", ["killed", "without tags"])
def test_what_all_has_loaded_of_an_old_day_is_tagged_by_the_next_run(job: Job, tags: Tags, kind: str) -> None:
    keys = write_days(job, range(8))
    job.run(*SHORT)
    keys.append(job.lake.write([event(99, arrival_time=ARRIVAL, shard="shardId-000000000007")]))
    if kind == "killed":
        job.kill_at("published", *SHORT, "--all")
    else:
        job.run(*SHORT, "--all", "--no-tag")
    assert keys[-1] not in tags.keys
    job.run(*SHORT)
    assert tags.keys == set(keys)
    assert len(job.rows()) == 9


def test_what_was_rolled_back_in_the_middle_of_a_run_is_loaded_again(job: Job, tags: Tags) -> None:
    # The oldest come last, as by a redrive.
    write_days(job, range(6, 7))
    job.run()
    first = job.table.snapshot_id
    keys = write_days(job, range(1, 5))
    published = 0

    def rolled_back(step: str) -> None:
        nonlocal published
        published += step == "published"
        if step == "tagged" and published == 1:
            name = job.where.table.partition(".")[2]
            job.spark.sql(f"CALL lake.system.rollback_to_snapshot('{name}', {first})")

    job.run(*SHORT, "--all", at=rolled_back)
    assert tags.keys >= set(keys)
    job.run(*SHORT)
    assert len(job.rows()) == 5


def test_an_object_whose_rollup_never_comes_stays_and_is_given_up(job: Job, tags: Tags) -> None:
    alone, *others = write_days(job, range(2))
    # Objects of days to come: what is old is so by the store's clock.
    os.utime(job.lake.root / alone, (ARRIVAL.timestamp(), ARRIVAL.timestamp()))
    tags.without_rollup = {alone}
    job.run(*SHORT)
    assert first_days(job)[1] == ARRIVAL.date()
    others += write_days(job, range(2, 6))
    job.run(*SHORT)
    assert tags.keys == set(others)
    assert first_days(job) == [(ARRIVAL + 4 * DAY).date()] * 2


def test_an_object_that_was_forgotten_is_held_to_the_rows_of_the_table(job: Job, tags: Tags) -> None:
    write_days(job, range(8))
    job.run(*SHORT)
    assert job.breaches() == []
    late = event(99, arrival_time=ARRIVAL, shard="shardId-000000000007")
    job.lake.write([late])
    assert job.run(*SHORT).account.objects == 0
    assert job.breaches() == [table_rules.TABLE_HAS]
    job.run(*SHORT, "--all")
    assert job.breaches() == []
