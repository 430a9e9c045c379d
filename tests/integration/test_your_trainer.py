"""Notebook 07, run as it is: plain TRL learns from the rows, and the very tokens, of notebook 03."""

from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest

from ccutils.chain.profiles import declared_parameters
from ccutils.training import Plan, prepare_run
from ccutils.training.dataset import TrainingSet

FOLDER = Path(__file__).parents[2] / "notebooks"
SHARED = ("task", "model", "strategy", "k", "p", "epsilon", "similarity")


def test_its_rows_are_those_of_notebook_03(names: dict[str, Any], prompts: TrainingSet) -> None:
    rows = list(names["examples"].rows(names["epochs"]))
    assert len(rows) == names["epochs"] * len(names["task"].pool)
    contexts = prompts.contexts(range(len(rows)))
    wanted = [(prompts.prompter.text(shown, target), f" {target.output}") for target, shown, _ in contexts]
    assert [(row["prompt"], row["completion"]) for row in rows] == wanted


def test_trl_gives_the_model_the_tokens_of_notebook_03(names: dict[str, Any], prompts: TrainingSet) -> None:
    trained, places = names["trainer"].train_dataset, range(0, len(names["trainer"].train_dataset), 7)
    wanted = prompts.tokens(places)
    assert [trained[place]["input_ids"] for place in places] == wanted["input_ids"]


def test_the_loss_falls(names: dict[str, Any]) -> None:
    losses = [entry["loss"] for entry in names["trainer"].state.log_history if "loss" in entry]
    assert len(losses) > 2 and np.isfinite(losses).all()
    assert losses[-1] < losses[0]


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the notebook's cells leave: its parameters, its rows, its trainer after training."""
    found: dict[str, Any] = {}
    for cell in nbformat.read(FOLDER / "07_your_trainer.ipynb", as_version=4).cells:
        if cell.cell_type == "code":
            exec(cell.source, found)
            if "parameters" in cell.metadata.get("tags", []):
                found["results"] = str(tmp_path_factory.mktemp("results"))
    return found


@pytest.fixture(scope="module")
def prompts(names: dict[str, Any]) -> TrainingSet:
    """What notebook 03 trains on by its own parameters, but for paraphrases by rules."""
    declared = declared_parameters(FOLDER / "03_ic_train.ipynb")
    values = {name: declared[name] for name in SHARED}
    return prepare_run(Plan(**values, paraphraser="rules", results=names["results"])).prompts
