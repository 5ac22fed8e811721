"""When the pipeline counts as caught up."""

import json
from collections.abc import Mapping
from itertools import permutations
from pathlib import Path

from tributary_local.account.progress import (
    Acknowledged,
    Checkpoint,
    acknowledged,
    parse_checkpoints,
    progress,
    read_checkpoints,
    read_ledgers,
)

# Sequence numbers have 56 digits: as text or as a float, neighbours would compare wrongly.
NUMBER = 49590338271490256608559692538361571095921575989136588898


def line(shard: str, number: int) -> str:
    return json.dumps({"shard": shard, "sequence_number": str(number), "event_id": "e", "outcome": "written"})


def at(number: int | None, records: int = 0, behind: int = 0) -> Checkpoint:
    return Checkpoint(number, records, behind)


def caught_up(sent: Mapping[str, Acknowledged], checkpoints: Mapping[str, Checkpoint]) -> bool:
    return progress(sent, checkpoints).caught_up


def test_a_checkpoint_at_the_last_acknowledged_record_is_caught_up() -> None:
    assert caught_up({"a": Acknowledged(NUMBER, 3)}, {"a": at(NUMBER)})


def test_a_checkpoint_one_before_the_last_acknowledged_record_is_not() -> None:
    assert not caught_up({"a": Acknowledged(NUMBER, 3)}, {"a": at(NUMBER - 1, records=99)})


def test_one_shard_behind_keeps_the_whole_stream_behind() -> None:
    sent = {"a": Acknowledged(5, 1), "b": Acknowledged(7, 1)}
    assert not caught_up(sent, {"a": at(5), "b": at(6)})
    assert not caught_up(sent, {"a": at(5)})
    assert not caught_up(sent, {"a": at(5), "b": at(None)})


def test_a_shard_that_nothing_was_sent_to_holds_nothing_up() -> None:
    assert caught_up({"a": Acknowledged(5, 1)}, {"a": at(5), "b": at(None)})
    assert caught_up({}, {})


def test_records_of_a_lost_acknowledgement_do_not_push_the_count_past_what_was_sent() -> None:
    now = progress({"a": Acknowledged(5, 3)}, {"a": at(4, records=9)})
    assert (now.sent, now.committed, now.caught_up) == (3, 3, False)


def test_the_lag_is_that_of_the_slowest_shard() -> None:
    assert progress({}, {"a": at(1, behind=20), "b": at(1, behind=300)}).millis_behind_latest == 300


def test_the_order_of_ledger_lines_does_not_matter() -> None:
    entries = [("a", NUMBER), ("b", 7), ("a", NUMBER + 2), ("a", NUMBER + 1), ("b", 9)]
    expected = {"a": Acknowledged(NUMBER + 2, 3), "b": Acknowledged(9, 2)}
    for ordered in permutations(entries):
        assert acknowledged(line(shard, number) for shard, number in ordered) == expected


def test_all_ledgers_of_the_lake_count(tmp_path: Path) -> None:
    (tmp_path / "1.jsonl").write_text(line("a", 1) + "\n" + line("b", 4) + "\n")
    (tmp_path / "2.jsonl").write_text(line("a", 9) + "\n")
    assert read_ledgers(tmp_path) == {"a": Acknowledged(9, 2), "b": Acknowledged(4, 1)}


def test_checkpoints_are_read_as_the_event_source_writes_them(tmp_path: Path) -> None:
    text = json.dumps(
        {
            "stream": "events",
            "shards": {
                "a": {"sequence_number": str(NUMBER), "records": 7, "millis_behind_latest": 30, "closed": False},
                "b": {"sequence_number": None, "records": 0, "millis_behind_latest": None, "closed": False},
            },
        }
    )
    assert parse_checkpoints(text) == {"a": at(NUMBER, 7, 30), "b": at(None)}
    assert read_checkpoints(tmp_path / "checkpoints.json") == {}
