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
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache
from typing import NamedTuple

from tributary_emr.lake import LakeError, StoredObject
from tributary_emr.schema import CELL, ObjectName

_FORM = 1
#: Of `Loaded.to_text`: a fifth of what the reader of Iceberg's metadata takes for a text, Jackson's `maxStringLength`.
MOST_CHARACTERS = 4_000_000
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
class Listed:
    """What a listing of `events/` has found, from a day on."""

    objects: Sequence[Named]
    first: date | None
    """The day; `None`: of all days."""


@dataclass(frozen=True)
class Loaded:
    """All that is known to be loaded."""

    logs: Mapping[LogKey, Log] = field(default_factory=dict)
    from_ms: int | None = None
    """No object that is not loaded, there or to come, lies in a cell before this, in milliseconds since the Unix epoch.
    `None`: it may be anywhere."""
    forgotten_ms: int = 0
    """What was loaded of cells before this is not kept in mind."""

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

    def with_objects(self, objects: Iterable[Named], seen: Iterable[Named] = ()) -> Loaded:
        """The same, with `objects` loaded; `seen` are those that are there, by which a log shows that it began anew."""
        logs = dict(self.logs)
        for found in seen:
            if self.had(found.name) and not self.holds(found):
                logs[found.log] = Log(0, 0, anew=True)
        for found in objects:
            log, commit = logs.get(found.log, Log(0, 0)), found.name.commit
            if commit < log.next and commit not in log.missing:
                # The log has begun anew. Which of its old objects and which new ones are loaded, a time of the store
                # cannot tell, which has whole seconds: they are loaded again.
                log = Log(0, 0, anew=True)
            missing = set(log.missing) | set(range(log.next, commit))
            missing.discard(commit)
            newest = max(log.newest_ms, found.stored.modified_ms)
            logs[found.log] = Log(max(log.next, commit + 1), newest, tuple(sorted(missing)), log.anew)
        return replace(self, logs=logs)

    def looked_at(self, listed: Listed, reach: timedelta, done: Container[Named] = ()) -> Loaded:
        """The same, after a listing; what comes later has arrived at most `reach` before its newest object.

        `done`: those that are loaded, too, though their logs may be forgotten.
        """
        newest = newest_ms(listed.objects)
        began = None if listed.first is None else _start_ms(listed.first)
        # Of what lies before the listing's beginning it tells nothing: another run may have found something there.
        if newest is None or (self.from_ms is None and began is not None):
            return self
        left = [found.name.cell_start_ms for found in listed.objects if not self.holds(found) and found not in done]
        if self.from_ms is not None and began is not None and self.from_ms < began:
            left.append(self.from_ms)
        return replace(self, from_ms=max(0, min([newest - reach // timedelta(milliseconds=1), *left])))

    def without_before(self, first: date) -> Loaded:
        """The same, without the logs of the days before `first`."""
        start = max(0, _start_ms(first))
        logs = {key: log for key, log in self.logs.items() if key.cell_start_ms >= start}
        return replace(self, logs=logs, forgotten_ms=max(start, self.forgotten_ms))

    def has_forgotten(self, name: ObjectName) -> bool:
        """Whether an object of this name may have been loaded before all that is kept in mind."""
        return name.cell_start_ms < self.forgotten_ms

    @property
    def first_day(self) -> date | None:
        """The day of `from_ms`."""
        return None if self.from_ms is None else day_of(self.from_ms)

    def to_text(self, most: int = MOST_CHARACTERS) -> str:
        """For a property of the table, of so many characters at `most`: for that the oldest days are forgotten."""
        kept = self
        while len(text := kept._to_text()) > most and kept.logs:
            # As much as is too much, and a little more.
            days = sorted(day_of(key.cell_start_ms) for key in kept.logs)
            excess = len(days) * (len(text) - most) // len(text)
            kept = kept.without_before(days[min(excess, len(days) - 1)] + timedelta(days=1))
        return text

    def _to_text(self) -> str:
        logs: dict[str, dict[str, list]] = {}
        for (stream, shard, cell), log in sorted(self.logs.items()):
            of_shard = logs.setdefault(stream, {}).setdefault(shard, [])
            rare = [list(log.missing), log.anew] if log.missing or log.anew else []
            of_shard.append([cell // _CELL_MS, log.next, log.newest_ms, *rare])
        fields = {"form": _FORM, "from": self.from_ms, "forgotten": self.forgotten_ms, "logs": logs}
        packed = json.dumps(fields, separators=(",", ":"))
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
            return cls(logs, read["from"], read.get("forgotten", 0))
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
