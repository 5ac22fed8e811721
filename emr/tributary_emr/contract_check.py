"""Would a contract break readers of the lake? Compares its columns with those of the last objects.

    python -m tributary_emr.contract_check COLUMNS

COLUMNS is a file as `make contract-check` makes it: a JSON list of names, types and whether they may be null. The lake
is $TRIBUTARY_BUCKET. One line per breach, with the way. Exit status: 0, 1 on a breach or an unreadable lake, 2 on bad
usage.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import boto3
import pyarrow as pa
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tributary_emr.footers import read_footers
from tributary_emr.lake import LakeError, StoredObject, bucket_uri
from tributary_emr.terminal import printable, use_any_encoding

#: How many of the last objects are looked at: while a new contract is rolled out, there are two kinds.
LAST_OBJECTS = 20

_HIVE_TYPES: Mapping[pa.DataType, str] = {
    pa.string(): "string",
    pa.int32(): "int",
    pa.int64(): "bigint",
    pa.float64(): "double",
    pa.bool_(): "boolean",
}


def breaches(lake: pa.Schema, columns: Sequence[Mapping[str, object]]) -> Iterator[str]:
    """What a contract with `columns` would break for readers of objects with the schema `lake`."""
    wanted = {str(column["name"]): column for column in columns}
    for field in lake:
        column = wanted.get(field.name)
        stored = _hive_type(field.type)
        if column is None:
            yield (
                f"column {field.name} ({stored}) is in the lake and not in the contract: whoever asks for it fails;"
                " keep it with nullable = true, and let producers leave it out"
            )
        elif column["type"] != stored:
            yield (
                f"column {field.name} is {stored} in the lake and {column['type']} in the contract: no reader could"
                " read both; give the new one another name, and keep this one with nullable = true"
            )
        elif field.nullable and not column["nullable"]:
            yield (
                f"column {field.name} may be null in the lake and not in the contract: readers that rely on that"
                " would fail on older rows; keep nullable = true"
            )


def last_objects(bucket: str, environ: Mapping[str, str]) -> list[StoredObject]:
    """The row objects that were committed last, by the cells in their names."""
    path_style = "AWS_ENDPOINT_URL" in environ or "AWS_ENDPOINT_URL_S3" in environ
    s3 = boto3.client("s3", config=Config(s3={"addressing_style": "path" if path_style else "auto"}))
    pages = s3.get_paginator("list_objects_v2")
    days = [
        prefix["Prefix"]
        for page in pages.paginate(Bucket=bucket, Prefix="events/", Delimiter="/")
        for prefix in page.get("CommonPrefixes", [])
    ]
    keys = [
        stored["Key"]
        for page in pages.paginate(Bucket=bucket, Prefix=max(days, default="events/"))
        for stored in page.get("Contents", [])
        if stored["Key"].endswith(".parquet")
    ]
    # …<cell>.<commit>.parquet: the cell, then the commit.
    keys.sort(key=lambda key: key.rsplit(".", 3)[-3:])
    return [StoredObject(f"s3a://{bucket}/{key}") for key in keys[-LAST_OBJECTS:]]


def main(argv: Sequence[str]) -> int:
    """The command; returns the exit status."""
    use_any_encoding()
    parser = argparse.ArgumentParser(prog="tributary_emr.contract_check", description=__doc__.splitlines()[0])
    parser.add_argument("columns", type=Path, metavar="COLUMNS", help="the contract's columns, as JSON")
    options = parser.parse_args(argv)
    try:
        columns = json.loads(options.columns.read_text(encoding="utf-8"))
        bucket = bucket_uri(os.environ).removeprefix("s3a://")
        footers = read_footers(last_objects(bucket, os.environ), os.environ)
    except (LakeError, BotoCoreError, ClientError, OSError) as error:
        print(f"contract-check: {printable(str(error).splitlines()[0])}", file=sys.stderr)
        return 1
    found = dict.fromkeys(
        breach for footer in footers if footer.schema is not None for breach in breaches(footer.schema, columns)
    )
    for breach in found:
        print(f"contract-check: {printable(breach)}", file=sys.stderr)
    if not found:
        print(f"the contract breaks no reader of the last {len(footers)} objects of {bucket}")
    return 1 if found else 0


def _hive_type(arrow: pa.DataType) -> str:
    return "timestamp" if pa.types.is_timestamp(arrow) else _HIVE_TYPES.get(arrow, str(arrow))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
