"""The table: an Iceberg table of distinct events, and how a load is committed to it.

A commit publishes a branch: rows are written to a branch that begins at the snapshot that the load has read, and then
one change of the table's metadata moves `main` to the branch and records what is loaded. The change is refused if
`main` has moved since. So of two loads at once one wins, and the other one starts over; a load that is killed leaves a
branch that nobody reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date

from py4j.protocol import Py4JJavaError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructField

from tributary_emr import schema
from tributary_emr.catalog import Catalog
from tributary_emr.lake import SPARK_ERRORS, LakeError, reason
from tributary_emr.loaded import Loaded
from tributary_emr.lost_table import literal, refuse_if_lost
from tributary_emr.table_columns import Altered, new_columns

MAIN = "main"
#: Property of the table: `Loaded.to_text` of the objects whose rows it holds.
LOADED = "tributary.loaded"
#: Property of the table: the snapshot with which that was recorded.
LOADED_SNAPSHOT = "tributary.loaded-snapshot"
#: Property of the table: that snapshot's sequence number.
LOADED_SEQUENCE = "tributary.loaded-sequence"
#: Property of the table: the same of those objects that carry the tag.
TAGGED = "tributary.tagged"
#: How branches of loads begin; then comes the time at which they were made, in seconds since the Unix epoch.
BRANCH = "load_"

#: Property of the table, Iceberg's: how large its files should be.
FILE_BYTES = "write.target-file-size-bytes"

# A change of the columns that meets another change is tried again, so many times.
_ATTEMPTS = 5
# Of Iceberg's exceptions for a change whose ground another commit has taken away; the last is that of a branch which
# another run's upkeep has dropped.
_OVERTAKEN = ("CommitFailedException", "ValidationException", "CommitStateUnknownException", "Cannot use branch")
_PARTITION = re.compile(r"event_time_day=(\d{4}-\d\d-\d\d)")
_PROPERTIES = {
    "format-version": "2",
    "write.parquet.compression-codec": "zstd",
    FILE_BYTES: str(256 << 20),
    # Within a file rows are sorted by device type: a reader of one type reads a row group or two.
    "write.parquet.row-group-size-bytes": str(16 << 20),
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "50",
}


class Conflict(Exception):
    """Somebody else has committed to the table since it was read."""


class Table:
    """The table at one state of its metadata."""

    def __init__(self, spark: SparkSession, catalog: Catalog, java) -> None:
        self.spark = spark
        self.catalog = catalog
        self._java = java

    @classmethod
    def open(cls, spark: SparkSession, catalog: Catalog) -> Table | None:
        """The table as it is now; `None` if there is none yet.

        Raises `LakeError` when the catalog does not answer, or has lost the table.
        """
        spark3 = spark._jvm.org.apache.iceberg.spark.Spark3Util
        try:
            return cls(spark, catalog, spark3.loadIcebergTable(spark._jsparkSession, catalog.table))
        except SPARK_ERRORS as error:
            text = str(error)
            if "NoSuchTable" in text or "TABLE_OR_VIEW_NOT_FOUND" in text or "NoSuchNamespace" in text:
                refuse_if_lost(spark, catalog)
                return None
            raise LakeError(f"the table {catalog}: cannot be opened: {reason(error)}") from error

    @classmethod
    def create(cls, spark: SparkSession, catalog: Catalog) -> Table:
        """The table, made if there is none, with every column of `schema.EVENTS`.

        Columns that somebody has added stay. Raises `LakeError` when somebody has dropped one of ours, or changed its
        type.
        """
        table = cls.open(spark, catalog)
        if table is None:
            columns = ", ".join(_column(field) for field in schema.EVENTS)
            properties = ", ".join(f"'{key}'='{value}'" for key, value in _PROPERTIES.items())
            try:
                spark.sql(f"CREATE NAMESPACE IF NOT EXISTS {catalog.table.rpartition('.')[0]}")
                spark.sql(
                    f"CREATE TABLE IF NOT EXISTS {catalog.table} ({columns}) USING iceberg"
                    f" PARTITIONED BY (days(event_time)) LOCATION {literal(catalog.location)}"
                    f" TBLPROPERTIES ({properties})"
                )
                # A day is a task, and Spark splits a large one. By range rows would be computed twice, for a sample.
                order = "WRITE DISTRIBUTED BY PARTITION LOCALLY ORDERED BY device_type, event_time"
                spark.sql(f"ALTER TABLE {catalog.table} {order}")
            except SPARK_ERRORS as error:
                raise LakeError(f"the table {catalog}: cannot be made: {reason(error)}") from error
            table = cls.open(spark, catalog)
            assert table is not None, "it was just made"
        table._complete_columns()
        if table.snapshot_id is None:
            # A branch begins at a snapshot.
            table._java.newFastAppend().commit()
        return table.refreshed()

    def refreshed(self) -> Table:
        """The table at its newest state."""
        self._java.refresh()
        return self

    @property
    def snapshot_id(self) -> int | None:
        """What `main` is at."""
        snapshot = self._java.currentSnapshot()
        return None if snapshot is None else snapshot.snapshotId()

    @property
    def uuid(self) -> str:
        return self._java.uuid().toString()

    @property
    def row_count(self) -> int:
        snapshot = self._java.currentSnapshot()
        return 0 if snapshot is None else int(snapshot.summary().get("total-records") or 0)

    def property(self, name: str) -> str | None:
        return self._java.properties().get(name)

    def loaded(self) -> Loaded:
        """The objects whose rows it holds; none after somebody rolled it back. Raises `LakeError`."""
        recorded = int(self.property(LOADED_SNAPSHOT) or 0)
        if self._java.snapshot(recorded) is not None and not self._is_ancestor(recorded):
            return Loaded()
        # One that has expired is known to no table. If it was rolled back before, what it came from is still there.
        sequence = int(self.property(LOADED_SEQUENCE) or 0)
        if self._java.snapshot(recorded) is None and any(number < sequence for number in self._sequence_numbers()):
            return Loaded()
        return Loaded.of_text(self.property(LOADED))

    def _sequence_numbers(self) -> Iterator[int]:
        """Of the snapshots that `main` has come from."""
        util = self.spark._jvm.org.apache.iceberg.util.SnapshotUtil
        return (snapshot.sequenceNumber() for snapshot in _each(util.currentAncestors(self._java)))

    def tagged(self) -> Loaded:
        """The objects whose rows it holds and that carry the tag by which they may expire."""
        return Loaded.of_text(self.property(TAGGED))

    def rows(self) -> DataFrame:
        """Its rows at this state, whatever is committed meanwhile, in the columns of `schema.EVENTS`.

        Raises `LakeError` when somebody has altered a column of ours.
        """
        if self.snapshot_id is None:
            return self.spark.createDataFrame([], schema.EVENTS)
        self._new_columns()
        read = self.spark.read.option("snapshot-id", str(self.snapshot_id)).table(self.catalog.table)
        there = set(read.columns)
        # Typed columns of a reader that is older or newer than the table.
        return read.select(
            *(
                F.col(field.name) if field.name in there else F.lit(None).cast(field.dataType).alias(field.name)
                for field in schema.EVENTS
            )
        )

    def stage(self, branch: str, snapshot_id: int) -> None:
        """Begins a branch at the snapshot, whatever has been committed since."""
        self._java.manageSnapshots().createBranch(branch, snapshot_id).commit()

    def append(self, branch: str, rows: DataFrame, summary: Mapping[str, str]) -> None:
        """Adds `rows`, in the columns of `schema.EVENTS`, to the branch, and `summary` to its snapshot's summary."""
        name = f"{self.catalog.table}.branch_{branch}"
        ours = set(schema.EVENTS.fieldNames())
        theirs = [field for field in self.spark.table(self.catalog.table).schema if field.name not in ours]
        columns = [F.lit(None).cast(field.dataType).alias(field.name) for field in theirs]
        writer = rows.select(*schema.EVENTS.fieldNames(), *columns).writeTo(name)
        for key, value in summary.items():
            writer = writer.option(f"snapshot-property.tributary.{key}", value)
        writer.append()

    def delete(self, branch: str, keys: DataFrame) -> None:
        """Takes the rows with the `event_id` and `event_time` of `keys` from the branch."""
        view = f"{branch}_keys"
        keys.createOrReplaceTempView(view)
        try:
            first, last = keys.agg(*(F.unix_micros(of("event_time")) for of in (F.min, F.max))).first()
            # Not DELETE … WHERE EXISTS: Spark 3.5 fails on a subquery by two columns there.
            self.spark.sql(
                f"MERGE INTO {self.catalog.table}.branch_{branch} AS t USING {view} AS k"
                " ON t.event_id = k.event_id AND t.event_time = k.event_time"
                f" AND t.event_time >= timestamp_micros({first}) AND t.event_time <= timestamp_micros({last})"
                " WHEN MATCHED THEN DELETE"
            )
        finally:
            self.spark.catalog.dropTempView(view)

    def publish(self, branch: str, loaded: Loaded) -> None:
        """Makes the branch the table and `loaded` what is loaded, in one change; raises `Conflict` or `LakeError`."""
        head = None
        try:
            self._java.refresh()
            staged = self._java.snapshot(branch)
            if staged is None:
                # By the upkeep of a run whose clock is a day ahead.
                raise Conflict(f"somebody has dropped {branch}")
            head = staged.snapshotId()
            change = self._java.newTransaction()
            change.manageSnapshots().fastForwardBranch(MAIN, branch).removeBranch(branch).commit()
            recorded = change.updateProperties().set(LOADED, loaded.to_text())
            recorded.set(LOADED_SEQUENCE, str(staged.sequenceNumber()))
            recorded.set(LOADED_SNAPSHOT, str(head)).commit()
            change.commitTransaction()
        except SPARK_ERRORS as error:
            if self._is_published(error, head):
                return
            if "Cannot fast-forward" in str(error) or "CommitFailedException" in str(error):
                raise Conflict(reason(error)) from error
            raise LakeError(f"the table {self.catalog}: the commit failed: {reason(error)}") from error

    def set_property(self, name: str, value: str) -> None:
        """Changes a property of the table that a later run may as well change again."""
        try:
            self._java.updateProperties().set(name, value).commit()
        except SPARK_ERRORS as error:
            raise LakeError(f"the table {self.catalog}: cannot be changed: {reason(error)}") from error

    def changed_days(self, since: int) -> set[int] | None:
        """The days (since the Unix epoch) whose rows changed after the snapshot `since`; `None`: nobody knows."""
        util = self.spark._jvm.org.apache.iceberg.util.SnapshotUtil
        now = self.snapshot_id
        if now is None or self._java.snapshot(since) is None or not self._is_ancestor(since):
            return None
        days: set[int] = set()
        for snapshot in _each(util.ancestorsBetween(self._java, now, since)):
            # The same rows in other files.
            if snapshot.operation() == "replace":
                continue
            for path in self._partitions(snapshot):
                match = _PARTITION.fullmatch(path)
                if match is None:
                    return None
                days.add((date.fromisoformat(match[1]) - date(1970, 1, 1)).days)
        return days

    def branches(self) -> list[str]:
        """The branches that loads have left, this one's own among them."""
        return [name for name in _each(self._java.refs().keySet()) if name.startswith(BRANCH)]

    def drop_branch(self, branch: str) -> bool:
        """Whether it was this one that has dropped it."""
        try:
            self._java.manageSnapshots().removeBranch(branch).commit()
        except Py4JJavaError as error:
            if branch in self.refreshed().branches():
                raise LakeError(f"the table {self.catalog}: cannot be changed: {reason(error)}") from error
            return False
        return True

    def snapshots(self) -> list[int]:
        """When each snapshot was made, in milliseconds since the Unix epoch."""
        return [snapshot.timestampMillis() for snapshot in _each(self._java.snapshots())]

    def call(self, procedure: str, **arguments: str) -> dict[str, object]:
        """Runs a procedure of Iceberg's; `arguments` are SQL. Gives back its counts.

        Raises `Conflict` when another commit was in its way, `LakeError` when it cannot be done.
        """
        named = ", ".join(f"{name} => {value}" for name, value in arguments.items())
        table = self.catalog.table.partition(".")[2]
        statement = f"CALL {self.catalog.table.partition('.')[0]}.system.{procedure}(table => '{table}', {named})"
        try:
            rows = self.spark.sql(statement).collect()
        except SPARK_ERRORS as error:
            if is_overtaken(error):
                raise Conflict(reason(error)) from error
            raise LakeError(f"the table {self.catalog}: {procedure} failed: {reason(error)}") from error
        return {"rows": len(rows), **(rows[0].asDict() if rows else {})}

    def _partitions(self, snapshot) -> Iterator[str]:
        io, specs = self._java.io(), self._java.specs()
        # Files that say which rows are deleted: other engines write them.
        changes = (snapshot.addedDataFiles, snapshot.removedDataFiles)
        changes += (snapshot.addedDeleteFiles, snapshot.removedDeleteFiles)
        for files in changes:
            for file in _each(files(io)):
                yield specs.get(file.specId()).partitionToPath(file.partition())

    def _is_published(self, error: Exception, head: int | None) -> bool:
        """Whether a commit whose answer was lost has taken place."""
        if head is None or "CommitStateUnknown" not in str(error):
            return False
        self._java.refresh()
        return self._is_ancestor(head)

    def _is_ancestor(self, snapshot: int) -> bool:
        """Whether `main` has come from the snapshot, or is at it."""
        util = self.spark._jvm.org.apache.iceberg.util.SnapshotUtil
        return self.snapshot_id is not None and util.isAncestorOf(self._java, self.snapshot_id, snapshot)

    def _complete_columns(self) -> None:
        for field in self._new_columns():
            self._add_column(field)

    def _new_columns(self) -> list[StructField]:
        """Our columns that the table has never had."""
        # As text: a call for each column would take longer than a small report's plan.
        try:
            return new_columns(self._java.schema().toString(), self._java.schemas().toString())
        except Altered as altered:
            raise LakeError(f"the table {self.catalog}: {altered}: somebody altered it") from altered

    def _add_column(self, field: StructField) -> None:
        """Rows that are there have no value for it."""
        statement = f"ALTER TABLE {self.catalog.table} ADD COLUMN {_column(field)}"
        for attempt in range(_ATTEMPTS):
            try:
                self.spark.sql(statement)
            except SPARK_ERRORS as error:
                # A run at the same time may have added it, or have committed something else.
                self._java.refresh()
                is_there = self._java.schema().findField(field.name) is not None
                if not is_there and attempt + 1 == _ATTEMPTS:
                    said = f"column {field.name} cannot be added: {reason(error)}"
                    raise LakeError(f"the table {self.catalog}: {said}") from error
                if not is_there:
                    continue
            self._java.refresh()
            return


def is_overtaken(error: Exception) -> bool:
    """Whether what failed did so because of another commit: it is to be done again, from the table as it is then."""
    return any(sign in str(error) for sign in _OVERTAKEN)


def _each(iterable) -> Iterator:
    """The elements of a Java Iterable."""
    iterator = iterable.iterator()
    while iterator.hasNext():
        yield iterator.next()


def _column(field: StructField) -> str:
    # Typed columns may be empty, whatever the contract says: rows of an earlier contract have none.
    is_required = not field.nullable and field.name not in schema.TYPED_COLUMNS
    # In quotes: a contract may name a column like a word of SQL's.
    return f"`{field.name}` {field.dataType.simpleString()}" + (" NOT NULL" if is_required else "")
