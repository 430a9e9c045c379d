"""What is learnt: tasks by name, their data in four sets, their scores, and the probes' needs of them.

A task is a `Task` of `base`: pool, ID and OOD tests, a score, labels that can be changed, what is relevant
to what. Each kind has a file (`synthetic`, `requests` with its `grammar`, `mtop`, `text_to_sql` with its
sandbox `sql` and `sql_worker`, `translation`, `jsonl`), and `load_task` finds it by name; `files` and `hub`
read data, `metrics`, `sql_metrics` and `brackets` judge answers. That MTOP, Text-to-SQL, translation and
synthetic tasks are used is the paper's; the synthetic ones, splits and labels here are ours. It uses the
root alone. `base` holds data classes alone; `sql_names` and `databases` are tested in
tests/tasks/test_text_to_sql.py, `sql_worker` in test_sql.py, `grammar` in test_requests.py, `tables`,
`parquet`, `splits` and `options` in test_files.py and test_jsonl.py.
"""

import importlib
import inspect
from collections.abc import Callable
from typing import Any

from ccutils.errors import InputError
from ccutils.tasks.base import Example, Task, Template
from ccutils.tasks.options import check_options

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
"""Name of each task and the file of ccutils.tasks that holds it, as a function of the same name."""


def load_task(name: str, *, seed: int, **options: Any) -> Task:
    """Load a task by name; `options` are the keyword arguments of its function.

    What follows a hyphen is a label: a profile's `mtop-de` and `mtop-fr` are one task with different options.
    Raises InputError for a task or an option that does not exist, naming those that do, and
    for an option of another kind than its function declares, as YAML may make of `no` or `1e3`.

    >>> task = load_task("topics", seed=0, pool_size=100)
    >>> len(task.pool), len(task.pool[0].input.split())
    (100, 4)
    """
    loader = _loader(name)
    task: Task = loader(seed=seed, **check_options(name.partition("-")[0], loader, options))
    return task


def option_defaults(name: str) -> dict[str, Any]:
    """List the options of a task that have a default, as JSON writes them.

    Raises InputError for a task that does not exist.

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
    """Import the function that loads a task."""
    name = name.partition("-")[0]
    if name not in TASKS:
        raise InputError(f"task {name!r} does not exist: choose one of {', '.join(TASKS)}.")
    loader: Callable[..., Task] = getattr(importlib.import_module(f"ccutils.tasks.{TASKS[name]}"), name)
    return loader
