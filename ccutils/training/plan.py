"""The complete description of an IC-Train run, for notebooks, profiles and launchers.

Light to import: accelerate's notebook_launcher starts processes only if neither a GPU nor bitsandbytes has
been used yet, and transformers, peft and trl all import the latter.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ccutils.contexts.counterfactual import Counterfactual, check_counterfactual
from ccutils.contexts.paraphrase import Paraphraser, choose_paraphraser
from ccutils.contexts.sampler import Strategy, read_variant, write_variant
from ccutils.contexts.similarity import check_similarity
from ccutils.errors import InputError, check_kind, check_kinds, nearest
from ccutils.models.lora import Lora
from ccutils.records import Run
from ccutils.tasks import Task
from ccutils.training.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A complete run: the fields are the parameters of notebook 03, `settings` those of the training.

    `strategy` can contain a variant, "contrastive,p=0.3": its changes (see ccutils.contexts.sampler.VARIES)
    override the fields here and become `variant`, a part of the run's folder and rows. `barred` 1 excludes
    relevant examples from random contexts. `window` 0 is the model's context length; `chat` writes prompts in
    the model's chat template. `paraphraser` is a kind in ccutils.contexts.paraphrase; "auto" is the task's
    own if it has one, else rules. `counterfactual` is the share of contexts with a relevant example in which
    its label and the target's are replaced, `relabel` what is replaced (ccutils.contexts.counterfactual);
    `vary_k` samples the number of demonstrations from 0 to k (ccutils.contexts.epochs). Raises InputError for
    values of the wrong type or out of range; see also check_plan.
    """

    task: str = "topics"
    model: str = "tiny"
    strategy: str = "contrastive"
    variant: str = ""
    seed: int = 0
    k: int = 6
    p: float = 0.5
    epsilon: float = 0.1
    barred: int = 0
    counterfactual: float = 0.0
    relabel: str = "relevant"
    vary_k: bool = False
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
        strategy, changes = read_variant(",".join(filter(None, [self.strategy, self.variant])))
        object.__setattr__(self, "strategy", strategy)
        object.__setattr__(self, "variant", write_variant(changes))
        of_training = {name: changes.pop(name) for name in Settings.__dataclass_fields__ if name in changes}
        object.__setattr__(self, "settings", replace(self.settings, **of_training))
        for what, value in changes.items():
            object.__setattr__(self, {"strength": "paraphrase_strength"}.get(what, what), value)
        for name in ("seed", "window"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} must be at least 0, got {getattr(self, name)}.")
        # One form, so that two spellings describe the same run.
        object.__setattr__(self, "targets", self.lora.targets)

    @property
    def run(self) -> Run:
        return Run(Path(self.results), self.task, self.model, self.strategy, self.seed, self.variant)

    @property
    def cache(self) -> Path:
        """The folder for what all runs of a results folder share: the tiny base, paraphrases."""
        return Path(self.results) / "cache"

    def paraphraser_for(self, task: Task) -> Paraphraser:
        """Choose the paraphraser of a task's pool. Raises InputError for one that the task lacks."""
        return choose_paraphraser(
            task,
            kind=self.paraphraser,
            strength=self.paraphrase_strength,
            source=self.paraphrase_source,
            seed=self.seed,
        )

    @property
    def lora(self) -> Lora:
        return Lora(self.rank, self.alpha, self.targets)

    def known(self) -> dict[str, Any]:
        """Return all fields but `results`, as read back from JSON."""
        values = {name: value for name, value in asdict(self).items() if name != "results"}
        if self.model == "tiny":  # each seed has its own base
            values["recipe"] = {"seed": self.seed, **values["recipe"]}
        return dict(json.loads(json.dumps(values)))


def plan_from(parameters: Mapping[str, Any], **run: Any) -> Plan:
    """Build the plan of a job from notebook 03's `parameters` and from `run`, values of the profile's lists.

    Parameters that are not fields of a plan, such as `seeds`, are ignored.

    >>> plan = plan_from({"k": 4, "steps": 50, "seeds": [0, 1]}, strategy="random", seed=1)
    >>> plan.k, plan.settings.steps, plan.seed
    (4, 50, 1)
    """
    given = {**parameters, **run}
    settings = Settings(**{name: given[name] for name in Settings.__dataclass_fields__ if name in given})
    names = [name for name in Plan.__dataclass_fields__ if name in given and name != "settings"]
    return Plan(**{name: given[name] for name in names}, settings=settings)


def read_plan(text: str) -> Plan:
    """Parse a plan from a JSON object of its fields. Raises InputError naming a wrong field.

    >>> read_plan('{"strategy": "contrastive,epsilon=0"}').variant
    'epsilon=0'
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"The plan is not JSON ({error}): give an object of the fields of Plan.") from error
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
    """Raise InputError for values that do not fit the task, before anything slow is imported."""
    Strategy(plan.strategy, plan.k, plan.p, plan.epsilon)
    check_similarity(plan.similarity)
    plan.paraphraser_for(task)
    if plan.barred not in (0, 1) or (plan.barred and plan.strategy != "random"):
        raise InputError(
            f"barred must be 0, or 1 with strategy 'random', got {plan.barred} with {plan.strategy!r}."
        )
    check_counterfactual(plan.counterfactual, plan.relabel)
    if plan.counterfactual:
        Counterfactual(task.pool, plan.counterfactual, plan.relabel, task.map_labels)
