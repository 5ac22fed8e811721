"""Contracts with typed columns: what readers see, and what would break them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from emr_of_tests import moto
from lake_of_tests import ARROW_SCHEMA, Lake, event

from tributary_emr import schema
from tributary_emr.contract_check import breaches

EMR = Path(__file__).parents[1]
BATTERY = [["battery", "double", True], ["model", "string", False]]


def with_columns(*fields: pa.Field) -> pa.Schema:
    """The lake's schema with typed columns before the id."""
    fixed = list(ARROW_SCHEMA)
    return pa.schema([*fixed[:-1], *fields, fixed[-1]])


LAKE = with_columns(pa.field("battery", pa.float64()), pa.field("model", pa.string(), nullable=False))


def columns(**changes: dict[str, object] | None) -> list[dict[str, object]]:
    """The contract of `LAKE`, with some columns otherwise, or left out (`None`)."""
    types = {pa.string(): "string", pa.float64(): "double", pa.int32(): "int"}
    own = {f.name: {"name": f.name, "type": types.get(f.type, "timestamp"), "nullable": f.nullable} for f in LAKE}
    for name, change in changes.items():
        own[name] = None if change is None else {**own.get(name, {"name": name}), **change}
    return [column for column in own.values() if column]


def test_sparks_columns_are_those_that_everybody_has_from_the_contract():
    """From two generated files: the jobs', which go to EMR alone, and the list that Glue's tables are made from."""
    generated = json.loads((EMR.parent / "functions/events/schema/columns.json").read_text(encoding="utf-8"))
    assert generated == [
        {"name": field.name, "type": field.dataType.simpleString(), "nullable": field.nullable}
        for field in schema.EVENTS
    ]


def test_the_same_columns_and_more_of_them_break_nobody():
    assert list(breaches(LAKE, columns())) == []
    assert list(breaches(LAKE, columns(lamp={"type": "boolean", "nullable": False}))) == []
    assert list(breaches(LAKE, columns(model={"nullable": True}))) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"battery": None}, "column battery (double) is in the lake and not in the contract"),
        ({"battery": {"type": "bigint"}}, "column battery is double in the lake and bigint in the contract"),
        ({"battery": {"nullable": False}}, "column battery may be null in the lake and not in the contract"),
    ],
)
def test_what_would_break_a_reader_is_refused_and_the_way_is_said(changes, said):
    [breach] = breaches(LAKE, columns(**changes))
    assert breach.startswith(said)
    assert "nullable = true" in breach


def test_the_contract_is_compared_with_the_last_objects_of_the_lake(lake: Lake, tmp_path: Path) -> None:
    ours = EMR.parent / "functions/events/schema/columns.json"
    newer = tmp_path / "columns.json"
    newer.write_text(json.dumps(columns()))

    def check(file: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tributary_emr.contract_check", file],
            env=aws.environ | {"PYTHONPATH": str(EMR), "TRIBUTARY_BUCKET": "lake"},
            capture_output=True,
            text=True,
            check=False,
        )

    with moto() as aws:
        assert check(newer).stdout == "the contract breaks no reader of the last 0 objects of lake\n"
        lake.write([event(n) for n in range(3)])
        lake.write([{**event(n), "battery": 0.5, "model": "m"} for n in range(3, 6)], schema=LAKE)
        for file in lake.root.rglob("*.parquet"):
            aws.client("s3").upload_file(str(file), "lake", str(file.relative_to(lake.root)))
        done = check(newer)
        assert (done.returncode, done.stdout) == (0, "the contract breaks no reader of the last 2 objects of lake\n")
        done = check(ours)
        assert done.returncode == 1
        assert [line[:45] for line in done.stderr.splitlines()] == [
            "contract-check: column battery (double) is in",
            "contract-check: column model (string) is in t",
        ]


def test_a_lake_of_two_contracts_is_read_and_valid(tmp_path):
    """In a process of its own: the schema is made when the package is imported."""
    script = f"""
import sys
sys.path[:0] = [{str(EMR)!r}, {str(EMR / "tests")!r}]
from datetime import timedelta
from pathlib import Path
import pyarrow as pa
from lake_of_tests import ARROW_SCHEMA, Lake, event
from tributary_emr.lake import read_events
from tributary_emr.session import open_session
from tributary_emr.validate import validate

fixed = list(ARROW_SCHEMA)
typed = [pa.field("battery", pa.float64()), pa.field("model", pa.string(), nullable=False)]
newer = pa.schema([*fixed[:-1], *typed, fixed[-1]])
lake = Lake(Path({str(tmp_path)!r}))
lake.write([event(n) for n in range(3)])
lake.write([{{**event(n), "battery": None if n == 3 else 0.5, "model": "m"}} for n in range(3, 6)], schema=newer)
spark = open_session("test", {{}}, uris=[lake.events])
found = validate(spark, lake.events, {{}})
assert not found.breaches, found.breaches
rows = read_events(spark, lake.events).orderBy("event_id").select("battery", "model").collect()
assert [tuple(row) for row in rows] == [(None, None)] * 3 + [(None, "m")] + [(0.5, "m")] * 2, rows
wrong = pa.schema([*fixed[:-1], pa.field("battery", pa.int64()), typed[1], fixed[-1]])
lake.write([{{**event(n), "battery": 1, "model": "m"}} for n in range(6, 8)], schema=wrong)
[breach] = validate(spark, lake.events, {{}}).breaches
assert breach.value == "battery is int64; expected double", breach
"""
    environment = {**os.environ, "TRIBUTARY_READ_CONTRACT": json.dumps({"columns": BATTERY})}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
