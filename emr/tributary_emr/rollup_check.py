"""Holds `rollups/` to `events/`: partners by name, and in each pair the same aggregates.

What holds of each object holds of all of them merged: counts, minima and maxima are equal, sums up to their rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from tributary_emr import rules, schema
from tributary_emr.footers import Footer, read_footers
from tributary_emr.lake import keys_read, parquet_objects, read_rollups
from tributary_emr.rollup_transforms import aggregate, differences, merge
from tributary_emr.rules import Breach


@dataclass(frozen=True)
class RollupCheck:
    """What was found in `rollups/`."""

    objects: int
    rows: int
    breaches: Sequence[Breach]


def check_rollups(
    spark: SparkSession,
    source: str,
    events: DataFrame,
    event_footers: Sequence[Footer],
    environ: Mapping[str, str],
) -> RollupCheck:
    """Checks the rollups under the URI `source` against the rows `events`, which have the `uri` of their object.

    Raises `LakeError` when there is no rollup at all, or they cannot be listed.
    """
    footers = read_footers(parquet_objects(spark, source), environ)
    breaches = [breach for footer in footers for breach in rules.rollup_footer_breaches(footer)]
    breaches += rules.pairing_breaches([f.stored for f in event_footers], [f.stored for f in footers])
    readable = [
        f for f in footers if f.schema is not None and not any(rules.type_differences(f.schema, schema.ROLLUPS))
    ]
    if readable:
        uris = [source] if len(readable) == len(footers) else [footer.stored.uri for footer in readable]
        read = read_rollups(spark, *uris)
        readable, passed_over = rules.passed_over(readable, keys_read(read))
        breaches += passed_over
        rollups = read.withColumn("name", _name(F.col("_metadata.file_path")))
        breaches += _repeated_keys(rollups)
        breaches += _unequal(
            rollups, events.withColumn("name", _name(F.col("uri"))), _comparable(event_footers, readable)
        )
    return RollupCheck(len(footers), sum(footer.rows for footer in footers), breaches)


def _repeated_keys(rollups: DataFrame) -> Iterator[Breach]:
    repeated = rollups.groupBy("name", *schema.ROLLUP_KEY).count().where("count > 1")
    for row in _by_object(repeated, F.concat("count", F.lit(" rows"))):
        yield Breach(rules.ROLLUP_KEY, f"rollups/{row['name']}", _summary(row))


def _comparable(events: Sequence[Footer], rollups: Sequence[Footer]) -> dict[str, int]:
    """The lateness bound of the rollup, by the name of each pair that can be compared."""
    bounds = {footer.stored.name: rules.lateness_ms(footer) for footer in rollups}
    names = (f.stored.name for f in events if f.schema is not None and not any(rules.type_differences(f.schema)))
    return {name: bound for name in names if (bound := bounds.get(name)) is not None}


def _unequal(rollups: DataFrame, events: DataFrame, comparable: Mapping[str, int]) -> Iterator[Breach]:
    if not comparable:
        return
    pairs = F.broadcast(events.sparkSession.createDataFrame(list(comparable.items()), "name string, lateness_ms long"))
    merged = merge(rollups.join(pairs, "name"), by=["name"])
    wanted = aggregate(events.join(pairs, "name"), by=["name"], lateness_ms=F.col("lateness_ms"))
    for row in _by_object(differences(merged, wanted, by=["name"]), F.col("difference")):
        yield Breach(rules.ROLLUP_EQUAL, f"rollups/{row['name']}", _summary(row))


def _by_object(off: DataFrame, what: Column) -> list[Row]:
    """Per object: how many keys are off, and the first of them, with `what` is wrong with it."""
    first = F.struct(F.unix_seconds("window_start").alias("start"), "device_id", "device_type", what.alias("what"))
    return off.groupBy("name").agg(F.count("*").alias("keys"), F.min(first).alias("first")).orderBy("name").collect()


def _summary(row: Row) -> str:
    first = row["first"]
    start = datetime.fromtimestamp(first["start"], timezone.utc)
    where = f"{start:%Y-%m-%dT%H:%MZ} {first['device_id']} {first['device_type']}"
    return f"{row['keys']} keys are off, first {where}: {first['what']}"


def _name(uri: Column) -> Column:
    """`date=…/….parquet`, which an `events/` object and its rollup share (`StoredObject.name`)."""
    return F.substring_index(uri, "/", -2)
