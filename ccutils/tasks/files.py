"""Read data files into records that carry their line or row number, and report the rows set aside."""

import json
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any

from ccutils.errors import InputError, no_such_file, reason
from ccutils.tasks.base import INVISIBLE, Example, one_line
from ccutils.tasks.parquet import class_names, parquet_rows, with_class_names
from ccutils.tasks.tables import check_header, table_rows

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
BLANKS = "".join(filter(str.isspace, map(chr, range(0x3001)))) + "".join(map(chr, INVISIBLE))
"""Stripped from column names; joined files have a byte order mark in the middle."""


class MissingColumnError(InputError):
    """A `column` that no row has: the command line adds which option names another."""

    def __init__(self, sentence: str, column: str = "") -> None:
        super().__init__(sentence)
        self.column = column


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a source: its values by column, and its position as messages show it."""

    values: Mapping[str, Any]
    place: str

    @classmethod
    def of(cls, values: Mapping[Any, Any], place: str) -> "Record":
        """Make a record of a row in memory, by its `column_names`."""
        return cls(dict(zip(column_names(values), values.values(), strict=True)), place)

    def text(self, *columns: str) -> str:
        """Return the first of `columns` that has text, stripped, on one line; '' if none does."""
        texts = (as_text(self.values.get(column)).strip() for column in columns)
        return one_line(next(filter(None, texts), ""))

    def fault(self, *columns: str) -> str:
        """Name the first reason not to use the texts of `columns`; '' for none."""
        for column in columns:
            text = self.text(column)
            why = f"{unusable(text)} in column {column!r}" if unusable(text) else ""
            if not text or why:
                return why or self.lacks(column)
        return ""

    def example(self, input_column: str, output_column: str) -> Example:
        """Make an example, the other columns as its `extra`. Raises InputError for a row with a fault."""
        for column in (input_column, output_column):
            if why := self.fault(column):
                raise InputError(f"{self.place}, column {column!r}: {why}. Correct or remove the row.")
        extra = {n: self.text(n) for n in self.values if n not in (input_column, output_column)}
        return Example(self.text(input_column), self.text(output_column), extra=extra)

    def is_header(self) -> bool:
        """Check whether all values (two or more) are their columns' names, as in concatenated files."""
        texts = {name: as_text(value).strip(BLANKS) for name, value in self.values.items()}
        return sum(map(bool, texts.values())) > 1 and all(text in ("", name) for name, text in texts.items())

    def lacks(self, column: str) -> str:
        """Name the reason why a column has no text."""
        kinds: dict[type, str] = {list: "a list", dict: "an object", bytes: "bytes"}
        kind = kinds.get(type(self.values.get(column)))
        if kind is None:
            return f"no text in column {column!r}"
        return f"{kind} in column {column!r}, where a text should be"


def column_names(names: Iterable[Any]) -> list[str]:
    """Strip BLANKS around names, unless two would become equal.

    >>> column_names(["text ", "label", " label"])
    ['text', 'label', ' label']
    """
    given = [str(name) for name in names]
    times = Counter(name.strip(BLANKS) for name in given)
    return [short if times[short := name.strip(BLANKS)] == 1 else name for name in given]


def unusable(*texts: str) -> str:
    """Name what is wrong with texts that no later step can use; '' for nothing.

    JSON can hold half a surrogate pair, such as "\\ud83d" alone, which cannot be written, and NUL, at which
    other programs end a text.
    """
    if any("\0" in text for text in texts):
        return "text with a NUL character"
    whole = all(text.encode("utf-8", "ignore").decode() == text for text in texts)
    return "" if whole else "text that is not UTF-8"


def without_headers(records: Iterable[Record]) -> list[Record]:
    """Drop rows that repeat the header, with a warning that lists them."""
    every = list(records)
    headers = [short_place(record.place) for record in every if record.is_header()]
    if not headers:
        return every
    warnings.warn(f"Dropped rows that repeat the header: {first_few(headers)}", stacklevel=3)
    return [record for record in every if not record.is_header()]


