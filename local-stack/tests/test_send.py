"""Events of one's own: which lines are sent, by which key, and what is said of each."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tributary_local.failure import Failure
from tributary_local.runs.send import Sent, events_of, outcomes, partition_key, path_of_key
from tributary_local.settings import Settings


def test_blank_lines_are_no_events_and_the_others_keep_their_numbers(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text('{"a":1}\n\n  \n{"a":"\u2028"}\n', encoding="utf-8")
    assert events_of(file) == [(1, '{"a":1}'), (4, '{"a":"\u2028"}')]


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file"), (b"\n", "has 0 events"), (b"{}\n" * 501, "has 501 events"), (b"\xff", "is not UTF-8")],
)
def test_a_file_that_cannot_be_sent_is_refused_in_one_line(tmp_path: Path, content: bytes | None, said: str) -> None:
    file = tmp_path / "events.jsonl"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(Failure, match=said):
        events_of(file)


def test_the_partition_key_is_where_the_contract_says(tmp_path: Path, settings: Settings) -> None:
    file = tmp_path / "scans.toml"
    asked = replace(settings, environment={"TRIBUTARY_CONTRACT": str(file)})
    for field, path in [('"data.device.id"', ["data", "device", "id"]), ('["a.b", "c"]', ["a.b", "c"])]:
        file.write_text(f"[key]\nfield = {field}\n", encoding="utf-8")
        assert path_of_key(asked) == path
    file.write_text('[key]\ndefault = "depot"\n', encoding="utf-8")
    assert path_of_key(asked) == []


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('{"data":{"id":"s-7"}}', "s-7"),
        ('{"data":{"id":7}}', "-"),
        ('{"data":[]}', "-"),
        ('{"data":', "-"),
        ("[]", "-"),
        ('{"data":{"id":""}}', "-"),
    ],
)
def test_a_line_without_a_key_is_sent_all_the_same(line: str, key: str) -> None:
    assert partition_key(line, ["data", "id"]) == key


def test_each_line_is_a_row_a_rejection_or_was_dropped() -> None:
    sent = [Sent(1, "s-0", "10"), Sent(2, "s-1", "10"), Sent(5, "s-0", "11")]
    row = {
        "event_time": datetime(2026, 11, 22, 12, tzinfo=UTC),
        "value": None,
        "paid": 3.5,
        "shard": "s-0",
        "position": "10",
    }
    rejection = {"shard": "s-1", "position": "10", "reason": "wrong_type", "detail": "at is not a number"}
    assert list(outcomes(sent, [row], [rejection])) == [
        (1, "row", "event_time=2026-11-22T12:00:00Z  paid=3.5"),
        (2, "rejected", "wrong_type: at is not a number"),
        (5, "dropped", "a copy of an event that came before, or filtered on purpose"),
    ]
