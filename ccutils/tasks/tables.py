"""Rows of CSV and TSV text: quoting where a file has it, and nowhere else."""

import csv
import re
import warnings
from collections import Counter
from collections.abc import Sequence

from ccutils.errors import InputError

CELL = r'(?:"(?:[^"]|"")*"|[^"\t]*)'
LINE = re.compile(rf"{CELL}(?:\t{CELL})*")
"""A line of a quoted TSV file: whole cells are quoted, with the quotes inside them doubled."""

Rows = list[tuple[int, list[str]]]
"""Each row's cells, and the line that it begins in."""


def table_rows(lines: Sequence[str], delimiter: str, source: str) -> Rows:
    """Return rows of CSV, whose cells may be quoted and then hold line breaks, or of TSV.

    Most programs write TSV without quoting, and then a quote is a sign like any other. It is taken as quoted
    only where all of it reads so and something shows it: a quoted header, doubled quotes, or lines that have
    the header's number of cells in no other way. A line of an unquoted file is a row, whatever quotes it
    holds. Raises InputError for quotes that do not close; warns of a cell that has swallowed what look like
    rows.
    """
    if delimiter == "," or (lines and lines[0].startswith('"')):
        rows = quoted_rows(lines, delimiter, source)
        warn_of_swallowed(rows, lines, delimiter, source)
        return rows
    plain = [(number, line.split("\t")) for number, line in enumerate(lines, 1) if line]
    if not any('"' in line for line in lines):
        return plain
    width = len(plain[0][1])
    whole = all(len(cells) == width for _, cells in plain)
    if whole and not ('""' in "".join(lines) and all(LINE.fullmatch(line) for line in lines)):
        return plain
    try:
        rows = quoted_rows(lines, "\t", source)
    except InputError:
        return plain
    spans = any("\n" in cell and "\t" in cell for _, cells in rows for cell in cells)
    return plain if spans or any(len(cells) != width for _, cells in rows) else rows


def quoted_rows(lines: Sequence[str], delimiter: str, source: str) -> Rows:
    """Return rows of a file with quoting. Raises InputError for quotes that do not close."""
    inside = "\0"  # stands for a bare CR, at which `csv` would end the row; NUL is not in the text
    feed = (line.replace("\r", inside) + "\n" for line in lines)
    before = csv.field_size_limit(max(csv.field_size_limit(), sum(len(line) + 1 for line in lines)))
    reader, rows, start = csv.reader(feed, delimiter=delimiter, strict=True), Rows(), 1
    try:
        for cells in reader:
            if cells:
                rows.append((start, [cell.replace(inside, "\r") for cell in cells]))
            start = reader.line_num + 1
    except csv.Error as error:
        raise InputError(
            f"{source}, line {start}: a cell begins with a quote that is not closed as CSV has it ({error}); "
            "quote the whole cell and double the quotes inside it."
        ) from None
    finally:
        csv.field_size_limit(before)
    return rows


def warn_of_swallowed(rows: Rows, lines: Sequence[str], delimiter: str, source: str) -> None:
    """Warn of each cell over several lines of which every one has the cells of a row of its own."""
    least = len(rows[0][1]) - 1 if rows else 0
    for start, cells in rows:
        end = start + sum(cell.count("\n") for cell in cells)
        if end > start and 0 < least <= min(line.count(delimiter) for line in lines[start - 1 : end]):
            warnings.warn(
                f"{source}, lines {start} to {end}: one quoted cell spans them and holds what look like "
                "rows; if it should not, close its quote, or double it.",
                stacklevel=2,
            )


def check_header(header: Sequence[str], source: str) -> None:
    """Raise InputError for a column that is named twice: which of them is meant cannot be known."""
    twice = next((name for name, times in Counter(header).items() if name and times > 1), None)
    if twice is not None:
        raise InputError(f"{source} names column {twice!r} twice: rename one or take it out.")
