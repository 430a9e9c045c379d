"""What can be checked of a profile before anything starts, so that bad input costs nothing."""

import os
import shutil
import sysconfig
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ccutils.chain.job import list_gpus, print_line
from ccutils.chain.profiles import Profile, declared_parameters
from ccutils.errors import InputError
from ccutils.packaged import LANGUAGE_MODELS, find_model, packaged_folder

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

    from ccutils.tasks import Task
    from ccutils.training.plan import Plan

TRAIN, PROBE = "03_ic_train", "04_probes"


def check_profile(profile: Profile, *, dry_run: bool = False) -> None:
    """Raise InputError for a model, task, strategy or option that would fail later, or for a missing GPU.

    A plan without running needs no GPU: then a missing one is only told.
    """
    try:
        check_gpu(profile)
    except InputError as error:
        if not dry_run:
            raise
        print_line(f"note: {error}")
    for model in profile.models:
        check_model_at_hand(model, dry_run=dry_run)
    for task in profile.tasks:
        check_task(profile, task, dry_run=dry_run)


def check_model_at_hand(model: str, *, dry_run: bool = False) -> None:
    """Check a model's directory, or ask the Hub for it unless only planning; "tiny" always is there, and
    a model of LANGUAGE_MODELS is fetched now.
    """
    if model == "tiny":
        return
    if model in LANGUAGE_MODELS:
        if not dry_run:
            find_model(model)
        return
    from ccutils.models import base  # here, since it takes seconds to import

    base.check_model(model)
    if not dry_run and not Path(model).expanduser().exists():
        base.check_hub(model)


def check_task(profile: Profile, name: str, *, dry_run: bool = False) -> None:
    """Load the task as the notebooks will, and make the plans that they will make of it."""
    from ccutils.probes.questions import check_questions
    from ccutils.tasks import load_task
    from ccutils.training.identity import refuse_other_run
    from ccutils.training.plan import check_plan, plan_from
    from ccutils.training.settings import check_group_size

    values, probes = job_values(profile, TRAIN, name), job_values(profile, PROBE, name)
    if values.get("recipe"):
        from ccutils.models.tiny import make_recipe  # only then, since it takes seconds to import

        make_recipe(values["recipe"])
    task = load_task(name, seed=profile.seeds[0][0], **values.get("task_options", {}))
    for strategy in profile.strategies:
        plan = plan_from(values, task=name, strategy=strategy, seed=profile.seeds[0][0])
        check_plan(plan, task)
        settings = plan.settings
        check_group_size(plan.targets_per_context or 1, settings.micro_batch or settings.batch)
    asked = (probes.get("k", plan.k), probes.get("n_targets", 1), probes.get("kinds", []))
    check_questions(task, *asked)
    for other, options in probes.get("elsewhere", {}).items():
        check_questions(load_task(other, seed=profile.seeds[0][0], **options), *asked)
        for model in profile.models:  # before Snakemake removes what it would make again
            for seed in (seed for group in profile.seeds for seed in group):
                refuse_other_run(replace(plan, model=model, seed=seed, results=str(profile.results_folder)))
    check_names(plan)
    for model in profile.models:
        check_on_model(replace(plan, model=model), task, dry_run=dry_run)


def job_values(profile: Profile, notebook: str, task: str) -> dict[str, Any]:
    """Return a notebook's parameters for a task, its own defaults included."""
    return {**declared_parameters(profile.notebook(notebook)), **profile.values(notebook, task=task)}


def check_names(plan: "Plan") -> None:
    """Raise InputError for an optimiser or an attention that transformers does not know."""
    if plan.settings.optimiser != "auto":  # only then, since the libraries take seconds to import
        from ccutils.training.trainer import optimiser

        optimiser(plan.settings.optimiser)
    if plan.attention != "auto":
        from ccutils.models.base import attention_kernel

        attention_kernel(plan.attention)


def check_on_model(plan: "Plan", task: "Task", *, dry_run: bool = False) -> None:
    """Raise InputError for what a model cannot have: window, chat form, LoRA's targets, attention.

    Of a model that is at hand: a directory, a model of LANGUAGE_MODELS once it is fetched, or the tiny base
    where something is not as it always is. One of the Hub is checked by the first notebooks. To a dry run it
    is nothing what attention this machine has.
    """
    if plan.model == "tiny":
        if (plan.window, plan.chat, plan.targets, plan.attention) == (0, False, "all-linear", "auto"):
            return
    elif not local_folder(plan.model).exists():
        return
    from ccutils.contexts.prompts import Prompter, check_demonstrations, check_window
    from ccutils.models.base import check_model_takes

    tokenizer, config, window = at_hand(plan, task)
    prompter = Prompter(tokenizer, task.template, window, plan.chat)
    check_window(task, prompter)
    check_demonstrations(task, prompter)
    check_model_takes(config, plan.lora, "auto" if dry_run else plan.attention)


def local_folder(model: str) -> Path:
    """Return where a model's directory is on this machine, if it is."""
    return packaged_folder(model) if model in LANGUAGE_MODELS else Path(model).expanduser()


def at_hand(plan: "Plan", task: "Task") -> tuple["PreTrainedTokenizerBase", "PretrainedConfig", int]:
    """Return tokenizer and config of a model directory, or of the tiny base before it is made, and the
    window.
    """
    from ccutils.models.base import config_of, context_length, load_tokenizer
    from ccutils.models.tiny import make_recipe, tiny_config, word_tokenizer

    if plan.model == "tiny":
        recipe = make_recipe(plan.recipe)
        words = word_tokenizer(task, recipe.vocabulary)
        return words, tiny_config(words, recipe), plan.window or recipe.window
    path = str(local_folder(plan.model))
    return load_tokenizer(path), config_of(path), plan.window or context_length(path)


def check_gpu(profile: Profile) -> None:
    """Raise InputError if a profile needs a GPU and there is none, or this environment's torch uses none."""
    if not profile.gpu:
        return
    if not list_gpus():
        raise InputError(
            "this profile needs an NVIDIA GPU and none is found: run it where there is one, take "
            "--profile cpu, or set gpu: false in the profile to compute on the CPU, which is slow."
        )
    if version("torch").endswith("+cpu"):
        raise InputError(
            "this environment has torch for the CPU only: delete .venv and start again on this machine."
        )
    check_compiler()


def check_compiler() -> None:
    """Raise InputError without what Triton, with which training on a GPU computes its loss, compiles with."""
    compilers = [os.environ["CC"]] if "CC" in os.environ else ["gcc", "clang"]
    if not any(map(shutil.which, compilers)):
        missing = f"C compiler ({' or '.join(compilers)})"
    elif not Path(sysconfig.get_path("include"), "Python.h").exists():
        missing = f"header of Python ({sysconfig.get_path('include')}/Python.h)"
    else:
        return
    raise InputError(
        f"training on a GPU compiles kernels, and no {missing} is found: install gcc and python3-dev."
    )
