"""The programs of the verbs run in a hostile shell, and every request of theirs arrives at the stack's endpoint."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile import Elsewhere, elsewhere, hostile_environment
from moto.server import ThreadedMotoServer

from tributary_local.parts.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
# The stack is up as far as a verb can tell; its ledger, results and provisioning are in a directory of the test.
PRELUDE = """
import os, sys
from dataclasses import replace
from pathlib import Path
from rich.console import Console
from tributary_local import jobs, nightly_metrics
from tributary_local.parts.event_source import EventSource
from tributary_local.settings import Settings
from tributary_local.parts.stack import Stack
state = Path(sys.argv[1])
settings = replace(Settings.from_environment(Path.cwd(), os.environ), state=state, out=state)
settings.run.mkdir(parents=True, exist_ok=True)
"""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """In LocalStack's place."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=free_port(), verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


class Shell:
    """A hostile one."""

    def __init__(self, state: Path, endpoint: str, place: Elsewhere) -> None:
        self.state = state
        self.place = place
        self.environment = hostile_environment(state / "hostile", place) | {
            "AWS_ENDPOINT_URL": endpoint,
            "TRIBUTARY_DOCKER": "0",
        }

    def run(self, verb: str) -> subprocess.CompletedProcess[str]:
        """A verb's own function, as `make` starts it."""
        command = ["bash", "-p", ROOT / "local-stack/closed", "env", "PYTHONPATH=local-stack", sys.executable]
        return subprocess.run(
            [*command, "-c", PRELUDE + verb, self.state],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
            timeout=300,
        )


@pytest.fixture
def shell(tmp_path: Path, endpoint: str) -> Iterator[Shell]:
    with elsewhere() as place:
        yield Shell(tmp_path, endpoint, place)


def built(binary: str) -> None:
    assert (ROOT / "target/lambda" / binary / "bootstrap").exists(), "make setup builds it"


def test_bucket_and_stream_are_made_and_filled_and_read_where_the_stack_is(shell: Shell) -> None:
    built("producer")
    provisioned = shell.run("Stack(settings, Console()).provision()")
    assert (provisioned.returncode, provisioned.stderr) == (0, "")
    assert "bucket tributary-lake, stream tributary-events, queue tributary-on-failure" in provisioned.stdout
    produced = shell.run("jobs.produce(settings, ['--events', '50', '--metrics'])")
    assert produced.returncode == 0, produced.stderr
    (ledger,) = (shell.state / "ledger").iterdir()
    assert len(ledger.read_text(encoding="utf-8").splitlines()) >= 50
    # It reads the lake, which holds none of them yet.
    verified = shell.run("jobs.account(settings)")
    assert verified.returncode == 1
    assert "missing" in verified.stdout
    published = shell.run("nightly_metrics.publish_job(settings, succeeded=True)")
    assert (published.returncode, published.stderr) == (0, "")
    assert shell.place.visits == []


def test_the_report_reads_the_lake_where_the_stack_is(shell: Shell) -> None:
    # Not the stack's own bucket: unlike LocalStack, moto enforces the rule that requests are encrypted.
    shell.environment["TRIBUTARY_BUCKET"] = "empty"
    shell.run("import boto3; boto3.client('s3').create_bucket(Bucket='empty')")
    reported = shell.run("jobs.report(settings)")
    assert "s3a://empty/events/: the lake is empty" in reported.stderr
    assert shell.place.visits == []


def test_the_event_source_and_its_function_ask_the_stack(shell: Shell) -> None:
    built("event-source")
    shell.run("Stack(settings, Console()).provision()")
    shell.run("jobs.produce(settings, ['--events', '50'])")
    ran = shell.run("""
import time
source = EventSource(settings)
source.start()
deadline = time.monotonic() + 20
while not (source.function_log.exists() and 'REPORT' in source.function_log.read_text(encoding='utf-8')):
    assert time.monotonic() < deadline
    time.sleep(0.1)
source.stop()
""")
    assert ran.returncode == 0, ran.stderr
    assert shell.place.visits == []


def test_the_listener_hears_what_is_not_closed(shell: Shell) -> None:
    """Or the others could not fail."""
    command = ["bash", "-c", "true"]
    bash = {name: value for name, value in shell.environment.items() if name != "SHELLOPTS"}
    subprocess.run(command, env=bash, capture_output=True, check=False)
    python = {name: value for name, value in shell.environment.items() if name != "PYTHONHOME"}
    subprocess.run([sys.executable, "-c", ""], env=python, capture_output=True, check=False)
    assert any(b"knock" in visit for visit in shell.place.visits)
    assert any(b"sitecustomize" in visit for visit in shell.place.visits)
