"""`make bench-lake`: what the table costs and saves, on objects that the pipeline's own code has written.

One Spark session measures all, so no figure has the start of a JVM in it; reports and nights are medians of five, as
Java is still compiling at the first. The lake is in a directory: what S3 adds to a request is not measured.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from pathlib import Path
from statistics import median

import duckdb
import psutil
from pyiceberg.catalog.sql import SqlCatalog
from pyspark.sql import SparkSession
from rich.console import Console
from rich.table import Table

from tributary_emr import compact, report, transforms
from tributary_emr.catalog import Catalog
from tributary_emr.session import open_session
from tributary_emr.table import Table as LakeTable

DAY = date(2026, 11, 20)
REPEATED = 5


class Bench:
    """A lake, its table, and the clock."""

    def __init__(self, folder: Path, built: Path) -> None:
        self.folder = folder
        self.writer = built / "bench-lake-objects/bootstrap"
        self.producer = built / "producer/bootstrap"
        self.spark: SparkSession | None = None

    def lake(self, name: str) -> Path:
        return self.folder / name

    def where(self, name: str) -> Catalog:
        return Catalog(f"jdbc:sqlite:{self.folder}/lake.db", f"{self.folder}/table", name)

    def write(self, name: str, day: date, objects: int, rows: int) -> None:
        """Objects of events of `day`, which arrive the day after."""
        shares = "--duplicates 0.01 --malformed 0 --late 0 --outliers 0.001 --test-events 0"
        options = (
            f"--sink stdout --events {objects * rows} --seed {day.toordinal()} --days 1 --first-day {day} {shares}"
        )
        producer = subprocess.Popen(
            [self.producer, *options.split()], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        arrival = str(day + timedelta(days=1))
        subprocess.run(
            [self.writer, self.lake(name), arrival, str(objects), str(rows)],
            stdin=producer.stdout,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        producer.kill()
        producer.wait()

    def report(self, name: str, *options: str, table: bool = True) -> None:
        where = self.where(name) if table else None
        output = str(self.lake(name) / f"reports/{'table' if table else 'objects'}.csv")
        report.run(self.spark, f"{self.lake(name)}/events/", output, report.arguments(list(options)), where)

    def report_as_if_large(self, name: str) -> None:
        """By the plan that a report of many rows takes."""
        table = LakeTable.open(self.spark, self.where(name))
        assert table is not None, "it has been compacted"
        transforms.report(table.rows(), small_bytes=0).collect()

    def table_bytes(self, name: str) -> int:
        """Of the files that the table is now; the folder also has those of older snapshots."""
        assert self.spark is not None, "opened by main"
        return self.spark.sql(f"SELECT sum(file_size_in_bytes) FROM {self.where(name).table}.files").first()[0]

    def compact(self, name: str) -> compact.Run:
        options = compact.arguments([])
        source = f"{self.lake(name)}/events/"
        return compact.compact(self.spark, source, self.where(name), options, now=datetime.now(UTC))


def timed(what: Callable[[], object]) -> tuple[float, float]:
    """Seconds that have passed, and of the processors of Spark's JVM."""
    started, processor = time.monotonic(), jvm_seconds()
    with redirect_stdout(StringIO()):
        what()
    return time.monotonic() - started, jvm_seconds() - processor


def jvm() -> psutil.Process:
    return next(child for child in psutil.Process().children(recursive=True) if child.name() == "java")


def jvm_seconds() -> float:
    times = jvm().cpu_times()
    return times.user + times.system


def peak_mib() -> float:
    status = Path(f"/proc/{jvm().pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*.parquet"))


def one_day_by_pyiceberg(bench: Bench, name: str) -> float:
    """Seconds for the percentile of a day and type, by PyIceberg and DuckDB."""
    started = time.monotonic()
    catalog = SqlCatalog("lake", uri=f"sqlite:///{bench.folder}/lake.db", warehouse=f"{bench.folder}/table")
    where = f"event_time >= '{DAY}T00:00:00+00:00' and event_time < '{DAY + timedelta(days=1)}T00:00:00+00:00'"
    table = catalog.load_table((name, "events"))
    rows = table.scan(f"{where} and device_type = 'camera'", selected_fields=("event_duration",)).to_arrow()
    ((_, events),) = duckdb.from_arrow(rows).aggregate("quantile_cont(event_duration, 0.95), count(*)").fetchall()
    assert events > 0, "the day has such events"
    return time.monotonic() - started


