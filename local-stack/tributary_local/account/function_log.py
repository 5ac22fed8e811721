"""Counts what the function's log tells about a run: its own JSON lines, and the REPORT lines of Lambda."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

# Of the line "batch", which the function writes for each delivery that it has worked off.
_SUMS = {"conflicts": "names found taken (412)", "duplicates": "duplicates dropped"}
_MESSAGES = {
    "batch_handed_back": "batches handed back",
    "create_unanswered": "creates without a plain answer",
    "rollup_was_missing": "rollups made by a later look",
}
_STARTS = "cold starts"
_STATUSES = {
    "timeout": "invocations killed at the time-out",
    "error": "invocations ended by an error or a kill",
}
_REPORT_FIELD = re.compile(r"(Billed Duration|Init Duration|Duration|Max Memory Used|Status): (\S+)")


@dataclass(frozen=True)
class Report:
    """A REPORT line. What it does not tell is None: a kill cuts lines off, and has no memory measured."""

    duration_ms: float | None
    init_ms: float | None
    """Of a cold start only."""
    memory_mb: int | None
    """The most that was used."""
    status: str | None
    """Of an invocation that failed only."""

    @classmethod
    def of_line(cls, line: str) -> "Report | None":
        """None for any other line."""
        if not line.startswith("REPORT "):
            return None
        fields = dict(_REPORT_FIELD.findall(line))
        numbers = {name: float(value) for name, value in fields.items() if value.replace(".", "", 1).isdecimal()}
        memory = numbers.get("Max Memory Used")
        return cls(
            duration_ms=numbers.get("Duration"),
            init_ms=numbers.get("Init Duration"),
            memory_mb=None if memory is None else int(memory),
            status=fields.get("Status"),
        )


def durations_ms(log: Path) -> list[float]:
    """Of every invocation that has ended by itself, in order."""
    with log.open(encoding="utf-8", errors="replace") as lines:
        reports = filter(None, map(Report.of_line, lines))
        return [report.duration_ms for report in reports if report.status is None and report.duration_ms is not None]


def count(log: Path) -> Mapping[str, int]:
    """By what is counted, for people."""
    with log.open(encoding="utf-8", errors="replace") as lines:
        return count_lines(lines)


def count_lines(lines: Iterable[str]) -> Mapping[str, int]:
    """As `count`; a line that a kill has cut off is passed over."""
    names = ("invocations", _STARTS, *_STATUSES.values(), *_MESSAGES.values(), *_SUMS.values())
    counts = Counter(dict.fromkeys(names, 0))
    for line in lines:
        if report := Report.of_line(line):
            counts["invocations"] += 1
            counts[_STARTS] += report.init_ms is not None
            if name := _STATUSES.get(report.status or ""):
                counts[name] += 1
            continue
        try:
            entry = json.loads(line)
            message = entry["message"]
        except (ValueError, TypeError, KeyError):
            continue
        if name := _MESSAGES.get(message):
            counts[name] += 1
        if message == "batch":
            counts.update({name: entry[field] for field, name in _SUMS.items()})
    return counts
