"""The averages job: the average value per device, type and minute, from the rollups of the lake.

    python -m tributary_emr.averages --input s3a://tributary-lake/rollups/ --day 2026-11-22 --csv out/averages.csv

Writes Parquet under `reports/`, a folder `date=…` per UTC day, each replaced as a whole; or, to an output that ends in
.csv, one CSV. The rule is in `rollup_transforms`. Exit status: 0, 1 when the lake cannot be read or the averages not
written, 2 on bad usage.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from datetime import date, datetime, timezone
from pathlib import Path
from urllib.parse import urlsplit

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from tributary_emr import catalog, schema
from tributary_emr.catalog import Catalog
from tributary_emr.csv_text import write_csv
from tributary_emr.lake import (
    SPARK_ERRORS,
    LakeError,
    bucket_uri,
    put_file,
    read_rollups,
    read_whole,
    reason,
    write_days,
)
from tributary_emr.rollup_transforms import AVERAGES_COLUMNS, aggregate, averages, merge, of_day
from tributary_emr.session import SessionError, open_session
from tributary_emr.table import Table
from tributary_emr.tail import list_objects, read_rollups_of
from tributary_emr.terminal import name_left_out, printable, use_any_encoding
from tributary_emr.transforms import of_days, utc_day

#: Where the averages go in the lake.
AVERAGES_KEY = "reports/averages/"


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line; exits with status 2 on bad usage."""
    parser = argparse.ArgumentParser(
        prog="tributary_emr.averages", description="The average value per device, device type and minute of event time."
    )
    parser.add_argument(
        "--input", metavar="URI", help="rollups/ of the lake (default: s3a://$TRIBUTARY_BUCKET/rollups/)"
    )
    parser.add_argument(
        "--output",
        metavar="URI",
        help="a folder for Parquet, or one object that ends in .csv; under reports/ "
        f"(default: s3a://$TRIBUTARY_BUCKET/{AVERAGES_KEY})",
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the averages as CSV to this local file, too")
    parser.add_argument(
        "--day", type=_day, metavar="YYYY-MM-DD", help="only the minutes of this UTC day (default: all there are)"
    )
    parser.add_argument(
        "--late-after-minutes",
        type=int,
        default=60,
        metavar="N",
        help="with a table: an event is late that arrived so long after it happened, TRIBUTARY_LATENESS_MINUTES of the "
        "function (default: %(default)s)",
    )
    catalog.add_arguments(parser)
    options = parser.parse_args(argv)
    if options.output and "reports" not in urlsplit(options.output).path.split("/")[:-1]:
        # Days are replaced, and so would those of events/ be.
        parser.error(f"argument --output: {options.output} is not under reports/")
    return options


def run(
    spark: SparkSession, source: str, output: str, options: argparse.Namespace, where: Catalog | None = None
) -> None:
    """Reads the URI `source`, or the table and what it does not hold; writes `output` and says how much.

    Raises `LakeError`.
    """
    lake_table = Table.open(spark, where) if where else None
    if lake_table is None:
        rollups, objects = read_whole(spark, source, read_rollups)
        rollups, read = of_day(rollups, options.day) if options.day else rollups, f"{objects:,} objects"
    else:
        rollups, read = _with_table(lake_table, source, options)
    # Aggregated once: of two readings, sums may differ in the last digit.
    table = averages(merge(rollups)).persist()
    rows, overflown = _counts(table)
    with tempfile.TemporaryDirectory() as scratch:
        file = options.csv or Path(scratch) / "averages.csv"
        if options.csv or output.endswith(".csv"):
            _write_csv(table, file)
        if output.endswith(".csv"):
            put_file(spark, file, output)
        else:
            write_days(table.withColumn("date", utc_day("window_start")), output)
    table.unpersist()
    print(f"{rows:,} device minutes from {read} → {output}")
    if overflown:
        print(f"averages: {overflown:,} of them have an empty average: its sum is beyond a double", file=sys.stderr)
    if options.csv:
        print(f"the same → {options.csv}")


def _with_table(lake_table: Table, source: str, options: argparse.Namespace) -> tuple[DataFrame, str]:
    """Rollups of the rows of the table, and those of the objects that it does not hold; and what that is, in words."""
    loaded = lake_table.loaded()
    rollups_folder = source.rstrip("/")
    if not f"/{rollups_folder}".endswith("/rollups"):
        raise LakeError(f"--input {source}: with a table it must end in rollups/, beside which events/ lies")
    listing = list_objects(lake_table.spark, rollups_folder[: -len("rollups")] + "events/", loaded.first_day)
    tail, left_out = listing.tail(loaded)
    name_left_out("averages", left_out)
    lateness_ms = F.lit(options.late_after_minutes * 60_000)
    held = lake_table.rows()
    if options.day:
        held = of_days(held, {(options.day - date(1970, 1, 1)).days})
    columns = schema.ROLLUPS.fieldNames()
    rollups = aggregate(held, lateness_ms=lateness_ms).select(*columns)
    if tail:
        arrived = read_rollups_of(lake_table.spark, f"{rollups_folder}/", tail)
        arrived = of_day(arrived, options.day) if options.day else arrived
        rollups = rollups.unionByName(arrived.select(*columns))
    return rollups, f"the table and {len(tail):,} objects"


def main(argv: Sequence[str]) -> int:
    """The command; returns the exit status."""
    use_any_encoding()
    options = arguments(argv)
    try:
        source = options.input or f"{bucket_uri(os.environ)}/rollups/"
        output = options.output or f"{bucket_uri(os.environ)}/{AVERAGES_KEY}"
        where = catalog.of_options(options, os.environ)
        spark = open_session("tributary-averages", os.environ, uris=(source, output), catalog=where)
        try:
            run(spark, source, output, options, where)
        finally:
            spark.stop()
    except (LakeError, SessionError, OSError, *SPARK_ERRORS) as error:
        print(f"averages: {printable(reason(error))}", file=sys.stderr)
        return 1
    return 0


def _counts(table: DataFrame) -> tuple[int, int]:
    """The rows, and how many of them have no average though they have what it is made of."""
    has_value = F.col("minimum_value").isNotNull()
    no_average = (has_value & F.col("average_value").isNull()) | F.col("average_duration_ms").isNull()
    row = table.agg(F.count("*"), F.count_if(no_average)).first()
    assert row is not None, "an aggregate has one row"
    return row[0], row[1]


def _write_csv(table: DataFrame, file: Path) -> None:
    # As a number: Python's local time, in which Spark hands timestamps over, may have an hour twice.
    ordered = table.orderBy(*schema.ROLLUP_KEY).withColumn("window_start", F.expr("unix_seconds(window_start)"))
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding="utf-8") as out:
        write_csv(out, AVERAGES_COLUMNS, map(_with_utc_time, ordered.toLocalIterator()))


def _with_utc_time(row: Row) -> dict[str, object]:
    start = datetime.fromtimestamp(row["window_start"], timezone.utc)
    return {**row.asDict(), "window_start": f"{start:%Y-%m-%dT%H:%M:%SZ}"}


def _day(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=timezone.utc).date()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is no date like 2026-11-22") from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
