"""Reading other people's data: files into rows that know their place; what is set aside is told."""

import json
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from string import whitespace
from typing import Any

from ccutils.errors import InputError, no_such_file, reason
from ccutils.tasks.base import Example, one_line
from ccutils.tasks.parquet import class_names, parquet_rows, with_class_names
from ccutils.tasks.tables import check_header, table_rows

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
BLANKS = f"{whitespace}\u00a0\ufeff"
"""Stripped from column names; the last is a byte order mark, which joined files have in the middle."""


class MissingColumnError(InputError):
    """A `column` that no row has: who asked for it can say how to name another."""

    def __init__(self, sentence: str, column: str = "") -> None:
        super().__init__(sentence)
        self.column = column


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a source: its values by column, and its place as a person would look it up."""

    values: Mapping[str, Any]
    place: str

    @classmethod
    def of(cls, values: Mapping[Any, Any], place: str) -> "Record":
        """Make a record of a row in memory, by its `column_names`."""
        return cls(dict(zip(column_names(values), values.values(), strict=True)), place)

    def text(self, *columns: str) -> str:
        """Return the first of `columns` that holds text, stripped, on one line; '' where none does."""
        for column in columns:
            value = as_text(self.values.get(column)).strip()
            if value:
                return one_line(value)
        return ""

    def fault(self, *columns: str) -> str:
        """Name the first reason not to use the texts of `columns`; '' for none."""
        empty = next((column for column in columns if not self.text(column)), None)
        return unusable(*map(self.text, columns)) if empty is None else self.lacks(empty)

    def example(self, input_column: str, output_column: str) -> Example:
        """Make an example, the other columns as its `extra`. Raises InputError for a row with a fault."""
        for column in (input_column, output_column):
            if why := self.fault(column):
                raise InputError(f"{self.place}, column {column!r}: {why}. Correct or leave out the row.")
        extra = {n: self.text(n) for n in self.values if n not in (input_column, output_column)}
        return Example(self.text(input_column), self.text(output_column), extra=extra)

    def is_header(self) -> bool:
        """Check whether all values (two or more) are their columns' names, as where files were joined."""
        texts = {name: as_text(value).strip(BLANKS) for name, value in self.values.items()}
        return sum(map(bool, texts.values())) > 1 and all(text in ("", name) for name, text in texts.items())

    def lacks(self, column: str) -> str:
        """Say why a column has no text, for a reason to set the row aside."""
        value = self.values.get(column)
        kinds = ((list, "a list"), (dict, "an object"), (bytes, "bytes"))
        for kind, name in kinds:
            if isinstance(value, kind):
                return f"{name} in column {column!r}, where a text should be"
        return f"no text in column {column!r}"


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

    JSON can hold halves of characters, such as "\\ud83d" alone, which end a later step, and NUL, at which
    other programs take a text for ended.
    """
    if any("\0" in text for text in texts):
        return "text with a NUL character"
    whole = all(text.encode("utf-8", "ignore").decode() == text for text in texts)
    return "" if whole else "text that is not UTF-8"


def without_headers(records: Iterable[Record]) -> list[Record]:
    """Drop rows that repeat the header, and warn where they are."""
    every = list(records)
    headers = [short_place(record.place) for record in every if record.is_header()]
    if not headers:
        return every
    more = " ..." if len(headers) > 5 else ""
    warnings.warn(f"Dropped rows that repeat the header: {'; '.join(headers[:5])}{more}", stacklevel=3)
    return [record for record in every if not record.is_header()]


def as_text(value: Any) -> str:
    """Return a value of a cell as text: true and false as JSON has them, dates as ISO 8601 has them.

    '' for None, for a number that is none (NaN), and for what is no single value.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, date | time):
        return "" if value != value else value.isoformat()  # pandas' NaT is a date that is none
    if isinstance(value, str | int | float | Decimal) and value == value:
        return str(value)
    return ""


@dataclass(slots=True)
class Report:
    """What was read and what was set aside, and why: nothing is dropped in silence."""

    read: int = 0
    aside: list[tuple[str, str]] = field(default_factory=list)  # (reason, place)

    def set_aside(self, record: Record, reason: str) -> None:
        self.aside.append((reason, record.place))

    def usable(self, record: Record, *texts: str) -> bool:
        """Set the record aside if its texts are `unusable`; return whether they can be used."""
        why = unusable(*texts)
        if why:
            self.set_aside(record, why)
        return not why

    def cause(self) -> str:
        """Return the commonest reason for setting rows aside, where it first arose, and how often; '' for
        none.
        """
        if not self.aside:
            return ""
        (why, n), *others = Counter(why for why, _ in self.aside).most_common()
        place = next(place for r, place in self.aside if r == why)
        more = f", and {sum(m for _, m in others)} for other reasons" if others else ""
        return f"{n} of {self.read} rows were set aside: {why} (first: {place}){more}"

    def check(self, examples: Sequence[object], source: str) -> None:
        """Raise InputError with the cause where not one row came through."""
        if not examples:
            raise InputError(
                f"{source} has no row that can be used; {self.cause() or 'it has no rows at all'}."
            )

    def facts(self) -> dict[str, str | int | float]:
        """Return, for Task.facts, rows read, rows set aside, and for each reason how many and five places."""
        reasons = Counter(why for why, _ in self.aside)
        facts: dict[str, str | int | float] = {"rows_read": self.read, "rows_set_aside": len(self.aside)}
        for why, n in reasons.items():
            places = [short_place(place) for r, place in self.aside if r == why]
            facts[f"set aside: {why}"] = f"{n} rows: {'; '.join(places[:5])}" + (" ..." if n > 5 else "")
        return facts

    def warn(self, kind: str) -> None:
        """Tell the person at the screen of rows set aside for reasons that start with `kind`."""
        for name, value in self.facts().items():
            if name.startswith(f"set aside: {kind}"):
                warnings.warn(f"{name[0].upper()}{name[1:]}: {value}", stacklevel=3)


