"""The one exception for input that a person can mend, and the checks that every kind of input shares."""

import difflib
import functools
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, fields
from numbers import Integral
from pathlib import Path
from typing import Any


class InputError(ValueError):
    """Bad input, told in one sentence: what was wrong, where (file, line or parameter), what to do.

    The command line prints the sentence without a traceback and exits with status 2.
    """


def command(work: Callable[[Sequence[str]], None]) -> Callable[[Sequence[str]], int]:
    """Make a command of a function of its arguments: it returns the exit status, 0, or 2 for bad input.

    Bad input is told in its one sentence, on standard error.
    """

    @functools.wraps(work)
    def run(arguments: Sequence[str]) -> int:
        try:
            work(arguments)
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        return 0

    return run


def reason(error: Exception) -> str:
    """Return the first line of what another library says of an error, or its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


KIND_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "a mapping of names to values",
}


def check_kind(where: str, value: Any, default: Any) -> None:
    """Raise InputError if a value is of another kind than the default; a default of None stands for any."""
    kind = type(default)
    wanted: Any = {float: (float, int), dict: Mapping}.get(kind, kind)
    if kind in KIND_NAMES and (
        not isinstance(value, wanted) or (isinstance(value, bool) and kind is not bool)
    ):
        raise InputError(f"{where} is {value!r} but must be {KIND_NAMES[kind]}, such as {default!r}.")


def check_kinds(values: Any, *but: str) -> None:
    """Raise InputError for a field of a data class that is of another kind than its default; `but` some."""
    for field in fields(values):
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        if field.name not in but:
            check_kind(field.name, getattr(values, field.name), default)


def check_count(where: str, value: Any) -> None:
    """Raise InputError if a value is not a whole number of at least 1.

    >>> check_count("k", 3)
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise InputError(f"{where} is {value!r}: it must be a whole number of at least 1.")


def check_choices(**options: tuple[str, Iterable[str]]) -> None:
    """Raise InputError for a value that is not among those known, naming the parameter."""
    for name, (value, known) in options.items():
        if value not in known:
            raise InputError(f"{name} is {value!r}: choose one of {', '.join(known)}.")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence that refuses `name`: the nearest known names, or all of them.

    >>> nearest("contrastiv", ["random", "contrastive"])
    '; did you mean contrastive?'
    """
    names = list(known)
    close = close_names(name, names, cutoff=0.5)
    return did_you_mean(close) if close else f"; known are {', '.join(sorted(names))}."


def close_names(name: str, known: Iterable[str], cutoff: float = 0.6) -> list[str]:
    """Return up to three of the known names that look like `name`, the nearest first.

    >>> close_names("contrastiv", ["random", "contrastive"])
    ['contrastive']
    """
    return difflib.get_close_matches(str(name), list(known), n=3, cutoff=cutoff)


def did_you_mean(names: Iterable[str]) -> str:
    """Return the end of a sentence that refuses a name and offers others."""
    return f"; did you mean {' or '.join(names)}?"


def no_such_file(path: Path, endings: Iterable[str] = ()) -> InputError:
    """Return what to raise for a file that is not there: it offers files of its folder with such a name.

    They end as it does, or in one of `endings`, which are left out of the comparison.
    """
    taken = {path.suffix.lower(), *endings}
    files: list[Path] = []
    with suppress(OSError):
        files = sorted(
            file for file in path.parent.iterdir() if file.suffix.lower() in taken and file.is_file()
        )
    close = close_names(path.stem, {file.stem for file in files})
    near = [file.name for stem in close for file in files if file.stem == stem]
    return InputError(f"{path} does not exist{did_you_mean(near[:3]) if near else ': check the path.'}")


def from_text(value: Any, default: Any) -> Any:
    """Return a number where the default is one and YAML has read a text, as it reads 2e-4; else the value
    itself.

    >>> from_text("2e-4", 0.001), from_text("2e-4", "a text")
    (0.0002, '2e-4')
    """
    if not isinstance(value, str) or not isinstance(default, float):
        return value
    with suppress(ValueError):
        return float(value)
    return value


def check_seeds(seeds: Any, where: str = "seeds") -> list[int]:
    """Return the seeds as a list; one whole number is one seed. Raises InputError for anything else.

    >>> check_seeds(3)
    [3]
    """
    found = seeds if isinstance(seeds, list | tuple) else [seeds]
    if not found or not all(isinstance(s, int) and not isinstance(s, bool) and s >= 0 for s in found):
        raise InputError(f"{where} is {seeds!r}: it must be a list of whole numbers from 0, such as [0, 1].")
    if len(set(found)) < len(found):
        raise InputError(f"{where} is {seeds!r}, which holds a seed twice: give each once.")
    return list(found)
