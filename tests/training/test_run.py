"""A whole run: planned, done once, its adapter read by plain peft and transformers."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import ReferenceType, ref

import pytest
import torch
from peft import PeftModel
from small import make_plan
from transformers import AutoModelForCausalLM, AutoTokenizer

from ccutils.contexts.prompts import TODAY, TOKENISATION
from ccutils.errors import InputError
from ccutils.models.base import load_adapter, load_base
from ccutils.training.identity import changes
from ccutils.training.launch import main
from ccutils.training.plan import Plan
from ccutils.training.prepare import make_model, prepare_run
from ccutils.training.run import ic_train
from ccutils.training.saved import checkpoints, mark_whole

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    plan = make_plan(tmp_path_factory.mktemp("results"), steps=20, n_checkpoints=2)
    ic_train(plan)
    return plan


def test_done_describes_the_run(plan: Plan) -> None:
    done = json.loads((plan.run.folder / "done.json").read_text())
    assert done["plan"]["strategy"] == "contrastive"
    assert done["checkpoints"] == [10, 20]
    assert [entry["step"] for entry in done["curve"]] == list(range(1, 21))
    assert done["curve"][-1]["loss"] < done["curve"][0]["loss"]
    assert done["facts"]["pool_size"] == 40
    assert done["prompts"]["dropped"] == 0
    assert (done["tokenisation"], done["date"]) == (TOKENISATION, TODAY.isoformat())


def test_done_counts_the_targets_up_to_each_checkpoint(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, "contrastive,counterfactual=0.5,vary_k=true,schedule=constant")
    done = ic_train(plan)
    assert [of["step"] for of in done["targets"]] == done["checkpoints"]
    last = done["targets"][-1]
    assert last["targets"] == last["true_label"] + last["relabelled"] == 6 * 8
    assert 0 < last["relabelled"] < last["relevant"] < last["targets"]
    assert last["true_label_no_relevant"] == last["targets"] - last["relevant"]
    assert done["dose"] == last["relevant"] / last["targets"]
    assert last["tokens"] == round(last["targets"] * done["prompts"]["mean_tokens"])
    assert done["curve"][-1]["learning_rate"] == plan.settings.learning_rate


def test_a_finished_run_is_not_trained_again(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ccutils.training.run.train", lambda *rest: pytest.fail("it trained again"))
    assert ic_train(plan)["checkpoints"] == [10, 20]


def test_the_seconds_of_a_resumed_run_are_those_of_all_its_tries(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, steps=4, n_checkpoints=2, keep=2)
    assert 0 < ic_train(plan)["seconds"] < 1000
    shutil.rmtree(checkpoints(plan.run.folder)[4])
    (plan.run.folder / "done.json").unlink()
    mark_whole(checkpoints(plan.run.folder)[2], 2, 1000.0)
    assert 1000 < ic_train(plan)["seconds"] < 2000


def test_nothing_holds_a_model_that_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[ReferenceType[PeftModel]] = []

    def make(*given: Any) -> PeftModel:
        model = make_model(*given)
        made.append(ref(model))
        return model

    monkeypatch.setattr("ccutils.training.run.make_model", make)
    ic_train(make_plan(tmp_path, steps=2, n_checkpoints=1))
    assert [model() for model in made] == [None]


def test_a_run_with_other_values_is_refused_and_kept(plan: Plan) -> None:
    before = kept(plan.run.folder)
    with pytest.raises(
        InputError, match=r"p was .* n_checkpoints was .* steps was 20 and is now 3"
    ) as caught:
        ic_train(make_plan(Path(plan.results), steps=3, n_checkpoints=1, p=0.4))
    assert f"{plan.results}-2" in str(caught.value)
    assert kept(plan.run.folder) == before


def test_a_run_without_its_plan_file_is_refused_and_kept(plan: Plan, tmp_path: Path) -> None:
    moved = shutil.copytree(plan.results, tmp_path / "copy")
    copy = replace(plan, results=str(moved))
    (copy.run.folder / "plan.json").unlink()
    before = kept(copy.run.folder)
    with pytest.raises(InputError, match=r"plan\.json"):
        ic_train(copy)
    assert kept(copy.run.folder) == before


def test_the_adapter_loads_and_merges_with_plain_libraries(plan: Plan, tmp_path: Path) -> None:
    """peft on the unquantised base answers as we do, and so does the merged directory on its own."""
    parts = prepare_run(plan)
    folder = checkpoints(plan.run.folder)[20]
    ids = torch.tensor(parts.prompts.tokens([0])["input_ids"])
    with torch.no_grad():
        ours = load_adapter(load_base(parts.path, quantise=False), folder)(ids).logits
        theirs = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(parts.path), str(folder))
        torch.testing.assert_close(theirs(ids).logits, ours)
        theirs.merge_and_unload().save_pretrained(tmp_path / "merged")
        AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path / "merged")
        merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
        torch.testing.assert_close(merged(ids).logits, ours, rtol=1e-4, atol=1e-4)
    assert AutoTokenizer.from_pretrained(tmp_path / "merged").vocab_size == parts.tokenizer.vocab_size


def kept(folder: Path) -> dict[str, int]:
    """Every file of a run and when it was written."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in files}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("optimiser", "adamm"),
        ("optimiser", "galore_adamw"),
        ("targets", "c_attn"),
        ("targets", "q_proj,v_prj"),
        ("targets", "layers"),
        ("attention", "flash_attn"),
        ("attention", "flash_attention_3"),
        ("similarity", "bm52"),
        ("paraphraser", "ruls"),
        ("window", 5),
        ("chat", True),
    ],
)
def test_a_refused_plan_leaves_a_finished_run_unchanged(
    plan: Plan, name: str, value: object, tmp_path: Path
) -> None:
    before = kept(plan.run.folder)
    mistyped = make_plan(Path(plan.results), **{"steps": 20, "n_checkpoints": 2, name: value})
    assert mistyped.run.folder == plan.run.folder
    with pytest.raises(InputError):
        ic_train(mistyped)
    assert kept(plan.run.folder) == before
    with pytest.raises(InputError, match=name) as caught:
        ic_train(replace(mistyped, results=str(tmp_path)))
    assert "\n" not in str(caught.value)


