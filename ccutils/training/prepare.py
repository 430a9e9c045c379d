"""Prepare a run for training: load its task, find its base, build its prompts, and check all of them."""

from dataclasses import dataclass
from math import ceil
from pathlib import Path

import torch
from peft import PeftModel
from transformers import PreTrainedTokenizerBase, Trainer, TrainingArguments

from ccutils.contexts.barred import BarredSampler
from ccutils.contexts.counterfactual import Counterfactual
from ccutils.contexts.neighbours import neighbours_file, pool_neighbours
from ccutils.contexts.paraphrase import paraphrase_pool
from ccutils.contexts.prompts import Prompter
from ccutils.contexts.sampler import ContextSampler, Strategy
from ccutils.errors import InputError
from ccutils.models.base import (
    add_lora,
    check_model_takes,
    config_of,
    context_length,
    load_base,
    load_tokenizer,
    model_path,
    uses_fsdp,
)
from ccutils.models.paraphraser import write_paraphrases
from ccutils.models.tiny import make_recipe
from ccutils.models.unpacked import is_small, unpack
from ccutils.records import check_results_folder
from ccutils.tasks import Task, load_task
from ccutils.training.dataset import Survey, TrainingSet
from ccutils.training.identity import refuse_other_run
from ccutils.training.memory import Prediction, predict
from ccutils.training.plan import Plan, check_plan
from ccutils.training.trainer import accumulation, micro_batch_size, optimiser, processes


@dataclass(frozen=True, slots=True)
class PreparedRun:
    """A run ready to train: its task, the base's path and tokenizer, and the prompts."""

    task: Task
    path: str
    tokenizer: PreTrainedTokenizerBase
    prompts: TrainingSet


def prepare_run(plan: Plan) -> PreparedRun:
    """Load the task, find or train the base, find neighbours and paraphrases.

    Raises InputError for everything that can be found wrong without loading the model.
    """
    check_results_folder(Path(plan.results))
    task = load_task(plan.task, seed=plan.seed, **plan.task_options)
    check_plan(plan, task)
    check_training(plan)
    refuse_other_run(plan)
    path = model_path(plan.model, task, plan.cache, make_recipe(plan.recipe, plan.seed))
    check_model_takes(config_of(path), plan.lora, plan.attention)
    tokenizer = load_tokenizer(path)
    strategy = Strategy(plan.strategy, plan.k, plan.p, plan.epsilon)
    inputs = [e.input for e in task.pool]
    near = None
    if strategy.neighbours:
        file = neighbours_file(Path(plan.results) / plan.task, plan.seed, plan.similarity)
        near = pool_neighbours(inputs, plan.k, plan.similarity, file)
    rewritten = paraphrase_pool(task, plan.paraphraser_for(task), plan.cache, write_paraphrases)
    prompter = Prompter(tokenizer, task.template, plan.window or context_length(path), plan.chat)
    if plan.barred:
        sampler: ContextSampler = BarredSampler(
            strategy, inputs, plan.seed, lambda a, b: task.relevant(task.pool[a], task.pool[b])
        )
    else:
        sampler = ContextSampler(strategy, near, inputs, plan.seed)
    relabel = None
    if plan.counterfactual:
        relabel = Counterfactual(task.pool, plan.counterfactual, plan.relabel, task.map_labels)
    prompts = TrainingSet(
        task.pool, sampler, rewritten, task.redraw_labels, relabel, plan.vary_k, prompter=prompter
    )
    return PreparedRun(task, path, tokenizer, prompts)


def check_training(plan: Plan) -> None:
    """Raise InputError for an unavailable optimiser, or a batch that the processes cannot share."""
    settings = plan.settings
    name = optimiser(settings.optimiser)
    accumulation(settings.batch, micro_batch_size(settings))
    try:
        Trainer.get_optimizer_cls_and_kwargs(
            TrainingArguments(optim=name, use_cpu=not torch.cuda.is_available(), report_to="none")
        )
    except (ImportError, ValueError) as error:  # a package that it needs is missing
        raise InputError(f"optimiser {name!r} is not available ({error}): choose another.") from error


def make_model(plan: Plan, path: str, layers: int = 0) -> PeftModel:
    """Load the base, or its first `layers`, as planned, with a fresh adapter."""
    base = load_base(path, quantise=plan.quantise, attention=plan.attention, layers=layers)
    if is_small(base):
        unpack(base)
    return add_lora(base, plan.lora, checkpointing=plan.settings.checkpointing)


def predict_memory(plan: Plan, path: str, survey: Survey) -> Prediction:
    """Predict the peak memory of the run from the model's config and a survey of its prompts."""
    settings = plan.settings
    return predict(
        config_of(path),
        window=survey.most_tokens,
        micro_batch=micro_batch_size(settings),
        lora=plan.lora,
        optimiser=optimiser(settings.optimiser),
        checkpointing=settings.checkpointing,
        quantise=plan.quantise,
        answer=ceil(survey.mean_answer_tokens),
        shards=processes() if uses_fsdp() else 1,
    )
