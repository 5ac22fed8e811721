"""Text that producers chose, for a terminal."""


def printable(text: str) -> str:
    """`text` on one line, with an escape like `\\x1b` for whatever is not a visible character or a space."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
