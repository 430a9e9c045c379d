"""A run is identified by its data and values: never by a path, a name or a default."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from small import make_plan

from ccutils.errors import InputError
from ccutils.evaluation.runs import find_or_train
from ccutils.records import Run
from ccutils.tasks import load_task
from ccutils.training.identity import changes, describe_run, is_path
from ccutils.training.plan import Plan, plan_from
from ccutils.training.prepare import prepare_run
from ccutils.training.run import ic_train


def write_data(folder: Path) -> Path:
    folder.mkdir(parents=True)
    rows = [{"input": f"{word} number {i}", "output": word} for i in range(30) for word in "abcd"]
    path = folder / "own.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def own_plan(folder: Path, data: Path) -> Plan:
    options = {"path": str(data), "pool_size": 40, "n_test": 10, "max_new_tokens": 2}
    return replace(
        make_plan(folder / "results", steps=2, n_checkpoints=1), task="jsonl", task_options=options
    )


def describe(plan: Plan) -> dict[str, object]:
    return describe_run(plan, load_task(plan.task, seed=plan.seed, **plan.task_options))


def test_results_and_data_that_were_moved_are_the_same_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder and its data are copied elsewhere: nothing is trained again, and the run can be probed."""
    plan = own_plan(tmp_path / "here", write_data(tmp_path / "here"))
    done = ic_train(plan)
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    shutil.rmtree(tmp_path / "here")
    moved = own_plan(tmp_path / "there", tmp_path / "there" / "own.jsonl")
    monkeypatch.setattr("ccutils.training.run.train", lambda *rest, **named: pytest.fail("it trained again"))
    assert ic_train(moved) == done
    assert list(find_or_train(moved)) == [2]


