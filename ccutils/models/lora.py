"""The description of a LoRA adapter; light to import, as training plans are."""

import re
from dataclasses import dataclass
from typing import Any

from ccutils.errors import InputError, check_count, check_kinds

NAMES = re.compile(r"[\w.]+(,[\w.]+)*")
"""Comma-separated names of layers; any other text is a regular expression."""


@dataclass(frozen=True, slots=True)
class Lora:
    """A LoRA adapter: its rank, its scale alpha / rank, and the linear layers it is added to.

    `targets` is "all-linear", the ends of layers' names as a list or separated by commas, or, as in peft, a
    regular expression for whole names. Raises InputError for invalid values.
    """

    rank: int = 16
    alpha: int = 32
    targets: str | list[str] = "all-linear"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_kinds(self, "targets")
        for name in ("rank", "alpha"):
            check_count(name, getattr(self, name))
        if not 0 <= self.dropout < 1:
            raise InputError(f"dropout must be at least 0 and below 1, got {self.dropout}.")
        object.__setattr__(self, "targets", read_targets(self.targets))


def read_targets(given: Any) -> str | list[str]:
    """Convert LoRA targets to peft's form: a sorted list of names, or a text.

    >>> read_targets("v_proj, q_proj")
    ['q_proj', 'v_proj']
    """
    names = given
    if isinstance(given, str) and NAMES.fullmatch(given.replace(" ", "")):
        names = given.replace(" ", "").split(",")
    if isinstance(names, list | tuple) and names and all(isinstance(n, str) and n for n in names):
        return sorted(set(names))
    if not isinstance(given, str) or not given:
        raise InputError(
            f"targets must be all-linear, or names of layers such as q_proj,v_proj, got {given!r}."
        )
    try:
        re.compile(given)
    except re.error as error:
        raise InputError(
            f"targets is {given!r}, not a valid regular expression ({error}): write names of layers such as "
            "q_proj,v_proj."
        ) from error
    return given
