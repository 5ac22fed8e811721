"""The table's columns beside ours, from its schemas as Iceberg prints them; pure."""

from __future__ import annotations

import re
from collections import defaultdict

from pyspark.sql.types import StructField

from tributary_emr import schema

# Number, name, type.
_COLUMN = re.compile(r"^  (\d+): (.*?): (?:required|optional) (\S+)", re.MULTILINE)
_SPARK_TYPES = {"timestamptz": "timestamp", "long": "bigint"}


class Altered(Exception):
    """A column of ours is another one; the text says which."""


def new_columns(schema_now: str, schemas_ever: str) -> list[StructField]:
    """Our columns that the table has never had. Raises `Altered`."""
    now = {name: _SPARK_TYPES.get(kind, kind) for _, name, kind in _COLUMN.findall(schema_now)}
    ever: defaultdict[str, set[str]] = defaultdict(set)
    for number, name, _ in _COLUMN.findall(schemas_ever):
        ever[name].add(number)
    new = []
    for field in schema.EVENTS:
        expected, actual, numbers = field.dataType.simpleString(), now.get(field.name), ever[field.name]
        if actual not in (None, expected):
            raise Altered(f"column {field.name} is {actual}; expected {expected}")
        # Another column of the same name has not the values; of a typed one, rows without a value are nothing strange.
        is_another = len(numbers) > 1 and field.name not in schema.TYPED_COLUMNS
        if is_another or (numbers and actual is None):
            raise Altered(f"column {field.name} is gone")
        if not numbers:
            new.append(field)
    return new
