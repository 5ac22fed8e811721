"""What stops a verb: one clear line, and what helps to understand it."""

from pathlib import Path


class Failure(Exception):
    """A step could not be done. `details` are further lines for the reader: the end of a log, what to do next."""

    def __init__(self, summary: str, details: str = "") -> None:
        super().__init__(summary)
        self.summary = summary
        self.details = details


def last_lines(log: Path, count: int = 15) -> str:
    """The end of a log with its path, for `Failure.details`."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-count:]
    except FileNotFoundError:
        return f"(no {log})"
    return "\n".join([f"The end of {log}:", *(f"  {line}" for line in lines)])
