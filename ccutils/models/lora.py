"""A LoRA adapter described: light to import, since a plan of training holds one."""

import re
from dataclasses import dataclass
from typing import Any

from ccutils.errors import InputError, check_count, check_kinds

NAMES = re.compile(r"[\w.]+(,[\w.]+)*")
"""Names of layers as a text; anything else, such as an asterisk, makes it a regular expression."""


@dataclass(frozen=True, slots=True)
class Lora:
    """A LoRA adapter: its rank, its scale alpha / rank, and the linear layers it is put on.

    `targets` is "all-linear", the ends of layers' names as a list or as a text with commas, or, as peft has
    it, a regular expression for whole names. Raises InputError for values that cannot be.
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
            raise InputError(f"dropout is {self.dropout}: it must lie from 0 to below 1.")
        object.__setattr__(self, "targets", read_targets(self.targets))


def read_targets(given: Any) -> str | list[str]:
    """Return LoRA's targets as peft takes them; names are sorted, since their order means nothing.

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
            f"targets is {given!r}: it must be all-linear, or names of layers such as q_proj,v_proj."
        )
    try:
        re.compile(given)
    except re.error as error:
        raise InputError(
            f"targets is {given!r}, which is no regular expression ({error}): write names of layers such as "
            "q_proj,v_proj."
        ) from error
    return given
