"""What is refused before anything starts."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from transformers import ByT5Tokenizer

from ccutils import records
from ccutils.chain import preflight as checks
from ccutils.chain.preflight import check_profile
from ccutils.chain.profiles import Profile, make_profile
from ccutils.contexts.prompts import Prompter, check_window
from ccutils.errors import InputError
from ccutils.models import base as models
from ccutils.models.tiny import make_recipe, tiny_base
from ccutils.tasks import Example, Task, load_task

TINY = {"n_topics": 4, "n_novel": 2, "pool_size": 20, "n_test": 5}


def profile(**changes: object) -> Profile:
    values = {
        "tasks": {"topics": {"task_options": TINY}},
        "models": ["tiny"],
        "strategies": ["random"],
        "seeds": [[0]],
    }
    return make_profile({**values, **changes})


def test_what_is_fine_passes():
    check_profile(profile(parameters={"k": 20, "recipe": {"layers": 1}}))


class TestModel:
    def test_the_hub_is_asked_before_a_run_but_not_before_a_plan(self, monkeypatch):
        monkeypatch.setattr(models, "has_file", lambda *_: False)
        of_hub = profile(models=["org/model"])
        check_profile(of_hub, dry_run=True)
        with pytest.raises(InputError, match="org/model"):
            check_profile(of_hub)

    def test_a_directory_is_not_asked_for(self, tmp_path, monkeypatch):
        monkeypatch.setattr(models, "has_file", lambda *_: pytest.fail("asked the Hub"))
        for file in ("config.json", "tokenizer_config.json", "model.safetensors"):
            (tmp_path / file).touch()
        checks.check_model_available(str(tmp_path))
        (tmp_path / "tokenizer_config.json").unlink()
        with pytest.raises(InputError, match="tokenizer"):
            checks.check_model_available(str(tmp_path))

    @pytest.fixture(scope="class")
    def own(self, tmp_path_factory) -> Path:
        """A model directory, as a person brings one."""
        task = load_task("topics", seed=0, **TINY)
        changes = {"layers": 1, "width": 16, "heads": 2, "repeat_steps": 1, "episode_steps": 1, "batch": 2}
        return tiny_base(task, tmp_path_factory.mktemp("cache"), make_recipe(changes))

    def test_a_directory_is_checked_as_it_will_be_used(self, own):
        models = [str(own)]
        check_profile(profile(models=models, parameters={"targets": "q_proj", "window": 128}), dry_run=True)
        for parameters, words in [
            ({"targets": "c_attn"}, "c_attn"),
            ({"window": 9}, "window"),
            ({"chat": True}, "chat"),
        ]:
            with pytest.raises(InputError, match=words):
                check_profile(profile(models=models, parameters=parameters), dry_run=True)

    def test_what_this_machine_lacks_is_nothing_to_a_dry_run(self, own):
        lacking = profile(models=[str(own)], parameters={"attention": "flash_attention_3"})
        check_profile(lacking, dry_run=True)
        with pytest.raises(InputError, match="flash_attention_3"):
            check_profile(lacking)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (
                lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
                "safetensors",
            ),
            (lambda folder: without(folder / "tokenizer_config.json", "eos_token"), "eos_token"),
        ],
    )
    def test_a_directory_that_lacks_what_training_needs(self, own, tmp_path, change, words):
        shutil.copytree(own, tmp_path / "model")
        change(tmp_path / "model")
        with pytest.raises(InputError, match=words):
            check_profile(profile(models=[str(tmp_path / "model")]), dry_run=True)


def without(file: Path, name: str) -> None:
    """Take one name out of a JSON file."""
    values = json.loads(file.read_text())
    values.pop(name)
    file.write_text(json.dumps(values))


class TestWindow:
    @pytest.fixture(scope="class")
    def task(self) -> Task:
        return load_task("topics", seed=0, **TINY)

    def test_what_fits_passes(self, task):
        longest = max(len(f"{e.input} =") for e in [*task.pool, *task.id_test, *task.ood_test])
        answers = max(task.max_new_tokens, *(len(f" {e.output}") + 1 for e in task.pool))
        check_window(task, Prompter(ByT5Tokenizer(), task.template, longest + answers))

    @pytest.mark.parametrize("part", ["pool", "id_test", "ood_test"])
    def test_the_first_that_does_not_fit_is_named(self, task, part):
        few = list(getattr(task, part))
        few[3] = Example("x" * 70, few[3].output)
        longer = replace(task, **{part: few})
        with pytest.raises(InputError, match=f"{part} example 3"):
            check_window(longer, Prompter(ByT5Tokenizer(), task.template, 60))

    def test_an_answer_of_the_pool_counts(self, task):
        longer = replace(task, pool=[replace(task.pool[0], output="y" * 70)])
        with pytest.raises(InputError, match="pool example 0"):
            check_window(longer, Prompter(ByT5Tokenizer(), task.template, 60))


@pytest.mark.parametrize(
    ("compiler", "headers", "missing"), [(None, True, "C compiler"), ("cc", False, "Python.h")]
)
def test_a_gpu_needs_a_compiler(compiler, headers, missing, tmp_path, monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(checks, "list_gpus", lambda: ["0"])
    monkeypatch.setattr(checks, "version", lambda name: "2.13.0")
    monkeypatch.setattr(checks.shutil, "which", lambda name: compiler)
    monkeypatch.setattr(checks.sysconfig, "get_path", lambda name: str(tmp_path))
    if headers:
        (tmp_path / "Python.h").touch()
    with pytest.raises(InputError, match=missing):
        checks.check_gpu(profile(gpu=True))
    (tmp_path / "Python.h").touch()
    monkeypatch.setattr(checks.shutil, "which", lambda name: "cc")
    checks.check_gpu(profile(gpu=True))


def test_a_results_folder_that_cannot_be_made(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="results"):
        records.check_results_folder(tmp_path / "file" / "results")
