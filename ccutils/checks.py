"""What can be checked of a profile before anything starts, so that bad input costs nothing."""

import shutil
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ccutils.errors import InputError
from ccutils.execute import list_gpus
from ccutils.profiles import Profile

if TYPE_CHECKING:
    from ccutils.prompts import Prompter
    from ccutils.tasks import Task

FREE_BYTES = 200 * 2**20  # below this a run would fail half-way
TRAIN = "03_ic_train"


def check_profile(profile: Profile, *, dry_run: bool = False) -> None:
    """Raise InputError for a model, task, strategy or option that would fail later, or for a missing GPU."""
    for model in profile.models:
        check_model(model, dry_run=dry_run)
    check_recipe(profile)
    for task in profile.tasks:
        check_task(profile, task)
    if profile.gpu and not dry_run:
        check_gpu()


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
        changes = job_values(profile, task).get("recipe")
        if changes:
            from ccutils.tiny import make_recipe

            make_recipe(changes)


def check_task(profile: Profile, name: str) -> None:
    """Load the task as the notebooks will, and make each strategy and the training's settings."""
    from ccutils.contexts import Strategy
    from ccutils.settings import Settings
    from ccutils.tasks import load_task

    values = job_values(profile, name)
    task = load_task(name, seed=profile.seeds[0][0], **values.get("task_options", {}))
    for strategy in profile.strategies:
        Strategy(strategy, **{key: values[key] for key in ("k", "p", "epsilon") if key in values})
    settings = Settings(**{key: values[key] for key in Settings.__dataclass_fields__ if key in values})
    check_group(values.get("group", 0), profile.strategies, settings.micro_batch or settings.batch)
    if values.get("k", 1) > len(task.pool):
        raise InputError(
            f"k is {values['k']}, above the {len(task.pool)} examples of {name}'s pool: lower it."
        )


def check_group(group: int, strategies: Sequence[str], at_a_time: int) -> None:
    """Raise InputError for shared contexts with a strategy that has nothing to share, or of a wrong size."""
    from ccutils.settings import check_divides
    from ccutils.shared_contexts import SHAREABLE

    lacking = [strategy for strategy in strategies if strategy not in SHAREABLE]
    if group and lacking:
        raise InputError(
            f"group is {group}, and strategy {lacking[0]!r} has no random demonstrations to share: set "
            f"strategy to {' or '.join(SHAREABLE)}, or group to 0."
        )
    check_divides(group or 1, at_a_time)


def job_values(profile: Profile, task: str) -> dict[str, Any]:
    """The training notebook's parameters for a task, its own defaults included."""
    from ccutils.profiles import declared_parameters

    return {**declared_parameters(profile.notebook(TRAIN)), **profile.values(TRAIN, task=task)}


def check_window(task: "Task", prompter: "Prompter") -> None:
    """Raise InputError for the first example of the pool or a test set that is too long even without context.

    Training and probes would find it, too, but the probes only after the training.
    """
    prompter.check_alone("pool", task.pool)
    for name in ("id_test", "ood_test"):
        prompter.check_alone(name, getattr(task, name), task.max_new_tokens)


def check_gpu() -> None:
    """Raise InputError if there is no GPU, or if this environment's torch cannot use one."""
    if not list_gpus():
        raise InputError(
            "this profile needs an NVIDIA GPU and nvidia-smi finds none: use --profile cpu here."
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
            f"results folder {folder} cannot be written to ({reason}): choose another, --set results=FOLDER."
        ) from error
    if free < FREE_BYTES:
        raise InputError(
            f"results folder {folder} has {free >> 20} MB left and a run needs {FREE_BYTES >> 20}: "
            "free some, or choose another, --set results=FOLDER."
        )
