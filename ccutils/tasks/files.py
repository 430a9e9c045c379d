"""Reading other people's data: files into rows that know their place, and fair splits."""

import csv
import io
import json
import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ccutils.errors import InputError
from ccutils.tasks.base import Example

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a source: its values by column, and its place as a person would look it up."""

    values: Mapping[str, Any]
    place: str

    def text(self, *columns: str) -> str:
        """The first of `columns` that holds text, stripped; '' where none does.

        Line breaks become spaces: in prompts a line break ends an answer.
        """
        for column in columns:
            value = self.values.get(column)
            if isinstance(value, str | int | float) and str(value).strip() and value == value:
                lines = str(value).strip().splitlines()
                return lines[0] if len(lines) == 1 else " ".join(" ".join(lines).split())
        return ""


@dataclass(slots=True)
class Report:
    """What was read and what was set aside, and why: nothing is dropped in silence."""

    read: int = 0
    aside: list[tuple[str, str]] = field(default_factory=list)  # (reason, place)

    def set_aside(self, record: Record, reason: str) -> None:
        self.aside.append((reason, record.place))

    def facts(self) -> dict[str, str | int | float]:
        """For Task.facts: rows read, rows set aside, and for each reason how many and five places."""
        reasons = Counter(reason for reason, _ in self.aside)
        facts: dict[str, str | int | float] = {"rows_read": self.read, "rows_set_aside": len(self.aside)}
        for reason, n in reasons.items():
            places = [place for r, place in self.aside if r == reason]
            facts[f"set aside: {reason}"] = f"{n} rows: {'; '.join(places[:5])}" + (" ..." if n > 5 else "")
        return facts

    def warn(self, kind: str) -> None:
        """Tell the person at the screen of rows set aside for reasons that start with `kind`."""
        for name, value in self.facts().items():
            if name.startswith(f"set aside: {kind}"):
                warnings.warn(f"{name[0].upper()}{name[1:]}: {value}", stacklevel=3)


def read_records(path: Path, required: Sequence[str] = ()) -> list[Record]:
    """Rows of a .jsonl, .json (a list), .csv, .tsv or .parquet file.

    Raises InputError, naming file and line, for a file that is missing, empty, not UTF-8 or broken, and where
    no row at all has one of the `required` columns.
    """
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path} ends in {path.suffix!r}: rows are read from {', '.join(SUFFIXES)} files.")
    reader = {".jsonl": _json_lines, ".json": _json_list, ".parquet": _parquet}.get(path.suffix, _table)
    records = list(reader(path))
    if not records:
        raise InputError(f"{path} is empty: it must hold at least one row.")
    require(records, required, str(path))
    return records


def require(records: Sequence[Record], columns: Sequence[str], source: str) -> None:
    """Raise InputError for a column that no record has, naming those that there are."""
    known = sorted({column for record in records for column in record.values})
    for column in columns:
        if column not in known:
            raise InputError(f"{source} has no column {column!r}: its columns are {', '.join(known)}.")


def read_lines(path: Path) -> list[str]:
    """A text file's lines, ended by LF or CRLF and nothing else. Raises InputError as `read_records` does."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: check the path.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check the path.") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}, line {line}: bytes that are not UTF-8; save the file as UTF-8.") from None
    lines = text.replace("\r\n", "\n").split("\n")  # not splitlines: U+2028 and the like are text
    return lines[:-1] if lines[-1] == "" else lines


def _json_lines(path: Path) -> Iterator[Record]:
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise InputError(f"{path}, line {number}: broken JSON ({error}); mend the line.") from None
        if not isinstance(values, dict):
            raise InputError(f"{path}, line {number}: not a JSON object with columns; mend the line.")
        yield Record(values, f"{path}, line {number}")


def _json_list(path: Path) -> Iterator[Record]:
    text = "\n".join(read_lines(path))
    try:
        rows = json.loads(text) if text.strip() else []
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {error.lineno}: broken JSON ({error.msg}); mend the file.") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path} is not a JSON list of objects: give such a file, or JSON lines as .jsonl.")
    for number, row in enumerate(rows, 1):
        yield Record(row, f"{path}, entry {number}")


