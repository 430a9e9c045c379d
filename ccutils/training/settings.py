"""Training settings, apart from the trainer, which takes seconds to import."""

from dataclasses import dataclass

from ccutils.errors import InputError, check_count, check_kinds

SCHEDULES = {"linear": "linear", "constant": "constant_with_warmup"}
"""Learning rate schedules, with transformers' names."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Training settings of a run.

    An optimiser step has `batch` targets, `micro_batch` of them at a time (0: all); `warmup` is a share of
    the steps. Checkpoints are spread evenly over the run; the newest `keep` can be resumed, older ones
    contain only the adapter. After warm-up the learning rate follows `schedule`: "linear" (to 0) or
    "constant". `optimiser` is a name of transformers' `optim`; "auto" is paged 8-bit AdamW on a GPU, else
    AdamW. Raises InputError for values of the wrong type or out of range.
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
                f"micro_batch must divide batch, {self.batch}, or be 0 for all, got {self.micro_batch}."
            )
        if self.n_checkpoints > self.steps:
            raise InputError(f"n_checkpoints must be at most steps, {self.steps}, got {self.n_checkpoints}.")
        if not 0 < self.learning_rate < 1 or not 0 <= self.warmup < 1:
            raise InputError(
                f"learning_rate and warmup must lie in 0 to 1, got {self.learning_rate} and {self.warmup}."
            )
        if self.schedule not in SCHEDULES:
            raise InputError(f"schedule {self.schedule!r} does not exist: choose {' or '.join(SCHEDULES)}.")