def test_memory_that_does_not_hold_a_plan_is_refused_before_training(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ccutils.training.run.available_bytes", lambda: 1000)
    with pytest.raises(InputError, match="GB are free"):
        ic_train(replace(plan, results=str(tmp_path)))
    assert not list(tmp_path.rglob("checkpoint-*"))


def test_a_finished_run_without_its_done_file_is_finished_again_from_its_last_checkpoint(
    tmp_path: Path,
) -> None:
    """Snakemake removes that file when it starts a job, even one that is refused then."""
    plan = make_plan(tmp_path, steps=4, n_checkpoints=2)
    done = ic_train(plan)
    (plan.run.folder / "done.json").unlink()
    before = kept(plan.run.folder)
    assert ic_train(plan) == done
    after = kept(plan.run.folder)
    assert {name: after[name] for name in before if "checkpoint" in name} == {
        name: time for name, time in before.items() if "checkpoint" in name
    }


def test_a_folder_that_cannot_be_written_is_refused_first(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file"):
        prepare_run(make_plan(tmp_path / "file" / "results"))


def test_equal_targets_are_one_run_however_they_are_written(tmp_path: Path) -> None:
    ways = ["v_proj,q_proj", "q_proj, v_proj", ["q_proj", "v_proj"]]
    plans = [make_plan(tmp_path, targets=way) for way in ways]
    assert not any(changes(plan.known(), plans[0].known()) for plan in plans)
    for targets in (ways[0], r".*\.[qv]_proj"):
        plan = make_plan(tmp_path, targets=targets)
        model = make_model(plan, prepare_run(plan).path)
        on = {
            name.split(".lora_")[0].rsplit(".", 1)[1]
            for name, _ in model.named_parameters()
            if "lora_" in name
        }
        assert on == {"q_proj", "v_proj"}


@pytest.mark.parametrize(("arguments", "name"), [([], "JSON"), (['{"strategy": "sideways"}'], "sideways")])
def test_the_launcher_refuses_a_bad_plan_in_one_line(
    arguments: list[str],
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert name in error
    assert error.count("\n") == 1


def test_a_bug_is_not_reported_as_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ccutils.training.run.ic_train", lambda plan: len(plan))
    with pytest.raises(TypeError):
        main(["{}"])
