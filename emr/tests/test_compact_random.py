"""Whatever arrives, and whatever befalls the runs: table, account and reports are as the rule says."""

import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from lake_of_tests import ARRIVAL, Lake, event
from pyspark.sql import SparkSession
from test_compact import HOUR, Job, Killed, expected
from test_table_readers import report_csv, rounded

from tributary_emr.catalog import Catalog
from tributary_emr.compact import STEPS

FEW = ("--minimum-events", "2")
#: Beginnings of days: of this one, of last year's, of the first and the last years.
EDGES = [datetime(*day, tzinfo=UTC) for day in ((2026, 11, 22), (2026, 11, 23), (2025, 11, 22), (1970, 1, 1))]
EDGES += [datetime(1900, 1, 2, tzinfo=UTC), datetime(9998, 3, 1, tzinfo=UTC)]


def some_rows(chance: random.Random, first: int) -> list[dict[str, Any]]:
    """Rows of one object, of few ids."""
    arrival = ARRIVAL + chance.randint(-8, 8) * HOUR
    return [
        event(
            number,
            event_id=f"event-{chance.randint(0, 14)}",
            event_time=chance.choice(EDGES) + chance.choice([-1, 0, 1, 3_600_000_000]) * timedelta(microseconds=1),
            arrival_time=arrival + timedelta(milliseconds=chance.randint(0, 3)),
            position=str(chance.choice([7, 10, 99, 100]) * 1000 + number),
            value=float(number),
            event_duration=float(number % 7),
            device_type=chance.choice("ab"),
        )
        for number in range(first, first + chance.randint(1, 12))
    ]


@pytest.mark.parametrize("seed", range(2))
def test_table_and_reports_are_as_the_rule_says(spark: SparkSession, lake: Lake, where: Catalog, seed: int) -> None:
    chance, job = random.Random(seed), Job(spark, lake, where)
    objects: list[list[Mapping[str, Any]]] = []

    def killed(step: str) -> None:
        if step == end:
            raise Killed

    for _ in range(4):
        for _ in range(chance.randint(1, 4)):
            objects.append(some_rows(chance, 100 * len(objects)))
            lake.write(objects[-1])
        assert chance.random() < 0.5 or both_reports_are_alike(job)
        slices, end = ("--slice-objects", str(chance.randint(1, 3))), chance.choice([*STEPS, None])
        try:
            job.run(*slices, at=killed)
        except Killed:
            account = job.run(*slices, *chance.choice([(), ("--all",)])).account
            assert account.read == account.added + account.copies
        assert job.rows() == expected(*objects)
        assert both_reports_are_alike(job)
    assert job.breaches() == []


def both_reports_are_alike(job: Job) -> bool:
    return rounded(report_csv(job, *FEW)) == rounded(report_csv(job, *FEW, with_table=False))
