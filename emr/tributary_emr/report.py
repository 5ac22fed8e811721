"""The report job: percentiles of `event_duration` per device type and day, from the lake to one CSV.

    python -m tributary_emr.report --input s3a://tributary-lake/events/ --csv out/p95_event_duration.csv

The rule is in `transforms`. Exit status: 0, 1 when the lake cannot be read or the report not written, 2 on bad usage.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pyspark.sql import DataFrame, Row, SparkSession

from tributary_emr import catalog, report_days
from tributary_emr.catalog import Catalog
from tributary_emr.lake import (
    SPARK_ERRORS,
    LakeError,
    bucket_uri,
    read_events,
    read_text,
    read_whole,
    reason,
    write_text,
)
from tributary_emr.report_days import RULE, State, csv_text, rows_of
from tributary_emr.session import SessionError, open_session
from tributary_emr.table import Table
from tributary_emr.tail import all_rows
from tributary_emr.terminal import name_left_out, printable, table, use_any_encoding
from tributary_emr.transforms import MINIMUM_EVENTS, REPORT_COLUMNS, OutlierScope, distinct_events, report

#: The report's key in the lake.
REPORT_KEY = "reports/p95_event_duration.csv"


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line; exits with status 2 on bad usage."""
    parser = argparse.ArgumentParser(
        prog="tributary_emr.report",
        description="The 95th percentile of event_duration per device type and UTC day, outliers excluded.",
    )
    parser.add_argument("--input", metavar="URI", help="events/ of the lake (default: s3a://$TRIBUTARY_BUCKET/events/)")
    parser.add_argument(
        "--output", metavar="URI", help=f"the CSV object (default: s3a://$TRIBUTARY_BUCKET/{REPORT_KEY})"
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the same CSV to this local file, too")
    parser.add_argument(
        "--outlier-scope",
        type=OutlierScope,
        choices=list(OutlierScope),
        default=OutlierScope.GROUP,
        help="whose mean and deviation decide: the device type's on that day (group, the default), "
        "or all events' of the day (day)",
    )
    parser.add_argument(
        "--approximate",
        action="store_true",
        help="percentile to 0.4 percent instead of exact: the rows are read once, and not twice",
    )
    parser.add_argument(
        "--minimum-events",
        type=int,
        default=MINIMUM_EVENTS,
        metavar="N",
        help="distinct events that a device type needs on a day (default: %(default)s)",
    )
    catalog.add_arguments(parser)
    parser.add_argument(
        "--full",
        action="store_true",
        help="compute every day again, and not only those whose rows have changed since the last report (with a table)",
    )
    return parser.parse_args(argv)


def run(
    spark: SparkSession, source: str, output: str, options: argparse.Namespace, where: Catalog | None = None
) -> None:
    """Reads the URI `source` and the table, if there is one; writes the object `output`, prints the table.

    Raises `LakeError`.
    """
    lake_table = Table.open(spark, where) if where else None
    if lake_table is None:
        events, objects = read_whole(spark, source, read_events)
        rows = _computed(distinct_events(events), options)
        text = csv_text(rows)
        write_text(spark, output, text)
        said = f"{len(rows):,} groups from {objects:,} objects"
    else:
        text, rows, said = _incremental(lake_table, source, output, options)
    print(table(REPORT_COLUMNS, [tuple(row) for row in rows], text_columns=2))
    print(f"\n{said} → {output}")
    if options.csv:
        options.csv.parent.mkdir(parents=True, exist_ok=True)
        options.csv.write_bytes(text.encode())
        print(f"the same → {options.csv}")


def _incremental(
    lake_table: Table, source: str, output: str, options: argparse.Namespace
) -> tuple[str, list[Row], str]:
    """The CSV, the rows of it that were computed, and what was done; both are written."""
    spark, beside = lake_table.spark, f"{output}.state"
    deciding = {name: getattr(options, name) for name in ("approximate", "minimum_events")}
    deciding["outlier_scope"] = str(options.outlier_scope)
    last: list[dict[str, str]] = []
    days: set[int] | None = None
    with suppress(LakeError, csv.Error):
        # What cannot be read is no last report.
        text, state = (None, None) if options.full else (read_text(spark, output), read_text(spark, beside))
        told = State.of_text(state)
        if told is not None and told.is_of(text, deciding, lake_table.uuid):
            last = rows_of(text)
            changed = lake_table.changed_days(told.snapshot)
            days = None if changed is None else changed | set(told.tail_days)
    found = all_rows(lake_table, source, days=days)
    name_left_out("report", found.left_out)
    rows = _computed(found.rows, options) if days != set() or found.tail else []
    found.release()
    if days is None:
        text = csv_text(rows)
        said = f"{len(rows):,} groups from the table and {len(found.tail):,} objects"
    else:
        text = report_days.merged(last, days | found.tail_days, rows)
        said = f"{len(days | found.tail_days):,} days computed again from the table and {len(found.tail):,} objects"
    # The report first: a state that is older than it makes the next run compute more, never less.
    write_text(spark, output, text)
    snapshot = lake_table.snapshot_id
    if snapshot is not None:
        kept = State(RULE, deciding, lake_table.uuid, snapshot, sorted(found.tail_days), report_days.sha256(text))
        write_text(spark, beside, kept.to_text())
    return text, rows, said


def _computed(distinct: DataFrame, options: argparse.Namespace) -> list[Row]:
    groups = report(
        distinct,
        outlier_scope=options.outlier_scope,
        approximate=options.approximate,
        minimum_events=options.minimum_events,
    )
    return sorted(groups.collect(), key=lambda row: (row["day"], row["device_type"]))


def main(argv: Sequence[str]) -> int:
    """The command; returns the exit status."""
    use_any_encoding()
    options = arguments(argv)
    try:
        source = options.input or f"{bucket_uri(os.environ)}/events/"
        output = options.output or f"{bucket_uri(os.environ)}/{REPORT_KEY}"
        where = catalog.of_options(options, os.environ)
        spark = open_session("tributary-report", os.environ, uris=(source, output), catalog=where)
        try:
            run(spark, source, output, options, where)
        finally:
            spark.stop()
    except (LakeError, SessionError, OSError, *SPARK_ERRORS) as error:
        print(f"report: {printable(reason(error))}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
