"""Standard output and standard error, for people."""

import sys

from rich.console import Console


def consoles() -> tuple[Console, Console]:
    """For standard output and standard error.

    In a locale whose encoding lacks a character it is shown in escapes; Python would raise UnicodeEncodeError. That
    holds for what is printed without them, too.
    """
    for stream in (sys.stdout, sys.stderr):
        # Tests put other streams in their places.
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")
    return Console(), Console(stderr=True)


def printable(text: str) -> str:
    """Text that no terminal obeys: what producers choose may hold escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
