"""Metric math as a syntax tree."""

import re
from dataclasses import dataclass

from cloudwatch_queries.series import QueryError

TOKEN = re.compile(
    r"""\s*(?:(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)
         |(?P<text>'[^']*'|"[^"]*")
         |(?P<name>[A-Za-z][A-Za-z0-9_]*)
         |(?P<sign>[-+*/(),\[\]]))""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Number:
    value: float


@dataclass(frozen=True)
class Text:
    value: str


@dataclass(frozen=True)
class Reference:
    """The result of the query with this id."""

    id: str


@dataclass(frozen=True)
class Call:
    function: str
    arguments: tuple["Node", ...]


@dataclass(frozen=True)
class Array:
    items: tuple["Node", ...]


@dataclass(frozen=True)
class Operation:
    """`sign` is one of + - * /."""

    sign: str
    left: "Node"
    right: "Node"


Node = Number | Text | Reference | Call | Array | Operation


def parse(text: str) -> Node:
    """The tree of an expression; raises QueryError at what does not belong there."""
    parser = _Parser(text)
    node = parser.sum()
    parser.expect(None)
    return node


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.at = 0

    def peek(self) -> tuple[str, str] | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def take(self, *signs: str) -> str | None:
        """Steps over one of `signs`, if it comes next."""
        token = self.peek()
        if token is None or token[0] != "sign" or token[1] not in signs:
            return None
        self.at += 1
        return token[1]

    def expect(self, sign: str | None) -> None:
        """`None` is the end."""
        if sign is None and self.peek() is None:
            return
        if sign is None or not self.take(sign):
            raise QueryError(f"{self._found()} where {'the end' if sign is None else sign} was expected")

    def sum(self) -> Node:
        node = self.product()
        while sign := self.take("+", "-"):
            node = Operation(sign, node, self.product())
        return node

    def product(self) -> Node:
        node = self.unary()
        while sign := self.take("*", "/"):
            node = Operation(sign, node, self.unary())
        return node

    def unary(self) -> Node:
        return Operation("-", Number(0.0), self.unary()) if self.take("-") else self.atom()

    def atom(self) -> Node:
        if self.take("("):
            node = self.sum()
            self.expect(")")
            return node
        if self.take("["):
            return Array(self.until("]"))
        kind, text = self.peek() or ("end", "")
        if kind not in ("number", "text", "name"):
            raise QueryError(f"{self._found()} where a value was expected")
        self.at += 1
        if kind == "number":
            return Number(float(text))
        if kind == "text":
            return Text(text[1:-1])
        return Call(text, self.until(")")) if self.take("(") else Reference(text)

    def until(self, closing: str) -> tuple[Node, ...]:
        """A list, separated by commas, and the sign that closes it."""
        if self.take(closing):
            return ()
        items = [self.sum()]
        while self.take(","):
            items.append(self.sum())
        self.expect(closing)
        return tuple(items)

    def _found(self) -> str:
        token = self.peek()
        return "the end" if token is None else f"'{token[1]}'"


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens, at, end = [], 0, len(text.rstrip())
    while at < end:
        match = TOKEN.match(text, at)
        if match is None:
            raise QueryError(f"'{text[at:].strip()[:1]}' is not supported here")
        tokens.append((match.lastgroup or "", match[match.lastgroup or 0]))
        at = match.end()
    return tokens
