"""The rooms: the core without torch, and every public name where its room says it is."""

import importlib
import subprocess
import sys
from types import ModuleType

import pytest

ROOMS = [
    "tasks",
    "contexts",
    "models",
    "training",
    "probes",
    "evaluation",
    "report",
    "theory",
    "chain",
    "tools",
]


@pytest.mark.parametrize("room", ROOMS)
def test_a_subpackage_has_what_it_exports(room: str) -> None:
    module = importlib.import_module(f"ccutils.{room}")
    assert module.__doc__
    for name in module.__all__:
        assert getattr(module, name) is not None
        assert not isinstance(getattr(module, name), ModuleType), f"{name} is a file of the room, too"


def test_the_core_works_where_torch_is_missing() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 4


def test_the_command_line_and_a_plan_import_nothing_heavy() -> None:
    """Help is answered before anything is installed; a launcher starts where torch has not been imported."""
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


WITHOUT_TORCH = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "transformers", "trl", "peft", "snakemake", "altair"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
import ccutils.contexts, ccutils.probes, ccutils.tasks
for room in (ccutils.contexts, ccutils.probes, ccutils.tasks):
    for name in room.__all__:
        getattr(room, name)
task = ccutils.tasks.load_task("topics", seed=0)
questions = ccutils.probes.make_questions(task, k=2, seed=0, n_targets=2)
print(len(questions.questions))
"""


LIGHT = """
import sys
import ccutils.chain.cli, ccutils.training.launch
print([name for name in ("torch", "transformers", "yaml", "papermill") if name in sys.modules])
"""
