"""Which objects the table holds, as places in logs; pure: no session, no storage, no clock.

The name of an object of `events/` is its place in the log of a shard and a cell (`schema.ObjectName`), so what is
loaded is a count for each log, and the places below it that are not. An object that is not known to be loaded is loaded
again, and all its rows are copies then: forgetting costs time, never rows.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache
from typing import NamedTuple

from tributary_emr.lake import LakeError, StoredObject
from tributary_emr.schema import CELL, ObjectName

_FORM = 1
_MS_PER_DAY = 86_400_000
_CELL_MS = int(CELL.total_seconds() * 1000)


class LogKey(NamedTuple):
    """A log: the objects of a shard whose records arrived in one cell."""

    stream: str
    shard: str
    cell_start_ms: int


class Log(NamedTuple):
    """What is loaded of a log: the places below `next`, without `missing`."""

    next: int
    newest_ms: int
    """When the last of them was written, by the store's clock. A later object of such a place is another one: when a
    log has expired, a delivery that comes after all begins it anew."""
    missing: tuple[int, ...] = ()
    anew: bool = False
    """Whether it has begun anew: rows of more than one object of a place are in the table."""


class Named(NamedTuple):
    """An object of the lake with what its name says."""

    stored: StoredObject
    name: ObjectName

    @property
    def log(self) -> LogKey:
        return LogKey(self.name.stream, self.name.shard, self.name.cell_start_ms)


@dataclass(frozen=True)
class Loaded:
    """All that is known to be loaded."""

    logs: Mapping[LogKey, Log] = field(default_factory=dict)
    from_ms: int | None = None
    """No object that is not loaded, there or to come, lies in a cell before this, in milliseconds since the Unix epoch.
    `None`: it may be anywhere."""

    def holds(self, found: Named) -> bool:
        """Whether this very object is loaded."""
        log = self._log_with(found.name)
        return log is not None and found.stored.modified_ms <= log.newest_ms

    def had(self, name: ObjectName) -> bool:
        """Whether an object of this name has been loaded, this one or one before it."""
        return self._log_with(name) is not None

    def _log_with(self, name: ObjectName) -> Log | None:
        log = self.logs.get(LogKey(name.stream, name.shard, name.cell_start_ms))
        return log if log is not None and name.commit < log.next and name.commit not in log.missing else None

    def with_objects(self, objects: Iterable[Named]) -> Loaded:
        """The same, with `objects` loaded."""
        logs = dict(self.logs)
        for found in objects:
            log, commit = logs.get(found.log, Log(0, 0)), found.name.commit
            missing = set(log.missing) | set(range(log.next, commit))
            anew = log.anew or (commit < log.next and commit not in missing)
            missing.discard(commit)
            newest = max(log.newest_ms, found.stored.modified_ms)
            logs[found.log] = Log(max(log.next, commit + 1), newest, tuple(sorted(missing)), anew)
        return Loaded(logs, self.from_ms)

    def looked_at(self, objects: Sequence[Named], reach: timedelta) -> Loaded:
        """The same, after a listing that found `objects`; what comes later has arrived at most `reach` before."""
        newest = newest_ms(objects)
        if newest is None:
            return self
        left = (found.name.cell_start_ms for found in objects if not self.holds(found))
        return Loaded(self.logs, max(0, min([newest - reach // timedelta(milliseconds=1), *left])))

    def without_before(self, first: date) -> Loaded:
        """The same, without the logs of the days before `first`."""
        start = _start_ms(first)
        return Loaded({key: log for key, log in self.logs.items() if key.cell_start_ms >= start}, self.from_ms)

    @property
    def first_day(self) -> date | None:
        """The day of `from_ms`."""
        return None if self.from_ms is None else day_of(self.from_ms)

    def to_text(self) -> str:
        """For a property of the table."""
        logs: dict[str, dict[str, list]] = {}
        for (stream, shard, cell), log in sorted(self.logs.items()):
            of_shard = logs.setdefault(stream, {}).setdefault(shard, [])
            rare = [list(log.missing), log.anew] if log.missing or log.anew else []
            of_shard.append([cell // _CELL_MS, log.next, log.newest_ms, *rare])
        packed = json.dumps({"form": _FORM, "from": self.from_ms, "logs": logs}, separators=(",", ":"))
        return base64.b64encode(zlib.compress(packed.encode(), 9)).decode()

    @classmethod
    def of_text(cls, text: str | None) -> Loaded:
        """Reads `to_text`; no text: nothing is loaded. Raises `LakeError`."""
        if not text:
            return cls()
        try:
            read = json.loads(zlib.decompress(base64.b64decode(text, validate=True)))
            if read["form"] != _FORM:
                raise LakeError(f"what is loaded is written in form {read['form']}; this job knows form {_FORM}")
            logs = {
                LogKey(stream, shard, cell * _CELL_MS): Log(
                    next_place, newest, *((tuple(rare[0]), rare[1]) if rare else ())
                )
                for stream, shards in read["logs"].items()
                for shard, entries in shards.items()
                for cell, next_place, newest, *rare in entries
            }
            return cls(logs, read["from"])
        except (binascii.Error, zlib.error, ValueError, KeyError, TypeError, AttributeError) as error:
            raise LakeError(f"what is loaded cannot be read ({type(error).__name__}): somebody changed it") from error


def newest_ms(objects: Sequence[Named]) -> int | None:
    """The end of the newest cell, in milliseconds since the Unix epoch; `None` if there is no object.

    No clock of ours counts. But it is not later than the store's clock says: with `CreateTime` a producer's time stamp
    makes the cell, and may be absurd.
    """
    if not objects:
        return None
    newest_cell = max(found.name.cell_start_ms for found in objects) + _CELL_MS
    return min(newest_cell, max(found.stored.modified_ms for found in objects))


def named(stored: StoredObject) -> Named | None:
    """The object with its name; `None` if it is none of ours, or lies under another date than its cell's."""
    name = ObjectName.of_key(stored.key)
    if name is None or name.date != day_of(name.cell_start_ms).isoformat():
        return None
    return Named(stored, name)


def slices(objects: Iterable[Named], *, most_objects: int, most_bytes: int) -> Iterator[list[Named]]:
    """`objects` by arrival, in portions; an object that is larger than one is a portion by itself."""
    portion: list[Named] = []
    held = 0
    for found in sorted(objects, key=lambda found: (found.name.cell_start_ms, found.log, found.name.commit)):
        size = found.stored.bytes or 0
        if portion and (len(portion) == most_objects or held + size > most_bytes):
            yield portion
            portion, held = [], 0
        portion.append(found)
        held += size
    if portion:
        yield portion


# Names of objects are many and their cells few.
@lru_cache(maxsize=10_000)
def day_of(ms: int) -> date:
    """The UTC date of a time in milliseconds since the Unix epoch."""
    return (datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(days=ms // _MS_PER_DAY)).date()


def _start_ms(day: date) -> int:
    return (day - date(1970, 1, 1)).days * _MS_PER_DAY
