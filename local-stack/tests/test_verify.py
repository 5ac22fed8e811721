"""The verification on a small lake and its ledger: sound, and with each rule broken once."""

import csv
import json
import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import sqrt
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto import mock_aws
from rich.console import Console

from tributary_local import jobs
from tributary_local.__main__ import parser
from tributary_local.account import reconcile as rules
from tributary_local.account import verify
from tributary_local.account.recompute import COLUMNS, compare, recompute
from tributary_local.account.reconcile import Breach, Reconciliation, Unreadable, open_lake, reconcile
from tributary_local.account.verify import download, show, show_function
from tributary_local.settings import Settings

SHARD = "shardId-000000000001"
ARRIVAL = datetime(2026, 11, 22, 10, 15, tzinfo=UTC)
FIRST = 49_590_338_271_490_256_608_559_692_538_361_571_095_921_575_989_136_588_898

_UTC = pa.timestamp("us", "UTC")
SCHEMA = pa.schema(
    [
        ("event_time", _UTC),
        ("device_type", pa.string()),
        ("device_id", pa.string()),
        ("event_duration", pa.float64()),
        ("value", pa.float64()),
        ("attributes", pa.string()),
        ("arrival_time", _UTC),
        ("shard", pa.string()),
        ("position", pa.string()),
        ("schema_version", pa.int32()),
        ("event_id", pa.string()),
    ]
)


def position(number: int) -> str:
    return str(FIRST + number)


@dataclass
class Run:
    """What a producer's run left behind, to be bent before it is stored."""

    ledger: list[dict[str, Any]] = field(default_factory=list)
    objects: list[list[dict[str, Any]]] = field(default_factory=lambda: [[], []])
    quarantine: list[dict[str, Any]] = field(default_factory=list)
    audit: dict[str, str] = field(default_factory=dict)
    """Replaces numbers in the first object's metadata."""

    def sent(self, number: int, kind: str, outcome: str, event_id: str | None, reason: str | None = None) -> None:
        self.ledger.append(
            {
                "shard": SHARD,
                "sequence_number": position(number),
                "event_id": event_id,
                "kind": kind,
                "outcome": outcome,
                "reason": reason,
            }
        )

    def landed(self, number: int, event_id: str, **changes: Any) -> None:
        row = {
            "event_time": ARRIVAL,
            "device_type": "meter",
            "device_id": "meter-1",
            "event_duration": 1.0,
            "value": None,
            "attributes": None,
            "arrival_time": ARRIVAL + timedelta(milliseconds=number),
            "shard": SHARD,
            "position": position(number),
            "schema_version": 1,
            "event_id": event_id,
        }
        self.objects[number % 2].append({**row, **changes})

    def kept(self, number: int, reason: str) -> None:
        self.quarantine.append({"stream": "s", "shard": SHARD, "position": position(number), "reason": reason})

    def store(self, directory: Path) -> tuple[Path, Path, dict[str, dict[str, str]]]:
        """Writes it all; returns the arguments of `open_lake`."""
        lake, ledgers = directory / "lake", directory / "ledger"
        ledgers.mkdir(parents=True)
        half = len(self.ledger) // 2
        for name, lines in (("a", self.ledger[:half]), ("b", self.ledger[half:])):
            (ledgers / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        metadata = {}
        for number, rows in enumerate(rows for rows in self.objects if rows):
            key = f"events/date=2026-11-22/{number}.parquet"
            (lake / key).parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), lake / key, compression="zstd")
            metadata[key] = {
                "tributary-received": str(len(rows) + 2),
                "tributary-written": str(len(rows)),
                "tributary-duplicates": "1",
                "tributary-filtered": "1",
                "tributary-rejected": "0",
            } | (self.audit if number == 0 else {})
        if self.quarantine:
            file = lake / "quarantine/date=2026-11-22/x.jsonl"
            file.parent.mkdir(parents=True)
            file.write_text("".join(json.dumps(line) + "\n" for line in self.quarantine))
        return lake, ledgers, metadata


def sound_run() -> Run:
    """10 events, 2 of them sent again, 3 rejected, 1 filtered."""
    run = Run()
    for number in range(10):
        run.sent(number, "normal", "written", f"event-{number}")
        run.landed(number, f"event-{number}")
    for number in (10, 11):
        run.sent(number, "duplicate", "written", f"event-{number - 10}")
    for number, reason in ((20, "invalid_json"), (21, "invalid_json"), (22, "empty_record")):
        run.sent(number, "malformed", "rejected", None, reason)
        run.kept(number, reason)
    run.sent(30, "test", "filtered", "test-30")
    return run


