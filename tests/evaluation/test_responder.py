"""Asking a base and its checkpoints: answers kept as they come, asked once, of the right weights."""

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from small import make_plan

from ccutils.contexts.prompts import Prompt
from ccutils.errors import InputError
from ccutils.evaluation import responder as probe_answers
from ccutils.evaluation.responder import Responder
from ccutils.evaluation.runs import find_or_train, hash_task, probe_run
from ccutils.models import unpacked
from ccutils.models.base import load_adapter, load_base
from ccutils.models.generation import answer, answer_each
from ccutils.models.unpacked import SMALL
from ccutils.origin import hash_file, hash_texts
from ccutils.probes.questions import QuestionSet, curve_questions, make_questions
from ccutils.probes.scores import measure
from ccutils.records import Run, read_answers
from ccutils.tasks import load_task
from ccutils.training.plan import Plan
from ccutils.training.prepare import prepare_run
from ccutils.training.run import ic_train

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
PARAMETERS = {"k": 3, "strategy": "contrastive"}


def test_rows_of_base_and_checkpoints(plan: Plan, questions: QuestionSet, responder: Responder) -> None:
    steps = find_or_train(plan)
    probed = probe_run(plan.run, questions, responder, checkpoints=steps, parameters=PARAMETERS)
    assert list(probed.answers) == [0, 10, 20]
    assert {row.step for row in probed.rows} == {0, 10, 20}
    table = pd.read_parquet(plan.run.folder / "probes.parquet")
    assert len(table) == len(probed.rows)
    assert set(table["strategy"]) == {"contrastive"}
    written = json.loads((plan.run.folder / "probes.json").read_text())
    assert written["strategy"] == "contrastive"
    assert written["facts"]["pool_size"] == 40
    assert written["probes"]["questions"] == len(questions.questions)
    assert written["probes"]["demonstrations_dropped"] == 0
    assert written["probes"]["left_out"] == questions.left_out
    told = written["origin"]
    assert told["commit"] and told["tree"] and told["command"]
    weights = [Path(responder.path) / name for name in ("config.json", "model.safetensors")]
    assert told["base"] == hash_texts([path.name, hash_file(path)] for path in weights)
    assert told["data"] == hash_task(questions.task) != hash_task(load_task("topics", seed=1))


def test_curves_over_training_are_the_same_numbers_as_of_all_questions(
    plan: Plan, questions: QuestionSet, responder: Responder
) -> None:
    steps = find_or_train(plan)
    probed = probe_run(plan.run, questions, responder, checkpoints=steps, parameters=PARAMETERS)
    prompts = responder.prompts(questions)
    answers = responder.answers(
        prompts,
        max_new_tokens=questions.task.max_new_tokens,
        adapter=steps[10],
        folder=plan.run.folder,
        name="all",
    )
    whole = measure(questions, answers, plan.run, 10)
    middle = [row for row in probed.rows if row.step == 10]
    assert middle == [row for row in whole if row in middle]
    drawn = {(row.set, row.probe) for row in middle if row.grade <= 1 and row.probe != "similarity"}
    assert drawn >= {("id", probe) for probe in ("iwl", "icl", "copy", "quality")}
    last_alone = {"similarity", "retrieved", "nearest_label"}
    last_alone |= {"hard", "hard_choice", "hard_changed", "mislabelled", "mislabelled_followed"}
    assert {row.probe for row in whole} - {row.probe for row in middle} <= last_alone