def full(bench: Bench, objects: int, rows: int) -> dict[str, float]:
    """A lake of so many objects, before and after its compaction; then more days, each of a thirtieth of them."""
    bench.write("full", DAY, objects, rows)
    found: dict[str, float] = {}
    # The first reports warm the JVM up, and count for nothing.
    bench.write("warm", DAY, 20, rows)
    timed(lambda: (bench.report("warm", table=False), bench.compact("warm"), bench.report("warm")))
    for more in range(REPEATED):
        one_more_day(bench, "warm", DAY, more, 20, rows)
        bench.report_as_if_large("warm")
    found["objects"] = median(timed(lambda: bench.report("full", table=False))[0] for _ in range(REPEATED))
    runs: list[compact.Run] = []
    found["compact"], processor = timed(lambda: runs.append(bench.compact("full")))
    found["events_per_processor_second"] = runs[0].account.read / processor
    found["peak_mib"] = peak_mib()
    found["table"] = median(timed(lambda: bench.report("full", "--full"))[0] for _ in range(REPEATED))
    found["bytes"] = bench.table_bytes("full") / size(bench.lake("full") / "events")
    found["pyiceberg"] = one_day_by_pyiceberg(bench, "full")
    found["one_day"] = median(one_more_day(bench, "full", DAY, more, objects, rows)[1] for more in range(REPEATED))
    found["objects_again"] = median(timed(lambda: bench.report("full", table=False))[0] for _ in range(REPEATED))
    alike = [(bench.lake("full") / f"reports/{name}.csv").read_text() for name in ("table", "objects")]
    found["alike"] = float(same_report(*alike))
    return found


def same_report(one: str, other: str) -> bool:
    """Whether two reports are alike up to the rounding of sums."""
    rows = []
    for text in (one, other):
        lines = [line.split(",") for line in text.splitlines()[1:]]
        rows.append([(*line[:4], *(f"{float(cell):.9g}" for cell in line[4:] if cell)) for line in lines])
    return rows[0] == rows[1]


def one_more_day(bench: Bench, name: str, last: date, more: int, objects: int, rows: int) -> tuple[float, float]:
    """Seconds of the compaction and of the report after the day that follows `last` and `more` others."""
    bench.write(name, last + timedelta(days=1 + more), max(20, objects // 30), rows)
    return timed(lambda: bench.compact(name))[0], timed(lambda: bench.report(name))[0]


def begin(bench: Bench, name: str, days: int) -> None:
    """So many days of history, compacted and reported."""
    for number in range(days):
        bench.write(name, DAY - timedelta(days=number), 1, 5000)
    timed(lambda: (bench.compact(name), bench.report(name)))


def nights(bench: Bench, days: Sequence[int], objects: int, rows: int) -> dict[int, float]:
    """Seconds of a night, compaction and report, for one new day after so many days of history."""
    for history in days:
        begin(bench, f"after_{history}_days", history)
    # In turn: what else the machine does meets all of them.
    turns = [
        {history: sum(one_more_day(bench, f"after_{history}_days", DAY, more, objects, rows)) for history in days}
        for more in range(REPEATED)
    ]
    return {history: median(turn[history] for turn in turns) for history in days}


def show(found: dict[str, float], nights: dict[int, float], objects: int, rows: int, console: Console) -> None:
    """The table of ratios."""
    table = Table(
        title=f"{objects:,} objects of {rows} rows, in a directory", title_justify="left", collapse_padding=True
    )
    for column in ("what", "seconds", "ratio", "must"):
        table.add_column(column, justify="left" if column == "what" else "right")
    table.add_row("full report over the objects", f"{found['objects']:.1f}", "", "")
    before = found["objects"] / found["table"]
    table.add_row("full report over the table", f"{found['table']:.1f}", f"{before:.1f} times faster", "≥ 8")
    again = found["objects_again"] / found["one_day"]
    table.add_row("report after one more day", f"{found['one_day']:.1f}", f"{again:.1f} times faster", "≥ 40")
    few, many = sorted(nights)
    table.add_row(f"a night after {few} days", f"{nights[few]:.1f}", "", "")
    ratio = nights[many] / nights[few]
    table.add_row(f"a night after {many} days", f"{nights[many]:.1f}", f"{ratio:.2f} times", "0.8 to 1.2")
    table.add_row("the table's bytes", "", f"{found['bytes']:.2f} of the objects'", "≤ 0.7")
    table.add_row("p95 of a day and type, PyIceberg", f"{found['pyiceberg']:.2f}", "", "")
    speed = f"{found['events_per_processor_second']:,.0f} events/s/core"
    table.add_row("compaction", f"{found['compact']:.1f}", speed, "")
    table.add_row("peak memory of Spark", "", f"{found['peak_mib']:,.0f} MiB", "")
    console.print(table)


def main() -> int:
    """Exit status 1 when the reports differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--built", required=True, type=Path, help="the directory of the built binaries")
    parser.add_argument("--objects", type=int, default=20_000)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--days", type=int, nargs=2, default=(30, 300), help="of history, for the nights")
    options = parser.parse_args()
    shutil.rmtree(options.folder, ignore_errors=True)
    options.folder.mkdir(parents=True)
    bench = Bench(options.folder, options.built)
    bench.spark = open_session("bench-lake", os.environ, uris=[], catalog=bench.where("full"))
    found = full(bench, options.objects, options.rows)
    of_nights = nights(bench, options.days, options.objects, options.rows)
    show(found, of_nights, options.objects, options.rows, Console(width=80))
    (options.folder / "found.json").write_text(json.dumps({**found, "nights": of_nights}, indent=2), encoding="utf-8")
    bench.spark.stop()
    if not found["alike"]:
        print("bench-lake: the reports of table and objects differ", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
