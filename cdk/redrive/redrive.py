"""Sends what did not land through the function again: batches that were given up, or quarantine after a fix.

The handler of the function `<name>-redrive`; `cdk/redrive.sh` invokes it until nothing is left. Rows that are committed
already are recognised by their ids, so whatever is sent twice lands once.

An event is `{"what": "given-up"}` or `{"what": "quarantine", "prefix": "date=2026-11-28/"}`. The answer counts `sent`
(batches), `records` and `failed` (a line each); `more` says that the time was up before the work was done, and `after`
where to go on.
"""

import base64
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

# Of Lambda's 6 MB for a payload, and of the most records of a batch.
MOST_BYTES = 5_000_000
MOST_RECORDS = 10_000
# One invocation of the ingest function may take a minute, and its answer has to be heard.
LEAST_MS = 90_000

Invoke = Callable[[dict[str, Any]], str]
"""Sends one event; gives back what went wrong, or nothing."""


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """What Lambda calls."""
    # Part of Lambda's runtime, and not of the machine that tests this.
    import boto3
    from botocore.config import Config

    # A batch that takes long is not sent a second time beside itself.
    patient = Config(read_timeout=120, retries={"total_max_attempts": 1})
    invoke = invoker(boto3.client("lambda", config=patient), json.loads(os.environ["FUNCTIONS"]))
    s3 = boto3.client("s3")

    def in_time() -> bool:
        return context.get_remaining_time_in_millis() > LEAST_MS

    match event.get("what"):
        case "given-up":
            return redrive_given_up(s3, os.environ["ON_FAILURE"], invoke, in_time)
        case "quarantine":
            prefix, after = event.get("prefix", ""), event.get("after", "")
            return redrive_quarantine(s3, os.environ["LAKE"], prefix, after, invoke, in_time)
        case what:
            raise ValueError(f"what is {what!r}, must be given-up or quarantine")


def invoker(client: Any, functions: dict[str, str]) -> Invoke:
    """Invokes the function that reads such events, by its alias, and waits for the answer."""

    def invoke(event: dict[str, Any]) -> str:
        source = "kinesis" if "Records" in event else "kafka"
        if source not in functions:
            return f"there is no function that reads {source}"
        answer = client.invoke(FunctionName=functions[source], Payload=json.dumps(event).encode())
        said = answer["Payload"].read()
        if answer.get("FunctionError"):
            return f"{answer['FunctionError']}: {said.decode(errors='replace')[:300]}"
        handed_back = (json.loads(said or b"null") or {}).get("batchItemFailures") or []
        return f"{len(handed_back)} records handed back" if handed_back else ""

    return invoke


def redrive_given_up(s3: Any, bucket: str, invoke: Invoke, in_time: Callable[[], bool]) -> dict[str, Any]:
    """Batches as Lambda has left them, each shard in its order. What is done with is deleted."""
    account = Account()
    batches = sorted(given_up(s3, bucket, account), key=lambda batch: (batch[0], batch[1], batch[2]))
    stopped = set()
    for shard, _, key, event in batches:
        if shard in stopped:
            continue
        if not in_time():
            return account.answer(more=True)
        if account.note(key, event, invoke(event)):
            s3.delete_object(Bucket=bucket, Key=key)
        else:
            # Those behind it would overtake it.
            stopped.add(shard)
    return account.answer()


def given_up(s3: Any, bucket: str, account: "Account") -> Iterator[tuple[str, int, str, dict[str, Any]]]:
    """Shard, first position, key and event of every batch.

    The form: https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html, of a topic
    https://docs.aws.amazon.com/lambda/latest/dg/kafka-on-failure.html
    """
    for key in keys(s3, bucket, "aws/lambda/"):
        try:
            record = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
            payload = record["payload"]
            event = json.loads(payload) if isinstance(payload, str) else payload
            if "Records" in event:
                first = event["Records"][0]
                yield first["eventID"].rpartition(":")[0], int(first["kinesis"]["sequenceNumber"]), key, event
            else:
                partition, records = next(iter(event["records"].items()))
                yield partition, int(records[0]["offset"]), key, event
        except (ValueError, KeyError, IndexError, TypeError, StopIteration) as error:
            account.failed.append(f"{key}: no batch that was given up ({type(error).__name__}: {error})")


