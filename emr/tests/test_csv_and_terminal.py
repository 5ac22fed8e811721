"""Text that producers chose, in CSV files and on terminals."""

import csv
import io
import random
from pathlib import Path

import duckdb
import pytest
from lake_of_tests import Lake, event
from pyspark.sql import SparkSession

from tributary_emr import averages, report
from tributary_emr.csv_text import write_csv
from tributary_emr.terminal import printable, table

HOSTILE = [
    "a\rb",
    "a\nb",
    "a\r\nb",
    "\r",
    "\n",
    'say "hi"',
    '"',
    '""',
    "a,b",
    " a ",
    "\ta\t",
    "a\x00b",
    "\x1b[2J\x1b]0;owned\x07",
    "\x9b31m",
    "\u202edoor\u2066",
    "\u2028\x85\x0b\x0c\x1c",
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "NULL",
    "\\N",
    "1e5",
    "true",
    "#x",
    "'",
    "\ufeffa",
    "ü😀",
    "\\",
    "a\\",
]


def texts(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choices('\r\n",; \t\\a=\x00\x1b\u2028', k=rng.randint(1, 6))) for _ in range(count)]


def written(rows: list[dict[str, object]], *columns: str) -> str:
    out = io.StringIO(newline="")
    write_csv(out, columns, rows)
    return out.getvalue()


def test_whatever_text_is_written_reads_back_the_same() -> None:
    cells = HOSTILE + texts(500, seed=1)
    text = written([{"a": cell, "b": 0.5, "c": None} for cell in cells], "a", "b", "c")
    header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert (header, rows) == (["a", "b", "c"], [[cell, "0.5", ""] for cell in cells])


def test_duckdb_reads_the_same_rows(tmp_path: Path) -> None:
    cells = HOSTILE + texts(300, seed=2)
    file = tmp_path / "out.csv"
    file.write_text(written([{"a": cell, "b": 1} for cell in cells], "a", "b"), encoding="utf-8", newline="")
    read = duckdb.execute(
        "SELECT a FROM read_csv(?, header = true, columns = {a: 'VARCHAR', b: 'BIGINT'}, delim = ',', quote = '\"',"
        " escape = '\"', new_line = '\\n', null_padding = false)",
        [str(file)],
    )
    assert [cell for (cell,) in read.fetchall()] == cells


def test_plain_cells_are_not_quoted_and_lines_end_in_a_line_feed() -> None:
    assert written([{"a": "door 1", "b": 0.1}], "a", "b") == "a,b\ndoor 1,0.1\n"


@pytest.mark.parametrize("text", HOSTILE + texts(100, seed=3))
def test_nothing_that_a_terminal_obeys_is_printed(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert table(("id",), [(text,)]).split("\n")[2:] == [shown.rstrip()]


def test_what_is_visible_is_printed_as_it_is() -> None:
    for text in ("door-1", "ü😀 日本", "a\\b", "[red]x[/red]"):
        assert printable(text) == text
    assert printable("a\x1b[31m\r\nb\u202e") == r"a\x1b[31m\r\nb\u202e"


def test_report_and_averages_of_hostile_names_are_whole(
    spark: SparkSession, lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    lake.write_both([event(n, device_type=text, device_id=text) for n, text in enumerate(HOSTILE)])
    one, other = lake.root / "reports/report.csv", lake.root / "reports/averages.csv"
    options = ["--minimum-events", "1"]
    report.run(spark, lake.events, str(one), report.arguments(options))
    averages.run(spark, lake.rollups, str(other), averages.arguments([]))
    for file, column in ((one, 1), (other, 2)):
        with file.open(newline="", encoding="utf-8") as text:
            _, *rows = csv.reader(text, strict=True)
        assert sorted(row[column] for row in rows) == sorted(HOSTILE)
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "\u202e" not in printed
    assert "\r" not in printed
