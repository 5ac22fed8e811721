"""The function's pure part as Python Lambdas have it: `peers.py plain|tuned EVENT ROUNDS` prints one JSON line.

`plain` is what is usually written: the json module, a dictionary per event, `Table.from_pylist`. `tuned` is what a
careful author gets to: orjson, lists of columns, no dictionary kept. Both hold records to the contract of the Rust
code, but for names that come twice, which orjson does not tell; `make bench` fails if the counts differ. Rollups
are made by pyarrow for both.
"""

import base64
import io
import json
import statistics
import sys
import time
from datetime import UTC, datetime, timedelta

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

UTC_TIME = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [
        pa.field("event_time", UTC_TIME, nullable=False),
        pa.field("device_type", pa.string(), nullable=False),
        pa.field("device_id", pa.string(), nullable=False),
        pa.field("event_duration", pa.float64(), nullable=False),
        pa.field("value", pa.float64()),
        pa.field("attributes", pa.string()),
        pa.field("arrival_time", UTC_TIME, nullable=False),
        pa.field("shard", pa.string(), nullable=False),
        pa.field("position", pa.string(), nullable=False),
        pa.field("schema_version", pa.int32(), nullable=False),
        pa.field("event_id", pa.string(), nullable=False),
    ]
)
KNOWN = {
    "schema_version",
    "event_id",
    "device_id",
    "device_type",
    "event_time",
    "event_duration",
    "value",
    "test",
}
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
AHEAD = timedelta(hours=24)
LATENESS = timedelta(minutes=60)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class Rejected(Exception):
    """A record that breaks the contract."""


def refuse_duplicates(pairs):
    """`object_pairs_hook` that refuses a contract field that comes twice."""
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Rejected
    return fields


def is_text(value, longest):
    return isinstance(value, str) and 1 <= len(value) <= longest and (value.isascii() or len(value.encode()) <= longest)


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def checked(event, arrival):
    """The event's time, if the event keeps the contract."""
    if not isinstance(event, dict) or event.get("schema_version") != 1:
        raise Rejected
    if not (
        is_text(event.get("event_id"), 128)
        and is_text(event.get("device_id"), 128)
        and is_text(event.get("device_type"), 64)
    ):
        raise Rejected
    duration, value = event.get("event_duration"), event.get("value")
    if not is_number(duration) or not 0 <= duration < float("inf"):
        raise Rejected
    if value is not None and not (is_number(value) and abs(value) < float("inf")):
        raise Rejected
    try:
        event_time = datetime.fromisoformat(event["event_time"])
    except (KeyError, TypeError, ValueError):
        raise Rejected from None
    if event_time.tzinfo is None or not EARLIEST <= event_time <= arrival + AHEAD:
        raise Rejected
    return event_time


def refuse_constant(_name):
    raise Rejected


def plain(lambda_event):
    """As usually written. Returns duplicates, rejected records and the rows."""
    seen, rows, duplicates, rejected = set(), [], 0, 0
    for record in json.loads(lambda_event)["Records"]:
        kinesis = record["kinesis"]
        arrival = datetime.fromtimestamp(kinesis["approximateArrivalTimestamp"], UTC)
        try:
            payload = base64.b64decode(kinesis["data"])
            event = json.loads(payload, object_pairs_hook=refuse_duplicates, parse_constant=refuse_constant)
            event_time = checked(event, arrival)
        except (Rejected, ValueError, RecursionError):
            rejected += 1
            continue
        if event["event_id"] in seen:
            duplicates += 1
            continue
        seen.add(event["event_id"])
        unknown = {name: value for name, value in event.items() if name not in KNOWN}
        rows.append(
            {
                "event_time": event_time,
                "device_type": event["device_type"],
                "device_id": event["device_id"],
                "event_duration": float(event["event_duration"]),
                "value": event.get("value"),
                "attributes": json.dumps(unknown) if unknown else None,
                "arrival_time": arrival,
                "shard": record["eventID"].split(":")[0],
                "position": kinesis["sequenceNumber"],
                "schema_version": 1,
                "event_id": event["event_id"],
            }
        )
    return duplicates, rejected, pa.Table.from_pylist(rows, schema=SCHEMA)


def tuned(lambda_event):
    """As a careful author gets it. Returns duplicates, rejected records and the rows."""
    columns = [[] for _ in SCHEMA]
    appends = [column.append for column in columns]
    seen, duplicates, rejected = set(), 0, 0
    decode, loads, dumps = base64.b64decode, orjson.loads, orjson.dumps
    for record in loads(lambda_event)["Records"]:
        kinesis = record["kinesis"]
        arrival_us = round(kinesis["approximateArrivalTimestamp"] * 1000) * 1000
        try:
            payload = decode(kinesis["data"])
            event = loads(payload)
            event_time = checked(event, EPOCH + timedelta(microseconds=arrival_us))
        except (Rejected, ValueError):
            rejected += 1
            continue
        event_id = event["event_id"]
        if event_id in seen:
            duplicates += 1
            continue
        seen.add(event_id)
        unknown = event.keys() - KNOWN
        row = (
            (event_time - EPOCH) // MICROSECOND,
            event["device_type"],
            event["device_id"],
            float(event["event_duration"]),
            event.get("value"),
            dumps({name: event[name] for name in unknown}).decode() if unknown else None,
            arrival_us,
            record["eventID"].split(":", 1)[0],
            kinesis["sequenceNumber"],
            1,
            event_id,
        )
        for append, value in zip(appends, row, strict=True):
            append(value)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    return duplicates, rejected, pa.Table.from_arrays(arrays, schema=SCHEMA)


def rollup(rows):
    """Partial aggregates per minute of event time, device and type."""
    age = pc.subtract(rows["arrival_time"], rows["event_time"])
    late = pc.greater(age, pa.scalar(LATENESS, pa.duration("us")))
    window_start = pc.floor_temporal(rows["event_time"], unit="minute")
    rows = rows.append_column("window_start", window_start).append_column("late", pc.cast(late, pa.int64()))
    keys = ["window_start", "device_id", "device_type"]
    numbers = [(name, function) for name in ("value", "event_duration") for function in ("count", "sum", "min", "max")]
    return rows.group_by(keys).aggregate([*numbers, ("late", "sum")]).sort_by([(key, "ascending") for key in keys])


def parquet(table):
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", compression_level=1)
    return buffer.tell()


def peak_bytes():
    """Of this process so far (proc(5)). What the kernel tells its parent counts the parent's own memory."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))


def main():
    peer = {"plain": plain, "tuned": tuned}[sys.argv[1]]
    with open(sys.argv[2], "rb") as file:
        lambda_event = file.read()
    milliseconds = []
    for _ in range(int(sys.argv[3])):
        started = time.perf_counter()
        duplicates, rejected, rows = peer(lambda_event)
        aggregates = rollup(rows)
        size = parquet(rows) + parquet(aggregates)
        milliseconds.append((time.perf_counter() - started) * 1000)
    counts = {"rows": len(rows), "duplicates": duplicates, "rejected": rejected, "aggregates": len(aggregates)}
    outcome = {**counts, "bytes": size}
    print(json.dumps({"milliseconds": statistics.median(milliseconds), "peak_bytes": peak_bytes(), **outcome}))


if __name__ == "__main__":
    main()
