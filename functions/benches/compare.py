"""`make bench`: the function and its Python peers on one Lambda event of 10,000 records, in one table of ratios.

Whole processes are measured: the median time per batch within one process, the process's peak memory, and the time
from start to the first request for work (for the function: the deployed artifact, against a Runtime API of this
script's). Runs alternate, so that a noisy machine is noisy for all.
"""

import argparse
import http.server
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

from lambda_events import RECORDS, kinesis_event, payloads
from rich.console import Console
from rich.table import Table

BENCHES = ("bench-batch", "bench-bare")
COUNTS = ("rows", "duplicates", "rejected", "aggregates")
PEERS = Path(__file__).with_name("peers.py")


#: As many columns of each type as a contract might add to ours.
MORE_COLUMNS = "\n".join(
    f'[[column]]\nname = "{kind}_{number}"\ntype = "{kind}"\n{rule}\nnullable = {nullable}\nabout = "One more."\n'
    for number, nullable in enumerate(("false", "true"))
    for kind, rule in (
        ("string", "max_bytes = 32"),
        ("integer", "min = 0"),
        ("double", "min = 0\nmax = 1"),
        ("boolean", ""),
        ("timestamp", 'format = "rfc3339"'),
    )
)


def run(command: list[str]) -> dict:
    """What one process prints."""
    ran = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if ran.returncode != 0:
        sys.exit(f"{command[0]} ended with status {ran.returncode}")
    return json.loads(ran.stdout)


def start_up_ms(command: list[str], environment: dict) -> float:
    """Milliseconds from starting a process until it asks a Runtime API for its first event."""
    asked = threading.Event()

    class RuntimeApi(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.set()
            time.sleep(60)

        def log_message(self, *_arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), RuntimeApi)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    variables = {**environment, "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_port}"}
    started = time.perf_counter()
    process = subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL)
    try:
        if not asked.wait(30):
            sys.exit(f"{command[0]} did not ask for an event within 30 s")
        return (time.perf_counter() - started) * 1000
    finally:
        process.kill()
        process.wait()
        server.shutdown()
        server.server_close()


PYTHON_START = """
import base64, http.client, os
import boto3, orjson, pyarrow.parquet
boto3.client("s3"); boto3.client("cloudwatch")
http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"]).request("GET", "/")
"""

FUNCTION_ENVIRONMENT = {
    "AWS_LAMBDA_FUNCTION_NAME": "ingest-kinesis",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "TRIBUTARY_BUCKET": "bench",
    "TRIBUTARY_CONTRACT": "functions/events/contract.toml",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--built", required=True, type=Path, help="the directory of the built binaries")
    parser.add_argument("--event", required=True, type=Path, help="where to keep the Lambda event")
    parser.add_argument("--rounds", type=int, default=5, help="processes of each kind")
    arguments = parser.parse_args()

    built = {name: str(arguments.built / name / "bootstrap") for name in ("producer", "ingest-kinesis", *BENCHES)}
    event = kinesis_event(payloads(built["producer"]))
    arguments.event.parent.mkdir(parents=True, exist_ok=True)
    arguments.event.write_bytes(event)
    wide, event_of_wide = (arguments.event.with_name(name) for name in ("wide.toml", "wide.json"))
    ours = Path("functions/events/contract.toml").read_text(encoding="utf-8")
    wide.write_text(f"{ours}\n{MORE_COLUMNS}", encoding="utf-8")
    event_of_wide.write_bytes(kinesis_event(payloads(built["producer"], wide)))
    contenders = {
        "Rust, ours": ([built["bench-batch"], str(arguments.event), "40"], [built["ingest-kinesis"]]),
        "Python, tuned": (
            [sys.executable, str(PEERS), "tuned", str(arguments.event), "8"],
            [sys.executable, "-c", PYTHON_START],
        ),
        "Python, plain": (
            [sys.executable, str(PEERS), "plain", str(arguments.event), "5"],
            [sys.executable, "-c", PYTHON_START],
        ),
    }
    runs = {name: [] for name in contenders}
    starts = {name: [] for name in contenders}
    bare, with_more_columns = [], []
    for _ in range(arguments.rounds):
        for name, (batch, start) in contenders.items():
            runs[name].append(run(batch))
            starts[name].append(start_up_ms(start, FUNCTION_ENVIRONMENT))
        with_more_columns.append(run([built["bench-batch"], event_of_wide, "40", wide]))
        bare.append(start_up_ms([built["bench-bare"]], FUNCTION_ENVIRONMENT))

    counts = {name: {key: of[0][key] for key in COUNTS} for name, of in runs.items()}
    if len({json.dumps(count) for count in counts.values()}) != 1:
        sys.exit(f"the contenders disagree about the records: {counts}")

    ours = counts["Rust, ours"]
    console = Console(width=80)
    console.print(
        f"{RECORDS:,} records, {len(event) / 1e6:.1f} MB: {ours['rows']:,} rows, {ours['duplicates']} duplicates, "
        f"{ours['rejected']} rejected; artifact {os.path.getsize(built['ingest-kinesis']) / 1e6:.1f} MB; "
        f"start-up of a function that does nothing {statistics.median(bare):.1f} ms",
        highlight=False,
    )
    console.print(table(runs, starts))
    wider = median(with_more_columns, "milliseconds")
    times = wider / median(runs["Rust, ours"], "milliseconds")
    console.print(f"ten more typed columns: {wider:.1f} ms, {times:.2f} times", highlight=False)


def median(measured: list[dict], name: str) -> float:
    return statistics.median(run[name] for run in measured)


def table(runs: dict, starts: dict) -> Table:
    """Medians (ms a batch, peak MiB of the process, ms from start to the first request), and multiples of ours."""
    shown = Table(padding=(0, 0), collapse_padding=True)
    for column in ("", "ms", "ratio", "events/s", "MiB", "ratio", "start ms", "ratio", "Parquet kB"):
        shown.add_column(column, justify="left" if column == "" else "right", no_wrap=True)
    ours = None
    for name, measured in runs.items():
        ms, mib = median(measured, "milliseconds"), median(measured, "peak_bytes") / 2**20
        start = statistics.median(starts[name])
        ours = ours or (ms, mib, start)
        ratios = [f"{value / our:.1f}" for value, our in zip((ms, mib, start), ours, strict=True)]
        shown.add_row(
            name,
            f"{ms:.1f}",
            ratios[0],
            f"{RECORDS / ms * 1000:,.0f}",
            f"{mib:.0f}",
            ratios[1],
            f"{start:.1f}",
            ratios[2],
            f"{measured[0]['bytes'] / 1000:.0f}",
        )
    return shown


if __name__ == "__main__":
    main()
