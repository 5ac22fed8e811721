"""What the jobs say: plain-text tables, so that EMR's logs and a laptop's terminal show the same.

Producers choose what ids and types hold. Nothing of it reaches a terminal that would obey it, or show another order.
"""

import sys
from collections.abc import Sequence

#: Of what a job leaves out, so many are named.
MOST_NAMED = 20


def use_any_encoding() -> None:
    """Lets standard output and error show in escapes (`\\u2192`) what the locale's encoding has no character for.

    To be called before the first line: Python would end the job with UnicodeEncodeError instead.
    """
    for stream in (sys.stdout, sys.stderr):
        # Tests put other streams in their places.
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")


def table(header: Sequence[str], rows: Sequence[Sequence[object]], *, text_columns: int = 1) -> str:
    """`rows` under `header`, aligned: the first `text_columns` columns to the left, numbers to the right.

    Doubles are shown to three digits, NULL as a dash.
    """
    body = [[_shown(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *body)]
    lines = [header, ["-" * width for width in widths], *body]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < text_columns else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths))
        ).rstrip()
        for line in lines
    )


def name_left_out(job: str, faults: Sequence[str]) -> None:
    """Names on standard error what a job has left out, each with its reason."""
    for fault in faults[:MOST_NAMED]:
        print(f"{job}: left out: {printable(fault)}", file=sys.stderr)
    if len(faults) > MOST_NAMED:
        print(f"{job}: and {len(faults) - MOST_NAMED:,} more", file=sys.stderr)


def printable(text: str) -> str:
    """`text` on one line, with an escape like `\\x1b` for whatever is not a visible character or a space.

    That is control characters, line ends, marks of direction, unassigned characters, and any space but the ASCII one.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _shown(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.3f}"
    return f"{value:,}" if isinstance(value, int) else printable(str(value))