def reconciled(run: Run, directory: Path, **options: Any) -> Reconciliation:
    return reconcile(open_lake(*run.store(directory)), **options)


def test_a_sound_run_adds_up_and_breaks_no_rule(tmp_path: Path) -> None:
    found = reconciled(sound_run(), tmp_path)
    assert found.breaches == []
    assert (found.sent, found.written, found.duplicates, found.filtered) == (16, 10, 2, 1)
    assert found.rejected == {"empty_record": 1, "invalid_json": 2}
    assert (found.missing, found.doubled, found.rows, found.objects) == (0, 0, 10, 2)
    assert found.unacknowledged == []
    assert found.audit == {"received": 14, "written": 10, "duplicates": 2, "filtered": 2, "rejected": 0}


def lose_a_row(run: Run) -> None:
    run.objects[0].pop()


def lose_every_row(run: Run) -> None:
    run.objects = [[], []]


def lose_a_rejected_record(run: Run) -> None:
    run.quarantine.pop()


def double_a_row_in_another_object(run: Run) -> None:
    run.objects[0].append(run.objects[1][0])


def give_another_reason(run: Run) -> None:
    run.quarantine[0]["reason"] = "wrong_type"


def reject_an_acceptable_record(run: Run) -> None:
    run.kept(11, "invalid_json")


def write_a_filtered_event(run: Run) -> None:
    run.landed(30, "test-30")


def change_an_event_id(run: Run) -> None:
    run.objects[0][0]["event_id"] = "event-1000"


def land_what_nobody_sent(run: Run) -> None:
    run.landed(99, "stranger")


def write_the_ledger_twice(run: Run) -> None:
    run.ledger.append(run.ledger[0])


def break_the_audit_sum(run: Run) -> None:
    run.audit["tributary-received"] = "99"


def break_the_audit_rows(run: Run) -> None:
    run.audit |= {"tributary-written": "4", "tributary-received": "6"}


def leave_the_audit_out(run: Run) -> None:
    run.audit["tributary-received"] = ""


BROKEN: Mapping[Callable[[Run], None], tuple[str, str]] = {
    lose_a_row: ("missing: accepted events have a row", "event-8"),
    lose_every_row: ("missing: accepted events have a row", "event-0, event-1, event-2, event-3, event-4, …"),
    lose_a_rejected_record: ("missing: rejected records are in quarantine", f"{position(22)} (empty_record)"),
    double_a_row_in_another_object: (rules.DOUBLED, "event-1 in 2 rows"),
    give_another_reason: ("quarantine has the ledger's reason", f"{position(20)}: wrong_type, expected invalid_json"),
    reject_an_acceptable_record: ("no acceptable record is in quarantine", f"{position(11)} (written)"),
    write_a_filtered_event: ("no filtered or rejected record has a row", f"{position(30)} (filtered)"),
    change_an_event_id: ("a row carries its record's event id", f"{position(0)}: event-1000, expected event-0"),
    land_what_nobody_sent: (rules.UNKNOWN, f"stranger at {SHARD} {position(99)}"),
    write_the_ledger_twice: ("every record is in the ledgers once", f"{SHARD} {position(0)}"),
    break_the_audit_sum: ("audit: received = written + duplicates + filtered + rejected", "0.parquet"),
    break_the_audit_rows: ("audit: written = the object's rows", "0.parquet has 5 rows, written 4"),
    leave_the_audit_out: ("audit: received = written + duplicates + filtered + rejected", "0.parquet"),
}


@pytest.mark.parametrize("break_it", BROKEN, ids=lambda break_it: break_it.__name__)
def test_a_broken_rule_is_found_and_names_the_case(tmp_path: Path, break_it: Callable[[Run], None]) -> None:
    run = sound_run()
    break_it(run)
    rule, value = BROKEN[break_it]
    breaches = {breach.rule: str(breach) for breach in reconciled(run, tmp_path).breaches}
    assert value in breaches.get(rule, "")


def test_every_rule_is_broken_by_some_test() -> None:
    # The sum follows from the other rules, so it never breaks alone.
    follows = {"sent = written + duplicates + filtered + rejected"}
    assert {rule for rule, _ in BROKEN.values()} | follows == set(rules.RULES)


