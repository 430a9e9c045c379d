"""How a run is trained; apart from the trainer, which takes seconds to import."""

from dataclasses import dataclass

from ccutils.errors import InputError, check_count, check_kinds

SCHEDULES = {"linear": "linear", "constant": "constant_with_warmup"}
"""Schedules of the learning rate, and transformers' names of them."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a run is trained.

    `batch` targets make an optimiser step, `micro_batch` of them at a time (0: all); `warmup` is a share of
    the steps. Checkpoints are spread evenly over the run; the newest `keep` can be resumed from, the older
    hold the adapter alone. `schedule` is what the learning rate does after warm-up: "linear" (to 0) or
    "constant". `optimiser` is a name of transformers' `optim`; "auto" is paged 8-bit AdamW on
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
    schedule: str = "linear"

    def __post_init__(self) -> None:
        check_kinds(self)
        for name in ("steps", "batch", "n_checkpoints", "keep"):
            check_count(name, getattr(self, name))
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
        if self.schedule not in SCHEDULES:
            raise InputError(f"schedule {self.schedule!r} does not exist: choose {' or '.join(SCHEDULES)}.")


def check_group_size(group_size: int, micro_batch_size: int) -> None:
    """Raise InputError where the targets that are trained at a time are no whole number of groups."""
    if micro_batch_size % group_size:
        raise InputError(
            f"targets_per_context is {group_size}: it must divide what is trained at a time, "
            f"{micro_batch_size} targets (micro_batch)."
        )
