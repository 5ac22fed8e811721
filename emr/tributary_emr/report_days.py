"""The incremental report: which days of the last one still hold, and the new one made of both.

A day holds when no row of it has changed: not in the table since the snapshot that the last report read, and not in the
objects that the table does not hold. Snapshots say so, no clock does.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta

from pyspark.sql import Row

from tributary_emr.csv_text import write_csv
from tributary_emr.transforms import REPORT_COLUMNS

#: Changes with the rule: a report of another rule holds for no day.
RULE = 2


@dataclass(frozen=True)
class State:
    """What a report was made from; it is kept beside it."""

    rule: int
    options: Mapping[str, object]
    """Those that decide what is in the report."""
    table: str
    """The UUID of the table."""
    snapshot: int
    tail_days: list[int]
    """Days, since the Unix epoch, of rows that came from objects."""
    sha256: str
    """Of the CSV."""

    def to_text(self) -> str:
        return json.dumps(asdict(self), sort_keys=True) + "\n"

    @classmethod
    def of_text(cls, text: str | None) -> State | None:
        """Reads `to_text`; `None` for anything else: the report is made anew then."""
        try:
            state = cls(**json.loads(text or ""))
            return state if all(isinstance(number, int) for number in (state.snapshot, *state.tail_days)) else None
        except (ValueError, TypeError):
            return None

    def is_of(self, csv_text: str | None, options: Mapping[str, object], table: str) -> bool:
        """Whether the CSV is the one that it tells of, and one with these options of this table would be alike."""
        return (
            self.rule == RULE
            and csv_text is not None
            and sha256(csv_text) == self.sha256
            and self.options == options
            and self.table == table
        )


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def rows_of(csv_text: str) -> list[dict[str, str]]:
    """The rows of a report. Raises `csv.Error` for what Python cannot read back: before 3.11, a NUL."""
    return list(csv.DictReader(io.StringIO(csv_text, newline="")))


def merged(last: Iterable[Mapping[str, object]], days: Collection[int], rows: Iterable[Row]) -> str:
    """The CSV of the last report's rows with `rows` in place of all that it had of `days`."""
    computed = {(date(1970, 1, 1) + timedelta(days=day)).isoformat() for day in days}
    return csv_text([*(row for row in last if row["day"] not in computed), *rows])


def csv_text(rows: Iterable[Row | Mapping[str, object]]) -> str:
    """The report as CSV, ordered by day and type."""
    out = io.StringIO(newline="")
    write_csv(out, REPORT_COLUMNS, sorted(rows, key=lambda row: (str(row["day"]), row["device_type"])))
    return out.getvalue()
