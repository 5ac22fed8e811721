"""Events of one's own, from a file, through the stack that is up: what becomes of each line."""

import io
import json
import time
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tributary_local import contract
from tributary_local.account.progress import acknowledged, progress, read_checkpoints
from tributary_local.console import printable
from tributary_local.failure import Failure, last_lines
from tributary_local.parts.event_source import EventSource
from tributary_local.settings import Settings

#: Of one PutRecords request.
MOST_LINES = 500
WAIT_SECONDS = 60
#: What a row has of its record's journey; the others are of the event.
JOURNEY = ("arrival_time", "shard", "position")


@dataclass(frozen=True)
class Sent:
    """A line that the stream has acknowledged."""

    line: int
    shard: str
    position: str


def send(settings: Settings, event_source: EventSource, console: Console, file: Path) -> None:
    """Sends the lines of `file` and prints the row or the reason of each. Raises Failure when one is not dealt with."""
    if settings.is_kafka:
        raise Failure("make send is for the stream", "The stack is up with a topic: make down, then make up.")
    # Imported here: the other verbs need neither.
    import boto3
    import pyarrow.parquet as pq

    lines = events_of(file)
    aws = {"endpoint_url": settings.endpoint, "region_name": settings.region}
    started = datetime.now(UTC)
    path = path_of_key(settings)
    records = [{"Data": line.encode(), "PartitionKey": partition_key(line, path)} for _, line in lines]
    answer = boto3.client("kinesis", **aws).put_records(StreamName=settings.stream, Records=records)
    if answer["FailedRecordCount"]:
        raise Failure(f"{answer['FailedRecordCount']} lines were not taken by the stream", "Send them again.")
    sent = [
        Sent(number, record["ShardId"], record["SequenceNumber"])
        for (number, _), record in zip(lines, answer["Records"], strict=True)
    ]
    _wait(settings, event_source, sent)
    s3 = boto3.client("s3", **aws)
    rows, rejected = [], []
    for body in _written(s3, settings.bucket, "events/", started):
        rows += pq.read_table(io.BytesIO(body)).to_pylist()
    for body in _written(s3, settings.bucket, "quarantine/", started):
        rejected += [json.loads(line) for line in body.splitlines()]
    table = Table(box=None, pad_edge=False, show_header=False)
    for number, became, what in outcomes(sent, rows, rejected):
        colour = {"row": "green", "rejected": "red"}.get(became, "yellow")
        table.add_row(f"line {number}", f"[{colour}]{became}[/]", escape(printable(what)))
    console.print(table)


def events_of(file: Path) -> list[tuple[int, str]]:
    """The lines that are not blank, with their numbers from 1. Raises Failure when there are none, or too many."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise Failure(f"{file}: {error.strerror}", "make send FILE=events.jsonl: one JSON object a line.") from error
    except UnicodeDecodeError as error:
        raise Failure(f"{file} is not UTF-8", str(error)) from error
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not 1 <= len(lines) <= MOST_LINES:
        raise Failure(f"{file} has {len(lines):,} events", f"make send takes 1 to {MOST_LINES}, one a line.")
    return lines


def path_of_key(settings: Settings) -> Sequence[str]:
    """Where the stack's contract has the field by which events are partitioned."""
    file = Path(settings.environment.get(contract.VARIABLE) or settings.root / "functions/events/contract.toml")
    field = tomllib.loads(file.read_text(encoding="utf-8"))["key"].get("field", [])
    return field.split(".") if isinstance(field, str) else field


def partition_key(line: str, path: Sequence[str]) -> str:
    """The event's own, as a producer would take it: copies of an event have to meet in one shard."""
    try:
        found = json.loads(line)
        for name in path:
            found = found[name]
    except (ValueError, LookupError, TypeError):
        found = None
    return found[:128] if isinstance(found, str) and found else "-"


def outcomes(
    sent: Iterable[Sent], rows: Sequence[Mapping[str, Any]], rejected: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[int, str, str]]:
    """Line, what it became, and its cells or its reason."""
    row_of = {(row["shard"], row["position"]): row for row in rows}
    reason_of = {(line["shard"], line["position"]): line for line in rejected}
    for record in sent:
        at = (record.shard, record.position)
        if row := row_of.get(at):
            cells = (f"{name}={_shown(cell)}" for name, cell in row.items() if name not in JOURNEY and cell is not None)
            yield record.line, "row", "  ".join(cells)
        elif line := reason_of.get(at):
            yield record.line, "rejected", f"{line['reason']}: {line['detail']}"
        else:
            yield record.line, "dropped", "a copy of an event that came before, or filtered on purpose"


def _shown(cell: object) -> str:
    return cell.astimezone(UTC).isoformat().replace("+00:00", "Z") if isinstance(cell, datetime) else str(cell)


def _wait(settings: Settings, event_source: EventSource, sent: Iterable[Sent]) -> None:
    ledger = (json.dumps({"shard": record.shard, "sequence_number": record.position}) for record in sent)
    of_shards = acknowledged(ledger)
    deadline = time.monotonic() + WAIT_SECONDS
    while not progress(of_shards, read_checkpoints(settings.checkpoints)).caught_up:
        if event_source.running() is None:
            raise Failure("the event source does not run", last_lines(event_source.log_file))
        if time.monotonic() > deadline:
            raise Failure(f"the lines were not dealt with in {WAIT_SECONDS} s", last_lines(event_source.function_log))
        time.sleep(0.1)


def _written(s3: Any, bucket: str, prefix: str, since: datetime) -> Iterator[bytes]:
    """Objects of today, or of yesterday shortly after midnight, that were written since."""
    # S3 tells whole seconds.
    since = since.replace(microsecond=0)
    pages = s3.get_paginator("list_objects_v2")
    for day in sorted({f"{moment:%Y-%m-%d}" for moment in (since, since + timedelta(seconds=WAIT_SECONDS))}):
        for page in pages.paginate(Bucket=bucket, Prefix=f"{prefix}date={day}/"):
            for stored in page.get("Contents", []):
                if stored["LastModified"] >= since:
                    yield s3.get_object(Bucket=bucket, Key=stored["Key"])["Body"].read()
