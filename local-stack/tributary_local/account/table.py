"""The table as others read it: by PyIceberg and DuckDB, without Spark, against the objects of the lake.

    python -m tributary_local.account.table --bucket tributary-lake --catalog .local/catalog/lake.db

Exit status: 0, 1 when table and objects differ or something cannot be read, 2 on bad usage.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NoSuchTableError
from sqlalchemy.exc import SQLAlchemyError

from tributary_local.account.reconcile import Unreadable
from tributary_local.account.verify import download
from tributary_local.console import printable

#: As the jobs name it.
CATALOG = "lake"
TABLE = ("history", "events")

# Written apart from the Spark jobs on purpose, like `recompute`. By name: objects of an earlier contract have fewer
# columns.
_FIRST_COPIES = """
    SELECT * FROM read_parquet(?, union_by_name = true) QUALIFY row_number() OVER (
        PARTITION BY event_id, CAST(event_time AT TIME ZONE 'UTC' AS DATE)
        ORDER BY arrival_time, shard, length(position), position) = 1"""


def read_table(catalog: Path, bucket: str) -> pa.Table:
    """The rows of the table, by PyIceberg. Raises `Unreadable`."""
    properties = {
        "uri": f"sqlite:///{catalog}",
        "warehouse": f"s3://{bucket}/table/",
        "s3.endpoint": os.environ.get("AWS_ENDPOINT_URL", ""),
        "s3.region": os.environ.get("AWS_REGION", ""),
        "s3.access-key-id": os.environ.get("AWS_ACCESS_KEY_ID", ""),
        "s3.secret-access-key": os.environ.get("AWS_SECRET_ACCESS_KEY", ""),
        # Spark makes the catalog; this only reads it.
        "init_catalog_tables": "false",
    }
    try:
        return SqlCatalog(CATALOG, **properties).load_table(TABLE).scan().to_arrow()
    except (NoSuchTableError, SQLAlchemyError, OSError) as error:
        raise Unreadable(f"table {'.'.join(TABLE)} of {catalog}: {str(error).splitlines()[0]}") from error


def differences(table: pa.Table, files: Sequence[str]) -> Iterator[str]:
    """What of the distinct events of `files` is not in the table, and the other way round: a line for each kind."""
    database = duckdb.connect()
    database.execute("SET TimeZone = 'UTC'")
    database.register("held", table)
    database.execute(f"CREATE TABLE stored AS {_FIRST_COPIES}", [list(files)])
    columns = ", ".join(f'"{row[0]}"' for row in database.execute("DESCRIBE stored").fetchall() if row[0] != "date")
    for what, one, other in (("missing from the table", "stored", "held"), ("in no object", "held", "stored")):
        off = f"SELECT {columns} FROM {one} EXCEPT ALL SELECT {columns} FROM {other}"
        found = database.execute(f"SELECT count(*), min(event_id) FROM ({off})").fetchone()
        assert found is not None, "an aggregate has one row"
        if found[0]:
            yield f"{found[0]:,} rows are {what}, first {found[1]}"


def main(argv: Sequence[str]) -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="tributary_local.account.table", description="Compares the table with the objects, without Spark."
    )
    parser.add_argument("--bucket", required=True, help="the lake's bucket")
    parser.add_argument("--catalog", required=True, type=Path, metavar="FILE", help="the SQLite file of the catalog")
    options = parser.parse_args(argv)
    try:
        started = time.monotonic()
        table = read_table(options.catalog, options.bucket)
        seconds = time.monotonic() - started
        with tempfile.TemporaryDirectory(prefix="tributary-table-") as directory:
            copies = download(options.bucket, Path(directory))
            files = [str(Path(directory) / file) for file, key in copies.keys.items() if key.startswith("events/")]
            off = list(differences(table, files))
    except (Unreadable, duckdb.Error) as error:
        print(f"check-table: {printable(str(error).splitlines()[0])}", file=sys.stderr)
        return 1
    for line in off:
        print(f"check-table: {printable(line)}", file=sys.stderr)
    print(f"{table.num_rows:,} rows by PyIceberg in {seconds:.1f} s, against {len(files):,} objects by DuckDB")
    return 1 if off else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
