"""What an object says about itself: its Parquet footer and its S3 object metadata, read without reading a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tributary_emr.lake import StoredObject, place_of

_CONCURRENT_READS = 16
# Above any footer that a handler's object has; a longer one costs a second request.
_TAIL_BYTES = 256 * 1024
_METADATA_PREFIX = "tributary-"


@dataclass(frozen=True)
class Footer:
    """The footer of one object, or why there is none."""

    stored: StoredObject
    rows: int = 0
    schema: pa.Schema | None = None
    audit: Mapping[str, str] | None = None
    """The footer's `tributary-…` key-value metadata."""
    object_metadata: Mapping[str, str] | None = None
    """The S3 object's `x-amz-meta-tributary-…`, without the prefix `x-amz-meta-`; `None` on a local disk."""
    error: str | None = None
    """Why the object cannot be read as Parquet."""


def read_footers(objects: Sequence[StoredObject], environ: Mapping[str, str]) -> list[Footer]:
    """The footers of `objects`, in their order, read concurrently."""
    on_s3 = any(place_of(stored.uri)[0] in ("s3", "s3a") for stored in objects)
    read = _S3Reader(environ).read if on_s3 else _read_local
    with ThreadPoolExecutor(_CONCURRENT_READS) as pool:
        return list(pool.map(read, objects))


class _S3Reader:
    """One GET of an object's end brings its footer and its metadata."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        local = "AWS_ENDPOINT_URL" in environ or "AWS_ENDPOINT_URL_S3" in environ
        self._s3 = boto3.client(
            "s3",
            config=Config(
                max_pool_connections=_CONCURRENT_READS,
                s3={"addressing_style": "path" if local else "auto"},
                retries={"mode": "standard", "total_max_attempts": 3},
            ),
        )

    def read(self, stored: StoredObject) -> Footer:
        _, bucket, path = place_of(stored.uri)
        where = {"Bucket": bucket, "Key": path.removeprefix("/")}
        try:
            answer = self._s3.get_object(**where, Range=f"bytes=-{_TAIL_BYTES}")
            body = answer["Body"].read()
            metadata = _tributary(answer["Metadata"])
            try:
                return _footer(stored, body, metadata)
            except pa.ArrowInvalid:
                if len(body) < _TAIL_BYTES:
                    raise
                return _footer(stored, self._s3.get_object(**where)["Body"].read(), metadata)
        except (BotoCoreError, ClientError, pa.ArrowException) as error:
            return Footer(stored, error=_first_line(error))


def _read_local(stored: StoredObject) -> Footer:
    try:
        return _footer(stored, Path(place_of(stored.uri)[2]).read_bytes(), None)
    except (OSError, pa.ArrowException) as error:
        return Footer(stored, error=_first_line(error))


def _footer(stored: StoredObject, tail: bytes, object_metadata: Mapping[str, str] | None) -> Footer:
    # A Parquet footer is found from the file's end, so the end alone will do.
    parquet = pq.ParquetFile(pa.BufferReader(tail))
    key_values = parquet.metadata.metadata or {}
    return Footer(
        stored,
        rows=parquet.metadata.num_rows,
        schema=parquet.schema_arrow,
        audit=_tributary({key.decode(): value.decode() for key, value in key_values.items() if _is_ours(key)}),
        object_metadata=object_metadata,
    )


def _is_ours(key: bytes) -> bool:
    return key.startswith(_METADATA_PREFIX.encode())


def _tributary(metadata: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in metadata.items() if key.startswith(_METADATA_PREFIX)}


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
