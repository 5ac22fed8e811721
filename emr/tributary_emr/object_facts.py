"""What the objects of a load say about themselves, by Spark's own Parquet reader: EMR has no other.

`footers` reads the same by pyarrow, for `validate`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession
from pyspark.sql.types import (
    BooleanType,
    DoubleType,
    IntegerType,
    LongType,
    StringType,
    StructType,
    TimestampType,
)

from tributary_emr import schema
from tributary_emr.lake import first_line
from tributary_emr.loaded import Named

_CONCURRENT_READS = 16
# How Parquet writes the types of the lake's columns.
_PARQUET_TYPES = {
    TimestampType: "int64 (TIMESTAMP(MICROS,true))",
    DoubleType: "double",
    StringType: "binary (STRING)",
    IntegerType: "int32",
    LongType: "int64",
    BooleanType: "boolean",
}
_COLUMN = re.compile(r"^  (?:required|optional) (\w+) (\S+)(?: (\(.*\)))?;$", re.MULTILINE)


@dataclass(frozen=True)
class ObjectFacts:
    """The footer of one object."""

    found: Named
    rows: int = 0
    fault: str | None = None
    """Why it must not be loaded."""


def read_facts(spark: SparkSession, objects: Sequence[Named]) -> list[ObjectFacts]:
    """The footers of `objects`, in their order."""
    with ThreadPoolExecutor(_CONCURRENT_READS) as pool:
        return list(pool.map(lambda found: _facts(spark, found), objects))


def _facts(spark: SparkSession, found: Named) -> ObjectFacts:
    jvm = spark.sparkContext._jvm
    reader, conf = jvm.org.apache.parquet.hadoop.ParquetFileReader, spark.sparkContext._jsc.hadoopConfiguration()
    if found.stored.bytes == 0:
        return ObjectFacts(found, fault="it is empty")
    try:
        footer = reader.readFooter(conf, jvm.org.apache.hadoop.fs.Path(found.stored.uri))
        # All of it in one text: a call for each part takes longer than reading it.
        told = json.loads(jvm.org.apache.parquet.hadoop.metadata.ParquetMetadata.toPrettyJSON(footer))
        message = footer.getFileMetaData().getSchema().toString()
    except Py4JJavaError as error:
        return ObjectFacts(found, fault=f"it cannot be read as Parquet: {first_line(error)}")
    rows = sum(block["rowCount"] for block in told["blocks"])
    written = told["fileMetaData"]["keyValueMetaData"].get(schema.WRITTEN)
    if written != str(rows):
        return ObjectFacts(found, rows, f"it has {rows} rows, and its audit says {written or 'nothing'}")
    return ObjectFacts(found, rows, next(differences(message, schema.EVENTS), None))


def differences(message: str, columns: StructType) -> Iterator[str]:
    """Why a file of the Parquet schema `message` cannot be loaded as `columns`.

    A column that may be empty may be absent, and so may a typed one: objects of an earlier contract have none.
    """
    there = {name: f"{kind} {logical}".rstrip() for kind, name, logical in _COLUMN.findall(message)}
    for column in columns:
        expected = _PARQUET_TYPES[type(column.dataType)]
        actual = there.pop(column.name, None)
        if actual is None and not column.nullable and column.name not in schema.TYPED_COLUMNS:
            yield f"it has no column {column.name}"
        elif actual not in (None, expected):
            yield f"its column {column.name} is {actual}; expected {expected}"
    for name in there:
        yield f"this job does not know its column {name}: a newer version of it has to load it"
