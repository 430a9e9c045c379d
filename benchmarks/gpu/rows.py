"""What is measured beside what is aimed at, as rows of one table."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ccutils.report.aggregate import with_noun

SAME_LOSS = 0.02
"""How far apart losses may be, relative, that differ by rounding in half precision alone."""
VERDICTS = {True: "met", False: "**missed**", None: "no aim"}


@dataclass(frozen=True, slots=True)
class Row:
    """One line: `value` in `unit`, the aim in words, and whether it is met (None: nothing is aimed at)."""

    check: str
    what: str
    measured: str
    aim: str = ""
    met: bool | None = None
    value: float | None = None


def at_most(check: str, what: str, value: float, limit: float, unit: str = "") -> Row:
    """Make the row of a value that must not be above a limit; NaN is."""
    return Row(check, what, shown(value, unit), f"at most {shown(limit, unit)}", value <= limit, kept(value))


def at_least(check: str, what: str, value: float, limit: float, unit: str = "") -> Row:
    """Make the row of a value that must not be below a limit; NaN is."""
    return Row(check, what, shown(value, unit), f"at least {shown(limit, unit)}", value >= limit, kept(value))


def noted(check: str, what: str, measured: str | float, unit: str = "") -> Row:
    """Make a row that has no aim."""
    if isinstance(measured, str):
        return Row(check, what, measured)
    return Row(check, what, shown(measured, unit), value=kept(measured))


def failed(check: str, what: str, why: str) -> Row:
    """Make the row of what could not be measured: no aim of it is met."""
    return Row(check, what, why, "to run", False)


def kept(value: float) -> float | None:
    """Return a value as JSON can have it."""
    return value if math.isfinite(value) else None


def shown(value: float, unit: str = "") -> str:
    """Write a number with three digits, or as it is where it is whole.

    >>> shown(0.98765), shown(1234.5, "GB"), shown(8, "steps")
    ('0.988', '1,234 GB', '8 steps')
    """
    if not math.isfinite(value):
        text = str(value)
    elif value == int(value) or abs(value) >= 100:
        text = f"{value:,.0f}"
    else:
        text = f"{value:.3g}"
    return f"{text} {unit}".strip()


def largest_difference(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the largest relative difference of two curves' losses; NaN where their lengths differ.

    >>> largest_difference([1.0, 2.5], [1.0, 2.0])
    0.25
    """
    if len(one) != len(other) or not one:
        return math.nan
    return max(abs(a - b) / abs(b) for a, b in zip(one, other, strict=True))


def table(rows: Sequence[Row]) -> str:
    """Write the rows as a table in Markdown."""
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


def status(rows: Iterable[Row]) -> int:
    """Return the status to exit with: 1 where an aim is missed, else 0."""
    return int(any(row.met is False for row in rows))
