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

from ccutils.contexts import Strategy
from ccutils.errors import InputError, check_kind, check_kinds, nearest
from ccutils.paraphrase import check_paraphraser, paraphraser_of
from ccutils.results import Run
from ccutils.settings import Lora, Settings
from ccutils.shared_contexts import SHAREABLE
from ccutils.similarity import check_similarity
from ccutils.tasks import Example, Task

SAME_RESULT = ("micro_batch", "checkpointing", "keep")
"""Settings that may change between two tries of a run: they change its memory and disk, not its function."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A run described whole; the fields are the parameters of notebook 03, `settings` those of the training.

    `window` 0 is the model's own; `chat` writes prompts in the model's chat template. `paraphraser` is a kind
    of ccutils.paraphrase; "auto" is the task's own where it has one, else rules. `group` targets share their
    random demonstrations (ccutils.shared): 0 is independent contexts, 1 the same with the target's own
    demonstration last. Raises InputError for values of the wrong kind or out of range; see also check_plan.
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
    targets: str | list[str] = "all-linear"
    results: str = "results/try"
    task_options: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        check_kinds(self, "targets")
        for name in ("seed", "group", "window"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} is {getattr(self, name)}: it must be at least 0.")
        # One run has them in one form, however they are written.
        object.__setattr__(self, "targets", self.lora.targets)

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


def plan_of(values: Mapping[str, Any], **more: Any) -> Plan:
    """The plan of notebook 03's parameters by name; those that are no part of it are left out."""
    given = {**values, **more}
    settings = Settings(**{name: given[name] for name in Settings.__dataclass_fields__ if name in given})
    names = [name for name in Plan.__dataclass_fields__ if name in given]
    return Plan(**{**{name: given[name] for name in names}, "settings": settings})


def read_plan(text: str) -> Plan:
    """The plan in a JSON object of its fields. Raises InputError that names the field which is wrong."""
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"the plan is not JSON ({error}): give an object of the fields of Plan.") from error
    check_kind("the plan", values, {"task": "topics"})
    settings = values.pop("settings", {})
    check_kind("settings of the plan", settings, {"steps": 400})
    for where, given, kind in (("the plan", values, Plan), ("settings of the plan", settings, Settings)):
        known = kind.__dataclass_fields__
        for name in given:
            if name not in known:
                raise InputError(f"{where}: there is no {name!r}{nearest(name, known)}")
    return Plan(**values, settings=Settings(**settings))


def check_plan(plan: Plan, task: Task) -> None:
    """Raise InputError for what would be refused later, before anything is made or a library imported."""
    Strategy(plan.strategy, plan.k, plan.p, plan.epsilon)
    check_similarity(plan.similarity)
    how = paraphraser_of(task, plan.paraphraser, plan.paraphrase_strength, plan.paraphrase_source, plan.seed)
    check_paraphraser(how, task.paraphrase)
    if plan.group and plan.strategy not in SHAREABLE:
        raise InputError(
            f"group is {plan.group}, and strategy {plan.strategy!r} has no random demonstrations to share: "
            f"set strategy to {' or '.join(SHAREABLE)}, or group to 0."
        )


def train_plan(plan: Plan) -> None:
    """Train as planned: what to give to `accelerate.notebook_launcher`. Raises what ccutils.ic_train does."""
    from ccutils.ic_train import ic_train

    ic_train(plan)