def short_place(place: str) -> str:
    """Return a row's place without the folders of this machine, as notebooks that are passed on may show it.

    >>> short_place("/home/me/data/train.jsonl, line 3")
    'train.jsonl, line 3'
    """
    return Path(place).name if Path(place).is_absolute() else place


def here(path: str | Path) -> Path:
    """Return a path on this machine, with `~` as the home folder. Raises InputError for no such home."""
    if "\0" in str(path):
        raise InputError(f"path {str(path)!r} holds a NUL character: check the path.")
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise InputError(f"path {str(path)!r}: {reason(error)}; write the folder out.") from None


def is_file_name(path: str | Path) -> bool:
    """Tell whether a path ends as one of the files that rows are read from, in letters of any case."""
    return Path(path).suffix.lower() in SUFFIXES


def read_records(path: Path, required: Sequence[str] = ()) -> list[Record]:
    """Read the rows of a .jsonl, .json (a list), .csv, .tsv or .parquet file.

    Raises InputError, naming file and line, for a file that is missing, empty, not UTF-8 or broken, that
    names a column twice, and where no row at all has one of the `required` columns.
    """
    path = here(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"{path} ends in {path.suffix!r}: rows are read from {', '.join(SUFFIXES)} files.")
    reader = {".jsonl": _json_lines, ".json": _json_list, ".parquet": _parquet}.get(suffix, _table)
    records = without_headers(reader(path))
    if not records:
        raise InputError(f"{path} is empty: it must hold at least one row.")
    require(records, required, str(path))
    return records


def require(records: Sequence[Record], columns: Sequence[str], source: str) -> None:
    """Raise MissingColumnError for a column that no record has, naming those that there are."""
    known = sorted({column for record in records for column in record.values})
    for column in columns:
        if column not in known:
            names = ", ".join(known).encode(errors="replace").decode()
            raise MissingColumnError(f"{source} has no column {column!r}: its columns are {names}.", column)


def read_lines(path: Path) -> list[str]:
    """Read a text file's lines, ended by LF or CRLF and nothing else. Raises InputError as `read_records`
    does.
    """
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


class _Repeating(dict[str, Any]):
    """A JSON object in which a name stands twice."""

    name = ""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        values = _Repeating(values)
        values.name = Counter(name for name, _ in pairs).most_common(1)[0][0]
    return values


def from_json(text: str) -> Any:
    """Parse a JSON text; numbers that Python would change or refuse stay as they are written, as text.

    Raises ValueError (json.JSONDecodeError where there is a place) for text that is no JSON.
    """
    try:
        return json.loads(
            text,
            parse_int=lambda digits: int(digits) if len(digits) < 4000 else digits,
            parse_float=str,
            parse_constant=lambda name: None if name == "NaN" else name,
            object_pairs_hook=_object,
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _as_record(values: Any, place: str) -> Record:
    if not isinstance(values, dict):
        raise InputError(f"{place}: not a JSON object with columns; mend it.")
    if isinstance(values, _Repeating):
        raise InputError(f"{place}: the name {values.name!r} stands twice; take one out.")
    return Record.of(values, place)


def _json_lines(path: Path) -> Iterator[Record]:
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        try:
            values = from_json(line)
        except ValueError as error:
            raise InputError(f"{place}: broken JSON ({reason(error)}); mend the line.") from None
        yield _as_record(values, place)


def _json_list(path: Path) -> Iterator[Record]:
    text = "\n".join(read_lines(path))
    try:
        rows = from_json(text) if text.strip() else []
    except ValueError as error:
        line = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise InputError(f"{path}{line}: broken JSON ({reason(error)}); mend the file.") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path} is not a JSON list of objects: give such a file, or JSON lines as .jsonl.")
    for number, row in enumerate(rows, 1):
        yield _as_record(row, f"{path}, entry {number}")


def _table(path: Path) -> Iterator[Record]:
    lines = read_lines(path)
    if len(lines) == 1:  # lines ended by CR, as on the first Macs; beside other ends a CR is text
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
            raise InputError(f"{path}, line {number}: {len(row)} cells but {len(header)} columns; mend it.")
        yield Record(dict(zip(header, row, strict=False)), f"{path}, line {number}")


def _parquet(path: Path) -> Iterator[Record]:
    for number, row in enumerate(parquet_rows(path), 1):
        yield Record.of(row, f"{path}, row {number}")


def named_rows(rows: Any) -> Iterator[Any]:
    """Yield rows, those of a Hugging Face Dataset with the names of its classes instead of their numbers."""
    features = getattr(rows, "features", None)
    names = class_names(features.to_dict()) if features else {}
    for row in rows.with_format(None) if features else rows:
        yield with_class_names(row, names) if names else row
