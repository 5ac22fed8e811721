"""Numbers for people, in Grafana's units.

Axes and tooltips are formatted on the page, by page.js from the same tables.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

SCRIPT = Path(__file__).with_name("page.js")

Scale = Sequence[tuple[float, str]]
"""From each value on, divide by it and append the text."""

_COUNT: Scale = ((1, ""), (1e3, " K"), (1e6, " M"), (1e9, " B"), (1e12, " T"))
SCALES: Mapping[str, Scale] = {
    "short": _COUNT,
    "none": ((1, ""),),
    "ms": ((1, " ms"), (1e3, " s"), (6e4, " min"), (3.6e6, " h"), (8.64e7, " d")),
    "s": ((1e-3, " ms"), (1, " s"), (60, " min"), (3600, " h"), (86400, " d")),
    "decbytes": ((1, " B"), (1e3, " kB"), (1e6, " MB"), (1e9, " GB"), (1e12, " TB")),
    "bytes": ((1, " B"), (2**10, " KiB"), (2**20, " MiB"), (2**30, " GiB"), (2**40, " TiB")),
    "percent": ((1, "%"),),
    "percentunit": ((0.01, "%"),),
    "currencyUSD": _COUNT,
}
"""A unit that is not here is shown as `short`."""

PREFIXES = {"currencyUSD": "$"}


def show(value: float, unit: str) -> str:
    """Such as 12.3 K, 1.5 s, $42; three digits, more for whole numbers below a thousand."""
    scale = SCALES.get(unit, _COUNT)
    factor, suffix = next((step for step in reversed(scale) if abs(value) >= step[0]), scale[0])
    scaled = value / factor
    decimals = 0 if abs(scaled) >= 100 else 1 if abs(scaled) >= 10 else 2 if abs(scaled) >= 0.1 else 4
    digits = f"{scaled:.{decimals}f}"
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    sign, digits = ("-", digits[1:]) if digits.startswith("-") else ("", digits)
    return f"{sign if digits != '0' else ''}{PREFIXES.get(unit, '')}{digits}{suffix}"


def javascript() -> str:
    """page.js, which formats on the page as `show` does here, with the tables of this module."""
    tables = f"const SCALES = {json.dumps(SCALES)}; const PREFIXES = {json.dumps(PREFIXES)};"
    script = SCRIPT.read_text(encoding="utf-8")
    return f"(() => {{ {tables}\n{script} }})();"
