"""A task and a model small enough to train in a test, through the code that trains any other."""

from pathlib import Path

from ccutils.training.plan import Plan
from ccutils.training.prepare import PreparedRun, prepare_run
from ccutils.training.settings import Settings

RECIPE = {
    "layers": 1,
    "width": 16,
    "heads": 2,
    "window": 128,
    "repeat_steps": 1,
    "episode_steps": 1,
    "batch": 2,
}
TASK = {"n_topics": 8, "n_novel": 4, "pool_size": 40, "n_test": 10}


def make_plan(results: Path, strategy: str = "contrastive", **changes: object) -> Plan:
    """A plan of 6 steps of 8 targets; `changes` are fields of Settings or of Plan."""
    values = {"steps": 6, "batch": 8, "n_checkpoints": 3, "learning_rate": 1e-2}
    own = {name: changes.pop(name) for name in list(changes) if name in Settings.__dataclass_fields__}
    settings = Settings(**{**values, **own})  # type: ignore[arg-type]
    fixed = {"results": str(results), "strategy": strategy, "k": 3, "epsilon": 0.3, "rank": 2}
    return Plan(**{**fixed, "task_options": TASK, "recipe": RECIPE, "settings": settings, **changes})  # type: ignore[arg-type]


def make_prepared(results: Path, strategy: str = "contrastive", **changes: object) -> PreparedRun:
    return prepare_run(make_plan(results, strategy, **changes))
