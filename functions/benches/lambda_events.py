"""What Lambda hands to a function, around the records of the producer: seeded, so the same in every run."""

import base64
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

RECORDS = 10_000
ARRIVAL_SECONDS = 1_795_348_800
STREAM = "arn:aws:kinesis:us-east-1:000000000000:stream/tributary-events"


def payloads(producer: str | Path, contract: Path | None = None) -> list[bytes]:
    """RECORDS of them, some malformed, some twice."""
    of = ["--contract", contract] if contract else []
    shares = "--duplicates 0.01 --malformed 0.001 --late 0.01 --outliers 0.001 --test-events 0"
    generated = subprocess.run(
        [producer, *f"--sink stdout --events {RECORDS} --seed 1 --days 1 --first-day 2026-11-20 {shares}".split(), *of],
        check=True,
        capture_output=True,
    )
    return generated.stdout.split(b"\n")[:RECORDS]


def kinesis_event(of: Sequence[bytes]) -> bytes:
    """Of one shard."""
    records = []
    for index, payload in enumerate(of):
        position = str(49590338271490256608559692538361571095921575989136588898 + index)
        records.append(
            {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": f"device-{index % 500}",
                    "sequenceNumber": position,
                    "data": base64.b64encode(payload).decode(),
                    "approximateArrivalTimestamp": ARRIVAL_SECONDS + index // 100 / 1000,
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": f"shardId-000000000006:{position}",
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": "arn:aws:iam::000000000000:role/ingest-kinesis",
                "awsRegion": "us-east-1",
                "eventSourceARN": STREAM,
            }
        )
    return _json({"Records": records})


def kafka_event(of: Sequence[bytes], partitions: int) -> bytes:
    """Of one topic, its records spread evenly over so many partitions."""
    records = {
        f"tributary-{partition}": [
            {
                "topic": "tributary",
                "partition": partition,
                "offset": offset,
                "timestamp": ARRIVAL_SECONDS * 1000 + offset,
                "timestampType": "LOG_APPEND_TIME",
                "key": base64.b64encode(f"device-{offset % 500}".encode()).decode(),
                "value": base64.b64encode(payload).decode(),
                "headers": [],
            }
            for offset, payload in enumerate(of[partition::partitions])
        ]
        for partition in range(partitions)
    }
    return _json({"eventSource": "SelfManagedKafka", "bootstrapServers": "localhost:9092", "records": records})


def _json(event: dict) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode()
