"""Tasks by name: their data in four sets, their scores, and what the probes need of them.

A task is a `Task` of `base`: a pool, ID and OOD tests, a score, labels that can be changed, and which example
is relevant to which. Each kind has a file with a function of its name (`synthetic`, `requests`, `mtop`,
`text_to_sql`, `translation`, `jsonl`), which `load_task` calls. `files` and `hub` read data, `splits` divides
it, `relabel` changes labels, `metrics`, `sql_metrics` and `brackets` score answers. The paper uses MTOP,
Text-to-SQL, translation and synthetic tasks; our splits, labels and synthetic tasks differ from its own.
"""

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ccutils.errors import InputError, check_kind, from_text
from ccutils.tasks.base import Example, Task, Template

__all__ = ["TASKS", "Example", "Task", "Template", "load_task", "option_defaults"]

TASKS = {
    "topics": "synthetic",
    "gloss": "synthetic",
    "requests": "requests",
    "mtop": "mtop",
    "jsonl": "jsonl",
    "text_to_sql": "text_to_sql",
    "translation": "translation",
}
"""Name of each task, and the file of ccutils.tasks that defines it as a function of the same name."""


def load_task(name: str, *, seed: int, **options: Any) -> Task:
    """Load a task by name; `options` are the keyword arguments of its function.

    Text after a hyphen is a label: a profile's `mtop-de` and `mtop-fr` are one task with different options.
    Raises InputError for an unknown task or option, and for an option of another kind than its function
    declares, as YAML may read `no` or `1e3`.

    >>> task = load_task("topics", seed=0, pool_size=100)
    >>> len(task.pool), len(task.pool[0].input.split())
    (100, 4)
    """
    loader = _loader(name)
    task: Task = loader(seed=seed, **_check_options(name.partition("-")[0], loader, options))
    return task


def option_defaults(name: str) -> dict[str, Any]:
    """List the options of a task that have a default, as JSON writes them.

    Raises InputError for an unknown task.

    >>> option_defaults("topics")["pool_size"]
    1000
    """
    defaults = {n: p.default for n, p in inspect.signature(_loader(name)).parameters.items()}
    return {
        n: list(v) if isinstance(v, tuple) else v
        for n, v in defaults.items()
        if v is not inspect.Parameter.empty
    }


def _loader(name: str) -> Callable[..., Task]:
    """Import a task's function."""
    name = name.partition("-")[0]
    if name not in TASKS:
        raise InputError(f"task {name!r} does not exist: choose one of {', '.join(TASKS)}.")
    loader: Callable[..., Task] = getattr(importlib.import_module(f"ccutils.tasks.{TASKS[name]}"), name)
    return loader


def _check_options(task: str, loader: Callable[..., Task], options: Mapping[str, Any]) -> dict[str, Any]:
    """Check options against the defaults of a task's function; convert numbers that YAML reads as text.

    An option without a default, or with None, is a text; one with a tuple is a list of texts.
    """
    parameters = {n: p.default for n, p in inspect.signature(loader).parameters.items() if n != "seed"}
    checked = {}
    for name, value in options.items():
        if name not in parameters:
            raise InputError(f"task {task!r} has no option {name!r}: it has {', '.join(parameters)}.")
        default, where = parameters[name], f"option {name} of task {task!r}"
        if isinstance(default, tuple):
            if isinstance(value, str) or not isinstance(value, Sequence):
                raise InputError(f"{where} is {value!r} but must be a list of texts, such as [one, two].")
            for item in value:
                check_kind(f"{where}: an entry", item, "text")
        elif value is not None or default is not None:
            default = "text" if default in (None, inspect.Parameter.empty) else default
            value = from_text(value, default)
            check_kind(where, value, default)
            if value == "":
                raise InputError(f"{where} is empty: give a value, or leave the option out.")
        checked[name] = value
    return checked
