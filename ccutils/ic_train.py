"""One IC-Train run from its description to its adapter: what notebook 03 and `accelerate launch` call.

On several GPUs, with a JSON object of the fields of Plan:
accelerate launch --config_file launch/data_parallel.yaml -m ccutils.ic_train '{"task": "mtop", ...}'
"""

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from peft import PeftModel
from transformers import PreTrainedTokenizerBase, Trainer, TrainingArguments

from ccutils.checks import check_results_folder
from ccutils.contexts import ContextSampler, Strategy
from ccutils.errors import InputError
from ccutils.memory import GB, Prediction, available_bytes, check_fits, compare, predict
from ccutils.models import (
    add_lora,
    check_model_takes,
    config_of,
    expands,
    is_split,
    load_base,
    load_tokenizer,
    model_path,
    window_of,
)
from ccutils.neighbours import pool_neighbours
from ccutils.paraphrase import paraphrases_of
from ccutils.plan import Plan, check_plan, read_plan
from ccutils.prompts import Prompter
from ccutils.results import read_json, write_json
from ccutils.settings import check_divides
from ccutils.shared_contexts import SharedSampler
from ccutils.tasks import Task, load_task
from ccutils.tiny import make_recipe
from ccutils.training import accumulation, at_a_time, checkpoints, optimiser, processes, spent, train
from ccutils.training_set import Survey, TrainingSet


@dataclass(frozen=True, slots=True)
class Parts:
    """What a plan comes to: the task, the base's path and tokenizer, and the prompts."""

    task: Task
    path: str
    tokenizer: PreTrainedTokenizerBase
    prompts: TrainingSet


def assemble(plan: Plan) -> Parts:
    """Load the task, make or find the base, find neighbours and paraphrases.

    Raises InputError for all that can be known to be wrong without loading the model.
    """
    check_results_folder(Path(plan.results))
    task = load_task(plan.task, seed=plan.seed, **plan.task_options)
    check_plan(plan, task)
    check_training(plan)
    path = model_path(plan.model, task, plan.cache, make_recipe(plan.recipe))
    check_model_takes(config_of(path), plan.lora, kernel_of(plan))
    tokenizer = load_tokenizer(path)
    strategy = Strategy(plan.strategy, plan.k, plan.p, plan.epsilon)
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


def check_training(plan: Plan) -> None:
    """Raise InputError for an optimiser that cannot be had, or a batch that cannot be divided as planned."""
    settings = plan.settings
    micro, name = at_a_time(settings), optimiser(settings.optimiser)
    accumulation(settings.batch, micro)
    check_divides(plan.group or 1, micro)
    try:
        Trainer.get_optimizer_cls_and_kwargs(
            TrainingArguments(optim=name, use_cpu=not torch.cuda.is_available(), report_to="none")
        )
    except (ImportError, ValueError) as error:  # a package that it needs is missing
        raise InputError(f"optimiser {name!r} cannot be had here ({error}): choose another.") from error


def make_model(plan: Plan, path: str, layers: int = 0) -> PeftModel:
    """The base, or its first `layers`, quantised if so planned, with a fresh adapter."""
    base = load_base(path, quantise=plan.quantise, attention=kernel_of(plan), layers=layers)
    return add_lora(base, plan.lora, checkpointing=plan.settings.checkpointing)


def kernel_of(plan: Plan) -> str:
    """The attention to load a model with: FlashAttention cannot take the mask of shared contexts."""
    if plan.group <= 1 or plan.attention != "auto":
        return plan.attention
    flex = torch.cuda.is_available() and not expands()
    return "flex_attention" if flex else "sdpa"


def predict_memory(plan: Plan, path: str, survey: Survey) -> Prediction:
    """Peak memory of the run, from the model's config and what its prompts are like, before it is loaded."""
    settings, group = plan.settings, max(1, plan.group)
    return predict(
        config_of(path),
        window=survey.longest,
        micro_batch=ceil(at_a_time(settings) / group),
        group=group,
        shared=survey.shared,
        in_parts=group > 1 and kernel_of(plan) != "flex_attention",
        lora=plan.lora,
        optimiser=optimiser(settings.optimiser),
        checkpointing=settings.checkpointing,
        quantise=plan.quantise,
        answer=ceil(survey.mean_answer_tokens * group),
        shards=processes() if is_split() else 1,
    )


def ic_train(plan: Plan, parts: Parts | None = None) -> dict[str, Any]:
    """Train as planned, or go on where an earlier try of the same plan stopped; return what done.json holds.

    A finished run of the same plan is not trained again. What is left of another plan is removed once nothing
    is found to refuse in this one, by any process.
    """
    folder = plan.run.folder
    done = folder / "done.json"
    # Gives each process its GPU; the others may wait long for the tiny base or for paraphrases.
    state = PartialState(cpu=not torch.cuda.is_available(), timeout=timedelta(hours=6))
    with state.main_process_first():  # what it makes the others find
        parts = parts or assemble(plan)
    identity = plan.identity(parts.task.pool)
    if done.exists() and read_json(folder / "plan.json") == identity:
        return dict(read_json(done))
    survey = parts.prompts.survey(plan.settings.steps * plan.settings.batch)
    memory = predict_memory(plan, parts.path, survey)
    check_fits(memory, available_bytes())
    state.wait_for_everyone()
    with state.main_process_first():
        make_room(folder, identity)
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
        "seconds": spent(folder),
        "memory": {"predicted_gb": memory.total / GB, **compare(memory)},
    }
    if state.is_main_process:
        write_json(done, facts)
    return facts


def make_room(folder: Path, identity: Mapping[str, Any]) -> None:
    """Remove what a run of another plan has left in the folder, saying why, and note this plan there."""
    found = read_json(folder / "plan.json")
    if found == identity:
        return
    if folder.exists() and any(folder.iterdir()):
        why = "it has no plan.json" if found is None else "; ".join(differences(found, identity))
        print(f"removing the run in {folder}, since this is another: {why}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
    write_json(folder / "plan.json", identity)


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """What differs between two identities; those of settings, recipe and task_options by their own names."""
    for name in sorted({*old, *new}):
        was, now = old.get(name), new.get(name)
        if isinstance(was, dict) and isinstance(now, dict):
            yield from differences(was, now)
        elif was != now:
            yield f"{name} was {was!r} and is {now!r}"


def main(arguments: Sequence[str]) -> int:
    """Run the plan in the one argument, a JSON object, and return the exit status."""
    try:
        if len(arguments) != 1:
            raise InputError(
                f"{len(arguments)} arguments given: give one, a JSON object of the plan, such as "
                '\'{"task": "topics", "settings": {"steps": 400}}\'.'
            )
        ic_train(read_plan(arguments[0]))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
