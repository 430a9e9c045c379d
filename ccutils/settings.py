"""How a run is trained; apart from the trainer, which takes seconds to import."""

import re
from dataclasses import dataclass
from typing import Any

from ccutils.errors import InputError, check_kinds

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
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}: it must be at least 1.")
        if not 0 <= self.dropout < 1:
            raise InputError(f"dropout is {self.dropout}: it must lie from 0 to below 1.")
        object.__setattr__(self, "targets", read_targets(self.targets))


def read_targets(given: Any) -> str | list[str]:
    """LoRA's targets as peft takes them; names are sorted, since their order means nothing."""
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


@dataclass(frozen=True, slots=True)
class Settings:
    """How a run is trained (all values ours).

    `batch` targets make an optimiser step, `micro_batch` of them at a time (0: all); `warmup` is a share of
    the steps. Checkpoints are spread evenly over the run; the newest `keep` can be resumed from, the older
    hold the adapter alone. `optimiser` is a name of transformers' `optim`; "auto" is paged 8-bit AdamW on
    a GPU, else AdamW. Raises InputError for values of the wrong kind or out of range.
    """

    steps: int = 400
    batch: int = 32
    micro_batch: int = 0
    learning_rate: float = 2e-3
    warmup: float = 0.05
    checkpointing: bool = False
    optimiser: str = "auto"
    n_checkpoints: int = 5
    keep: int = 1

    def __post_init__(self) -> None:
        check_kinds(self)
        for name in ("steps", "batch", "n_checkpoints", "keep"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}: it must be at least 1.")
        if not 0 <= self.micro_batch <= self.batch or self.batch % (self.micro_batch or self.batch):
            raise InputError(
                f"micro_batch is {self.micro_batch}: it must divide batch, {self.batch}, or be 0 for all."
            )
        if self.n_checkpoints > self.steps:
            raise InputError(f"n_checkpoints is {self.n_checkpoints}, above steps, {self.steps}: lower it.")
        if not 0 < self.learning_rate < 1 or not 0 <= self.warmup < 1:
            raise InputError(
                f"learning_rate is {self.learning_rate} and warmup {self.warmup}: both must lie from 0 to 1."
            )


def check_divides(group: int, at_a_time: int) -> None:
    """Raise InputError where the targets that are trained at a time are no whole number of groups."""
    if at_a_time % group:
        raise InputError(
            f"group is {group}: it must divide what is trained at a time, {at_a_time} targets (micro_batch)."
        )


def check_seeds(seeds: Any, where: str = "seeds") -> list[int]:
    """The seeds as a list; one whole number is one seed. Raises InputError for anything else."""
    found = seeds if isinstance(seeds, list | tuple) else [seeds]
    if not found or not all(isinstance(s, int) and not isinstance(s, bool) and s >= 0 for s in found):
        raise InputError(f"{where} is {seeds!r}: it must be a list of whole numbers from 0, such as [0, 1].")
    if len(set(found)) < len(found):
        raise InputError(f"{where} is {seeds!r}, which holds a seed twice: give each once.")
    return list(found)