@pytest.mark.parametrize("merged", [0, SMALL])
def test_each_step_is_answered_by_its_own_weights(
    plan: Plan, questions: QuestionSet, responder: Responder, monkeypatch: pytest.MonkeyPatch, merged: int
) -> None:
    """Against a base freshly loaded for each adapter: nothing of the last one stays behind, merged or not."""
    monkeypatch.setattr(unpacked, "SMALL", merged)
    probed = probe_run(plan.run, questions, responder, checkpoints=find_or_train(plan), parameters=PARAMETERS)
    every = responder.prompts(questions)
    some = responder.prompts(curve_questions(questions))
    ids = [prompt.ids for prompt in every]
    for step, adapter in {0: None, **find_or_train(plan)}.items():
        model: Any = load_base(responder.path)
        if adapter is not None:
            model = load_adapter(model, adapter)
        asked = [prompt.ids for prompt in (some if step == 10 else every)]
        fresh = answer(model, responder.tokenizer, asked, max_new_tokens=questions.task.max_new_tokens)
        assert fresh == probed.answers[step]
    assert probed.answers[0] != probed.answers[20], "training has changed nothing: the test shows nothing"
    base = responder.answers(
        responder.prompts(questions), max_new_tokens=3, adapter=None, folder=plan.run.folder, name="again"
    )
    fresh = answer(load_base(responder.path), responder.tokenizer, ids, max_new_tokens=3)
    assert base == fresh, "the base after its adapters is the base"


