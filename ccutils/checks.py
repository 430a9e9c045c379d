"""What can be checked of a profile before anything starts, so that bad input costs nothing."""

import shutil
import tempfile
from dataclasses import replace
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ccutils.errors import InputError
from ccutils.execute import list_gpus, say
from ccutils.profiles import Profile, declared_parameters

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

    from ccutils.plan import Plan
    from ccutils.prompts import Prompter
    from ccutils.tasks import Task

FREE_BYTES = 200 * 2**20  # below this a run would fail half-way
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
        say(f"note: {error}")
    for model in profile.models:
        check_model(model, dry_run=dry_run)
    check_recipe(profile)
    for task in profile.tasks:
        check_task(profile, task, dry_run=dry_run)


def check_model(model: str, *, dry_run: bool = False) -> None:
    """Check a model's directory, or ask the Hub for it unless only planning; "tiny" always is there."""
    if model == "tiny":
        return
    from ccutils import models  # here, since it takes seconds to import

    models.check_model(model)
    if not dry_run and not Path(model).expanduser().exists():
        models.check_hub(model)


def check_recipe(profile: Profile) -> None:
    """Check what a profile changes of the tiny base's recipe."""
    for task in profile.tasks:
        changes = job_values(profile, TRAIN, task).get("recipe")
        if changes:
            from ccutils.tiny import make_recipe

            make_recipe(changes)


def check_task(profile: Profile, name: str, *, dry_run: bool = False) -> None:
    """Load the task as the notebooks will, and make the plans that they will make of it."""
    from ccutils.plan import check_plan, plan_of
    from ccutils.probe_items import check_items
    from ccutils.settings import check_divides
    from ccutils.tasks import load_task

    values, probes = job_values(profile, TRAIN, name), job_values(profile, PROBE, name)
    task = load_task(name, seed=profile.seeds[0][0], **values.get("task_options", {}))
    for strategy in profile.strategies:
        plan = plan_of(values, task=name, strategy=strategy, seed=profile.seeds[0][0])
        check_plan(plan, task)
    settings = plan.settings
    check_divides(plan.group or 1, settings.micro_batch or settings.batch)
    check_items(task, probes.get("k", plan.k), probes.get("n_items", 1))
    check_names(plan)
    for model in profile.models:
        check_on_model(replace(plan, model=model), task, dry_run=dry_run)


def job_values(profile: Profile, notebook: str, task: str) -> dict[str, Any]:
    """A notebook's parameters for a task, its own defaults included."""
    return {**declared_parameters(profile.notebook(notebook)), **profile.values(notebook, task=task)}


def check_names(plan: "Plan") -> None:
    """Raise InputError for an optimiser or an attention that transformers does not know."""
    if plan.settings.optimiser != "auto":  # only then, since the libraries take seconds to import
        from ccutils.training import optimiser

        optimiser(plan.settings.optimiser)
    if plan.attention != "auto":
        from ccutils.models import attention_kernel

        attention_kernel(plan.attention)


def check_on_model(plan: "Plan", task: "Task", *, dry_run: bool = False) -> None:
    """Raise InputError for what a model cannot have: window, chat form, LoRA's targets, attention.

    Of a model that is at hand: a directory, or the tiny base where something is not as it always is. One of
    the Hub is checked by the first notebooks. To a dry run it is nothing what attention this machine has.
    """
    if plan.model == "tiny":
        if (plan.window, plan.chat, plan.targets, plan.attention) == (0, False, "all-linear", "auto"):
            return
    elif not Path(plan.model).expanduser().exists():
        return
    from ccutils.models import check_model_takes
    from ccutils.prompts import Prompter

    tokenizer, config, window = at_hand(plan, task)
    prompter = Prompter(tokenizer, task.template, window, plan.chat)
    check_window(task, prompter)
    check_demonstrations(task, prompter)
    check_model_takes(config, plan.lora, "auto" if dry_run else plan.attention)


def at_hand(plan: "Plan", task: "Task") -> tuple["PreTrainedTokenizerBase", "PretrainedConfig", int]:
    """Tokenizer and config of a model directory, or of the tiny base before it is made, and the window."""
    from ccutils.models import config_of, load_tokenizer, window_of
    from ccutils.tiny import make_recipe, tiny_config, word_tokenizer

    if plan.model == "tiny":
        recipe = make_recipe(plan.recipe)
        words = word_tokenizer(task, recipe.vocabulary)
        return words, tiny_config(words, recipe), plan.window or recipe.window
    path = str(Path(plan.model).expanduser())
    return load_tokenizer(path), config_of(path), plan.window or window_of(path)


def check_window(task: "Task", prompter: "Prompter") -> None:
    """Raise InputError for the first example of the pool or a test set that is too long even without context.

    Training and probes would find it, too, but the probes only after the training.
    """
    prompter.check_alone("pool", task.pool)
    for name in ("id_test", "ood_test"):
        prompter.check_alone(name, getattr(task, name), task.max_new_tokens)


def check_demonstrations(task: "Task", prompter: "Prompter") -> None:
    """Raise InputError for a window that holds no target of the pool with even one demonstration."""
    pairs = pairwise(task.pool)
    if all(prompter.prompt([e], target, len(prompter.answer(target))).dropped for e, target in pairs):
        raise InputError(
            f"window is {prompter.window}: no demonstration fits beside a target, raise it or set it to 0."
        )


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


def check_results_folder(folder: Path) -> None:
    """Make the results folder and write to it. Raises InputError if it is read-only or full."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x" * 4096)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"results folder {folder} cannot be written to ({reason}): choose another by the parameter "
            "results (--set results=FOLDER)."
        ) from error
    if free < FREE_BYTES:
        raise InputError(
            f"results folder {folder} has {free >> 20} MB left and a run needs {FREE_BYTES >> 20}: "
            "free some, or choose another by the parameter results (--set results=FOLDER)."
        )
