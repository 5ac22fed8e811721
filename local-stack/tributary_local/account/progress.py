"""How far the event source has come with what the producers have sent. Nothing here waits or asks for the time."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Checkpoint:
    """Of one shard: the last record done with, and how many records that were."""

    sequence_number: int | None
    records: int
    millis_behind_latest: int


@dataclass(frozen=True)
class Acknowledged:
    """Of one shard: what the ledgers say was sent to it."""

    last_sequence_number: int
    records: int


@dataclass(frozen=True)
class Progress:
    """Records over all shards, and how far the slowest shard is behind."""

    sent: int
    committed: int
    millis_behind_latest: int
    caught_up: bool


def parse_checkpoints(text: str) -> dict[str, Checkpoint]:
    """The event source's checkpoints.json, by shard."""
    return {
        shard: Checkpoint(
            sequence_number=None if entry["sequence_number"] is None else int(entry["sequence_number"]),
            records=entry["records"],
            millis_behind_latest=entry["millis_behind_latest"] or 0,
        )
        for shard, entry in json.loads(text)["shards"].items()
    }


def read_checkpoints(path: Path) -> dict[str, Checkpoint]:
    """By shard; empty as long as the event source has written none."""
    try:
        return parse_checkpoints(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}


def acknowledged(lines: Iterable[str]) -> dict[str, Acknowledged]:
    """What ledger lines say, by shard."""
    seen: dict[str, Acknowledged] = {}
    for line in lines:
        entry = json.loads(line)
        number = int(entry["sequence_number"])
        before = seen.get(entry["shard"], Acknowledged(0, 0))
        seen[entry["shard"]] = Acknowledged(max(before.last_sequence_number, number), before.records + 1)
    return seen


def read_ledgers(directory: Path) -> dict[str, Acknowledged]:
    """All ledgers of the lake together, by shard."""
    paths = sorted(directory.glob("*.jsonl"))
    return acknowledged(line for path in paths for line in path.read_text(encoding="utf-8").splitlines())


def progress(sent: Mapping[str, Acknowledged], checkpoints: Mapping[str, Checkpoint]) -> Progress:
    """Caught up: every shard's checkpoint is at or past the last record that was acknowledged on it.

    Counts alone would not do: a record whose acknowledgement got lost is in the stream without being in a ledger.
    """
    caught_up = all(
        shard in checkpoints
        and checkpoints[shard].sequence_number is not None
        and checkpoints[shard].sequence_number >= shard_sent.last_sequence_number
        for shard, shard_sent in sent.items()
    )
    total = sum(shard_sent.records for shard_sent in sent.values())
    done = sum(checkpoint.records for checkpoint in checkpoints.values())
    return Progress(
        sent=total,
        committed=total if caught_up else min(done, total),
        millis_behind_latest=max((c.millis_behind_latest for c in checkpoints.values()), default=0),
        caught_up=caught_up,
    )
