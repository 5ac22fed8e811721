"""Objects of two contracts in one lake: the table gets the newer one's columns by itself, and everybody reads both."""

import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from lake_of_tests import ARRIVAL, ARROW_SCHEMA, Lake, event
from pyiceberg.catalog.sql import SqlCatalog
from pyspark.sql import SparkSession
from test_compact import HOUR, Job

from tributary_emr.catalog import Catalog

EMR = Path(__file__).parents[1]
_UTC = pa.timestamp("us", "UTC")
#: Every type that a contract knows; `order` is a word of SQL's.
NEWER = {
    "battery": ("double", pa.float64(), 0.5),
    "model": ("string", pa.string(), "m"),
    "steps": ("integer", pa.int64(), 7),
    "charging": ("boolean", pa.bool_(), True),
    "seen_at": ("timestamp", _UTC, ARRIVAL),
    "order": ("json", pa.string(), '{"a":1}'),
}
#: Typed columns that no row of the newer contract lacks.
REQUIRED = ("model", "charging")
_FIXED = list(ARROW_SCHEMA)
SCHEMA = pa.schema(
    [*_FIXED[:-1], *(pa.field(name, kind, name not in REQUIRED) for name, (_, kind, _) in NEWER.items()), _FIXED[-1]]
)


@pytest.fixture
def job(spark: SparkSession, lake: Lake, where: Catalog) -> Job:
    return Job(spark, lake, where)


def by_the_newer_contract(job: Job, *commands: tuple[str, ...]) -> str:
    """What these jobs print, in a process of its own: the columns are made when the package is imported."""
    table = ["--catalog", job.where.kind, "--warehouse", job.where.warehouse, "--namespace", job.where.namespace]
    script = f"""
import sys
from importlib import import_module
for name, *arguments in {list(commands)!r}:
    status = import_module(f"tributary_emr.{{name}}").main([*arguments, *{table!r}])
    assert status == 0, f"{{name}} ended with {{status}}"
"""
    columns = [[name, kind, name not in REQUIRED] for name, (kind, _, _) in NEWER.items()]
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(EMR), "TRIBUTARY_READ_CONTRACT": json.dumps({"columns": columns})},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    return done.stdout


def newer(number: int, **changes: object) -> dict[str, object]:
    """A row of the newer contract."""
    return event(number, **{name: value for name, (_, _, value) in NEWER.items()}, **changes)


def test_columns_of_a_newer_contract_are_added_and_both_kinds_of_rows_are_read_by_everybody(job: Job) -> None:
    job.lake.write([event(n) for n in range(3)])
    job.run()
    # While a contract is rolled out, objects of both are written.
    job.lake.write([event(3, arrival_time=ARRIVAL + HOUR)])
    copy = newer(2, arrival_time=ARRIVAL + HOUR)
    job.lake.write([copy, *(newer(n, arrival_time=ARRIVAL + HOUR) for n in (4, 5))], schema=SCHEMA)
    lake, report = job.lake.events, str(job.lake.root / "reports/a.csv")
    few = ("--minimum-events", "1")
    said = by_the_newer_contract(
        job,
        ("compact", "--input", lake),
        ("report", "--input", lake, "--output", report, *few),
        ("validate", "--input", lake, "--table", "--allow-doubled"),
    )
    assert "4 rows read = 3 added + 1 copies" in said
    assert "the table: 6 rows; 3 objects loaded, 0 not yet" in said
    assert "2026-11-22,thermostat,6,0," in Path(report).read_text(encoding="utf-8")
    rows = read_by_pyiceberg(job.where)
    found = {row["event_id"]: row for row in rows.to_pylist()}
    values = {name: value for name, (_, _, value) in NEWER.items()}
    for number in range(6):
        typed = {name: found[f"event-{number}"][name] for name in NEWER}
        assert typed == (values if number in (4, 5) else dict.fromkeys(NEWER))
    names = ", ".join(f'"{name}"' for name in NEWER)
    typed_rows = duckdb.sql(f'SELECT {names} FROM rows WHERE "order" IS NOT NULL')
    assert typed_rows.aggregate("count(*)").fetchall() == [(2,)]
    # A job of the older contract reads and loads what it knows; it leaves the newer object to the newer job.
    job.lake.write([event(6, arrival_time=ARRIVAL + 2 * HOUR)])
    assert job.run().account.added == 1
    assert len(job.rows()) == 7


def read_by_pyiceberg(where: Catalog) -> pa.Table:
    catalog = SqlCatalog("lake", uri=where.kind.replace("jdbc:sqlite:", "sqlite:///"), warehouse=where.warehouse)
    return catalog.load_table((where.namespace, "events")).scan().to_arrow()
