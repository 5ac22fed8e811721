"""What the objects of a load say about themselves, by Spark's own Parquet reader: EMR has no other.

`footers` reads the same by pyarrow, for `validate`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from py4j.java_gateway import JavaObject
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
# As Java prints the key-value metadata.
_WRITTEN = re.compile(rf"[{{ ]{schema.WRITTEN}=([^,}}]*)[,}}]")
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
    conf = spark.sparkContext._jsc.hadoopConfiguration()
    # Looked up once: each name on the way to a class is a call.
    path, reader = spark._jvm.org.apache.hadoop.fs.Path, spark._jvm.org.apache.parquet.hadoop.ParquetFileReader
    with ThreadPoolExecutor(_CONCURRENT_READS) as pool:
        return list(pool.map(lambda found: _facts(found, lambda uri: reader.readFooter(conf, path(uri))), objects))


def _facts(found: Named, read_footer: Callable[[str], JavaObject]) -> ObjectFacts:
    if found.stored.bytes == 0:
        return ObjectFacts(found, fault="it is empty")
    try:
        footer = read_footer(found.stored.uri)
        # Few calls, each of which crosses from one process into another; all of it as JSON takes four times as long.
        blocks = footer.getBlocks()
        rows = sum(blocks.get(number).getRowCount() for number in range(blocks.size()))
        message, _, metadata = footer.getFileMetaData().toString().partition(", metadata: ")
    except Py4JJavaError as error:
        return ObjectFacts(found, fault=f"it cannot be read as Parquet: {first_line(error)}")
    audit = _WRITTEN.search(metadata)
    if audit is None or audit[1] != str(rows):
        said = "nothing" if audit is None else audit[1]
        return ObjectFacts(found, rows, f"it has {rows} rows, and its audit says {said}")
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
