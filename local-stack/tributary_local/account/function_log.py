"""Counts what the function's log tells about a run: its own JSON lines, and the REPORT lines of Lambda."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

# Of the line "batch", which the function writes for each delivery that it has worked off.
_SUMS = {"conflicts": "names found taken (412)", "duplicates": "duplicates dropped"}
_MESSAGES = {
    "batch_handed_back": "batches handed back",
    "create_unanswered": "creates without a plain answer",
    "rollup_was_missing": "rollups made by a later look",
}
_REPORT_MARKS = {
    "Init Duration:": "cold starts",
    "Status: timeout": "invocations killed at the time-out",
    "Status: error": "invocations ended by an error or a kill",
}


def count(log: Path) -> Mapping[str, int]:
    """By what is counted, for people."""
    with log.open(encoding="utf-8", errors="replace") as lines:
        return count_lines(lines)


def count_lines(lines: Iterable[str]) -> Mapping[str, int]:
    """As `count`; a line that a kill has cut off is passed over."""
    counts = Counter(dict.fromkeys(("invocations", *_REPORT_MARKS.values(), *_MESSAGES.values(), *_SUMS.values()), 0))
    for line in lines:
        if line.startswith("REPORT "):
            counts["invocations"] += 1
            counts.update(name for mark, name in _REPORT_MARKS.items() if mark in line)
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
