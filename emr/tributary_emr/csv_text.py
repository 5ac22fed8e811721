"""CSV as the jobs write it: RFC 4180, with `\\n` for the line end.

A header, a double with the fewest digits that read back as the same double, NULL as an empty cell. Text is as it was
sent, to the last space and control character; a cell that holds a quote, a comma, a carriage return or a line feed is
quoted. What a spreadsheet would run as a formula (`=1+1`) is text like any other: a file that reads back exactly
cannot be changed for one of its readers.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TextIO

from pyspark.sql import Row

_LINE_END = "\r\n"


def write_csv(out: TextIO, columns: Sequence[str], rows: Iterable[Row | Mapping[str, object]]) -> None:
    """Writes `columns` of `rows` to `out`, which must have been opened with `newline=""` if it is a file."""
    line = io.StringIO(newline="")
    # Before Python 3.13 a writer quotes those line ends alone that it writes itself.
    writer = csv.writer(line, lineterminator=_LINE_END)

    def write(cells: Sequence[str]) -> None:
        writer.writerow(cells)
        out.write(line.getvalue()[: -len(_LINE_END)] + "\n")
        line.seek(0)
        line.truncate()

    write(columns)
    for row in rows:
        write([_cell(row[name]) for name in columns])


def _cell(value: object) -> str:
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)
