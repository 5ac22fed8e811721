"""The objects of `events/` beside the table: which there are, which it does not hold yet, and their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from pyspark.sql import DataFrame, SparkSession

from tributary_emr import schema
from tributary_emr.lake import (
    SPARK_ERRORS,
    LakeError,
    StoredObject,
    keys_read,
    list_days,
    read_events,
    read_rollups,
    reason,
)
from tributary_emr.loaded import Listed, Loaded, Named, day_of, named
from tributary_emr.table import Table
from tributary_emr.transforms import day_number, distinct_events, of_days


@dataclass(frozen=True)
class Listing(Listed):
    """What lies in `events/`, from a day on."""

    strange: Sequence[StoredObject]
    """What is none of our objects."""

    def tail(self, loaded: Loaded) -> tuple[list[Named], list[str]]:
        """The objects that are not loaded and have rows, and of what is left out, the reason of each."""
        tail = [found for found in self.objects if not loaded.holds(found)]
        empty = [f"{found.stored.key}: it is empty" for found in tail if found.stored.bytes == 0]
        return [found for found in tail if found.stored.bytes != 0], [*self.faults(), *empty]

    def faults(self) -> list[str]:
        """The reason of each that is none of our objects."""
        return [f"{stored.key}: it is no object of ours" for stored in self.strange]


def list_objects(spark: SparkSession, source: str, first: date | None) -> Listing:
    """Lists the URI `source` from the day `first` on (`None`: all of it). Raises `LakeError`."""
    stored, strange = list_days(spark, source, first)
    read = [(found, named(found)) for found in stored]
    objects = [name for _, name in read if name is not None]
    return Listing(objects, first, [*strange, *(found for found, name in read if name is None)])


def read_objects(spark: SparkSession, objects: Sequence[Named]) -> DataFrame:
    """The rows of these objects of `events/`. Raises `LakeError` when Spark cannot read them all."""
    return _read(spark, [found.stored for found in objects], read_events)


def read_rollups_of(spark: SparkSession, source: str, objects: Sequence[Named]) -> DataFrame:
    """The rows of the rollups, under the URI `source`, of these objects of `events/`."""
    there, _ = list_days(spark, source, min((day_of(found.name.cell_start_ms) for found in objects), default=None))
    wanted = {found.stored.name for found in objects}
    rollups = [stored for stored in there if stored.name in wanted]
    if not rollups:
        return spark.createDataFrame([], schema.ROLLUPS)
    return _read(spark, rollups, read_rollups)


@dataclass(frozen=True)
class Rows:
    """All rows of the lake, once each, from a state of the table and what it does not hold yet."""

    rows: DataFrame
    """As `transforms.distinct_events` makes them."""
    tail: Sequence[Named]
    tail_days: set[int]
    """The days of `event_time`, since the Unix epoch, that the tail has rows of."""
    left_out: Sequence[str]
    """What lies there and has no rows to read, each with its reason."""
    _kept: DataFrame | None = None

    def release(self) -> None:
        """Gives up what Spark keeps of the tail, when the rows are no longer needed."""
        if self._kept is not None:
            self._kept.unpersist()


def all_rows(table: Table, source: str, *, days: set[int] | None = None) -> Rows:
    """The rows of the table and of the objects under the URI `source` that it does not hold.

    `days`: of these days of `event_time` alone, and those of the tail. Raises `LakeError`.
    """
    # The table's state comes first: what is loaded meanwhile is read twice, and counts once.
    loaded = table.loaded()
    listing = list_objects(table.spark, source, loaded.first_day)
    tail, left_out = listing.tail(loaded)
    held = table.rows()
    if not tail and not table.row_count:
        raise LakeError(f"{source}: the lake is empty, no Parquet object has been committed")
    if not tail:
        return Rows(held if days is None else of_days(held, days), tail, set(), left_out)
    arrived = read_objects(table.spark, tail).persist()
    tail_days = {row[0] for row in arrived.select(day_number("event_time")).distinct().collect()}
    both = distinct_events(of_days(held, tail_days).unionByName(arrived))
    # The table's days have no copies: only those of the tail are shuffled.
    alone = of_days(held, tail_days, without=True) if days is None else of_days(held, days - tail_days)
    return Rows(alone.unionByName(both), tail, tail_days, left_out, arrived)


def _read(spark: SparkSession, objects: Sequence[StoredObject], read) -> DataFrame:
    try:
        rows = read(spark, *(stored.uri for stored in objects))
        keys = keys_read(rows)
    except SPARK_ERRORS as error:
        raise LakeError(f"{len(objects):,} objects cannot be read: {reason(error)}") from error
    unread = [stored.key for stored in objects if stored.key not in keys]
    if unread:
        raise LakeError(f"Spark passes over {len(unread):,} of {len(objects):,} objects, first {unread[0]}")
    return rows