def test_a_missing_row_breaks_the_sum(tmp_path: Path) -> None:
    run = sound_run()
    lose_a_row(run)
    found = reconciled(run, tmp_path)
    assert found.missing == 1
    assert "16 ≠ 9 + 2 + 1 + 3" in " ".join(map(str, found.breaches))


def test_a_first_copy_whose_answer_was_lost_is_listed_and_no_breach(tmp_path: Path) -> None:
    run = sound_run()
    run.sent(51, "normal", "written", "put-twice")
    run.landed(50, "put-twice")
    run.kept(60, "invalid_json")
    found = reconciled(run, tmp_path)
    assert found.breaches == []
    assert found.unacknowledged == [f"{SHARD} {position(50)}", f"{SHARD} {position(60)}"]


def test_a_record_may_be_in_quarantine_more_than_once(tmp_path: Path) -> None:
    run = sound_run()
    run.kept(20, "invalid_json")
    found = reconciled(run, tmp_path)
    assert found.breaches == []
    assert found.rejected == {"empty_record": 1, "invalid_json": 2}


def test_doubled_rows_can_be_allowed_and_are_counted_all_the_same(tmp_path: Path) -> None:
    run = sound_run()
    double_a_row_in_another_object(run)
    found = reconciled(run, tmp_path, allowed=[rules.DOUBLED])
    assert (found.breaches, found.doubled) == ([], 1)


def test_a_directory_without_a_ledger_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="no ledger"):
        open_lake(tmp_path, tmp_path, {})


def test_a_torn_ledger_is_one_clear_line(tmp_path: Path) -> None:
    lake, ledgers, metadata = sound_run().store(tmp_path)
    with (ledgers / "b.jsonl").open("a") as file:
        file.write('{"shard":"shardId-0000')
    with pytest.raises(Unreadable, match=r"b\.jsonl") as error:
        open_lake(lake, ledgers, metadata)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["a b", "a#b", "a?b", "a%20b", "a*b", "a[b]", "a{b,c}", "ü", "-a", "'a'"])
def test_a_directory_may_have_any_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    found = reconciled(sound_run(), tmp_path / name)
    assert (found.breaches, found.rows, found.objects) == ([], 10, 2)


# A topic's name has up to 249 characters, a stream's 128, a Kinesis sequence number 56.
LONG_KEYS = (
    f"events/date=2026-11-22/{'s' * 249}.shardId-000000000001.20261122T1015Z.000000.parquet",
    f"quarantine/date=2026-11-22/{'s' * 128}.shardId-000000000001.{'1' * 56}-{'2' * 56}.jsonl",
    "quarantine/date=2026-11-22/!_s.1.0-1.jsonl",
    "quarantine/date=2026-11-22/S.1.0-1.jsonl",
    "quarantine/date=2026-11-22/s.1.0-1.jsonl",
    "events/date=2026-11-22/a b#c?d%20e.parquet",
    "events/x",
)


def test_objects_are_copied_whatever_they_are_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="lake")
        for key in LONG_KEYS:
            s3.put_object(Bucket="lake", Key=key, Body=key.encode(), Metadata={"tributary-received": "1"})
        copies = download("lake", tmp_path)
    assert set(copies.keys.values()) == set(copies.metadata) == set(LONG_KEYS)
    for file, key in copies.keys.items():
        assert (tmp_path / file).read_text() == key
        assert file.endswith((".parquet", ".jsonl")) == key.endswith((".parquet", ".jsonl"))
        assert copies.metadata[key] == {"tributary-received": "1"}


def test_a_copy_is_called_by_its_objects_key(tmp_path: Path) -> None:
    run = sound_run()
    break_the_audit_rows(run)
    lake, ledgers, by_file = run.store(tmp_path)
    keys = {file: f"events/{n}/{'s' * 249}.parquet" for n, file in enumerate(by_file)}
    metadata = {keys[file]: audit for file, audit in by_file.items()}
    found = reconcile(open_lake(lake, ledgers, metadata, keys))
    assert [breach.first for breach in found.breaches] == [[f"events/0/{'s' * 249}.parquet has 5 rows, written 4"]]
    (lake / next(iter(keys))).write_bytes(b"PAR1 torn")
    with pytest.raises(Unreadable, match="events/0/sss") as error:
        open_lake(lake, ledgers, metadata, keys)
    assert str(tmp_path) not in str(error.value)