def first_few(items: Sequence[str], n: int = 5) -> str:
    """Join the first `n` items, with dots if there are more."""
    return "; ".join(items[:n]) + (" ..." if len(items) > n else "")


def as_text(value: Any) -> str:
    """Return a cell's value as text: true and false as in JSON, dates as in ISO 8601.

    '' for None, NaN, NaT, and values that are not scalar.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, date | time):
        return "" if value != value else value.isoformat()
    if isinstance(value, str):
        return str.__str__(value)  # of an Enum, its value
    if isinstance(value, int | float | Decimal) and value == value:
        return str(value)
    return ""


@dataclass(slots=True)
class Report:
    """Rows read, and rows set aside as (reason, position): no row is dropped in silence."""

    read: int = 0
    aside: list[tuple[str, str]] = field(default_factory=list)

    def examples(self, records: Sequence[Record], make: Callable[[Record], Example | str]) -> list[Example]:
        """Make examples of records; set aside those for which `make` returns a reason, and unusable texts."""
        self.read += len(records)
        made = []
        for record in records:
            e = make(record)
            why = e if isinstance(e, str) else unusable(e.input, e.output, e.group, *e.extra.values())
            if isinstance(e, str) or why:
                self.aside.append((why, record.place))
            else:
                made.append(e)
        return made

    def cause(self) -> str:
        """Name the commonest reason for setting rows aside, its first position and count; '' for none."""
        if not self.aside:
            return ""
        (why, n), *others = Counter(why for why, _ in self.aside).most_common()
        place = next(place for r, place in self.aside if r == why)
        more = f", and {sum(m for _, m in others)} for other reasons" if others else ""
        return f"{n} of {self.read} rows were set aside: {why} (first: {place}){more}"

    def check(self, examples: Sequence[object], source: str) -> None:
        """Raise InputError, with the cause, if no row can be used."""
        if not examples:
            raise InputError(f"{source} has no usable row; {self.cause() or 'it has no rows at all'}.")

    def facts(self) -> dict[str, str | int | float]:
        """Count, for Task.facts, rows read and set aside; list five positions for each reason."""
        facts: dict[str, str | int | float] = {"rows_read": self.read, "rows_set_aside": len(self.aside)}
        for why, n in Counter(why for why, _ in self.aside).items():
            places = [short_place(place) for r, place in self.aside if r == why]
            facts[f"set aside: {why}"] = f"{n} rows: {first_few(places)}"
        return facts

    def warn(self, *kinds: str) -> None:
        """Warn of rows set aside, for reasons that start with one of `kinds` if any are given."""
        for name, value in self.facts().items():
            if name.startswith(tuple(f"set aside: {kind}" for kind in kinds or ("",))):
                warnings.warn(f"{name[0].upper()}{name[1:]}: {value}", stacklevel=3)


def short_place(place: str) -> str:
    """Strip the folders of this machine from a row's position, since notebooks that show it are passed on.

    >>> short_place("/home/me/data/train.jsonl, line 3")
    'train.jsonl, line 3'
    """
    return Path(place).name if Path(place).is_absolute() else place


def here(path: str | Path) -> Path:
    """Expand `~` in a path. Raises InputError for a NUL character and an unknown home."""
    if "\0" in str(path):
        raise InputError(f"path {str(path)!r} contains a NUL character: check the path.")
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise InputError(f"path {str(path)!r}: {reason(error)}; write the folder out.") from None


def is_file_name(path: str | Path) -> bool:
    """Check whether a path ends in one of SUFFIXES, in any letter case."""
    return Path(path).suffix.lower() in SUFFIXES


def read_records(path: Path, required: Sequence[str] = ()) -> list[Record]:
    """Read the rows of a .jsonl, .json (a list), .csv, .tsv or .parquet file.

    Raises InputError, with file and line, for a file that is missing, empty, not UTF-8 or broken, that
    repeats a column name, or if no row has one of the `required` columns.
    """
    path = here(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"{path} ends in {path.suffix!r}: rows are read from {', '.join(SUFFIXES)} files.")
    reader = {".jsonl": _json_lines, ".json": _json_list, ".parquet": _parquet}.get(suffix, _table)
    records = without_headers(reader(path))
    if not records:
        raise InputError(f"{path} is empty: it must have at least one row.")
    require(records, required, str(path))
    return records


def require(records: Sequence[Record], columns: Sequence[str], source: str) -> None:
    """Raise MissingColumnError, with the known columns, for a column that no record has."""
    known = sorted({column for record in records for column in record.values})
    for column in columns:
        if column not in known:
            names = ", ".join(known).encode(errors="replace").decode()
            raise MissingColumnError(f"{source} has no column {column!r}: its columns are {names}.", column)


def read_lines(path: Path) -> list[str]:
    """Read a text file's lines, ended by LF or CRLF only. Raises InputError as `read_records` does."""
    path = here(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise no_such_file(path, SUFFIXES) from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check the path.") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}, line {line}: bytes that are not UTF-8; save the file as UTF-8.") from None
    lines = text.replace("\r\n", "\n").split("\n")  # not splitlines: U+2028 and the like are text
    return lines[:-1] if lines[-1] == "" else lines


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    twice = next((name for name, n in Counter(name for name, _ in pairs).items() if n > 1), None)
    if twice is not None:
        raise ValueError(f"the name {twice!r} is repeated in an object")
    return dict(pairs)


