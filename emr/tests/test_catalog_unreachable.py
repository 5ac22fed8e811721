"""A catalog that does not answer ends every job with one clear line, soon."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from lake_of_tests import Lake, event

EMR = Path(__file__).parents[1]


def run(job: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TRIBUTARY_"))}
    return subprocess.run(
        [sys.executable, "-m", f"tributary_emr.{job}", *arguments],
        env=inherited | {"PYTHONPATH": str(EMR)} | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.mark.parametrize(("job", "kind"), [("compact", "glue"), ("report", "glue"), ("compact", "sqlite")])
def test_a_catalog_that_does_not_answer_is_one_clear_line(lake: Lake, tmp_path: Path, job: str, kind: str) -> None:
    lake.write([event(1)])
    environment = {}
    if kind == "glue":
        catalog = "glue"
        environment = {
            "AWS_ENDPOINT_URL_GLUE": f"http://127.0.0.1:{closed_port()}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }
    else:
        catalog = f"jdbc:sqlite:{tmp_path}/lake.db"
        (tmp_path / "lake.db").write_text("this is no database " * 100, encoding="utf-8")
    output = ("--output", f"{tmp_path}/a.csv") if job == "report" else ()
    where = ("--catalog", catalog, "--warehouse", f"{tmp_path}/table")
    done = run(job, "--input", lake.events, *output, *where, **environment)
    assert done.returncode == 1, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{job}: the table history.events in {catalog}: cannot be opened: ")
    assert not (tmp_path / "table").exists()
