"""Rows of the table: a measurement and its aim."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ccutils.report.aggregate import with_noun

SAME_LOSS = 0.02
"""Largest relative difference of losses that differ only by rounding in half precision."""
VERDICTS = {True: "met", False: "**missed**", None: "no aim"}


@dataclass(frozen=True, slots=True)
class Row:
    """A measurement, its aim in words, and whether the aim is met (None: there is no aim)."""

    check: str
    what: str
    measured: str
    aim: str = ""
    met: bool | None = None


def at_most(check: str, what: str, value: float, limit: float, unit: str = "") -> Row:
    """Create the row of a value that must not exceed a limit; NaN misses the aim."""
    return Row(check, what, shown(value, unit), f"at most {shown(limit, unit)}", value <= limit)


def at_least(check: str, what: str, value: float, limit: float, unit: str = "") -> Row:
    """Create the row of a value that must reach a limit; NaN misses the aim."""
    return Row(check, what, shown(value, unit), f"at least {shown(limit, unit)}", value >= limit)


def noted(check: str, what: str, measured: str | float, unit: str = "") -> Row:
    """Create a row without an aim."""
    return Row(check, what, measured if isinstance(measured, str) else shown(measured, unit))


def failed(check: str, what: str, why: str) -> Row:
    """Create the row of a measurement that failed: its aim is missed."""
    return Row(check, what, why, "to run", False)


def shown(value: float, unit: str = "") -> str:
    """Format a number with three significant digits; whole and large numbers without decimals.

    >>> shown(0.98765), shown(1234.5, "GB"), shown(8, "steps")
    ('0.988', '1,234 GB', '8 steps')
    """
    whole = math.isfinite(value) and (value == int(value) or abs(value) >= 100)
    return f"{value:{',.0f' if whole else '.3g'}} {unit}".strip()


def largest_difference(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the largest relative difference of two loss curves; NaN if their lengths differ.

    >>> largest_difference([1.0, 2.5], [1.0, 2.0])
    0.25
    """
    if len(one) != len(other) or not one:
        return math.nan
    return max(abs(a - b) / abs(b) for a, b in zip(one, other, strict=True))


def table(rows: Sequence[Row]) -> str:
    """Format the rows as a Markdown table."""
    lines = ["| check | what | measured | aim | |", "|---|---|---|---|---|"]
    for row in rows:
        cells = (row.check, row.what, row.measured, row.aim, VERDICTS[row.met])
        lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    return "\n".join(lines)


def summary(rows: Iterable[Row]) -> str:
    """Count the verdicts in a sentence.

    >>> summary([at_most("a", "b", 1, 2), noted("a", "c", 3)])
    '1 of 1 aims met; 1 row without an aim.'
    """
    found = Counter(row.met for row in rows)
    others = f"{with_noun(found[None], 'row')} without an aim"
    return f"{found[True]} of {found[True] + found[False]} aims met; {others}."
