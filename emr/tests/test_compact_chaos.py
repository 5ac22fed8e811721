"""Compactions that are killed at any moment, two at a time, while objects arrive: `make chaos-lake`.

Too long for every run of the tests, which kill a compaction at each of its steps instead (`test_compact.py`).
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from lake_of_tests import ARRIVAL, Lake, event
from pyspark.sql import SparkSession
from test_compact import Job, expected

from tributary_emr.catalog import Catalog
from tributary_emr.table import Table
from tributary_emr.tail import all_rows

SECONDS = float(os.environ.get("TABLE_CHAOS_SECONDS", "0"))
SEED = int(os.environ.get("TABLE_CHAOS_SEED", str(random.randrange(10**6))))
_GRACE = 300
ZONES = ("Pacific/Kiritimati", "America/St_Johns")
HERE = Path(__file__).parent


class Ingestion(threading.Thread):
    """Commits an object every now and then: new events, copies of old ones, late ones of last year."""

    def __init__(self, lake: Lake, chance: random.Random) -> None:
        super().__init__()
        self.lake, self.chance = lake, chance
        self.objects: list[list[Mapping[str, Any]]] = []
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(self.chance.uniform(0.1, 0.6)):
            rows = [self._row() for _ in range(self.chance.randrange(1, 20))]
            # Of an object all rows are of one shard and cell, in their order.
            first = rows[0]
            alike = [row for row in rows if row["shard"] == first["shard"]]
            for number, row in enumerate(alike):
                row["arrival_time"] = first["arrival_time"] + timedelta(milliseconds=number)
            self.lake.write(alike)
            self.objects.append(alike)

    def _row(self) -> dict[str, Any]:
        # Of few ids and three days: many are copies, some of them of other days, some arrived before the first one.
        arrival = ARRIVAL + timedelta(days=self.chance.randrange(3), minutes=15 * self.chance.randrange(4))
        late = timedelta(days=365) if self.chance.random() < 0.02 else timedelta(hours=self.chance.randrange(1, 30))
        number = self.chance.randrange(3000)
        return event(
            number,
            event_time=arrival - late,
            arrival_time=arrival,
            shard=f"shardId-00000000000{self.chance.randrange(3)}",
            position=str(10**50 + self.chance.randrange(10**9)),
            value=float(self.chance.randrange(100)),
        )

    @property
    def ids(self) -> set[str]:
        return {row["event_id"] for rows in list(self.objects) for row in rows}


class Compactions(threading.Thread):
    """Starts a compaction, kills it at some moment, and starts the next one."""

    def __init__(self, job: Job, chance: random.Random, zone: str) -> None:
        super().__init__()
        where = job.where
        self.command = [sys.executable, str(HERE / "compaction_until_killed.py"), job.lake.events]
        self.command += [where.kind, where.warehouse, where.namespace]
        self.environ = os.environ | {"PYTHONPATH": str(HERE.parent), "TZ": zone, "TRIBUTARY_SPARK_MEMORY": "1g"}
        self.chance = chance
        self.ended = threading.Event()
        self.kills, self.told = 0, ""
        self.failed: list[str] = []

    def run(self) -> None:
        while not self.ended.is_set():
            process = subprocess.Popen(
                self.command,
                env=self.environ,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            started = time.monotonic()
            told = _told_until(process, "begins")
            # A machine that is slow to start it is slow at its work, too.
            moment = self.chance.uniform(0, 1.5) * (time.monotonic() - started)
            # In its first run, or after it, so that there is progress.
            if self.chance.random() < 0.5:
                told += _told_until(process, "run")
            self.ended.wait(moment)
            # Spark's JVM as well.
            os.killpg(process.pid, signal.SIGKILL)
            told += process.communicate()[0]
            self.told += told
            if process.returncode == -signal.SIGKILL:
                self.kills += 1
            else:
                self.failed.append(told)


def _told_until(process: subprocess.Popen[str], word: str) -> str:
    """What it prints until a line begins with `word`, or it ends."""
    assert process.stdout is not None
    told = ""
    while line := process.stdout.readline():
        told += line
        if line.startswith(word):
            break
    return told


@contextmanager
def running(*threads: Ingestion | Compactions):
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.ended.set()
        for thread in threads:
            thread.join()


def read_complete_and_once(job: Job, ingestion: Ingestion) -> int:
    """The number of rows of the table that a reader finds meanwhile, with all that were committed before, each once."""
    committed = ingestion.ids
    table = Table.open(job.spark, job.where)
    if table is None or not committed:
        return 0
    found = all_rows(table, job.lake.events)
    keys = found.rows.selectExpr("event_id", "unix_micros(event_time) div 86400000000").collect()
    found.release()
    assert len(keys) == len(set(keys))
    assert committed <= {row[0] for row in keys}
    return table.row_count


@pytest.mark.skipif(not SECONDS, reason="make chaos-lake runs it")
def test_compactions_killed_at_any_moment_leave_each_event_once(
    spark: SparkSession, lake: Lake, where: Catalog, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        print(f"TABLE_CHAOS_SEED={SEED}", end=" ")
    job = Job(spark, lake, where)
    job.run()
    ingestion = Ingestion(lake, random.Random(SEED))
    compactions = [Compactions(job, random.Random(SEED + 1 + n), zone) for n, zone in enumerate(ZONES)]
    seen = 0
    with running(ingestion, *compactions):
        started = time.monotonic()
        # Longer on a machine that is busy with something else.
        while (passed := time.monotonic() - started) < SECONDS or (
            passed < SECONDS + _GRACE and not (seen and all(compaction.kills for compaction in compactions))
        ):
            seen = max(seen, read_complete_and_once(job, ingestion))
            time.sleep(1)
    for compaction in compactions:
        assert compaction.failed == []
        assert compaction.kills > 0
        assert "Traceback" not in compaction.told
    told = "".join(compaction.told for compaction in compactions)
    assert seen > 0, told
    last = job.run()
    assert job.rows() == expected(*ingestion.objects)
    assert job.breaches() == []
    assert job.run().account.objects == 0
    with capsys.disabled():
        kills = sum(compaction.kills for compaction in compactions)
        lost = told.count("lost ")
        print(f"{len(ingestion.objects)} objects, {kills} kills, {told.count('run ')} runs, {lost} lost", end=" ")
    assert last.faults == []