def test_nothing_is_asked_twice(
    plan: Plan, questions: QuestionSet, responder: Responder, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = probe_run(plan.run, questions, responder, checkpoints=find_or_train(plan), parameters=PARAMETERS)
    monkeypatch.setattr(probe_answers, "load_base", lambda *a, **k: pytest.fail("it loaded the model again"))
    again = Responder(responder.path, plan.cache)
    assert (
        probe_run(plan.run, questions, again, checkpoints=find_or_train(plan), parameters=PARAMETERS).answers
        == first.answers
    )


def test_strategies_share_the_answers_of_the_base(
    plan: Plan, questions: QuestionSet, responder: Responder, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe_run(plan.run, questions, responder, checkpoints={}, parameters=PARAMETERS)
    asked = Asked(monkeypatch)
    other = Run(plan.run.root, plan.task, plan.model, "random", 0)
    probe_run(other, questions, Responder(responder.path, plan.cache), checkpoints={}, parameters=PARAMETERS)
    assert asked.n == 0


@pytest.mark.parametrize("cut", [0, 1, 9])
def test_what_was_answered_before_a_kill_is_kept(
    plan: Plan, questions: QuestionSet, responder: Responder, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    """The last line may be cut off anywhere."""
    expected = probe_run(plan.run, questions, responder, checkpoints={}, parameters=PARAMETERS)
    for path in plan.cache.glob("answers-*"):
        path.unlink()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        Asked(patch, stop_after=17)
        probe_run(plan.run, questions, responder, checkpoints={}, parameters=PARAMETERS)
    (path,) = plan.cache.glob("answers-*.jsonl")
    path.write_bytes(path.read_bytes()[: -cut or None])
    kept = len(read_answers(path))
    assert kept == (17 if cut < 2 else 16), "a line without its end is whole if its JSON is"
    asked = Asked(monkeypatch)
    assert probe_run(plan.run, questions, responder, checkpoints={}, parameters=PARAMETERS) == expected
    assert asked.n == different(responder.prompts(questions)) - kept


def test_a_responder_that_was_stopped_can_be_asked_again(
    plan: Plan, questions: QuestionSet, responder: Responder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An adapter on a large base is taken off again, however the asking ends."""
    monkeypatch.setattr(unpacked, "SMALL", 0)
    steps = find_or_train(plan)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        Asked(
            patch, stop_after=different(responder.prompts(questions)) + 1
        )  # the base is through, the first checkpoint is not
        probe_run(plan.run, questions, responder, checkpoints=steps, parameters=PARAMETERS)
    again = probe_run(plan.run, questions, responder, checkpoints=steps, parameters=PARAMETERS)
    assert again == probe_run(
        plan.run, questions, Responder(responder.path, plan.cache), checkpoints=steps, parameters=PARAMETERS
    )


def test_other_weights_or_questions_are_asked_anew(
    plan: Plan, questions: QuestionSet, responder: Responder, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = find_or_train(plan)[20]
    prompts = responder.prompts(questions)
    responder.answers(prompts, max_new_tokens=2, adapter=adapter, folder=plan.run.folder, name="step-20")
    file = adapter / "adapter_model.safetensors"
    save_file({name: torch.zeros_like(value) for name, value in load_file(file).items()}, file)
    asked = Asked(monkeypatch)
    zero = responder.answers(
        prompts, max_new_tokens=2, adapter=adapter, folder=plan.run.folder, name="step-20"
    )
    assert asked.n == different(prompts)
    assert zero == responder.answers(
        prompts, max_new_tokens=2, adapter=None, folder=plan.run.folder, name="step-0"
    ), "a zero adapter does nothing"
    again = {"adapter": adapter, "folder": plan.run.folder, "name": "step-20"}
    responder.answers(prompts[:3], max_new_tokens=3, **again)  # type: ignore[arg-type]
    assert asked.n == 2 * different(prompts) + 3


def test_questions_that_are_added_or_reordered_ask_only_for_the_new(
    plan: Plan, questions: QuestionSet, responder: Responder, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = responder.prompts(questions)
    first = {"max_new_tokens": 2, "adapter": None, "folder": plan.run.folder, "name": "step-0"}
    few = responder.answers(prompts[5:20], **first)  # type: ignore[arg-type]
    asked = Asked(monkeypatch)
    every = responder.answers(prompts[::-1], **first)[::-1]  # type: ignore[arg-type]
    assert every[5:20] == few and asked.n == different(prompts) - different(prompts[5:20])


def test_a_copied_results_folder_asks_nothing_again(
    plan: Plan, questions: QuestionSet, responder: Responder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another path and other times of files, the same content."""
    first = probe_run(plan.run, questions, responder, checkpoints=find_or_train(plan), parameters=PARAMETERS)
    copied = replace(plan, results=str(tmp_path / "copied"))
    shutil.copytree(plan.results, copied.results, copy_function=shutil.copyfile)
    path = Path(copied.results) / Path(responder.path).relative_to(plan.results)
    asked = Asked(monkeypatch)
    again = probe_run(
        copied.run,
        questions,
        Responder(str(path), copied.cache),
        checkpoints=find_or_train(copied),
        parameters=PARAMETERS,
    )
    assert again.answers == first.answers and asked.n == 0


def test_dropped_demonstrations_are_counted(plan: Plan, questions: QuestionSet) -> None:
    longest = max(len(p.ids) for p in Responder(prepare_run(plan).path, plan.cache).prompts(questions))
    narrow = Responder(prepare_run(plan).path, plan.cache, window=longest)
    probe_run(plan.run, questions, narrow, checkpoints={}, parameters=PARAMETERS)
    written = json.loads((plan.run.folder / "probes.json").read_text())
    assert written["probes"]["prompts_cut"] > 0
    assert written["probes"]["demonstrations_dropped"] >= written["probes"]["prompts_cut"]


def test_answers_that_cannot_be_written_are_told(questions: QuestionSet, responder: Responder) -> None:
    def with_expected(text: str) -> QuestionSet:
        first = replace(
            questions.questions[0], expected=replace(questions.questions[0].expected, output=text)
        )
        return replace(questions, questions=(first, *questions.questions[1:]))

    with pytest.raises(InputError, match="never-seen") as caught:
        responder.prompts(with_expected(f"{questions.questions[1].expected.output} never-seen"))
    assert "\n" not in str(caught.value)
    for unjudged in ("_", f"{questions.questions[1].expected.output} _"):
        assert len(responder.prompts(with_expected(unjudged))) == len(questions.questions)
    assert responder.tokenizer.unk_token_id in responder.tokenizer.encode("[_ _x")
    for judged in ("_x", "x_", "a _b"):
        with pytest.raises(InputError, match=judged.split()[-1]):
            responder.prompts(with_expected(judged))


def test_a_known_model_from_prompt_to_row(
    plan: Plan, questions: QuestionSet, responder: Responder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that reads its prompt and says the last label in it."""

    def copy_last(
        model: Any, tokenizer: Any, ids: Sequence[list[int]], *, max_new_tokens: int
    ) -> Iterator[tuple[int, str]]:
        for i, prompt in enumerate(ids):
            yield i, tokenizer.decode(prompt).split("=")[-2].split()[0]

    monkeypatch.setattr(probe_answers, "answer_each", copy_last)
    rows = {
        (r.set, r.probe, r.grade): r
        for r in probe_run(plan.run, questions, responder, checkpoints={}, parameters=PARAMETERS).rows
    }
    for name in ("id", "ood"):
        assert rows[name, "iwl", 0].value == 0
        assert rows[name, "copy", 0].value == 1
        assert rows[name, "icl", 3].value == 1


def test_a_run_that_is_missing_is_trained(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, steps=2, n_checkpoints=2)
    assert list(find_or_train(plan)) == [1, 2]
    assert (plan.run.folder / "done.json").exists()


def test_a_run_that_was_stopped_is_not_probed(plan: Plan) -> None:
    (plan.run.folder / "done.json").unlink()
    with pytest.raises(InputError, match=re.escape(str(plan.run.folder))):
        find_or_train(plan)


@pytest.mark.parametrize(
    ("name", "value"), [("p", 0.1), ("quantise", False), ("task_options", {"n_test": 9})]
)
def test_a_run_of_other_values_is_refused_and_kept(plan: Plan, name: str, value: object) -> None:
    other = replace(plan, **{name: value})  # type: ignore[arg-type]
    with pytest.raises(InputError, match=name if name != "task_options" else "n_test"):
        find_or_train(other)
    assert (plan.run.folder / "done.json").exists()


def test_selected_questions_can_be_asked_at_every_checkpoint(
    plan: Plan, questions: QuestionSet, responder: Responder
) -> None:
    steps = find_or_train(plan)
    probed = probe_run(
        plan.run, questions, responder, checkpoints=steps, parameters=PARAMETERS, all_steps=True
    )
    assert {len(answers) for answers in probed.answers.values()} == {len(questions.questions)}


def test_settings_of_the_training_may_differ(plan: Plan) -> None:
    assert list(find_or_train(make_plan(Path(plan.results), steps=7))) == [10, 20]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """A finished run of two checkpoints, far enough from its base to answer otherwise."""
    plan = make_plan(tmp_path_factory.mktemp("results"), steps=20, n_checkpoints=2, learning_rate=0.1)
    ic_train(plan)
    return plan


@pytest.fixture
def plan(trained: Plan, tmp_path: Path) -> Plan:
    """The same run in a folder of the test's own."""
    shutil.copytree(trained.results, tmp_path, dirs_exist_ok=True)
    return make_plan(tmp_path, steps=20, n_checkpoints=2, learning_rate=0.1)


@pytest.fixture
def questions(plan: Plan) -> QuestionSet:
    return make_questions(load_task(plan.task, seed=0, **plan.task_options), 3, seed=0, n_targets=4)


@pytest.fixture
def responder(plan: Plan) -> Responder:
    return Responder(prepare_run(plan).path, plan.cache)


def different(prompts: Sequence[Prompt]) -> int:
    """Count distinct prompts: questions of several kinds may have the same one."""
    return len({tuple(prompt.ids) for prompt in prompts})


class Asked:
    """Counts the prompts that are really answered, and may stop after some, as a kill would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, stop_after: int | None = None) -> None:
        self.n, self.stop_after, self.real = 0, stop_after, answer_each
        monkeypatch.setattr(probe_answers, "answer_each", self)

    def __call__(self, *arguments: Any, **named: Any) -> Iterator[tuple[int, str]]:
        for pair in self.real(*arguments, **named):
            if self.n == self.stop_after:
                raise KeyboardInterrupt
            self.n += 1
            yield pair
