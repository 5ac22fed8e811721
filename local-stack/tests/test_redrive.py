"""The function that redrives what did not land, over a bucket and a function that are played."""

import base64
import importlib.util
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "cdk/redrive/redrive.py"
_spec = importlib.util.spec_from_file_location("redrive", SOURCE)
redrive = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(redrive)


class Bucket:
    """S3, as far as it is used."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = dict(objects)

    def get_paginator(self, _: str) -> "Bucket":
        return self

    def paginate(self, Bucket: str, Prefix: str) -> list[dict]:
        return [{"Contents": [{"Key": key}]} for key in sorted(self.objects) if key.startswith(Prefix)]

    def get_object(self, Bucket: str, Key: str) -> dict:
        return {"Body": io.BytesIO(self.objects[Key])}

    def delete_object(self, Bucket: str, Key: str) -> None:
        del self.objects[Key]


def batch(shard: str, position: int) -> bytes:
    record = {"eventID": f"{shard}:{position}", "kinesis": {"sequenceNumber": str(position)}}
    return json.dumps({"requestContext": {}, "payload": json.dumps({"Records": [record]})}).encode()


def line(**changes: Any) -> dict[str, Any]:
    data = base64.b64encode(b"{}").decode()
    plain = {
        "stream": "events",
        "shard": "shardId-0",
        "position": "7",
        "partition_key": "device",
        "reason": "missing_field",
    }
    return {**plain, "arrival_time": "2026-11-28T10:00:00.570Z", "detail": "", "data": data, **changes}


def always() -> bool:
    return True


def noting(into: list[dict], answer: Callable[[dict], str] = lambda _: "") -> Callable[[dict], str]:
    def invoke(event: dict) -> str:
        into.append(event)
        return answer(event)

    return invoke


def test_batches_go_through_again_in_the_order_of_their_shard_and_are_deleted() -> None:
    bucket = Bucket({f"aws/lambda/m/a/{n}": batch("a", position) for n, position in enumerate((30, 4, 200))})
    sent: list[dict] = []
    answer = redrive.redrive_given_up(bucket, "b", noting(sent), always)
    assert [event["Records"][0]["eventID"] for event in sent] == ["a:4", "a:30", "a:200"]
    assert answer == {"sent": 3, "records": 3, "failed": [], "more": False, "after": ""}
    assert bucket.objects == {}


def test_a_batch_that_fails_stays_and_nothing_of_its_shard_overtakes_it() -> None:
    bucket = Bucket({"aws/lambda/m/1": batch("a", 1), "aws/lambda/m/2": batch("a", 2), "aws/lambda/m/3": batch("b", 1)})
    fails = noting([], lambda event: "no" if event["Records"][0]["eventID"] == "a:1" else "")
    answer = redrive.redrive_given_up(bucket, "b", fails, always)
    assert answer["sent"] == 1
    assert answer["failed"] == ["aws/lambda/m/1: no"]
    assert sorted(bucket.objects) == ["aws/lambda/m/1", "aws/lambda/m/2"]


def test_what_is_no_batch_is_named_and_stays_and_the_others_go_on() -> None:
    bucket = Bucket({"aws/lambda/m/1": b"?", "aws/lambda/m/2": batch("a", 2)})
    answer = redrive.redrive_given_up(bucket, "b", noting([]), always)
    assert answer["sent"] == 1
    assert answer["failed"][0].startswith("aws/lambda/m/1: no batch that was given up (JSONDecodeError")
    assert list(bucket.objects) == ["aws/lambda/m/1"]


def test_when_the_time_is_up_the_answer_says_that_there_is_more() -> None:
    bucket = Bucket({"aws/lambda/m/1": batch("a", 1), "aws/lambda/m/2": batch("a", 2)})
    times = iter([True, False])
    answer = redrive.redrive_given_up(bucket, "b", noting([]), lambda: next(times))
    assert (answer["sent"], answer["more"]) == (1, True)


def test_a_quarantined_record_is_delivered_as_it_came_and_stays() -> None:
    key = "quarantine/date=2026-11-28/events.shardId-0.7.jsonl"
    bucket = Bucket({key: json.dumps(line()).encode()})
    sent: list[dict] = []
    answer = redrive.redrive_quarantine(bucket, "b", "date=2026-11-28/", "", noting(sent), always)
    (record,) = sent[0]["Records"]
    assert record["eventID"] == "shardId-0:7"
    assert record["kinesis"] == {
        "kinesisSchemaVersion": "1.0",
        "partitionKey": "device",
        "sequenceNumber": "7",
        "data": "e30=",
        "approximateArrivalTimestamp": 1795860000.57,
    }
    assert record["eventSourceARN"].endswith(":stream/events")
    assert (answer["sent"], answer["records"]) == (1, 1)
    assert key in bucket.objects


def test_a_record_of_a_topic_goes_back_with_its_partition_and_offset() -> None:
    (event,) = redrive.events_of([line(shard="3", position="41")])
    (record,) = event["records"]["events-3"]
    assert (record["partition"], record["offset"], record["timestamp"]) == (3, 41, 1795860000570)
    assert base64.b64decode(record["key"]) == b"device"


def test_quarantine_goes_on_after_the_last_object_that_was_done() -> None:
    bucket = Bucket({f"quarantine/{n}": json.dumps(line(position=str(n))).encode() for n in range(3)})
    times = iter([True, False])
    first = redrive.redrive_quarantine(bucket, "b", "", "", noting([]), lambda: next(times))
    assert (first["sent"], first["more"], first["after"]) == (1, True, "quarantine/0")
    second = redrive.redrive_quarantine(bucket, "b", "", first["after"], noting([]), always)
    assert (second["sent"], second["more"]) == (2, False)


def test_events_stay_below_the_limits_of_a_payload() -> None:
    many = [line(position=str(n), data="x" * 900_000) for n in range(12)]
    events = list(redrive.events_of(many))
    assert [len(event["Records"]) for event in events] == [5, 5, 2]
    assert all(len(json.dumps(event)) < 6_000_000 for event in events)


class Lambda:
    def __init__(self, said: bytes, error: str | None = None) -> None:
        self.answer = {"Payload": io.BytesIO(said), **({"FunctionError": error} if error else {})}

    def invoke(self, **_: Any) -> dict:
        return self.answer


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Lambda(b'{"batchItemFailures": []}'), ""),
        (Lambda(b"null"), ""),
        (Lambda(b'{"batchItemFailures": [{"itemIdentifier": "7"}]}'), "1 records handed back"),
        (Lambda(b'{"errorMessage": "time-out"}', "Unhandled"), 'Unhandled: {"errorMessage": "time-out"}'),
    ],
)
def test_a_batch_is_done_when_the_function_hands_nothing_back(answer: Lambda, error: str) -> None:
    assert redrive.invoker(answer, {"kinesis": "arn"})({"Records": []}) == error
