"""The validation job: reads every object of `events/` and holds it to the rules in `rules`.

    python -m tributary_emr.validate --input s3a://lake/events/ --rollups s3a://lake/rollups/

With `--rollups` also every object of `rollups/`. Prints a table of the rules and one line per breach. Exit status: 0,
1 on a breach or an unreadable lake, 2 on bad usage.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from tributary_emr import catalog, rules, schema, table_rules
from tributary_emr.footers import Footer, read_footers
from tributary_emr.lake import (
    SPARK_ERRORS,
    LakeError,
    bucket_uri,
    key_of,
    keys_read,
    parquet_objects,
    read_events,
    reason,
)
from tributary_emr.loaded import Loaded
from tributary_emr.rollup_check import RollupCheck, check_rollups
from tributary_emr.rules import Breach, RowFacts
from tributary_emr.session import SessionError, open_session
from tributary_emr.table import Table
from tributary_emr.table_check import TableCheck, check_table
from tributary_emr.tail import list_objects
from tributary_emr.terminal import printable, use_any_encoding
from tributary_emr.terminal import table as text_table

# Of typed columns Parquet itself says whether they are required, and an older object may lack them.
_REQUIRED = [f.name for f in schema.EVENTS if not f.nullable and f.name not in schema.TYPED_COLUMNS]

#: Doubled ids and breaches are named up to these numbers; a broken writer breaks everything it touches.
_MOST_DOUBLED = 1000
_MOST_LINES = 50


@dataclass(frozen=True)
class Validation:
    """What the job found."""

    objects: int
    rows: int
    audit: Mapping[str, int]
    """Sums over all objects, by audit name."""
    breaches: Sequence[Breach]
    rollups: RollupCheck | None = None
    """Without its breaches, which are among `breaches`; `None` if rollups were not checked."""
    table: TableCheck | None = None
    """The same of the table."""


def validate(
    spark: SparkSession,
    source: str,
    environ: Mapping[str, str],
    *,
    allow_doubled: bool = False,
    rollups: str | None = None,
    table: Table | None = None,
) -> Validation:
    """Checks the objects under the URI `source`, under the URI `rollups` if there is one, and the `table`.

    Raises `LakeError` when a URI is empty or cannot be listed.
    """
    footers = read_footers(parquet_objects(spark, source), environ)
    breaches = [breach for footer in footers for breach in rules.footer_breaches(footer)]
    # Spark would fail as a whole on an object that is no Parquet or has other columns; such a breach stands already.
    readable = [f for f in footers if f.schema is not None and not any(rules.type_differences(f.schema))]
    facts: dict[str, RowFacts] = {}
    checked: RollupCheck | None = None
    if readable:
        uris = [source] if len(readable) == len(footers) else [footer.stored.uri for footer in readable]
        # Two questions to one reading: on many small objects the requests are what takes time.
        read = read_events(spark, *uris)
        readable, passed_over = rules.passed_over(readable, keys_read(read))
        breaches += passed_over
        events = with_uri(read).persist(StorageLevel.MEMORY_AND_DISK)
        facts = {key_of(unquote(row["uri"])): _row_facts(row) for row in rows_by_object(events).collect()}
        if not allow_doubled:
            breaches += doubled_ids(events)
        if rollups:
            checked = check_rollups(spark, rollups, events, footers, environ)
            breaches += checked.breaches
        events.unpersist()
    for footer in readable:
        # No row at all is no group, either.
        rows = facts.get(footer.stored.key, RowFacts(0, {}, {}, None, None, None, None, ()))
        breaches += rules.row_breaches(footer, rows)
    loaded = table.loaded() if table else Loaded()
    breaches += rules.log_breaches((footer.stored.key for footer in footers), loaded.had)
    in_table: TableCheck | None = None
    if table:
        in_table = check_table(table, list_objects(spark, source, None).objects)
        breaches += in_table.breaches
    sums = {name: sum(_count(footer, name) for footer in footers) for name in _COUNTS}
    return Validation(len(footers), sum(rows.rows for rows in facts.values()), sums, breaches, checked, in_table)


def with_uri(events: DataFrame) -> DataFrame:
    """The rows with the `uri`, encoded, of the object that each was read from."""
    return events.select("*", F.col("_metadata.file_path").alias("uri"))


def rows_by_object(events: DataFrame) -> DataFrame:
    """One row per object: its `uri`, and what `RowFacts` needs. `events` is as `with_uri` makes it."""
    # Unpadded decimal text: the shorter is the smaller.
    by_position = F.struct(F.length("position").alias("digits"), "position")
    return events.groupBy("uri").agg(
        F.count("*").alias("rows"),
        *(F.count_if(F.col(name).isNull()).alias(f"null_{name}") for name in _REQUIRED),
        *(F.count_if(off).alias(f"off_{name}") for name, off in _off_contract().items()),
        F.min(by_position).alias("first"),
        F.max(by_position).alias("last"),
        F.unix_millis(F.min("arrival_time")).alias("min_arrival_ms"),
        F.unix_millis(F.max("arrival_time")).alias("max_arrival_ms"),
        F.sort_array(F.collect_set("shard")).alias("shards"),
    )


def doubled_ids(events: DataFrame) -> Iterator[Breach]:
    """A breach per event id that has more than one row, up to `_MOST_DOUBLED`, with the objects that hold it."""
    doubled = events.groupBy("event_id").count().where("count > 1").limit(_MOST_DOUBLED)
    copies = {row["event_id"]: row["count"] for row in doubled.collect()}
    if not copies:
        return
    holders = (
        events.where(F.col("event_id").isin(list(copies)))
        .groupBy("event_id")
        .agg(F.sort_array(F.collect_set(F.element_at(F.split("uri", "/"), -1))).alias("names"))
    )
    for row in sorted(holders.collect()):
        yield Breach(rules.DOUBLED, row["event_id"], f"{copies[row['event_id']]} rows in {', '.join(row['names'])}")


def main(argv: Sequence[str]) -> int:
    """The command; returns the exit status."""
    use_any_encoding()
    parser = argparse.ArgumentParser(
        prog="tributary_emr.validate", description="Checks every object of events/ against the lake's rules."
    )
    parser.add_argument("--input", metavar="URI", help="events/ of the lake (default: s3a://$TRIBUTARY_BUCKET/events/)")
    parser.add_argument(
        "--allow-doubled",
        action="store_true",
        help="do not check that event ids are distinct (copies sent later than the horizon land twice)",
    )
    parser.add_argument("--rollups", metavar="URI", help="rollups/ of the lake, to be checked against events/")
    parser.add_argument("--table", action="store_true", help="check the table against events/, too")
    catalog.add_arguments(parser)
    options = parser.parse_args(argv)
    try:
        source = options.input or f"{bucket_uri(os.environ)}/events/"
        where = catalog.required(options, os.environ) if options.table else None
        uris = [source, *filter(None, [options.rollups])]
        spark = open_session("tributary-validate", os.environ, uris=uris, catalog=where)
        try:
            table = Table.open(spark, where) if where else None
            if where and not table:
                raise LakeError(f"the table {where}: there is none; make compact makes it")
            found = validate(
                spark,
                source,
                os.environ,
                allow_doubled=options.allow_doubled,
                rollups=options.rollups,
                table=table,
            )
        finally:
            spark.stop()
    except (LakeError, SessionError, *SPARK_ERRORS) as error:
        print(f"validate: {printable(reason(error))}", file=sys.stderr)
        return 1
    _show(found, source, allow_doubled=options.allow_doubled)
    return 1 if found.breaches else 0


def _show(found: Validation, source: str, *, allow_doubled: bool) -> None:
    by_rule = Counter(breach.rule for breach in found.breaches)
    checked = [rule for rule in rules.RULES if not (allow_doubled and rule == rules.DOUBLED)]
    if found.rollups:
        checked += rules.ROLLUP_RULES
    if found.table:
        checked += table_rules.TABLE_RULES
    print(text_table(("rule", "breaches"), [(rule, by_rule[rule]) for rule in checked]))
    sums = {name.removeprefix("tributary-"): count for name, count in found.audit.items()}
    print(f"\n{found.objects:,} objects, {found.rows:,} rows in {source}")
    print("their audit: " + ", ".join(f"{count:,} {name}" for name, count in sums.items()))
    if found.rollups:
        print(f"{found.rollups.objects:,} rollups, {found.rollups.rows:,} rows")
    if found.table:
        told = f"{found.table.objects:,} objects loaded, {found.table.not_loaded:,} not yet"
        print(f"the table: {found.table.rows:,} rows; {told}")
    for breach in found.breaches[:_MOST_LINES]:
        print(f"validate: {printable(str(breach))}", file=sys.stderr)
    if len(found.breaches) > _MOST_LINES:
        print(f"validate: and {len(found.breaches) - _MOST_LINES:,} more", file=sys.stderr)


_COUNTS = (schema.RECEIVED, schema.WRITTEN, schema.DUPLICATES, schema.FILTERED, schema.REJECTED)


def _count(footer: Footer, name: str) -> int:
    value = (footer.audit or {}).get(name, "")
    return int(value) if value.isdecimal() else 0


def _off_contract() -> dict[str, Column]:
    infinite = F.lit(float("inf"))
    ahead = F.expr(f"INTERVAL {int(schema.MAX_EVENT_TIME_AHEAD.total_seconds())} SECONDS")
    return {
        # NaN sorts above infinity in Spark.
        "event_duration": (F.col("event_duration") < 0) | (F.col("event_duration") >= infinite),
        "value": (F.col("value") >= infinite) | (F.col("value") <= -infinite),
        "event_time": (F.col("event_time") < F.lit(schema.MIN_EVENT_TIME))
        | (F.col("event_time") > F.col("arrival_time") + ahead),
        "schema_version": ~F.col("schema_version").isin(*schema.SCHEMA_VERSIONS),
        "position": ~F.col("position").rlike("^[0-9]+$"),
        "event_id": F.col("event_id") == "",
        "device_id": F.col("device_id") == "",
        "device_type": F.col("device_type") == "",
    }


def _row_facts(row: Row) -> RowFacts:
    return RowFacts(
        rows=row["rows"],
        nulls={name: row[f"null_{name}"] for name in _REQUIRED},
        off_contract={name: row[f"off_{name}"] for name in _off_contract()},
        first_position=row["first"]["position"],
        last_position=row["last"]["position"],
        min_arrival_ms=row["min_arrival_ms"],
        max_arrival_ms=row["max_arrival_ms"],
        shards=row["shards"],
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