def from_json(text: str, place: str) -> Any:
    """Parse JSON; fractions and very long integers stay text, as written. Raises InputError with the line."""
    try:
        return json.loads(
            text,
            parse_int=lambda digits: int(digits) if len(digits) < 4000 else digits,  # Python's limit is 4300
            parse_float=str,
            parse_constant=lambda name: None if name == "NaN" else name,
            object_pairs_hook=_object,
        )
    except (ValueError, RecursionError) as error:
        line = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) and "\n" in text else ""
        raise InputError(f"{place}{line}: broken JSON ({reason(error)}); correct it.") from None


def _json_lines(path: Path) -> Iterator[Record]:
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        values = from_json(line, place)
        if not isinstance(values, dict):
            raise InputError(f"{place}: not a JSON object with columns; correct it.")
        yield Record.of(values, place)


def _json_list(path: Path) -> Iterator[Record]:
    text = "\n".join(read_lines(path))
    rows = from_json(text, str(path)) if text.strip() else []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path} is not a JSON list of objects: write such a list, or JSON lines as .jsonl.")
    for number, row in enumerate(rows, 1):
        yield Record.of(row, f"{path}, entry {number}")


def _table(path: Path) -> Iterator[Record]:
    lines = read_lines(path)
    if len(lines) == 1:  # lines ended by CR, as on the first Macs; beside other line ends a CR is text
        lines = [line for line in lines[0].split("\r") if line]
    for number, line in enumerate(lines, 1):
        if "\0" in line:
            raise InputError(f"{path}, line {number}: a NUL byte; is it a text file?")
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    (_, header), *rows = table_rows(lines, delimiter, str(path)) or [(1, [])]
    check_header(header, str(path))
    header = column_names(header)
    for number, row in rows:
        if len(row) > len(header):
            raise InputError(
                f"{path}, line {number}: {len(row)} cells but {len(header)} columns; correct it."
            )
        yield Record(dict(zip(header, row, strict=False)), f"{path}, line {number}")


def _parquet(path: Path) -> Iterator[Record]:
    for number, row in enumerate(parquet_rows(path), 1):
        yield Record.of(row, f"{path}, row {number}")


def named_rows(rows: Any) -> Iterator[Any]:
    """Yield rows; those of a Hugging Face Dataset with class names in place of class numbers."""
    features = getattr(rows, "features", None)
    names = class_names(features.to_dict()) if features else {}
    for row in rows.with_format(None) if features else rows:
        yield with_class_names(row, names) if names else row