def test_other_data_at_the_same_path_are_another_run(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    plan = own_plan(tmp_path, data)
    before = describe(plan)
    data.write_text(data.read_text().replace("number", "item"), encoding="utf-8")
    assert set(changes(before, describe(plan))) == {"data"}
    ic_train(plan)
    data.write_text(data.read_text().replace("item", "number"), encoding="utf-8")
    for refused in (ic_train, find_or_train):
        with pytest.raises(InputError, match="data"):
            refused(plan)


@pytest.mark.parametrize(
    ("same", "other"),
    [
        (lambda p: replace(p, results="elsewhere"), lambda p: replace(p, p=0.4)),
        (lambda p: replace(p, attention="sdpa"), lambda p: replace(p, rank=3)),
        (
            lambda p: replace(p, settings=replace(p.settings, micro_batch=2, keep=3)),
            lambda p: replace(p, settings=replace(p.settings, steps=9)),
        ),
        (
            lambda p: replace(p, task_options={**p.task_options, "zipf": 1.0}),
            lambda p: replace(p, task_options={**p.task_options, "zipf": 0.5}),
        ),
        (
            lambda p: replace(p, recipe={**p.recipe, "repeat_until": 0.62}),
            lambda p: replace(p, recipe={**p.recipe, "repeat_until": 0.7}),
        ),
    ],
)
def test_only_values_that_change_the_training_make_another_run(
    same: Callable[[Plan], Plan], other: Callable[[Plan], Plan], tmp_path: Path
) -> None:
    plan = make_plan(tmp_path)
    assert changes(describe(plan), describe(same(plan))) == {}
    assert len(changes(describe(plan), describe(other(plan)))) >= 1


def test_a_parameter_added_later_does_not_make_older_runs_foreign(tmp_path: Path) -> None:
    now = describe(make_plan(tmp_path))
    older = {name: value for name, value in now.items() if name not in ("barred", "chat", "window")}
    assert changes(older, now) == {}
    assert set(changes(older, {**now, "chat": True})) == {"chat"}
    assert changes({**now, "removed_since": 0}, now) == {}
    assert set(changes({**now, "removed_since": 3}, now)) == {"removed_since"}


def test_another_tokenisation_is_another_run_except_for_the_tiny_base(tmp_path: Path) -> None:
    for model, names in (("tiny", set()), ("smollm2", {"tokenisation"})):
        now = describe(replace(make_plan(tmp_path), model=model))
        older = {name: value for name, value in now.items() if name != "tokenisation"}
        assert set(changes(older, now)) == names


def test_a_model_folder_is_identified_by_its_weights(tmp_path: Path) -> None:
    base = Path(prepare_run(make_plan(tmp_path / "base")).path)
    here = shutil.copytree(base, tmp_path / "here" / "mine")
    there = shutil.copytree(base, tmp_path / "there" / "mine")
    plans = [replace(make_plan(tmp_path), model=str(folder), recipe={}) for folder in (here, there)]
    assert plans[0].run.folder == plans[1].run.folder
    assert changes(describe(plans[0]), describe(plans[1])) == {}
    weights = next(there.glob("*.safetensors"))
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    shutil.move(there, tmp_path / "mine")  # hashes are computed once for a path
    other = replace(plans[0], model=str(tmp_path / "mine"))
    assert set(changes(describe(plans[0]), describe(other))) == {"base"}


def test_the_results_folder_of_a_local_model_does_not_depend_on_where_it_is() -> None:
    runs = [Run(Path("r"), "topics", model, "random", 0) for model in ("/a/b/mine", "/c/mine", "./d/mine")]
    assert {run.folder for run in runs} == {Path("r/topics/mine/random/seed-0")}
    assert Run(Path("r"), "topics", "org/mine", "random", 0).folder == Path(
        "r/topics/org--mine/random/seed-0"
    )


def test_a_paraphrase_file_is_identified_by_its_content(tmp_path: Path) -> None:
    plans = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        source = tmp_path / name / "p.jsonl"
        source.write_text('{"input": "x", "paraphrase": "y"}\n')
        plans.append(replace(make_plan(tmp_path), paraphraser="file", paraphrase_source=str(source)))
    first = describe(plans[0])
    assert changes(first, describe(plans[1])) == {}
    source.write_text('{"input": "x", "paraphrase": "z"}\n')
    assert set(changes(first, describe(plans[1]))) == {"paraphrases"}


def test_a_relative_path_is_the_same_as_an_absolute_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = Path(prepare_run(make_plan(tmp_path / "base")).path)
    shutil.copytree(base, tmp_path / "models" / "mine")
    (tmp_path / "p.jsonl").write_text('{"input": "x", "paraphrase": "y"}\n')
    monkeypatch.chdir(tmp_path)
    values = {"paraphraser": "file", "recipe": {}}
    relative = replace(make_plan(tmp_path), model="models/mine", paraphrase_source="p.jsonl", **values)
    absolute = replace(
        relative, model=str(tmp_path / "models/mine"), paraphrase_source=str(tmp_path / "p.jsonl")
    )
    found = describe(relative)
    assert relative.run.folder == absolute.run.folder
    assert {"base", "paraphrases"} <= found.keys()
    assert changes(found, describe(absolute)) == {}
    assert changes(found, {**absolute.known(), "tokenisation": found["tokenisation"]}) == {}
    (tmp_path / "p.jsonl").write_text('{"input": "x", "paraphrase": "z"}\n')
    assert set(changes(found, describe(relative))) == {"paraphrases"}


@pytest.mark.parametrize("content", ["", '{"k": 3', "[]", '{"settings": null}'])
def test_a_broken_description_is_refused_and_left_alone(tmp_path: Path, content: str) -> None:
    plan = make_plan(tmp_path, steps=2, n_checkpoints=1)
    ic_train(plan)
    path = plan.run.folder / "plan.json"
    path.write_text(content)
    before = sorted(plan.run.folder.rglob("*"))
    for refused in (ic_train, find_or_train):
        with pytest.raises(InputError, match=r"plan\.json"):
            refused(plan)
    assert sorted(plan.run.folder.rglob("*")) == before and path.read_text() == content


def test_a_moved_encoder_is_the_same_similarity() -> None:
    here, there, other = (Plan(similarity=name).known() for name in ("st:/a/e5", "st:/b/e5", "st:org/e5"))
    assert changes(here, there) == {}
    assert set(changes(here, other)) == {"similarity"}


def test_hub_ids_are_not_paths() -> None:
    assert [is_path(name) for name in ("org/name", "tiny", "/a", "~/a", "../a")] == [
        False,
        False,
        True,
        True,
        True,
    ]


def test_a_plan_with_a_variant_is_the_same_as_one_with_the_value(tmp_path: Path) -> None:
    plan = plan_from({"results": str(tmp_path)}, strategy="contrastive,p=0.3")
    assert set(changes(plan.known(), replace(plan, p=0.4).known())) <= {"p", "variant"}
