"""Waits until the event source has done what the producers have sent, and shows how far it is."""

import time
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tributary_local.account.progress import progress, read_checkpoints, read_ledgers
from tributary_local.failure import Failure, last_lines
from tributary_local.parts.event_source import EventSource
from tributary_local.parts.localstack import is_healthy
from tributary_local.settings import Settings

POLL_SECONDS = 0.2
STALL_SECONDS = 60
FIRST_COMMIT_SECONDS = 60


@dataclass
class StallWatch:
    """Tells progress from standstill: has `committed` not grown for `limit` seconds?"""

    limit: float
    committed: int = -1
    since: float = 0.0

    def is_stalled(self, committed: int, now: float) -> bool:
        """To be told every observation in order; `now` in seconds."""
        if committed > self.committed:
            self.committed, self.since = committed, now
        return now - self.since > self.limit


def wait_for_first_commit(settings: Settings, event_source: EventSource) -> None:
    """So that what is done to the pipeline then hits it at work; raises Failure after a minute."""
    deadline = time.monotonic() + FIRST_COMMIT_SECONDS
    while not any(checkpoint.records for checkpoint in read_checkpoints(settings.checkpoints).values()):
        if time.monotonic() > deadline:
            raise Failure(
                f"nothing was committed within {FIRST_COMMIT_SECONDS} s", last_lines(event_source.function_log)
            )
        time.sleep(0.1)


def wait_until_caught_up(settings: Settings, event_source: EventSource, console: Console) -> None:
    """Raises Failure when the event source or LocalStack has died, or nothing was committed for a minute."""
    sent = read_ledgers(settings.ledger)
    watch = StallWatch(STALL_SECONDS)
    bar = Progress(
        TextColumn("committed of sent"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[lag]}"),
        TimeElapsedColumn(),
        console=console,
    )
    with bar:
        task = bar.add_task("", total=sum(shard.records for shard in sent.values()), lag="")
        while True:
            now = progress(sent, read_checkpoints(settings.checkpoints))
            bar.update(task, completed=now.committed, lag=f"lag {now.millis_behind_latest / 1000:.1f} s")
            if now.caught_up:
                return
            if event_source.running() is None:
                raise Failure("the event source has died", last_lines(event_source.log_file))
            if watch.is_stalled(now.committed, time.monotonic()):
                raise _standstill(settings, event_source, now.sent - now.committed)
            time.sleep(POLL_SECONDS)


def _standstill(settings: Settings, event_source: EventSource, left: int) -> Failure:
    if not is_healthy(settings):
        return Failure("LocalStack no longer answers", last_lines(settings.log / "localstack.log"))
    return Failure(
        f"nothing was committed for {STALL_SECONDS} s, with {left:,} records to go",
        last_lines(event_source.function_log) + "\n" + last_lines(event_source.log_file),
    )
