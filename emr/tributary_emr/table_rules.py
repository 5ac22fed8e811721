"""The rules about the table, and what a breach of any rule is: apart from `rules`, which needs pyarrow."""

from __future__ import annotations

from dataclasses import dataclass

TABLE_HAS = "the table has every event of the objects that it has loaded"
TABLE_ONCE = "the table has an event id once a day"
TABLE_ONLY = "the table has nothing that its objects have not"
TABLE_FIRST = "the table has the copy that arrived first"
TABLE_ALIKE = "a row of the table is as in its object"
TABLE_FOUND = "what is not loaded lies where the next load looks"

#: The rules about the table, in the order of its listing.
TABLE_RULES = (TABLE_HAS, TABLE_ONCE, TABLE_ONLY, TABLE_FIRST, TABLE_ALIKE, TABLE_FOUND)


@dataclass(frozen=True)
class Breach:
    """A rule that does not hold."""

    rule: str
    where: str
    """The object's key, or an event id."""
    value: str

    def __str__(self) -> str:
        return f"{self.where}: {self.value} (rule: {self.rule})"