def report_run(tmp_path: Path) -> tuple[Any, dict[tuple[str, str], list[float]]]:
    """A database with two reported groups and one too small, and the groups' durations."""
    rng = random.Random(5)
    run = Run()
    groups = defaultdict(list)
    for number in range(1600):
        device_type = ("camera", "lock", "rare")[0 if number < 900 else 1 if number < 1500 else 2]
        duration = 0.1 if device_type == "lock" else rng.lognormvariate(3, 0.4) * (50 if number % 90 == 0 else 1)
        time = datetime(2026, 11, 21, 23, 59, 59, 999_999, UTC) if device_type == "lock" else ARRIVAL
        run.sent(number, "normal", "written", f"e{number}")
        run.landed(number, f"e{number}", device_type=device_type, event_duration=duration, event_time=time)
        # A later copy with another duration does not count.
        run.landed(5000 + number, f"e{number}", device_type=device_type, event_duration=1e9, event_time=time)
        groups[f"{time:%Y-%m-%d}", device_type].append(duration)
    return open_lake(*run.store(tmp_path)), groups


def write_csv(file: Path, rows: list[list[Any]]) -> Path:
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([COLUMNS, *rows])
    return file


def test_the_recomputed_report_is_that_of_a_plain_loop(tmp_path: Path) -> None:
    database, groups = report_run(tmp_path)
    expected = []
    for (day, device_type), durations in sorted(groups.items()):
        if device_type == "rare":
            continue
        mean = sum(durations) / len(durations)
        deviation = sqrt(sum((x - mean) ** 2 for x in durations) / (len(durations) - 1))
        kept = sorted(x for x in durations if abs(x - mean) <= 3 * deviation + 1e-9 * mean)
        rank = 0.95 * (len(kept) - 1)
        p95 = kept[int(rank)] + (rank - int(rank)) * (kept[min(int(rank) + 1, len(kept) - 1)] - kept[int(rank)])
        expected.append([day, device_type, len(durations), len(durations) - len(kept), mean, deviation, p95])
    assert [row[3] for row in expected] == [0, 10]
    rows = recompute(database, outlier_scope="group")
    assert list(compare(write_csv(tmp_path / "report.csv", expected), rows)) == []


@pytest.mark.parametrize("scope", ["group", "day"])
def test_the_recomputation_knows_no_unit(tmp_path: Path, scope: str) -> None:
    rng = random.Random(7)
    units = [rng.randrange(100) for _ in range(499)] + [5000]
    reports = {}
    for unit in (1.0, 5e-324, 1e-320, 1e-200, 1e200, 3e304):
        run = Run()
        for number, x in enumerate(units):
            run.landed(number, f"e{number}", event_duration=x * unit)
        (row,) = recompute(open_lake(*run.store(tmp_path / str(unit))), outlier_scope=scope)
        reports[unit] = [*row[2:4], *(Fraction(x) / Fraction(unit) for x in row[4:])]
    for unit, (*counts, mean, deviation, p95) in reports.items():
        # A smallest double has no digits to round in: its neighbours are a whole unit away.
        rounding = max(1e-9, float(Fraction(5e-324) / Fraction(unit)))
        assert counts == [500, 1]
        wanted = [float(x) for x in reports[1.0][2:]]
        assert [float(mean), float(deviation), float(p95)] == pytest.approx(wanted, rel=1e-9, abs=rounding)


def test_equal_durations_have_no_outlier_in_the_recomputation(tmp_path: Path) -> None:
    for duration in (0.0, 5e-324, 1e-320, 0.1, 1.7976931348623157e308):
        run = Run()
        for number in range(500):
            run.landed(number, f"e{number}", event_duration=duration)
        (row,) = recompute(open_lake(*run.store(tmp_path / str(duration))), outlier_scope="group")
        assert (row[2:4], row[6]) == ((500, 0), duration)
        assert row[4] == pytest.approx(duration, rel=1e-12)
        expected = [["2026-11-22", "meter", 500, 0, duration, 0.0, duration]]
        assert list(compare(write_csv(tmp_path / "report.csv", expected), [row])) == []


def test_a_csv_with_any_device_type_is_read(tmp_path: Path) -> None:
    types = ["a\rb", "a\r\nb", '"', ",", " ", "ü", "\x1b[2J"]
    rows = [("2026-11-22", device_type, 500, 0, 1.0, 0.0, 1.0) for device_type in sorted(types)]
    assert list(compare(write_csv(tmp_path / "report.csv", [list(row) for row in rows]), rows)) == []


