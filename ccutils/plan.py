"""An IC-Train run described whole, for notebooks, profiles and launchers.

Light to import: accelerate's notebook_launcher starts its processes only where neither a GPU nor bitsandbytes
has been touched, and transformers, peft and trl all import the latter.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ccutils.results import Run
from ccutils.settings import Lora, Settings
from ccutils.tasks import Example

SAME_RESULT = ("micro_batch", "checkpointing", "keep")
"""Settings that may change between two tries of a run: they change its memory and disk, not its function."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A run described whole; the fields are the parameters of notebook 03, `settings` those of the training.

    `window` 0 is the model's own; `chat` writes prompts in the model's chat template. `paraphraser` is a kind
    of ccutils.paraphrase; "auto" is the task's own where it has one, else rules. `group` targets share their
    random demonstrations (ccutils.shared): 0 is independent contexts, 1 the same with the target's own
    demonstration last.
    """

    task: str = "topics"
    model: str = "tiny"
    strategy: str = "contrastive"
    seed: int = 0
    k: int = 6
    p: float = 0.5
    epsilon: float = 0.1
    group: int = 0
    similarity: str = "bm25"
    paraphraser: str = "auto"
    paraphrase_strength: float = 0.5
    paraphrase_source: str = ""
    window: int = 0
    chat: bool = False
    quantise: bool = True
    attention: str = "auto"
    rank: int = 16
    alpha: int = 32
    targets: str = "all-linear"
    results: str = "results/try"
    task_options: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)

    @property
    def run(self) -> Run:
        return Run(Path(self.results), self.task, self.model, self.strategy, self.seed)

    @property
    def cache(self) -> Path:
        """Where the runs of a results folder share what is made once: the tiny base, paraphrases."""
        return Path(self.results) / "cache"

    @property
    def lora(self) -> Lora:
        return Lora(self.rank, self.alpha, self.targets)

    def known(self) -> dict[str, Any]:
        """Everything but the place of its results, as JSON has it."""
        values = {name: value for name, value in asdict(self).items() if name != "results"}
        return dict(json.loads(json.dumps(values)))

    def identity(self, pool: Sequence[Example]) -> dict[str, Any]:
        """What tells this run from another: the plan and its data, without what only moves the work about."""
        values = {name: value for name, value in self.known().items() if name != "attention"}
        values["settings"] = {n: v for n, v in values["settings"].items() if n not in SAME_RESULT}
        examples = json.dumps([[e.input, e.output] for e in pool])
        return {**values, "data": hashlib.sha256(examples.encode()).hexdigest()[:16]}


def train_plan(plan: Plan) -> None:
    """Train as planned: what to give to `accelerate.notebook_launcher`. Raises what ccutils.ic_train does."""
    from ccutils.ic_train import ic_train

    ic_train(plan)
