"""Runs a job on two executors, processes of their own: MODULE LOST [OPTION …].

`MODULE` may be `losing-compact`: the executor that has first read rows makes the file LOST then, and is lost, with
what it has shuffled.
"""

import os
import shutil
import sys
from pathlib import Path

import psutil
import pyspark
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from tributary_emr import averages, compact, load, report, session

JOBS = {"compact": compact, "losing-compact": compact, "report": report, "averages": averages}

module, lost, *options = sys.argv[1:]
make_own, numbered = session.make_own, load.with_copies_numbered


def make_own_and_local(environ: dict[str, str]) -> None:
    make_own(environ)
    environ["SPARK_LOCAL_IP"] = "127.0.0.1"


def lose(event_id: str) -> str:
    try:
        Path(lost).touch(exist_ok=False)
    except FileExistsError:
        return event_id
    next(process for process in psutil.Process().parents() if process.name() == "java").kill()
    return event_id


def numbered_and_lost(events: DataFrame) -> DataFrame:
    return numbered(events).withColumn("event_id", F.udf(lose)("event_id"))


os.environ["TRIBUTARY_SPARK_MASTER"] = "local-cluster[2,1,1024]"
session.make_own = make_own_and_local
if module == "losing-compact":
    load.with_copies_numbered = numbered_and_lost
try:
    sys.exit(JOBS[module].main(options))
finally:
    # What executors printed: a cluster in one process keeps it beside Spark.
    shutil.rmtree(Path(pyspark.__file__).with_name("work"), ignore_errors=True)
