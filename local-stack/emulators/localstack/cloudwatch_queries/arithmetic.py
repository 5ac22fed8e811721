"""The operators and functions of metric math, over one series or several."""

import operator
from collections.abc import Callable, Mapping, Sequence

from cloudwatch_queries.series import QueryError, Range, Series

Value = float | Series | list[Series]

OPERATORS: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


def operate(sign: str, left: Value, right: Value) -> Value:
    """Number with number, series with number, series with series, and each of several series with one or a number."""
    if isinstance(left, list) and isinstance(right, list):
        raise QueryError(f"{sign} does not take several time series on both sides")
    if isinstance(left, list):
        return [operate(sign, one, right) for one in left]
    if isinstance(right, list):
        return [operate(sign, left, one) for one in right]
    return _operate(sign, left, right)


def _operate(sign: str, left: float | Series, right: float | Series) -> float | Series:
    if isinstance(left, float) and isinstance(right, float):
        if sign == "/" and right == 0:
            raise QueryError("division by zero")
        return OPERATORS[sign](left, right)
    model = left if isinstance(left, Series) else right
    pairs = {at: (_value(left, at), _value(right, at)) for at in model.values}
    values = {
        at: OPERATORS[sign](a, b)
        for at, (a, b) in pairs.items()
        if a is not None and b is not None and not (sign == "/" and b == 0)
    }
    # A result of two series is neither of them.
    if isinstance(left, Series) and isinstance(right, Series):
        return Series(max(left.period, right.period), values)
    return model.with_values(values)


def _value(operand: float | Series, at: int) -> float | None:
    return operand.values.get(at) if isinstance(operand, Series) else operand


def _over(summary: Callable[[Sequence[float]], float]) -> Callable[[Range, Value], Value]:
    """Of several series the one made from their values at each time, of one series the number made from its values."""

    def apply(_: Range, value: Value) -> Value:
        if isinstance(value, Series):
            return float(summary(list(value.values.values()))) if value.values else 0.0
        if isinstance(value, float):
            return value
        times = sorted({at for series in value for at in series.values})
        period = max((series.period for series in value), default=60)
        return Series(period, {at: summary([s.values[at] for s in value if at in s.values]) for at in times})

    return apply


def _fill(span: Range, value: Value, filling: Value | str) -> Value:
    """A number where a period has no value, or with REPEAT the value before it."""
    if isinstance(value, list):
        return [_fill(span, one, filling) for one in value]
    if isinstance(value, float) or not (isinstance(filling, float) or filling == "REPEAT"):
        raise QueryError("FILL takes time series, and a number or REPEAT")
    return _fill_one(value, span.periods(value.period), filling)


def _fill_one(series: Series, times: range, filling: float | str) -> Series:
    if isinstance(filling, float):
        return series.with_values({at: series.values.get(at, filling) for at in times})
    values: dict[int, float] = {}
    last = None
    for at in times:
        last = series.values.get(at, last)
        if last is not None:
            values[at] = last
    return series.with_values(values)


def _remove_empty(_: Range, value: Value) -> Value:
    return [series for series in value if series.values] if isinstance(value, list) else value


def _period(_: Range, value: Value) -> Value:
    if not isinstance(value, Series):
        raise QueryError("PERIOD takes one time series")
    return float(value.period)


FUNCTIONS: Mapping[str, tuple[int, Callable[..., Value]]] = {
    "SUM": (1, _over(sum)),
    "MAX": (1, _over(max)),
    "MIN": (1, _over(min)),
    "AVG": (1, _over(lambda values: sum(values) / len(values))),
    "FILL": (2, _fill),
    "REMOVE_EMPTY": (1, _remove_empty),
    "PERIOD": (1, _period),
}
"""How many arguments each takes, and what it does with them."""
