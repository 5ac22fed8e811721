"""The bench of the table on a small lake: what it measures is what it says, and both ways give the same report."""

import importlib.util
import sys
from datetime import UTC, date, datetime, time, timedelta
from io import StringIO
from pathlib import Path

import pytest
from lake_of_tests import Lake, event
from pyspark.sql import SparkSession
from rich.console import Console

from tributary_emr.catalog import Catalog

_FILE = Path(__file__).parents[1] / "benches/lake.py"
_SPEC = importlib.util.spec_from_file_location("bench_lake", _FILE)
assert _SPEC is not None
assert _SPEC.loader is not None
bench_lake = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(bench_lake)


class SmallBench(bench_lake.Bench):
    """Its objects are written here, and not by the pipeline's own code."""

    def write(self, name: str, day: date, objects: int, rows: int) -> None:
        midnight = datetime.combine(day, time(), UTC)
        events = [
            event(
                day.toordinal() * 1_000_000 + n,
                device_type=("camera", "lock")[n % 2],
                event_time=midnight + timedelta(seconds=n),
                arrival_time=midnight + timedelta(days=1, seconds=n),
                event_duration=float(n % 97) * (50 if n % 500 == 0 else 1),
                # Every hundredth is a copy of the one before it, which is of the other type.
                event_id=f"{day}-{n - (n % 100 == 99)}",
            )
            for n in range(objects * rows)
        ]
        for first in range(0, len(events), rows):
            Lake(self.lake(name)).write_both(events[first : first + rows])


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read in /proc")
def test_the_bench_compares_equal_reports_of_objects_and_table(
    spark: SparkSession, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_lake, "REPEATED", 2)
    bench = SmallBench(Path(catalog.warehouse).parent, Path())
    bench.spark = spark
    found = bench_lake.full(bench, objects=20, rows=100)
    assert found["alike"] == 1
    assert found["table"] > 0
    assert found["bytes"] > 0
    report = (bench.lake("full") / "reports/table.csv").read_text()
    assert [line.split(",")[:3] for line in report.splitlines()[1:]] == [
        [str(bench_lake.DAY + timedelta(days=day)), *group]
        for day in range(1 + bench_lake.REPEATED)
        for group in (("camera", "1000"), ("lock", "980"))
    ]
    nights = bench_lake.nights(bench, (1, 2), objects=20, rows=100)
    shown = StringIO()
    bench_lake.show(found, nights, 20, 100, Console(file=shown, width=80))
    assert "report after one more day" in shown.getvalue()


@pytest.mark.parametrize(
    ("other", "alike"), [("10.000000000001", True), ("10.1", False), ("", False)], ids=["rounding", "other", "missing"]
)
def test_reports_are_alike_up_to_rounding(other: str, alike: bool) -> None:
    header = "day,device_type,distinct_events,outliers_excluded,mean_ms\n"
    assert bench_lake.same_report(f"{header}d,t,500,0,10.0", f"{header}d,t,500,0,{other}") == alike
