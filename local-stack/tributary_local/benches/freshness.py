"""`make bench-freshness`: how old a row is when DuckDB can read it, for both brokers."""

import itertools
import threading
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from tributary_local import jobs
from tributary_local.account.function_log import durations_ms
from tributary_local.failure import Failure
from tributary_local.parts import ports
from tributary_local.parts.stack import Stack
from tributary_local.runs.catch_up import wait_until_caught_up
from tributary_local.runs.steps import Steps
from tributary_local.settings import BROKERS, Settings

EVENTS_PER_SECOND = 500
SECONDS = 60
POLL_SECONDS = 0.05
READER_SECONDS = 30
PERCENTILES = (0.5, 0.95, 0.99)

# Arrival is the broker's own time stamp, which it takes before it acknowledges.
SPANS = {
    "arrival → last record of its batch": "last_arrival_ms - arrival_ms",
    "last record of its batch → readable": "readable_ms - last_arrival_ms",
    "arrival → readable": "readable_ms - arrival_ms",
}


def freshness(settings: Settings, console: Console, steps: Steps, seconds: int = SECONDS) -> None:
    """Each broker on a stack of its own, which is always taken down again."""
    table = Table(title=f"{EVENTS_PER_SECOND} events/s for {seconds} s, milliseconds", title_justify="left")
    for column in ("broker", "", *(f"p{round(share * 100)}" for share in PERCENTILES)):
        table.add_column(column, justify="right" if column.startswith("p") else "left")
    for broker in BROKERS:
        apart = settings.beside(f"freshness-{broker}", ports.free_port(), ports.free_port())
        rows = _measure(replace(apart, broker=broker), console, steps, seconds)
        for name, milliseconds in rows.items():
            table.add_row(broker, name, *(f"{value:,.0f}" for value in milliseconds))
        table.add_section()
    console.print(table)


def _measure(settings: Settings, console: Console, steps: Steps, seconds: int) -> dict[str, list[float]]:
    stack = Stack(settings, console)
    stack.down()
    try:
        stack.up(steps.step)
        with TemporaryDirectory() as folder:
            reader = Reader(settings, Path(folder))
            reader.start()
            try:
                with steps.step(f"Produce {EVENTS_PER_SECOND} events/s for {seconds} s, {settings.broker}"):
                    jobs.produce(settings, ["--rate", str(EVENTS_PER_SECOND), "--duration", f"{seconds}s"])
                wait_until_caught_up(settings, stack.event_source, console)
                time.sleep(1)
            finally:
                reader.end()
            spans = reader.percentiles()
        return {**spans, "the function, a batch": percentiles_of(durations_ms(stack.event_source.function_log))}
    finally:
        stack.down()


def percentiles_of(values: list[float]) -> list[float]:
    """The nearest-rank percentiles; raises Failure when there is no value."""
    if not values:
        raise Failure("nothing was measured: the function's log has no batch")
    ordered = sorted(values)
    return [ordered[round(share * (len(ordered) - 1))] for share in PERCENTILES]


class Reader(threading.Thread):
    """Reads each object with DuckDB as soon as a listing shows it, and notes when its rows were there."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        # Imported here: the other verbs need neither.
        import boto3
        import duckdb

        super().__init__(name="reader", daemon=True)
        self._s3 = boto3.client("s3", endpoint_url=settings.endpoint, region_name=settings.region)
        self._bucket = settings.bucket
        self._folder = folder
        self._seen: set[str] = set()
        self._numbers = itertools.count()
        self._database = duckdb.connect()
        self._database.execute("CREATE TABLE rows (arrival_ms DOUBLE, last_arrival_ms DOUBLE, readable_ms DOUBLE)")
        self._ended = threading.Event()
        self._failure: Exception | None = None

    def run(self) -> None:
        """Until `end`; what goes wrong is raised there."""
        try:
            while not self._ended.wait(POLL_SECONDS):
                for key in self._new():
                    self._read(key)
        except Exception as failure:
            self._failure = failure

    def end(self) -> None:
        """Raises Failure when the lake could not be read."""
        self._ended.set()
        self.join(READER_SECONDS)
        if self._failure:
            raise Failure("the lake could not be read", str(self._failure))

    def percentiles(self) -> dict[str, list[float]]:
        """By span, over all rows."""
        shares = list(PERCENTILES)
        return {
            name: self._database.execute(f"SELECT quantile_cont({span}, {shares}) FROM rows").fetchone()[0]
            for name, span in SPANS.items()
        }

    def _new(self) -> list[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix="events/")
        listed = {stored["Key"] for page in pages for stored in page.get("Contents", [])}
        new = sorted(listed - self._seen)
        self._seen |= listed
        return new

    def _read(self, key: str) -> None:
        file = str(self._folder / f"{next(self._numbers)}.parquet")
        self._s3.download_file(self._bucket, key, file)
        arrivals = f"SELECT epoch_us(arrival_time) / 1000 AS arrival_ms FROM read_parquet('{file}')"
        self._database.execute(f"CREATE OR REPLACE TEMP TABLE object AS {arrivals}")
        readable_ms = time.time() * 1000
        self._database.execute(
            "INSERT INTO rows SELECT arrival_ms, max(arrival_ms) OVER (), ? FROM object", [readable_ms]
        )
