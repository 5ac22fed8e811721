"""Rows and objects as the ingest function writes them, for tests to bend."""

import glob
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import fsum
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ARRIVAL = datetime(2026, 11, 22, 10, 15, 30, 123_000, tzinfo=UTC)
SHARD = "shardId-000000000002"
FIRST_POSITION = 49_590_338_271_490_256_608_559_692_538_361_571_095_921_575_989_136_588_898

_UTC = pa.timestamp("us", "UTC")
ARROW_SCHEMA = pa.schema(
    [
        pa.field("event_time", _UTC, nullable=False),
        pa.field("device_type", pa.string(), nullable=False),
        pa.field("device_id", pa.string(), nullable=False),
        pa.field("event_duration", pa.float64(), nullable=False),
        pa.field("value", pa.float64()),
        pa.field("attributes", pa.string()),
        pa.field("arrival_time", _UTC, nullable=False),
        pa.field("shard", pa.string(), nullable=False),
        pa.field("position", pa.string(), nullable=False),
        pa.field("schema_version", pa.int32(), nullable=False),
        pa.field("event_id", pa.string(), nullable=False),
    ]
)

ROLLUP_ARROW_SCHEMA = pa.schema(
    [
        pa.field("window_start", _UTC, nullable=False),
        pa.field("device_id", pa.string(), nullable=False),
        pa.field("device_type", pa.string(), nullable=False),
        pa.field("events", pa.int64(), nullable=False),
        pa.field("value_count", pa.int64(), nullable=False),
        pa.field("value_sum", pa.float64(), nullable=False),
        pa.field("value_min", pa.float64()),
        pa.field("value_max", pa.float64()),
        pa.field("duration_sum", pa.float64(), nullable=False),
        pa.field("duration_min", pa.float64(), nullable=False),
        pa.field("duration_max", pa.float64(), nullable=False),
        pa.field("late_events", pa.int64(), nullable=False),
    ]
)
LATE_AFTER = timedelta(minutes=5)


def event(number: int, **changes: Any) -> dict[str, Any]:
    """A row; `number` makes its id, position and arrival its own."""
    return {
        "event_time": ARRIVAL - timedelta(hours=1),
        "device_type": "thermostat",
        "device_id": "thermostat-7",
        "event_duration": 100.0,
        "value": 21.5,
        "attributes": None,
        "arrival_time": ARRIVAL + timedelta(milliseconds=number),
        "shard": SHARD,
        "position": str(FIRST_POSITION + number),
        "schema_version": 1,
        "event_id": f"event-{number}",
        **changes,
    }


def rollup(events: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rollup of some rows of `events/`, sorted, without Spark; sums are exact up to one rounding."""
    groups = defaultdict(list)
    for row in events:
        minute = row["event_time"].astimezone(UTC).replace(second=0, microsecond=0)
        groups[minute, row["device_id"], row["device_type"]].append(row)
    return [_rollup_row(*key, groups[key]) for key in sorted(groups)]


def _rollup_row(
    minute: datetime, device_id: str, device_type: str, rows: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    values = [row["value"] for row in rows if row["value"] is not None]
    durations = [row["event_duration"] for row in rows]
    return {
        "window_start": minute,
        "device_id": device_id,
        "device_type": device_type,
        "events": len(rows),
        "value_count": len(values),
        "value_sum": fsum(values),
        "value_min": min(values, default=None),
        "value_max": max(values, default=None),
        "duration_sum": fsum(durations),
        "duration_min": min(durations),
        "duration_max": max(durations),
        "late_events": sum(row["arrival_time"] - row["event_time"] > LATE_AFTER for row in rows),
    }


@dataclass(frozen=True)
class Lake:
    """A lake in a local directory."""

    root: Path

    @property
    def events(self) -> str:
        return f"{self.root}/events/"

    @property
    def rollups(self) -> str:
        return f"{self.root}/rollups/"

    def write(
        self,
        rows: Sequence[Mapping[str, Any]],
        *,
        audit: Mapping[str, str | None] | None = None,
        name: Mapping[str, str] | None = None,
        schema: pa.Schema = ARROW_SCHEMA,
    ) -> str:
        """Commits an object and returns its key; `audit` and `name` replace parts (`None` leaves one out)."""
        first, last = rows[0], rows[-1]
        arrival = first["arrival_time"]
        parts = {
            "stream": "tributary-events",
            "date": f"{arrival:%Y-%m-%d}",
            "shard": first["shard"],
            "cell": f"{arrival:%Y%m%dT%H}{arrival.minute // 15 * 15:02d}Z",
        } | dict(name or {})
        log = glob.glob("events/date={date}/{stream}.{shard}.{cell}.*".format(**parts), root_dir=self.root)
        parts.setdefault("commit", f"{len(log):06d}")
        metadata = {
            "tributary-first-position": first["position"],
            "tributary-last-position": last["position"],
            "tributary-received": str(len(rows)),
            "tributary-written": str(len(rows)),
            "tributary-duplicates": "0",
            "tributary-filtered": "0",
            "tributary-rejected": "0",
            "tributary-version": "0.1.0",
        } | dict(audit or {})
        key = "events/date={date}/{stream}.{shard}.{cell}.{commit}.parquet".format(**parts)
        file = self.root / key
        file.parent.mkdir(parents=True, exist_ok=True)
        table = pa.Table.from_pylist(list(rows), schema=schema)
        given = {name: value for name, value in metadata.items() if value is not None}
        # Whole or not at all, like an object of S3.
        pq.write_table(table.replace_schema_metadata(given), self.root / "part", compression="zstd")
        (self.root / "part").replace(file)
        return key

    def write_rollup(
        self,
        key: str,
        rows: Sequence[Mapping[str, Any]],
        *,
        schema: pa.Schema = ROLLUP_ARROW_SCHEMA,
        lateness_ms: str | None = str(LATE_AFTER // timedelta(milliseconds=1)),
    ) -> str:
        """Creates the rollup beside the events object `key`, with these rows of `rollups/`, and returns its key."""
        key = key.replace("events/", "rollups/", 1)
        file = self.root / key
        file.parent.mkdir(parents=True, exist_ok=True)
        table = pa.Table.from_pylist(list(rows), schema=schema)
        metadata = {} if lateness_ms is None else {"tributary-lateness-ms": lateness_ms}
        pq.write_table(table.replace_schema_metadata(metadata), file, compression="zstd")
        return key

    def write_both(self, rows: Sequence[Mapping[str, Any]], *, stream: str = "tributary-events") -> str:
        """Commits an object with its rollup and returns its key; `stream` is as keys show it."""
        key = self.write(rows, name={"stream": stream})
        self.write_rollup(key, rollup(rows))
        return key
