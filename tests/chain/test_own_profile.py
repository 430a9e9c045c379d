"""The profile of a task of one's own: what the chain reads of it, for the tiny base and for a real model."""

from pathlib import Path

import pytest

from ccutils.chain import own_profile as own_task
from ccutils.chain.own_profile import ON_A_CPU, SETTINGS, absolute, make_profile_text
from ccutils.chain.profiles import Profile, read_profile

OWN = {"k": 3, "p": 0.4, "epsilon": 0.2, "similarity": "tfidf"}
OPTIONS = {"path": "owner/name", "input_column": "Frage", "output_column": "größe", "group_column": None}


def written(folder: Path, model: str) -> Profile:
    (folder / "profile.yaml").write_text(make_profile_text(OPTIONS, model, OWN), encoding="utf-8")
    return read_profile(folder / "profile.yaml")


def test_the_tiny_base_keeps_the_notebooks_own_settings(tmp_path: Path) -> None:
    profile = written(tmp_path, "tiny")
    assert profile.parameters == OWN and profile.tasks == {"jsonl": {"task_options": OPTIONS}}
    assert profile.models == ("tiny",) and not profile.gpu
    assert profile.seeds == ((0, 1, 2),)


def test_a_real_model_is_trained_with_settings_for_real_models(tmp_path: Path) -> None:
    profile, settings = written(tmp_path, "org/model"), read_profile(SETTINGS).parameters
    assert profile.parameters == {**settings, **OWN}
    assert profile.parameters["learning_rate"] == 2e-4 and profile.parameters["window"] == 1024
    text = (tmp_path / "profile.yaml").read_text(encoding="utf-8")
    assert text.startswith("#") and f"workflow/profiles/{SETTINGS.name}" in text


def test_smollm2_is_trained_on_a_cpu_as_its_own_profile_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_task, "list_gpus", lambda: ["0"])
    profile, its_own = written(tmp_path, "smollm2"), read_profile(ON_A_CPU)
    assert profile.parameters == {**its_own.parameters, **OWN} and not profile.gpu
    assert (profile.strategies, profile.seeds) == (its_own.strategies, its_own.seeds)
    assert f"workflow/profiles/{ON_A_CPU.name}" in (tmp_path / "profile.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(("gpus", "local", "hub"), [([], False, True), (["0"], True, True)])
def test_a_local_model_may_be_trained_on_a_machine_without_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpus: list[str], local: bool, hub: bool
) -> None:
    monkeypatch.setattr(own_task, "list_gpus", lambda: gpus)
    (tmp_path / "mine").mkdir()
    assert written(tmp_path, str(tmp_path / "mine")).gpu is local
    assert written(tmp_path, "org/model").gpu is hub


def test_paths_that_exist_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models" / "mine").mkdir(parents=True)
    (tmp_path / "notebooks" / "tiny").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "notebooks")
    assert absolute("../models/mine") == str(tmp_path / "models" / "mine")
    (tmp_path / "notebooks" / "smollm2").mkdir()
    for text in ("", "tiny", "smollm2", "org/model", "../models/other"):
        assert absolute(text) == text
    monkeypatch.setenv("HOME", str(tmp_path))
    assert absolute("~/models/mine") == str(tmp_path / "models" / "mine")
