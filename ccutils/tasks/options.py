"""Check the options of a task, as YAML or a notebook passes them, against the signature of its function."""

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ccutils.errors import KIND_NAMES, InputError, from_text


def check_options(task: str, loader: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Check options, and convert numbers that YAML reads as text (2e-1).

    Raises InputError for an unknown option, a value of another kind than declared, or an empty text.
    """
    hints = typing.get_type_hints(loader)
    known = [name for name in inspect.signature(loader).parameters if name != "seed"]
    for name in options:
        if name not in known:
            raise InputError(f"task {task!r} has no option {name!r}: it has {', '.join(known)}.")
    return {
        name: check_value(f"option {name} of task {task!r}", v, hints[name]) for name, v in options.items()
    }


def check_value(where: str, value: Any, hint: Any) -> Any:
    """Check a value against a type hint: a plain type, one or None, or a sequence of texts."""
    if isinstance(hint, types.UnionType):
        if value is None:
            return None
        hint = next(kind for kind in typing.get_args(hint) if kind is not types.NoneType)
    if typing.get_origin(hint) is Sequence:
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise InputError(f"{where} is {value!r} but must be a list of texts, such as [one, two].")
        return [check_value(f"{where}: an entry", item, str) for item in value]
    value = from_text(value, hint())
    fits = isinstance(value, (int, float) if hint is float else hint)
    if not fits or (isinstance(value, bool) and hint is not bool):
        more = " (quote it in YAML)" if hint is str else ""
        raise InputError(f"{where} is {value!r} but must be {KIND_NAMES[hint]}{more}.")
    if value == "":
        raise InputError(f"{where} is empty: give a value, or leave the option out.")
    return value
