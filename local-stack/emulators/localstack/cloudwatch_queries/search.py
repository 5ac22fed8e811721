"""The terms of a SEARCH expression.

Understood is what dashboards use: a schema in braces, then terms that must all hold, each `"text"`, `Key="value"` or
`Key=("value" OR "value")`. Values count only as a whole: put them in quotes.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from cloudwatch_queries.series import Metric, QueryError

TOKEN = re.compile(r"""\s*(?:(?P<text>"[^"]*")|(?P<word>[^\s"=(){},]+)|(?P<sign>[=(){},]))""")

Term = Callable[[Metric], bool]


@dataclass(frozen=True)
class Search:
    """Which metrics are meant. `namespace` and `name` are what is known of them beforehand, or None."""

    namespace: str | None
    name: str | None
    dimension_names: frozenset[str] | None
    terms: tuple[Term, ...]

    def matches(self, metric: Metric) -> bool:
        if self.namespace is not None and metric.namespace != self.namespace:
            return False
        if self.dimension_names is not None and {name for name, _ in metric.dimensions} != self.dimension_names:
            return False
        return all(term(metric) for term in self.terms)


def parse_search(text: str) -> Search:
    """Raises QueryError at what is not understood."""
    reader = _Reader(text)
    namespace, dimension_names = reader.schema()
    name = None
    terms = []
    while reader.more():
        key = reader.value()
        if key == "AND":
            continue
        if key in ("OR", "NOT"):
            raise QueryError(f"{key} between terms is not supported in SEARCH('{text}')")
        if not reader.take("="):
            terms.append(_mentions(key))
            continue
        values = reader.values()
        if key == "MetricName" and len(values) == 1:
            name = values[0]
        if key == "Namespace" and len(values) == 1:
            namespace = namespace or values[0]
        terms.append(_equals(key, frozenset(values)))
    return Search(namespace, name, dimension_names, tuple(terms))


def _equals(key: str, values: frozenset[str]) -> Term:
    if key == "MetricName":
        return lambda metric: metric.name in values
    if key == "Namespace":
        return lambda metric: metric.namespace in values
    return lambda metric: any(name == key and value in values for name, value in metric.dimensions)


def _mentions(text: str) -> Term:
    def term(metric: Metric) -> bool:
        return text in (metric.namespace, metric.name, *(part for pair in metric.dimensions for part in pair))

    return term


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = []
        at, end = 0, len(text.rstrip())
        while at < end:
            match = TOKEN.match(text, at)
            if match is None:
                raise QueryError(f"SEARCH('{text}') cannot be read from '{text[at:].strip()}' on")
            self.tokens.append((match.lastgroup, match[match.lastgroup or 0]))
            at = match.end()

    def more(self) -> bool:
        return bool(self.tokens)

    def take(self, sign: str) -> bool:
        found = self.tokens[:1] == [("sign", sign)]
        if found:
            self.tokens.pop(0)
        return found

    def value(self) -> str:
        kind, token = self.tokens.pop(0) if self.tokens else ("sign", "the end")
        if kind == "sign":
            raise QueryError(f"{token} where a name or value was expected in SEARCH('{self.text}')")
        return token.strip('"')

    def values(self) -> list[str]:
        """One value, or several in parentheses with OR between them."""
        if not self.take("("):
            return [self.value()]
        values = [self.value()]
        while not self.take(")"):
            if self.value() != "OR":
                raise QueryError(f"values must be separated by OR in SEARCH('{self.text}')")
            values.append(self.value())
        return values

    def schema(self) -> tuple[str | None, frozenset[str] | None]:
        """Namespace and dimension names in braces."""
        if not self.take("{"):
            return None, None
        namespace, names = self.value(), []
        while not self.take("}"):
            if not self.take(","):
                raise QueryError(f"the names in braces must be separated by commas in SEARCH('{self.text}')")
            names.append(self.value())
        return namespace, frozenset(names)
