"""CSV as the jobs write it.

A header, `\\n` line ends, a double with the fewest digits that read back as the same double, NULL as an empty cell.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from typing import TextIO

from pyspark.sql import Row


def write_csv(out: TextIO, columns: Sequence[str], rows: Iterable[Row | Mapping[str, object]]) -> None:
    """Writes `columns` of `rows` to `out`, which must have been opened with `newline=""` if it is a file."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(row[name]) for name in columns] for row in rows)


def _cell(value: object) -> str:
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)
