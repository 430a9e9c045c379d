"""Rows of CSV and TSV text: quoting only where a file uses it."""

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
"""Each row's cells, and the line on which it starts."""
csv.field_size_limit(2**31 - 1)  # by default 131,072 characters: texts are longer


def table_rows(lines: Sequence[str], delimiter: str, source: str) -> Rows:
    """Split lines into rows of CSV, whose cells may be quoted and then contain line breaks, or of TSV.

    Most programs write TSV without quoting, so that a quote is an ordinary character. A TSV file counts as
    quoted only if all of it can be read so and something shows it: a quoted header, doubled quotes, or lines
    that have the header's number of cells in no other way. Raises InputError for an unclosed quote; warns
    of a cell over several lines that look like rows.
    """
    if delimiter == "," or (lines and lines[0].startswith('"')):
        rows = quoted_rows(lines, delimiter, source)
        warn_of_swallowed(rows, lines, delimiter, source)
        return rows
    plain = [(number, line.split("\t")) for number, line in enumerate(lines, 1) if line]
    text = "".join(lines)
    if '"' not in text:
        return plain
    width = len(plain[0][1])
    doubled = '""' in text and all(map(LINE.fullmatch, lines))
    if all(len(cells) == width for _, cells in plain) and not doubled:
        return plain
    try:
        rows = quoted_rows(lines, "\t", source)
    except InputError:
        return plain
    spans = any("\n" in cell and "\t" in cell for _, cells in rows for cell in cells)
    return plain if spans or any(len(cells) != width for _, cells in rows) else rows


def quoted_rows(lines: Sequence[str], delimiter: str, source: str) -> Rows:
    """Split the lines of a file with quoting into rows. Raises InputError for an unclosed quote."""
    bare = "\0"  # in place of a bare CR, at which `csv` would end the row; the text has no NUL
    reader = csv.reader((line.replace("\r", bare) + "\n" for line in lines), delimiter=delimiter, strict=True)
    rows, start = Rows(), 1
    try:
        for cells in reader:
            if cells:
                rows.append((start, [cell.replace(bare, "\r") for cell in cells]))
            start = reader.line_num + 1
    except csv.Error as error:
        raise InputError(
            f"{source}, line {start}: a quoted cell is not closed ({error}); quote the whole cell and double "
            "the quotes inside it."
        ) from None
    return rows


def warn_of_swallowed(rows: Rows, lines: Sequence[str], delimiter: str, source: str) -> None:
    """Warn of each cell over several lines, each of which has as many cells as a row."""
    least = len(rows[0][1]) - 1 if rows else 0
    for start, cells in rows:
        end = start + sum(cell.count("\n") for cell in cells)
        if end > start and 0 < least <= min(line.count(delimiter) for line in lines[start - 1 : end]):
            warnings.warn(
                f"{source}, lines {start} to {end}: one quoted cell spans them, and they look like rows; if "
                "they are, close the cell's quote or double it.",
                stacklevel=2,
            )


def check_header(header: Sequence[str], source: str) -> None:
    """Raise InputError for a repeated column name."""
    twice = next((name for name, times in Counter(header).items() if name and times > 1), None)
    if twice is not None:
        raise InputError(f"{source} names column {twice!r} twice: rename or remove one.")