def test_nothing_that_a_terminal_obeys_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = sound_run()
    run.landed(99, "\x1b[2J\r\u202e[bold]x[/bold]")
    run.kept(98, "\x1b]0;owned\x07")
    found = reconciled(run, tmp_path)
    verify.name(found.breaches)
    show(Console(force_terminal=False), found)
    shown = "".join(capsys.readouterr())
    assert r"\x1b[2J\r\u202e[bold]x[/bold]" in shown
    assert not any(c in shown for c in "\x1b\r\x07\u202e")


@pytest.mark.parametrize("verb", ["report", "validate", "verify"])
def test_arguments_reach_the_job(verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(
        jobs.foreground, "run", lambda _, command, *__: commands.append([str(part) for part in command])
    )
    monkeypatch.setattr(jobs, "publish_job", lambda *_, **__: None)
    given = parser().parse_args([verb, "--", "--outlier-scope", "day"])
    settings = Settings(
        root=tmp_path,
        state=tmp_path,
        out=tmp_path,
        port=1,
        region="us-east-1",
        bucket="lake",
        stream="s",
        shards=1,
        queue="q",
        broker="kinesis",
        broker_port=2,
        environment={},
    )
    getattr(jobs, verb)(settings, given.arguments)
    (command,) = commands
    assert command[-2:] == ["--outlier-scope", "day"]


def test_every_differing_cell_of_the_report_is_found(tmp_path: Path) -> None:
    database, _ = report_run(tmp_path)
    rows = recompute(database, outlier_scope="group")
    for column in range(2, len(COLUMNS)):
        for change in (1, 1e-7) if column > 3 else (1,):
            bent = [list(row) for row in rows]
            bent[1][column] += change * max(1, bent[1][column])
            (breach,) = compare(write_csv(tmp_path / "report.csv", bent), rows)
            assert f"2026-11-22 camera: {COLUMNS[column]} is" in breach.first[0]


def test_missing_extra_and_unordered_rows_of_the_report_are_found(tmp_path: Path) -> None:
    database, _ = report_run(tmp_path)
    rows = [list(row) for row in recompute(database, outlier_scope="group")]

    def differences(theirs: list[list[Any]]) -> Breach:
        (breach,) = compare(write_csv(tmp_path / "report.csv", theirs), [tuple(row) for row in rows])
        return breach

    assert differences(rows[1:]).first == ["2026-11-21 lock: not in the CSV"]
    assert differences([*rows, ["2026-11-23", *rows[0][1:]]]).first == ["2026-11-23 lock: not in the recomputation"]
    assert differences(rows[::-1]).first == ["rows are not ordered by day, device_type"]


def test_a_report_with_another_header_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "report.csv").write_text("day,p95\n")
    with pytest.raises(Unreadable, match="header day,p95"):
        list(compare(tmp_path / "report.csv", []))


def test_the_day_scope_uses_the_mean_of_all_types(tmp_path: Path) -> None:
    run = Run()
    for number in range(1000):
        run.landed(number, f"e{number}", device_type="ab"[number // 500], event_duration=float(number // 500 * 10))
    lake, ledgers, metadata = run.store(tmp_path)
    rows = recompute(open_lake(lake, ledgers, metadata), outlier_scope="day")
    assert [(row[1], row[4]) for row in rows] == [("a", 5.0), ("b", 5.0)]


def test_the_tables_show_the_numbers(tmp_path: Path) -> None:
    console = Console(record=True, width=120)
    show(console, reconciled(sound_run(), tmp_path))
    show_function(
        console,
        '{"level":"INFO"}\n'
        "REPORT RequestId: a Duration: 12.34 ms Billed Duration: 13 ms Memory Size: 512 MB Max Memory Used: 38 MB "
        "Init Duration: 6.20 ms\n"
        "REPORT RequestId: b Duration: 2.00 ms Billed Duration: 2 ms Memory Size: 512 MB Max Memory Used: 41 MB\n",
    )
    text = console.export_text()
    lines = {tuple(cell.strip() for cell in line.strip("│").split("│")[:2]) for line in text.splitlines()}
    assert {("sent", "16"), ("written", "10"), ("rejected", "3"), ("invalid_json", "2"), ("missing", "0")} <= lines
    assert {("invocations", "2"), ("cold starts", "1"), ("longest ms", "12.3"), ("peak memory MB", "41")} <= lines
