"""Spark's settings for a submission, by the size of `events/`.

The reasons are in README.md; none was run at its size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

#: For every size. Copies of an event are few: sorting the rows before the shuffle, to drop them early, costs more than
#: it saves.
COMMON: Mapping[str, str] = {"spark.sql.optimizer.windowGroupLimitThreshold": "-1"}

#: For a job that reads or writes the table: EMR brings Iceberg, but not on the class path.
#: https://docs.aws.amazon.com/emr/latest/EMR-Serverless-UserGuide/using-iceberg.html
TABLE: Mapping[str, str] = {
    "spark.jars": "/usr/share/aws/iceberg/lib/iceberg-spark3-runtime.jar",
    # Iceberg's catalog is the only one: none of Hive's, which on EMR is Glue again, is asked.
    "spark.sql.catalogImplementation": "in-memory",
    # A load names its objects, and Spark looks each up in a job; by default with up to 10,000 tasks.
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "64",
}

#: By size of `events/` as it is stored: what depends on the data alone, so it holds wherever Spark runs.
DATA: Mapping[str, Mapping[str, str]] = {
    "1GB": {
        "spark.sql.shuffle.partitions": "64",
        "spark.dynamicAllocation.maxExecutors": "4",
    },
    "100GB": {
        "spark.sql.shuffle.partitions": "2000",
        "spark.sql.files.maxPartitionBytes": "256m",
        "spark.dynamicAllocation.maxExecutors": "50",
    },
    "10TB": {
        "spark.sql.shuffle.partitions": "40000",
        "spark.sql.files.maxPartitionBytes": "1g",
        "spark.dynamicAllocation.maxExecutors": "400",
    },
}

#: The workers of EMR Serverless, by the same sizes. A cluster's memory and cores follow from its instance types; EMR
#: sets them there.
WORKERS: Mapping[str, Mapping[str, str]] = {
    "1GB": {
        "spark.driver.cores": "2",
        "spark.driver.memory": "6g",
        "spark.executor.cores": "4",
        "spark.executor.memory": "14g",
    },
    "100GB": {
        "spark.driver.cores": "4",
        "spark.driver.memory": "14g",
        "spark.executor.cores": "4",
        "spark.executor.memory": "14g",
        "spark.emr-serverless.executor.disk": "50g",
    },
    "10TB": {
        "spark.driver.cores": "8",
        "spark.driver.memory": "54g",
        "spark.executor.cores": "8",
        "spark.executor.memory": "54g",
        "spark.emr-serverless.executor.disk": "200g",
    },
}

#: What a commit of the compaction has at most, as its options, by the same sizes. Memory follows the portion and not
#: the backlog: 20,000 objects took a heap of 2 GB (README.md), so the workers are the report's.
SLICES: Mapping[str, Sequence[str]] = {
    "1GB": (),
    "100GB": ("--slice-mib", "16384", "--slice-objects", "100000"),
    "10TB": ("--slice-mib", "131072", "--slice-objects", "400000"),
}

SIZES = tuple(DATA)


def serverless(size: str, overrides: Mapping[str, str]) -> dict[str, str]:
    """The settings of a run on EMR Serverless."""
    return {**COMMON, **DATA[size], **WORKERS[size], **overrides}


def cluster(size: str, overrides: Mapping[str, str]) -> dict[str, str]:
    """The settings of a step on an EMR cluster."""
    return {**COMMON, **DATA[size], **overrides}
