"""Kept bases: equal to what is trained, refused where they are not what they say."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file
from small import RECIPE
from transformers import AutoModelForCausalLM

from ccutils.errors import InputError
from ccutils.models.kept import context_accuracy, find_kept, keep_base, main
from ccutils.models.tiny import DESCRIPTION, make_recipe, prepare_tiny, tiny_base
from ccutils.tasks import load_task

TASK = load_task("topics", seed=0, n_test=20, pool_size=200)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A base that was trained, and a folder that keeps it."""
    folder = tmp_path_factory.mktemp("kept")
    base = tiny_base(TASK, folder / "cache", make_recipe(RECIPE, 3), folder / "bases")
    about = json.loads((base / DESCRIPTION).read_text())
    keep_base(
        AutoModelForCausalLM.from_pretrained(base), about, task="topics", seed=3, folder=folder / "bases"
    )
    return base, folder / "bases"


def test_a_kept_base_is_what_was_trained_bit_by_bit(kept: tuple[Path, Path], tmp_path: Path) -> None:
    trained, bases = kept
    found = tiny_base(TASK, tmp_path, make_recipe(RECIPE, 3), bases)
    assert (found / "model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()
    made = [json.loads((folder / DESCRIPTION).read_text())["made"] for folder in (trained, found)]
    assert made == ["trained", "kept"]
    path = bases / "topics-3.safetensors"
    assert path.stat().st_size < 0.6 * (trained / "model.safetensors").stat().st_size


def test_retraining_is_one_parameter(
    kept: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained, bases = kept
    again = tiny_base(TASK, tmp_path, make_recipe({**RECIPE, "kept": False}, 3), bases)
    assert json.loads((again / DESCRIPTION).read_text())["made"] == "trained"
    assert "seed 3: trained here" in capsys.readouterr().out
    one, two = (load_file(folder / "model.safetensors") for folder in (trained, again))
    assert all((one[name] == two[name]).all() for name in one), "the same machine trains the same"


def test_a_base_of_other_things_is_not_taken(kept: tuple[Path, Path], tmp_path: Path) -> None:
    bases = kept[1]
    name = prepare_tiny(TASK, make_recipe(RECIPE, 3))[2]
    assert find_kept("topics", 3, name, bases) is not None
    assert find_kept("topics", 3, "another", bases) is None and find_kept("topics", 4, name, bases) is None
    for path in bases.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes() + b" " * (path.suffix != ".json"))
    with pytest.raises(
        InputError, match=r"kept base topics-3.safetensors is not what topics-3.json tells of"
    ):
        find_kept("topics", 3, name, tmp_path)


def test_accuracy_is_a_share(kept: tuple[Path, Path]) -> None:
    recipe = make_recipe(RECIPE, 3)
    model = AutoModelForCausalLM.from_pretrained(kept[0])
    assert 0 <= context_accuracy(model, prepare_tiny(TASK, recipe)[1], recipe.demonstrations) <= 1
    assert main(["topics"]) == 2


def test_every_seed_has_a_base_of_its_own() -> None:
    assert make_recipe({}, 5).seed == 5 and make_recipe({"seed": 1}, 5).seed == 1
    names = {prepare_tiny(TASK, make_recipe(RECIPE, seed))[2] for seed in range(3)}
    assert len(names) == 3
