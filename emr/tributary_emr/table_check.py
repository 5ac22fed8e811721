"""Holds the table to `events/`: what is loaded is in the table, once, as its first copy to arrive; and nothing else is.

Objects expire, so the table has rows whose objects are gone. A log of which every loaded object is still there has none
of those: each of its rows in the table is in an object.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from tributary_emr import schema, table_rules
from tributary_emr.loaded import Loaded, LogKey, Named, newest_ms
from tributary_emr.schema import CELL
from tributary_emr.table import Table
from tributary_emr.table_rules import Breach
from tributary_emr.tail import read_objects
from tributary_emr.transforms import by_arrival, condition_of_days, day_number, distinct_events

_MOST_NAMED = 100
_CELL_MICROSECONDS = int(CELL.total_seconds()) * 1_000_000


@dataclass(frozen=True)
class TableCheck:
    """What was found in the table."""

    rows: int
    objects: int
    """Those whose rows it holds, of the ones that are there."""
    not_loaded: int
    breaches: Sequence[Breach]


def check_table(table: Table, objects: Sequence[Named], *, arrival_days: int | None = None) -> TableCheck:
    """Checks the table against `objects`, which are all that are there. Raises `LakeError`.

    With `arrival_days`, only of so many last days of arrival, and of the table no more than their rows can have to do
    with: the cost does not grow with history then.
    """
    loaded = table.loaded()
    breaches = list(_behind(objects, loaded))
    if arrival_days is not None:
        first = (newest_ms(objects) or 0) - arrival_days * 86_400_000
        objects = [found for found in objects if found.name.cell_start_ms >= first]
    # What is forgotten has to be there as well: its rows tell.
    held = [found for found in objects if loaded.holds(found) or loaded.has_forgotten(found.name)]
    rows = table.rows().withColumn("_day", day_number("event_time"))
    if held:
        whole = _whole_logs(held, loaded)
        read = read_objects(table.spark, held).withColumn("_day", day_number("event_time"))
        if arrival_days is not None:
            rows = rows.where(_that_matter(read, whole))
        breaches += _differences(rows, distinct_events(read), whole)
    if held or arrival_days is None:
        breaches += _doubled(rows)
    return TableCheck(table.row_count, len(held), len(objects) - len(held), breaches)


def _behind(objects: Sequence[Named], loaded: Loaded) -> Iterator[Breach]:
    """Objects that no run of `compact` will find by itself."""
    first = loaded.first_day
    for found in objects:
        is_past = first is not None and found.name.date < first.isoformat()
        if is_past and not loaded.holds(found) and not loaded.has_forgotten(found.name):
            yield Breach(
                table_rules.TABLE_FOUND, found.stored.key, f"the table is past {first}; compact --all loads it"
            )


def _doubled(rows: DataFrame) -> Iterator[Breach]:
    doubled = rows.groupBy("event_id", "_day").count().where("count > 1").limit(_MOST_NAMED)
    for row in sorted(doubled.collect()):
        yield Breach(table_rules.TABLE_ONCE, row["event_id"], f"{row['count']} rows of one day in the table")


def _whole_logs(held: Sequence[Named], loaded: Loaded) -> set[tuple[str, int]]:
    """Shards and cells (in microseconds) of which every loaded object is there, of every stream."""
    there: defaultdict[LogKey, set[int]] = defaultdict(set)
    for found in held:
        there[found.log].add(found.name.commit)
    whole, broken = set(), set()
    for key, log in loaded.logs.items():
        # A place that is missing may have been loaded before a rollback, and have expired.
        side = whole if there[key] == set(range(log.next)) and not log.anew else broken
        side.add((key.shard, key.cell_start_ms * 1000))
    return whole - broken


def _that_matter(read: DataFrame, whole: set[tuple[str, int]]) -> Column:
    """The table's rows of the days that objects have rows of, and those that came by logs whose objects are all there.

    By the files' bounds Iceberg leaves others unread.
    """
    days = {row[0] for row in read.select("_day").distinct().collect()}
    first = min((cell for _, cell in whole), default=None)
    by_log = "false" if first is None else f"arrival_time >= timestamp_micros({first})"
    return F.expr(f"({condition_of_days(days)}) OR {by_log}")


def _differences(rows: DataFrame, stored: DataFrame, whole: set[tuple[str, int]]) -> Iterator[Breach]:
    cell = F.expr(f"unix_micros(arrival_time) - pmod(unix_micros(arrival_time), {_CELL_MICROSECONDS})")
    logs = rows.sparkSession.createDataFrame(sorted(whole), "shard string, _cell long").withColumn(
        "_whole", F.lit(True)
    )
    marked = rows.withColumn("_cell", cell).join(F.broadcast(logs), ["shard", "_cell"], "left")
    names = [name for name in schema.EVENTS.fieldNames() if name != "event_id"]
    left = marked.select("event_id", "_day", "_whole", *(F.col(name).alias(f"t_{name}") for name in names))
    right = stored.select("event_id", "_day", *(F.col(name).alias(f"o_{name}") for name in names))
    both = left.join(right, ["event_id", "_day"], "full").withColumn("_what", _what(names))
    off = both.where(F.col("_what").isNotNull()).select("event_id", "t_shard", "t_position", "_what")
    for row in off.limit(_MOST_NAMED).collect():
        yield _breach(row)


def _what(names: Sequence[str]) -> Column:
    """The rule that a row of the table, an object or both breaks."""
    in_table, in_objects = F.col("t_arrival_time").isNotNull(), F.col("o_arrival_time").isNotNull()
    theirs, ours = (
        F.struct(*(column.alias(f"c{number}") for number, column in enumerate(by_arrival(prefix))))
        for prefix in ("t_", "o_")
    )
    alike = F.lit(True)
    for name in names:
        alike = alike & F.col(f"t_{name}").eqNullSafe(F.col(f"o_{name}"))
    same_copy = (F.col("t_shard") == F.col("o_shard")) & (F.col("t_position") == F.col("o_position"))
    return (
        F.when(~in_table, table_rules.TABLE_HAS)
        .when(~in_objects & F.col("_whole"), table_rules.TABLE_ONLY)
        .when(in_objects & (ours < theirs), table_rules.TABLE_FIRST)
        .when(in_objects & same_copy & ~alike, table_rules.TABLE_ALIKE)
    )


def _breach(row: Row) -> Breach:
    where = "not in the table" if row["t_shard"] is None else f"{row['t_shard']} {row['t_position']}"
    return Breach(row["_what"], row["event_id"], where)
