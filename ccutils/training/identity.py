"""Which run a folder contains: identified by its data and the values that matter, never by a path.

A run folder's plan.json describes its run in full. Two descriptions are compared after defaults are filled
in, so that a parameter added later does not make older runs foreign. A folder with another run is never
written to.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ccutils.contexts.prompts import TOKENISATION
from ccutils.errors import InputError
from ccutils.origin import hash_file, hash_texts
from ccutils.packaged import LANGUAGE_MODELS
from ccutils.records import model_folder, read_json, write_json
from ccutils.tasks import Task, option_defaults
from ccutils.training.plan import Plan

NO_EFFECT = ("results", "attention", "settings.micro_batch", "settings.checkpointing", "settings.keep")
"""Values that move the work about but do not change what is trained."""


def describe_run(plan: Plan, task: Task) -> dict[str, Any]:
    """Describe a run for its plan.json: the plan, and hashes of its data, of a base from a folder or the Hub,
    and of a file or model of paraphrases.
    """
    from ccutils.models.base import hash_base, model_path  # here, since it takes seconds to import

    pool = json.dumps([[e.input, e.output] for e in task.pool])
    description = {**_known(plan), "data": hashlib.sha256(pool.encode()).hexdigest()[:16]}
    extra = [dict(e.extra) for e in task.pool]
    if any(extra):
        description["extra"] = hash_texts([extra])
    if plan.model not in ("tiny", *LANGUAGE_MODELS):
        description["base"] = hash_base(model_path(plan.model, task, plan.cache))
    source = Path(plan.paraphrase_source).expanduser()
    if plan.paraphrase_source and source.exists():
        description["paraphrases"] = hash_file(source) if source.is_file() else hash_base(str(source))
    return description


def _known(plan: Plan) -> dict[str, Any]:
    """List what is known of a run before its task is loaded."""
    return {**plan.known(), "tokenisation": TOKENISATION}


def changes(found: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Compare two descriptions of runs and list the values (found, now) that differ, by name.

    A hash that only one of them has is not compared, nor is a name where both have a hash, or where `now` has
    no hashes yet.
    """
    recipes_differ = found.get("recipe") != now.get("recipe")
    old, new = _values(found, recipes_differ), _values(now, recipes_differ)
    for name, by_hash in (("model", "base"), ("paraphrase_source", "paraphrases")):
        if by_hash in old and (by_hash in new or "data" not in new):
            del old[name], new[name]
    one_sided = {"data", "extra", "base", "paraphrases"}.intersection(old.keys() ^ new.keys())
    names = sorted((old.keys() | new.keys()) - one_sided)
    pairs = {name: (old.get(name), new.get(name)) for name in names}
    return {name: (was, value) for name, (was, value) in pairs.items() if was != value and (was or value)}


def _values(description: Mapping[str, Any], fill_recipe: bool) -> dict[str, Any]:
    """Flatten a description, its defaults filled in; values without effect and paths are left out."""
    values = {**Plan().known(), **description}
    values["settings"] = {**asdict(Plan().settings), **values["settings"]}
    values["task_options"] = {**option_defaults(values["task"]), **values["task_options"]}
    if values["model"] == "tiny" and fill_recipe:
        from ccutils.models.tiny import make_recipe  # only then, since it takes seconds to import

        values["recipe"] = asdict(make_recipe(values["recipe"], values["seed"]))
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= {f"{name}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {name: value}
    # Older runs tokenised each part of a prompt for itself, which is the same to the tiny base's words.
    tokenisation = flat.pop("tokenisation", "parts")
    if values["model"] != "tiny":
        flat["tokenisation"] = tokenisation
    flat["model"] = model_folder(flat["model"])
    flat["paraphrase_source"] = "" if is_path(flat["paraphrase_source"]) else flat["paraphrase_source"]
    if is_path(encoder := flat["similarity"].removeprefix("st:")):
        flat["similarity"] = f"st:{Path(encoder).name}"
    paths = [n for n in flat if n.startswith("task_options.") and n.endswith(("path", "databases"))]
    return {name: value for name, value in flat.items() if name not in (*NO_EFFECT, *paths)}


def is_path(name: str) -> bool:
    """Check whether a model or source is a path on this machine, rather than a name.

    >>> is_path("/models/mine"), is_path("org/name"), is_path("tiny")
    (True, False, False)
    """
    return name.startswith(("/", "~", ".")) or Path(name).is_absolute()


def write_changes(changed: Mapping[str, tuple[Any, Any]]) -> str:
    """Write changes for a message.

    >>> write_changes({"k": (6, 4), "settings.steps": (400, 50)})
    'k was 6 and is now 4; steps was 400 and is now 50'
    """
    pairs = ((name.rpartition(".")[2], was, now) for name, (was, now) in changed.items())
    return "; ".join(f"{name} was {was!r} and is now {now!r}" for name, was, now in pairs)


def read_description(folder: Path) -> dict[str, Any] | None:
    """Read the plan.json of a run's folder; None if there is none. Raises InputError for a broken one."""
    path = folder / "plan.json"
    try:
        found = read_json(path)
    except ValueError:
        found = ""
    if found is not None and not (isinstance(found, dict) and isinstance(found.get("settings"), dict)):
        raise InputError(f"{path} is broken: copy it again, or move {folder} away. Nothing was changed.")
    return found


def refuse_other_run(plan: Plan, description: Mapping[str, Any] | None = None) -> None:
    """Raise InputError if the plan's folder contains another run; nothing in the folder is changed.

    Without a `description` only what the plan itself says is compared, not data and base.
    """
    folder = plan.run.folder
    found = read_description(folder)
    if found is None:
        if not any(folder.glob("checkpoint-*")):
            return
        why = "a run without plan.json"
    else:
        changed = changes(found, description or _known(plan))
        if not changed:
            return
        why = f"another run: {write_changes(changed)}"
    raise InputError(
        f"{folder} contains {why}. Nothing was changed. Choose another `results`, such as "
        f"{plan.results.rstrip('/')}-2, or move the old folder away."
    )


def claim_folder(plan: Plan, description: Mapping[str, Any]) -> None:
    """Write the run's plan.json, unless it is there. Raises InputError if the folder contains another run."""
    refuse_other_run(plan, description)
    path = plan.run.folder / "plan.json"
    if not path.exists():
        write_json(path, dict(description))