def redrive_quarantine(
    s3: Any, bucket: str, prefix: str, after: str, invoke: Invoke, in_time: Callable[[], bool]
) -> dict[str, Any]:
    """Quarantined records, object by object. They stay: what is rejected again is written under the same key."""
    account = Account()
    for key in keys(s3, bucket, f"quarantine/{prefix}"):
        if key <= after:
            continue
        if not in_time():
            return account.answer(more=True, after=account.last)
        lines = s3.get_object(Bucket=bucket, Key=key)["Body"].read().splitlines()
        for event in events_of([json.loads(line) for line in lines if line]):
            account.note(key, event, invoke(event))
        account.last = key
    return account.answer()


def events_of(lines: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The events that deliver these records as they came: position, arrival, key and bytes."""
    for (stream, shard), group in itertools.groupby(lines, key=lambda line: (line["stream"], line["shard"])):
        kafka = shard.isdecimal()
        for part in parts(list(group)):
            if kafka:
                records = [kafka_record(line) for line in part]
                yield {"eventSource": "SelfManagedKafka", "records": {f"{stream}-{shard}": records}}
            else:
                yield {"Records": [kinesis_record(line) for line in part]}


def parts(lines: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """In pieces that fit into an event."""
    part: list[dict[str, Any]] = []
    size = 0
    for line in lines:
        # What the envelope adds to a record is below this.
        bytes_of_line = len(line["data"]) + 1_000
        if part and (size + bytes_of_line > MOST_BYTES or len(part) == MOST_RECORDS):
            yield part
            part, size = [], 0
        part.append(line)
        size += bytes_of_line
    if part:
        yield part


def kinesis_record(line: dict[str, Any]) -> dict[str, Any]:
    """https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html"""
    region = os.environ.get("AWS_REGION", "us-east-1")
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": line["partition_key"],
            "sequenceNumber": line["position"],
            "data": line["data"],
            "approximateArrivalTimestamp": arrival_ms(line) / 1000,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{line['shard']}:{line['position']}",
        "eventName": "aws:kinesis:record",
        "awsRegion": region,
        "eventSourceARN": f"arn:aws:kinesis:{region}:000000000000:stream/{line['stream']}",
    }


def kafka_record(line: dict[str, Any]) -> dict[str, Any]:
    """https://docs.aws.amazon.com/lambda/latest/dg/with-kafka.html"""
    return {
        "topic": line["stream"],
        "partition": int(line["shard"]),
        "offset": int(line["position"]),
        "timestamp": arrival_ms(line),
        "timestampType": "LOG_APPEND_TIME",
        "key": base64.b64encode(line["partition_key"].encode()).decode(),
        "value": line["data"],
        "headers": [],
    }


def arrival_ms(line: dict[str, Any]) -> int:
    """Milliseconds since 1970, exact: a division of the seconds would not be."""
    arrived = datetime.fromisoformat(line["arrival_time"].replace("Z", "+00:00"))
    return int(arrived.replace(microsecond=0).timestamp()) * 1000 + arrived.microsecond // 1000


def keys(s3: Any, bucket: str, prefix: str) -> Iterable[str]:
    """In the order of their names."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for stored in page.get("Contents", []):
            yield stored["Key"]


class Account:
    """What was sent, and what became of it."""

    def __init__(self) -> None:
        self.sent = 0
        self.records = 0
        self.failed: list[str] = []
        self.last = ""

    def note(self, key: str, event: dict[str, Any], error: str) -> bool:
        """Whether the batch is done."""
        if error:
            self.failed.append(f"{key}: {error}")
            return False
        self.sent += 1
        self.records += len(event["Records"]) if "Records" in event else sum(map(len, event["records"].values()))
        return True

    def answer(self, *, more: bool = False, after: str = "") -> dict[str, Any]:
        return {"sent": self.sent, "records": self.records, "failed": self.failed, "more": more, "after": after}
