"""A whole run: planned, done once, its adapter read by plain peft and transformers."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from small import RECIPE, make_plan
from transformers import AutoModelForCausalLM, AutoTokenizer

from ccutils.errors import InputError
from ccutils.ic_train import assemble, ic_train, main, make_recipe, predict_memory
from ccutils.models import load_adapter, load_base
from ccutils.plan import Plan
from ccutils.training import checkpoints, mark_whole

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    plan = make_plan(tmp_path_factory.mktemp("results"), steps=20, n_checkpoints=2)
    ic_train(plan)
    return plan


def test_done_tells_the_run(plan: Plan) -> None:
    done = json.loads((plan.run.folder / "done.json").read_text())
    assert done["plan"]["strategy"] == "contrastive"
    assert done["checkpoints"] == [10, 20]
    assert [entry["step"] for entry in done["curve"]] == list(range(1, 21))
    assert done["curve"][-1]["loss"] < done["curve"][0]["loss"]
    assert done["facts"]["pool_size"] == 40
    assert done["prompts"]["dropped"] == 0


def test_a_finished_run_is_not_trained_again(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ccutils.ic_train.train", lambda *rest: pytest.fail("it trained again"))
    assert ic_train(plan)["checkpoints"] == [10, 20]


def test_the_seconds_of_a_resumed_run_are_those_of_all_its_tries(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, steps=4, n_checkpoints=2, keep=2)
    assert 0 < ic_train(plan)["seconds"] < 1000
    shutil.rmtree(checkpoints(plan.run.folder)[4])
    (plan.run.folder / "done.json").unlink()
    mark_whole(checkpoints(plan.run.folder)[2], 2, 1000.0)
    assert 1000 < ic_train(plan)["seconds"] < 2000


def test_another_plan_starts_anew(tmp_path: Path) -> None:
    ic_train(make_plan(tmp_path, steps=2, n_checkpoints=1))
    changed = make_plan(tmp_path, steps=3, n_checkpoints=1)
    assert ic_train(changed)["checkpoints"] == [3]
    assert list(checkpoints(changed.run.folder)) == [3]


def test_the_adapter_loads_and_merges_with_plain_libraries(plan: Plan, tmp_path: Path) -> None:
    """peft on the unquantised base answers as we do, and so does the merged directory on its own."""
    parts = assemble(plan)
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


def test_bad_plans_are_told_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="recipe has no 'width_'; did you mean width"):
        make_recipe({"width_": 3})
    values = {"task": "topics", "strategy": "sideways", "results": str(tmp_path), "recipe": RECIPE}
    assert main(json.dumps(values)) == 2
    assert "strategy 'sideways' does not exist" in capsys.readouterr().err
    assert main("{not json") == 2
    assert main('{"colour": "red"}') == 2
    assert "colour" in capsys.readouterr().err


def test_other_data_make_another_run_and_more_memory_does_not(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    pool = assemble(plan).task.pool
    assert plan.identity(pool) == make_plan(tmp_path / "elsewhere", micro_batch=2, keep=3).identity(pool)
    assert plan.identity(pool) != plan.identity(pool[1:])
    assert plan.identity(pool) != make_plan(tmp_path, p=0.4).identity(pool)


def test_shared_contexts_are_predicted_as_the_sequences_that_are_read(tmp_path: Path) -> None:
    """8 targets in 2 sequences: more tokens than one prompt has, fewer than its four have."""
    plan = make_plan(tmp_path, group=4)
    parts = assemble(plan)
    survey = parts.prompts.survey(48)
    setup = predict_memory(plan, parts.path, survey).setup
    assert survey.most_tokens < survey.longest == setup.window < 4 * survey.most_tokens
    assert (setup.micro_batch, setup.group, setup.in_parts) == (2, 4, True)
    assert 0 < setup.shared == survey.shared < survey.most_tokens
    alone = predict_memory(make_plan(tmp_path), parts.path, survey).setup
    assert (alone.micro_batch, alone.group, alone.in_parts) == (8, 1, False)
