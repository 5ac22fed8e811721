"""The verification of a run: ledgers against lake, audit against rows, report against its recomputation.

    python -m tributary_local.account.verify --bucket tributary-lake --ledger-dir .local/ledger \\
        --report out/p95_event_duration.csv --function-log .local/log/function.log

Exit status: 0, 1 when a rule is broken or something cannot be read, 2 on bad usage.
"""

import argparse
import os
import re
import statistics
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tributary_local.account import recompute
from tributary_local.account.reconcile import (
    DOUBLED,
    NAMED,
    UNKNOWN,
    Breach,
    Reconciliation,
    Unreadable,
    open_lake,
    reconcile,
)
from tributary_local.console import consoles, printable

_PREFIXES = ("events/", "quarantine/")
_CONCURRENT_READS = 16
_REPORT_LINE = re.compile(
    r"^REPORT .*?\bDuration: (?P<duration>[\d.]+) ms.*?Max Memory Used: (?P<memory>\d+) MB"
    r"(?:.*?Init Duration: (?P<init>[\d.]+) ms)?",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Copies:
    """Objects of a bucket, copied into a directory."""

    keys: Mapping[str, str]
    """The object's key by the file's path in the directory."""
    metadata: Mapping[str, Mapping[str, str]]
    """The objects' metadata by key."""


def download(bucket: str, directory: Path) -> Copies:
    """Copies `events/` and `quarantine/` of a bucket into `directory`. Raises `Unreadable`."""
    s3 = boto3.client(
        "s3",
        config=Config(
            max_pool_connections=_CONCURRENT_READS,
            connect_timeout=3,
            retries={"mode": "standard", "total_max_attempts": 3},
            s3={"addressing_style": "path" if "AWS_ENDPOINT_URL" in os.environ else "auto"},
        ),
    )

    def get(file: str, key: str) -> Mapping[str, str]:
        answer = s3.get_object(Bucket=bucket, Key=key)
        (directory / file).write_bytes(answer["Body"].read())
        return answer["Metadata"]

    try:
        pages = s3.get_paginator("list_objects_v2")
        keys = {}
        for prefix in _PREFIXES:
            (directory / prefix).mkdir()
            listed = (
                stored["Key"]
                for page in pages.paginate(Bucket=bucket, Prefix=prefix)
                for stored in page.get("Contents", [])
            )
            keys |= {copy_name(prefix, number, key): key for number, key in enumerate(listed)}
        with ThreadPoolExecutor(_CONCURRENT_READS) as pool:
            metadata = dict(zip(keys.values(), pool.map(get, keys, keys.values()), strict=True))
    except (BotoCoreError, ClientError) as error:
        raise Unreadable(f"bucket {bucket}: {str(error).splitlines()[0]}") from error
    return Copies(keys, metadata)


def copy_name(prefix: str, number: int, key: str) -> str:
    """The path of an object's copy. Not its key: a part of one may have more than the 255 bytes of a file's name."""
    kind = next((kind for kind in (".parquet", ".jsonl") if key.endswith(kind)), "")
    return f"{prefix}{number:08d}{kind}"


def show(console: Console, found: Reconciliation) -> None:
    """The account of a run."""
    account = Table(title="What was sent, and where it is", title_justify="left", min_width=60)
    account.add_column("record")
    account.add_column("count", justify="right")
    account.add_column("")
    account.add_row("sent", _number(found.sent), "acknowledged by the stream", style="bold")
    account.add_section()
    account.add_row("written", _number(found.written), f"one row each, in {found.objects:,} objects")
    account.add_row("duplicates", _number(found.duplicates), "copies beyond the first, dropped")
    account.add_row("filtered", _number(found.filtered), "test events, dropped on purpose")
    rejected = sum(found.rejected.values())
    account.add_row("rejected", _number(rejected), "in quarantine, with bytes and reason")
    for reason, count in found.rejected.items():
        account.add_row(f"  {escape(printable(reason))}", _number(count), style="dim")
    account.add_section()
    account.add_row("missing", _number(found.missing), _verdict(found.missing == 0))
    account.add_row("doubled", _number(found.doubled), _verdict(found.doubled == 0))
    if found.unacknowledged:
        note = escape(printable("put again after a lost answer: " + ", ".join(found.unacknowledged[:NAMED])))
        account.add_row("not in a ledger", _number(len(found.unacknowledged)), note)
    console.print(account)
    sums = ", ".join(f"{count:,} {name}" for name, count in found.audit.items())
    console.print(f"{found.rows:,} rows landed; the objects' own audit: {sums}", highlight=False)


def show_function(console: Console, log: str) -> None:
    """Invocations, durations and memory, from the REPORT lines of the function's log."""
    reports = list(_REPORT_LINE.finditer(log))
    if not reports:
        return
    durations = [float(report["duration"]) for report in reports]
    starts = [float(report["init"]) for report in reports if report["init"]]
    table = Table(title="The function", title_justify="left", show_header=False, min_width=60)
    table.add_column()
    table.add_column(justify="right")
    table.add_row("invocations", _number(len(reports)))
    table.add_row("median ms", f"{statistics.median(durations):,.1f}")
    table.add_row("longest ms", f"{max(durations):,.1f}")
    table.add_row("cold starts", _number(len(starts)))
    table.add_row("longest init ms", f"{max(starts, default=0):,.1f}")
    table.add_row("peak memory MB", _number(max(int(report["memory"]) for report in reports)))
    console.print(table)


def verify(options: argparse.Namespace, console: Console) -> Sequence[Breach]:
    """Downloads, compares, prints; returns the broken rules. Raises `Unreadable`."""
    allowed = [rule for rule, given in ((DOUBLED, options.allow_doubled), (UNKNOWN, options.allow_unknown)) if given]
    with tempfile.TemporaryDirectory(prefix="tributary-verify-") as directory:
        lake = Path(directory)
        copies = download(options.bucket, lake)
        database = open_lake(lake, options.ledger_dir, copies.metadata, copies.keys)
        found = reconcile(database, allowed=allowed)
        show(console, found)
        breaches = list(found.breaches)
        if options.report:
            expected = recompute.recompute(
                database, outlier_scope=options.outlier_scope, minimum_events=options.minimum_events
            )
            differences = list(recompute.compare(options.report, expected))
            cells = len(expected) * len(recompute.COLUMNS)
            verdict = _verdict(not differences)
            console.print(
                f"report: {escape(str(options.report))} against DuckDB on the same Parquet, {len(expected)} groups,"
                f" {cells} cells: {verdict}",
                highlight=False,
            )
            breaches += differences
    if options.function_log:
        show_function(console, _text(options.function_log))
    return breaches


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line; exits with status 2 on bad usage."""
    parser = argparse.ArgumentParser(
        prog="tributary_local.account.verify",
        description="Compares the ledgers with the lake, and the report with DuckDB's.",
    )
    parser.add_argument("--bucket", required=True, help="the lake's bucket")
    parser.add_argument("--ledger-dir", required=True, type=Path, metavar="DIR", help="where the ledgers (*.jsonl) are")
    parser.add_argument("--report", type=Path, metavar="CSV", help="the report to compare; without it, none is")
    parser.add_argument(
        "--outlier-scope", choices=("group", "day"), default="group", help="what the report was made with"
    )
    parser.add_argument(
        "--minimum-events", type=int, default=500, metavar="N", help="what the report was made with (%(default)s)"
    )
    parser.add_argument("--function-log", type=Path, metavar="FILE", help="show the function's REPORT lines as a table")
    parser.add_argument("--allow-doubled", action="store_true", help="count doubled rows, but do not fail on them")
    parser.add_argument(
        "--allow-unknown",
        action="store_true",
        help="do not fail on rows whose event id no ledger knows (a producer was killed before it wrote it down)",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """The command; returns the exit status."""
    console, _ = consoles()
    try:
        breaches = verify(arguments(argv), console)
    except Unreadable as error:
        print(f"verify: {printable(str(error))}", file=sys.stderr)
        return 1
    name(breaches)
    return 1 if breaches else 0


def name(breaches: Iterable[Breach]) -> None:
    """A line for each broken rule."""
    for breach in breaches:
        print(f"verify: {printable(str(breach))}", file=sys.stderr)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise Unreadable(f"{file}: {error.strerror}") from error


def _number(count: int) -> str:
    return f"{count:,}"


def _verdict(good: bool) -> str:
    return "[green]✓[/green]" if good else "[bold red]✗[/bold red]"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
