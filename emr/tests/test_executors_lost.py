"""Executors that are lost, as on a cluster: what Spark then reads and computes again is the same, and counts once."""

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from lake_of_tests import Lake, event
from pyspark.sql import SparkSession
from test_compact import Job, expected
from test_compact_chaos import SECONDS, SEED
from test_table_readers import report_csv, rounded

from tributary_emr import averages
from tributary_emr.catalog import Catalog

JOB = Path(__file__).with_name("job_on_executors.py")


class Killer(threading.Thread):
    """Kills executors of a process at random, few enough that Spark, which tries a task four times, can bear it."""

    def __init__(self, of: subprocess.Popen[str], chance: random.Random) -> None:
        super().__init__()
        self.process, self.chance = of, chance
        self.kills = 0

    def run(self) -> None:
        while self.process.poll() is None and self.kills < 3:
            time.sleep(self.chance.uniform(1, 5))
            try:
                running = psutil.Process(self.process.pid).children(recursive=True)
                executors = [child for child in running if "CoarseGrainedExecutorBackend" in " ".join(child.cmdline())]
                if executors:
                    self.chance.choice(executors).kill()
                    self.kills += 1
            except psutil.Error:
                continue


def begin(module: str, lake: Lake, where: Catalog, *options: str) -> subprocess.Popen[str]:
    """Starts a job of the lake and the table on two executors."""
    places = ["--input", lake.events, "--catalog", where.kind, "--warehouse", where.warehouse]
    return subprocess.Popen(
        [sys.executable, JOB, module, lake.root / "lost", *places, "--namespace", where.namespace, *options],
        env=os.environ | {"PYTHONPATH": str(JOB.parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def succeeded(process: subprocess.Popen[str]) -> str:
    """What the job says."""
    said, _ = process.communicate()
    assert process.returncode == 0, said
    return said


def test_rows_that_are_read_again_are_counted_once(spark: SparkSession, lake: Lake, where: Catalog) -> None:
    objects = [[event(number) for number in range(first, first + 100)] for first in (0, 90, 180)]
    for rows in objects:
        lake.write(rows)
    said = succeeded(begin("losing-compact", lake, where))
    assert "Lost executor" in said
    assert "300 rows read = 280 added + 20 copies" in said
    job = Job(spark, lake, where)
    assert job.rows() == expected(*objects)
    assert job.breaches() == []


@pytest.mark.skipif(not SECONDS, reason="make chaos-lake runs it")
def test_jobs_whose_executors_are_killed_make_the_same_table_and_report(
    spark: SparkSession, lake: Lake, where: Catalog, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(SEED)
    job = Job(spark, lake, where)
    objects, kills, started = [], 0, time.monotonic()
    while not objects or time.monotonic() - started < SECONDS:
        for _ in range(10):
            # Some are copies of what is loaded, and of each other.
            first = chance.randrange(20_000)
            objects.append([event(n, event_duration=n * 7919 % 1000) for n in range(first, first + 500)])
            lake.write_both(objects[-1])
        report = ["report", "--full", "--output", f"{lake.root}/reports/killed.csv"]
        per_minute = ["averages", "--input", lake.rollups, "--output", f"{lake.root}/reports/averages.csv"]
        for module, *options in (["compact"], report, per_minute):
            process = begin(module, lake, where, *options)
            killer = Killer(process, chance)
            killer.start()
            said = succeeded(process)
            killer.join()
            kills += killer.kills
            assert module != "compact" or "\n5,000 rows read" in said
        killed = (lake.root / "reports/killed.csv").read_text(encoding="utf-8")
        assert rounded(killed) == rounded(report_csv(job, "--full"))
        left_alone = lake.root / "reports/left_alone.csv"
        averages.run(spark, lake.rollups, str(left_alone), averages.arguments([]), where)
        assert (lake.root / "reports/averages.csv").read_bytes() == left_alone.read_bytes()
    assert job.rows() == expected(*objects)
    assert job.breaches() == []
    assert kills > 0
    with capsys.disabled():
        print(f"{len(objects)} objects, {kills} executors killed", end=" ")