def _table(path: Path) -> Iterator[Record]:
    text = "\n".join(read_lines(path))
    if "\0" in text:
        raise InputError(f"{path} holds NUL bytes: is it a text file?")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if path.suffix == ".tsv" else ",")
    header = next(reader, [])
    for row in reader:
        if len(row) > len(header):
            raise InputError(
                f"{path}, line {reader.line_num}: {len(row)} cells but {len(header)} columns; mend the line."
            )
        if row:
            yield Record(dict(zip(header, row, strict=False)), f"{path}, line {reader.line_num}")


def _parquet(path: Path) -> Iterator[Record]:
    if not path.is_file():
        raise InputError(f"{path} does not exist: check the path.")
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as Parquet ({str(error).splitlines()[0]}).") from None
    yield from records_of(frame.to_dict("records"), str(path))


def records_of(
    rows: Iterable[Mapping[Any, Any]], source: str, numbers: Iterable[int] | None = None
) -> Iterator[Record]:
    """Records of rows already in memory (a frame's, a Hub set's), numbered from 1 unless told."""
    for number, row in zip(numbers if numbers is not None else count(1), rows, strict=False):
        yield Record({str(column): value for column, value in row.items()}, f"{source}, row {number}")


def normalise(text: str) -> str:
    """Letters, marks and numbers only, case folded: texts equal in this form are near-duplicates.

    Combining marks are kept, since Tamil and Hindi write vowels with them.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(c if unicodedata.category(c)[0] in "LMN" else " " for c in folded)
    return " ".join(kept.split()) or " ".join(folded.split())


def keep_apart(sets: Mapping[str, Sequence[Example]]) -> tuple[dict[str, list[Example]], dict[str, int]]:
    """Drop every example whose normalised input came before, in this set or an earlier one.

    Name the test sets first: they stay whole and the pools give way. Returns the sets, and how many were
    dropped as `near_duplicates_dropped_<name>`.
    """
    seen: set[str] = set()
    kept: dict[str, list[Example]] = {}
    for name, examples in sets.items():
        kept[name] = []
        for example in examples:
            key = normalise(example.input)
            if key not in seen:
                seen.add(key)
                kept[name].append(example)
    return kept, {f"near_duplicates_dropped_{n}": len(sets[n]) - len(kept[n]) for n in sets}


def take(examples: Sequence[Example], size: int, rng: np.random.Generator) -> list[Example]:
    """`size` of the examples in random order, or all of them where there are fewer."""
    return [examples[i] for i in rng.permutation(len(examples))[:size]]


def divide(
    train: Sequence[Example], test: Sequence[Example], rng: np.random.Generator
) -> tuple[list[Example], list[Example]]:
    """Test set and pool: as given where both are, else a fifth of what there is and the rest."""
    if train and test:
        return list(test), list(train)
    there = [*train, *test]
    order = rng.permutation(len(there))
    n = round(len(there) / 5)
    return [there[i] for i in order[:n]], [there[i] for i in order[n:]]


def common_words(texts: Iterable[str], n: int = 4200) -> list[str]:
    """The `n` most frequent words, the same for all seeds, so that they share one tiny base."""
    counts = Counter(word for text in texts for word in re.findall(r"\w+(?:[.'’_-]\w+)*|[^\w\s]", text))
    return [word for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:n]]


def hold_out(groups: Mapping[str, int], share: float, rng: np.random.Generator, least: int = 1) -> set[str]:
    """Groups drawn at random until they hold `share` of the examples; `least` groups at the least, never all.

    `groups` maps each group to its number of examples. Raises InputError with fewer than two groups.
    """
    if len(groups) < 2:
        raise InputError(f"there are {len(groups)} groups: an OOD set needs at least two to hold one out.")
    wanted, held, order = share * sum(groups.values()), set[str](), sorted(groups)
    for i in rng.permutation(len(order))[: len(order) - 1]:
        if len(held) >= least and sum(groups[g] for g in held) >= wanted:
            break
        held.add(order[i])
    return held


def check_sizes(**sizes: int) -> None:
    """Raise InputError for a size below 1, naming the parameter."""
    for name, value in sizes.items():
        if value < 1:
            raise InputError(f"{name} is {value}: it must be at least 1.")


def check_filled(
    task: str, sets: Mapping[str, Sequence[Example]], dropped: Mapping[str, int], advice: str
) -> None:
    """Raise InputError for a set that came out empty; `dropped` are the counts of `keep_apart`."""
    n = sum(dropped.values())
    why = f", since {n} rows repeat the input of another and were dropped" if n else ""
    for name, examples in sets.items():
        if not examples:
            raise InputError(f"task {task!r} has no examples left for {name}{why}: {advice}.")
