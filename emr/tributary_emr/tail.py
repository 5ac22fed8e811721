"""The objects of `events/` beside the table: which there are, which it does not hold yet, and their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from tributary_emr.lake import LakeError, StoredObject, keys_read, list_days, read_events, read_rollups
from tributary_emr.loaded import Loaded, Named, day_of, named
from tributary_emr.table import Table, reason
from tributary_emr.transforms import day_number, distinct_events, of_days


@dataclass(frozen=True)
class Listing:
    """What lies in `events/`, from the first day on in which something can be new."""

    objects: Sequence[Named]
    strange: Sequence[StoredObject]
    """What is none of our objects."""


def list_objects(spark: SparkSession, source: str, loaded: Loaded, *, everything: bool = False) -> Listing:
    """Lists the URI `source` as far back as something may not be loaded, or all of it. Raises `LakeError`."""
    stored, strange = list_days(spark, source, None if everything else loaded.first_day)
    read = [(found, named(found)) for found in stored]
    return Listing(
        [name for _, name in read if name is not None], [*strange, *(found for found, name in read if name is None)]
    )


def read_objects(spark: SparkSession, objects: Sequence[Named]) -> DataFrame:
    """The rows of these objects of `events/`. Raises `LakeError` when Spark cannot read them all."""
    return _read(spark, [found.stored for found in objects], read_events)


def read_rollups_of(spark: SparkSession, source: str, objects: Sequence[Named]) -> DataFrame:
    """The rows of the rollups, under the URI `source`, of these objects of `events/`."""
    there, _ = list_days(spark, source, min((day_of(found.name.cell_start_ms) for found in objects), default=None))
    wanted = {found.stored.name for found in objects}
    rollups = [stored for stored in there if stored.name in wanted]
    if not rollups:
        return read_rollups(spark, source).limit(0)
    return _read(spark, rollups, read_rollups)


@dataclass(frozen=True)
class Rows:
    """All rows of the lake, once each, from a state of the table and what it does not hold yet."""

    rows: DataFrame
    """As `transforms.distinct_events` makes them."""
    tail: Sequence[Named]
    tail_days: set[int]
    """The days of `event_time`, since the Unix epoch, that the tail has rows of."""
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
    listing = list_objects(table.spark, source, loaded)
    tail = [found for found in listing.objects if not loaded.holds(found)]
    held = table.rows()
    if not tail and not table.row_count:
        raise LakeError(f"{source}: the lake is empty, no Parquet object has been committed")
    if not tail:
        return Rows(held if days is None else of_days(held, days), tail, set())
    arrived = read_objects(table.spark, tail).persist()
    tail_days = {row[0] for row in arrived.select(day_number("event_time")).distinct().collect()}
    both = distinct_events(of_days(held, tail_days).unionByName(arrived))
    # The table's days have no copies: only those of the tail are shuffled.
    alone = of_days(held, tail_days, without=True) if days is None else of_days(held, days - tail_days)
    return Rows(alone.unionByName(both), tail, tail_days, arrived)


def _read(spark: SparkSession, objects: Sequence[StoredObject], read) -> DataFrame:
    try:
        rows = read(spark, *(stored.uri for stored in objects))
        keys = keys_read(rows)
    except (Py4JJavaError, PySparkException) as error:
        raise LakeError(f"{len(objects):,} objects cannot be read: {reason(error)}") from error
    unread = [stored.key for stored in objects if stored.key not in keys]
    if unread:
        raise LakeError(f"Spark passes over {len(unread):,} of {len(objects):,} objects, first {unread[0]}")
    return rows
