"""Loads objects into the table: their rows without those that it holds, in one commit with the objects' names.

The first copy of an event to arrive counts, as in the report. Rows are added that the table has no copy of; a row that
arrived before the table's copy, because its batch was given up and came again later, takes the place of that copy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from tributary_emr.lake import SPARK_ERRORS, LakeError, reason
from tributary_emr.loaded import Loaded, Named
from tributary_emr.table import Conflict, Table, is_overtaken
from tributary_emr.tail import read_objects
from tributary_emr.transforms import COPY_NUMBER, by_arrival, day_number, of_days, with_copies_numbered


class Stopped(LakeError):
    """Objects that must not be loaded."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


@dataclass(frozen=True)
class Account:
    """Of every row that was read it says what became of it: `read = added + copies`."""

    objects: int = 0
    read: int = 0
    added: int = 0
    copies: int = 0
    """Rows that lost to another copy of their event, of the load or of the table."""
    replaced: int = 0
    """Those of them that had been in the table."""

    def __add__(self, other: Account) -> Account:
        return Account(
            self.objects + other.objects,
            self.read + other.read,
            self.added + other.added,
            self.copies + other.copies,
            self.replaced + other.replaced,
        )

    def summary(self) -> dict[str, str]:
        """For the summary of the snapshot."""
        return {name: str(value) for name, value in vars(self).items()}


# What becomes of a row of the load.
_NEW, _EARLIER, _COPY = "new", "earlier", "copy"


def load(table: Table, branch: str, objects: Mapping[Named, int], loaded: Loaded, at: Callable[[str], None]) -> Account:
    """Commits the rows of `objects`, of which each has the number of rows given, and with them `loaded`.

    Raises `Conflict` when somebody else has committed meanwhile, `LakeError` when it cannot be done.
    """
    base = table.snapshot_id
    assert base is not None, "a table is made with a snapshot"
    # Read once: on small objects the requests are what takes time. Rows need not fit into memory.
    arrived = with_copies_numbered(read_objects(table.spark, list(objects)))
    arrived = arrived.withColumn("_day", day_number("event_time")).persist(StorageLevel.MEMORY_AND_DISK)
    marked = arrived
    try:
        # Counted as rows, and not by an observation while they are read: what Spark reads again, because an executor is
        # lost, it observes again.
        rows_of_days = dict(arrived.groupBy("_day").count().collect())
        read, expected = sum(rows_of_days.values()), sum(objects.values())
        if read != expected:
            raise LakeError(f"{len(objects):,} objects: Spark read {read:,} rows, their footers say {expected:,}")
        held = of_days(table.rows(), rows_of_days)
        marked = _all_new(arrived)
        if not held.isEmpty():
            marked = _marked(arrived, held).persist(StorageLevel.MEMORY_AND_DISK)
        counts = dict(marked.groupBy("_fate").count().collect())
        account = Account(
            objects=len(objects),
            read=read,
            added=counts.get(_NEW, 0),
            copies=read - counts.get(_NEW, 0),
            replaced=counts.get(_EARLIER, 0),
        )
        at("read")
        table.stage(branch, base)
        if account.replaced:
            earlier = marked.where(F.col("_fate") == _EARLIER)
            table.delete(branch, earlier.select("event_id", F.col("_held_time").alias("event_time")))
        table.append(branch, marked.where(F.col("_fate") != _COPY), account.summary())
        at("staged")
        table.publish(branch, loaded)
        at("published")
    except SPARK_ERRORS as error:
        if is_overtaken(error):
            raise Conflict(reason(error)) from error
        raise LakeError(f"{len(objects):,} objects cannot be loaded: {reason(error)}") from error
    finally:
        marked.unpersist()
        arrived.unpersist()
    return account


def _all_new(arrived: DataFrame) -> DataFrame:
    """The same of rows of days that the table has nothing of."""
    fate = F.when(F.col(COPY_NUMBER) > 1, _COPY).otherwise(_NEW)
    return arrived.withColumn("_fate", fate).withColumn("_held_time", F.lit(None).cast("timestamp"))


def _marked(arrived: DataFrame, held: DataFrame) -> DataFrame:
    """The rows with their `_fate`, and the `_held_time` of the table's copy."""
    keys = held.select(
        F.col("event_id"),
        day_number("event_time").alias("_day"),
        F.col("event_time").alias("_held_time"),
        *(F.col(name).alias(f"_held_{name}") for name in ("arrival_time", "shard", "position")),
    )
    theirs, ours = (
        F.struct(*(column.alias(f"c{number}") for number, column in enumerate(by_arrival(prefix))))
        for prefix in ("_held_", "")
    )
    fate = F.when(F.col(COPY_NUMBER) > 1, _COPY).when(F.col("_held_time").isNull(), _NEW)
    fate = fate.when(ours < theirs, _EARLIER).otherwise(_COPY)
    return arrived.join(keys, ["event_id", "_day"], "left").withColumn("_fate", fate)
