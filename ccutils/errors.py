"""The exception for input that a user can correct, and checks shared by all kinds of input."""

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
    """Bad input. The message is one sentence: what is wrong, where (file, line or parameter), what to do.

    The command line prints it without a traceback and exits with status 2.
    """


def command(work: Callable[[Sequence[str]], None]) -> Callable[[Sequence[str]], int]:
    """Make a command of a function of its arguments: it returns the exit status, 0, or 2 for bad input.

    The message of an InputError goes to standard error.
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
    """Return the first line of an error's message, or its type if it has none."""
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
    """Raise InputError if a value is of another kind than the default; a default of None allows any."""
    kind = type(default)
    wanted: Any = {float: (float, int), dict: Mapping}.get(kind, kind)
    if kind in KIND_NAMES and (
        not isinstance(value, wanted) or (isinstance(value, bool) and kind is not bool)
    ):
        raise InputError(f"{where} is {value!r} but must be {KIND_NAMES[kind]}, such as {default!r}.")


def check_kinds(values: Any, *but: str) -> None:
    """Raise InputError for a field of a data class, except `but`, of another kind than its default."""
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
    """Raise InputError for an unknown value, naming the parameter."""
    for name, (value, known) in options.items():
        if value not in known:
            raise InputError(f"{name} is {value!r}: choose one of {', '.join(known)}.")


def nearest(name: str, known: Iterable[str]) -> str:
    """Write the end of a message about an unknown name: the nearest known names, or all of them.

    >>> nearest("contrastiv", ["random", "contrastive"])
    '; did you mean contrastive?'
    """
    names = list(known)
    close = close_names(name, names, cutoff=0.5)
    return did_you_mean(close) if close else f"; known are {', '.join(sorted(names))}."


def close_names(name: str, known: Iterable[str], cutoff: float = 0.6) -> list[str]:
    """List up to three of the known names that look like `name`, the nearest first."""
    return difflib.get_close_matches(str(name), list(known), n=3, cutoff=cutoff)


def did_you_mean(names: Iterable[str]) -> str:
    """Write the end of a message that suggests other names."""
    return f"; did you mean {' or '.join(names)}?"


def no_such_file(path: Path, endings: Iterable[str] = ()) -> InputError:
    """Make the error for a missing file; it suggests similar names with its ending or one of `endings`."""
    taken = {path.suffix.lower(), *endings}
    stems = {file.name: file.stem for file in sorted(path.parent.glob("*")) if file.suffix.lower() in taken}
    near = [
        name for stem in close_names(path.stem, set(stems.values())) for name in stems if stems[name] == stem
    ]
    return InputError(f"{path} does not exist{did_you_mean(near[:3]) if near else ': check the path.'}")


def from_text(value: Any, default: Any) -> Any:
    """Convert a text to a number if the default is one, as YAML reads 2e-4 as text; else return the value.

    >>> from_text("2e-4", 0.001), from_text("2e-4", "a text")
    (0.0002, '2e-4')
    """
    if not isinstance(value, str) or not isinstance(default, float):
        return value
    with suppress(ValueError):
        return float(value)
    return value


def check_seeds(seeds: Any, where: str = "seeds") -> list[int]:
    """List the seeds; one whole number is one seed. Raises InputError for anything else.

    >>> check_seeds(3)
    [3]
    """
    found = seeds if isinstance(seeds, list | tuple) else [seeds]
    if not found or not all(isinstance(s, int) and not isinstance(s, bool) and s >= 0 for s in found):
        raise InputError(f"{where} is {seeds!r}: it must be a list of whole numbers from 0, such as [0, 1].")
    if len(set(found)) < len(found):
        raise InputError(f"{where} is {seeds!r}, which holds a seed twice: give each once.")
    return list(found)
