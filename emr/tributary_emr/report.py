"""The report job: percentiles of `event_duration` per device type and day, from the lake to one CSV.

    python -m tributary_emr.report --input s3a://tributary-lake/events/ --csv out/p95_event_duration.csv

The rule is in `transforms`. Exit status: 0, 1 when the lake cannot be read or the report not written, 2 on bad usage.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from pyspark.sql import Row, SparkSession

from tributary_emr.csv_text import write_csv
from tributary_emr.lake import LakeError, bucket_uri, read_events, read_whole, write_text
from tributary_emr.session import SessionError, open_session
from tributary_emr.terminal import printable, table, use_any_encoding
from tributary_emr.transforms import MINIMUM_EVENTS, REPORT_COLUMNS, OutlierScope, report

#: The report's key in the lake.
REPORT_KEY = "reports/p95_event_duration.csv"


def csv_text(rows: Iterable[Row]) -> str:
    """The report as CSV."""
    out = io.StringIO(newline="")
    write_csv(out, REPORT_COLUMNS, rows)
    return out.getvalue()


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
        help="percentile from a sketch of bounded memory (rank error 1/10,000) instead of exact",
    )
    parser.add_argument(
        "--minimum-events",
        type=int,
        default=MINIMUM_EVENTS,
        metavar="N",
        help="distinct events that a device type needs on a day (default: %(default)s)",
    )
    return parser.parse_args(argv)


def run(spark: SparkSession, source: str, output: str, options: argparse.Namespace) -> None:
    """Reads the URI `source`, writes the object `output`, prints the table; raises `LakeError`."""
    events, objects = read_whole(spark, source, read_events)
    groups = report(
        events,
        outlier_scope=options.outlier_scope,
        approximate=options.approximate,
        minimum_events=options.minimum_events,
    )
    rows = sorted(groups.collect(), key=lambda row: (row["day"], row["device_type"]))
    text = csv_text(rows)
    write_text(spark, output, text)
    print(table(REPORT_COLUMNS, [tuple(row) for row in rows], text_columns=2))
    print(f"\n{len(rows):,} groups from {objects:,} objects → {output}")
    if options.csv:
        options.csv.parent.mkdir(parents=True, exist_ok=True)
        options.csv.write_bytes(text.encode())
        print(f"the same → {options.csv}")


def main(argv: Sequence[str]) -> int:
    """The command; returns the exit status."""
    use_any_encoding()
    options = arguments(argv)
    try:
        source = options.input or f"{bucket_uri(os.environ)}/events/"
        output = options.output or f"{bucket_uri(os.environ)}/{REPORT_KEY}"
        spark = open_session("tributary-report", os.environ, uris=(source, output))
        try:
            run(spark, source, output, options)
        finally:
            spark.stop()
    except (LakeError, SessionError, OSError) as error:
        print(f"report: {printable(str(error))}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
