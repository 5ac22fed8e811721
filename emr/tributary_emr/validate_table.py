"""The check of the table alone, which needs nothing but Spark, so that a nightly run can make it.

    python -m tributary_emr.validate_table --input s3a://lake/events/ --catalog jdbc:sqlite:.local/lake.db

`validate --table` checks the same among its other rules. Exit status: 0, 1 on a breach or an unreadable lake, 2 on bad
usage.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from tributary_emr import catalog
from tributary_emr.lake import SPARK_ERRORS, LakeError, bucket_uri, reason
from tributary_emr.session import SessionError, open_session
from tributary_emr.table import Table
from tributary_emr.table_check import check_table
from tributary_emr.tail import list_objects
from tributary_emr.terminal import printable, use_any_encoding

_MOST_LINES = 50


def main(argv: Sequence[str]) -> int:
    """The command; returns the exit status."""
    use_any_encoding()
    parser = argparse.ArgumentParser(
        prog="tributary_emr.validate_table", description="Checks the table against the objects of events/."
    )
    parser.add_argument("--input", metavar="URI", help="events/ of the lake (default: s3a://$TRIBUTARY_BUCKET/events/)")
    parser.add_argument(
        "--days", type=int, metavar="N", help="check what arrived in the last N days, and not all that is there"
    )
    catalog.add_arguments(parser)
    options = parser.parse_args(argv)
    if options.days is not None and options.days < 1:
        parser.error(f"argument --days: {options.days} is not above 0")
    try:
        source = options.input or f"{bucket_uri(os.environ)}/events/"
        where = catalog.required(options, os.environ)
        spark = open_session("tributary-validate-table", os.environ, uris=(source, where.warehouse), catalog=where)
        try:
            table = Table.open(spark, where)
            if table is None:
                raise LakeError(f"the table {where}: there is none; compact makes it")
            objects = list_objects(spark, source, None).objects
            found = check_table(table, objects, arrival_days=options.days)
        finally:
            spark.stop()
    except (LakeError, SessionError, *SPARK_ERRORS) as error:
        print(f"validate_table: {printable(reason(error))}", file=sys.stderr)
        return 1
    told = f"{found.objects:,} objects loaded, {found.not_loaded:,} not yet"
    told += f", of {options.days} days" if options.days else ""
    print(f"the table {where}: {found.rows:,} rows; {told}; {len(found.breaches):,} breaches")
    for each in found.breaches[:_MOST_LINES]:
        print(f"validate_table: {printable(str(each))}", file=sys.stderr)
    if len(found.breaches) > _MOST_LINES:
        print(f"validate_table: and {len(found.breaches) - _MOST_LINES:,} more", file=sys.stderr)
    return 1 if found.breaches else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
