"""One IC-Train run from its description to its adapter: what notebook 03 and `accelerate launch` call.

On several GPUs, with a JSON object of the fields of Plan:
accelerate launch --config_file launch/data_parallel.yaml -m ccutils.ic_train '{"task": "mtop", ...}'
"""

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from peft import PeftModel
from transformers import AutoConfig, PreTrainedTokenizerBase

from ccutils.contexts import ContextSampler, Strategy
from ccutils.errors import InputError
from ccutils.memory import GB, Prediction, available_bytes, check_fits, compare, predict
from ccutils.models import Lora, add_lora, is_split, load_base, load_tokenizer, model_path, window_of
from ccutils.neighbours import pool_neighbours
from ccutils.paraphrase import paraphrases_of
from ccutils.prompts import Prompter
from ccutils.results import Run, write_json
from ccutils.settings import Settings
from ccutils.shared_contexts import SharedSampler
from ccutils.tasks import Example, Task, load_task
from ccutils.tiny import make_recipe
from ccutils.training import at_a_time, checkpoints, optimiser, processes, train
from ccutils.training_set import Survey, TrainingSet

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


@dataclass(frozen=True, slots=True)
class Parts:
    """What a plan comes to: the task, the base's path and tokenizer, and the prompts."""

    task: Task
    path: str
    tokenizer: PreTrainedTokenizerBase
    prompts: TrainingSet


def assemble(plan: Plan) -> Parts:
    """Load the task, make or find the base, find neighbours and paraphrases. Raises InputError."""
    strategy = Strategy(plan.strategy, plan.k, plan.p, plan.epsilon)
    task = load_task(plan.task, seed=plan.seed, **plan.task_options)
    path = model_path(plan.model, task, plan.cache, make_recipe(plan.recipe))
    tokenizer = load_tokenizer(path)
    inputs = [e.input for e in task.pool]
    near = None
    if strategy.neighbours:
        file = Path(plan.results) / plan.task / f"neighbours-seed-{plan.seed}.npz"
        near = pool_neighbours(inputs, plan.k, plan.similarity, file)
    kind, strength, source = plan.paraphraser, plan.paraphrase_strength, plan.paraphrase_source
    rewritten = paraphrases_of(task, kind, strength, source, plan.seed, plan.cache)
    prompter = Prompter(tokenizer, task.template, plan.window or window_of(path), plan.chat)
    if plan.group:
        sampler: ContextSampler = SharedSampler(strategy, near, inputs, plan.seed, plan.group)
    else:
        sampler = ContextSampler(strategy, near, inputs, plan.seed)
    return Parts(task, path, tokenizer, TrainingSet(task.pool, sampler, rewritten, prompter))


def make_model(plan: Plan, path: str) -> PeftModel:
    """The base, quantised if so planned, with a fresh adapter."""
    attention = plan.attention
    if plan.group > 1 and attention == "auto":  # FlashAttention cannot take the mask of shared contexts
        flex = torch.cuda.is_available() and torch.cuda.get_device_capability()[0] >= 8  # not on a T4
        attention = "flex_attention" if flex else "sdpa"
    base = load_base(path, quantise=plan.quantise, attention=attention)
    return add_lora(base, plan.lora, checkpointing=plan.settings.checkpointing)


def predict_memory(plan: Plan, path: str, survey: Survey) -> Prediction:
    """Peak memory of the run, from the model's config and what its prompts are like, before it is loaded."""
    settings = plan.settings
    return predict(
        AutoConfig.from_pretrained(path),
        window=survey.most_tokens,
        micro_batch=at_a_time(settings),
        lora=plan.lora,
        optimiser=optimiser(settings.optimiser),
        checkpointing=settings.checkpointing,
        quantise=plan.quantise,
        answer=ceil(survey.mean_answer_tokens),
        shards=processes() if is_split() else 1,
    )


def ic_train(plan: Plan, parts: Parts | None = None) -> dict[str, Any]:
    """Train as planned, or go on where an earlier try of the same plan stopped; return what done.json holds.

    A finished run of the same plan is not trained again; what is left of another plan is removed first.
    """
    folder = plan.run.folder
    done = folder / "done.json"
    state = PartialState(cpu=not torch.cuda.is_available())  # gives each process its GPU
    with state.main_process_first():  # what it makes the others find
        parts = parts or assemble(plan)
        identity = plan.identity(parts.task.pool)
        if read(folder / "plan.json") != identity:
            shutil.rmtree(folder, ignore_errors=True)
            write_json(folder / "plan.json", identity)
        if done.exists():
            return dict(read(done))
    survey = parts.prompts.survey(plan.settings.steps * plan.settings.batch)
    memory = predict_memory(plan, parts.path, survey)
    check_fits(memory, available_bytes())
    start = time.monotonic()
    curve = train(
        partial(make_model, plan, parts.path), parts.tokenizer, parts.prompts, plan.settings, folder
    )
    facts = {
        "plan": plan.known(),
        "facts": dict(parts.task.facts),
        "prompts": asdict(survey),
        "paraphrases": parts.prompts.paraphrases.shares(),
        "checkpoints": list(checkpoints(folder)),
        "curve": [{name: entry[name] for name in ("step", "loss", "learning_rate")} for entry in curve],
        "seconds": round(time.monotonic() - start, 1),
        "memory": {"predicted_gb": memory.total / GB, **compare(memory)},
    }
    if state.is_main_process:
        write_json(done, facts)
    return facts


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def main(text: str) -> int:
    """Run the plan in a JSON object and return the exit status."""
    try:
        values = json.loads(text)
        settings = Settings(**values.pop("settings", {}))
        ic_train(Plan(settings=settings, **values))
    except (InputError, json.JSONDecodeError, TypeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
