"""Few-shot questions of tasks that a run was not trained on: which are asked, and what is kept of them."""

import json
from pathlib import Path

import pandas as pd
import pytest
from small import TASK, make_plan

from ccutils.errors import InputError
from ccutils.evaluation.elsewhere import ask_elsewhere, few_shot_questions
from ccutils.evaluation.responder import Responder
from ccutils.evaluation.runs import find_or_train
from ccutils.probes.questions import PLAIN, make_questions
from ccutils.records import read_answers
from ccutils.tasks import load_task
from ccutils.training.prepare import prepare_run

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
OTHERS = {"topics-other": {**TASK, "words_per_topic": 12}, "topics": TASK}
"""The tiny base can write the words of its own task alone."""


def test_none_one_and_all_relevant_are_asked() -> None:
    made = make_questions(load_task("topics", seed=0, **TASK), 3, seed=0, n_targets=4)
    chosen = few_shot_questions(made).questions
    assert {(q.set, q.kind) for q in chosen} == {("id", PLAIN)}
    assert {q.grade for q in chosen} == {0, 1, 3}


def test_rows_name_the_task_that_was_asked_and_nothing_is_asked_twice(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, steps=2, n_checkpoints=1)
    saved = find_or_train(plan)
    responder = Responder(prepare_run(plan).path, plan.cache)
    rows = ask_elsewhere(plan.run, OTHERS, responder, k=3, checkpoints=saved, n_targets=4)
    assert set(rows["set"]) == set(OTHERS) and set(rows["task"]) == {"topics"}
    assert set(rows["step"]) == {0, 2}
    assert set(rows.loc[rows["probe"] == "quality", "grade"]) == {0, 1, 3}
    pd.testing.assert_frame_equal(rows, pd.read_parquet(plan.run.folder / "elsewhere.parquet"))
    about = json.loads((plan.run.folder / "elsewhere.json").read_text())
    assert about["k"] == 3 and set(about["origin"]["data"]) == set(OTHERS) and about["origin"]["commit"]
    (kept,) = plan.run.folder.glob("answers-topics-other-step-2-*.jsonl")
    before = kept.read_text()
    again = ask_elsewhere(plan.run, OTHERS, responder, k=3, checkpoints=saved, n_targets=4)
    assert kept.read_text() == before and len(read_answers(kept)) >= 8
    pd.testing.assert_frame_equal(rows, again)


def test_a_model_that_cannot_write_the_answers_is_told(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, steps=2, n_checkpoints=1)
    saved = find_or_train(plan)
    responder = Responder(prepare_run(plan).path, plan.cache)
    with pytest.raises(InputError, match=r"the tokenizer of model .* cannot write"):
        ask_elsewhere(plan.run, {"requests": {}}, responder, k=3, checkpoints=saved, n_targets=2)
