"""Questions and answers as answers.html shows them, of made-up models."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up_answers import write_made_up

from ccutils.probes import CHANGED, PLAIN
from ccutils.records import Run
from ccutils.report.answers import answer_blocks, classify


def test_a_block_has_every_question_with_its_prompt_and_every_answer(tmp_path: Path) -> None:
    questions = write_made_up(tmp_path).questions
    (block,) = answer_blocks(tmp_path)
    asked, texts, examples = block["questions"], block["texts"], block["examples"]
    assert block["notes"] == [] and len(asked["kind"]) == len(questions)
    for i, question in enumerate(questions):
        assert texts[asked["expected"][i]] == question.expected.output
        assert [examples[place][1] for place in asked["context"][i]] == [e.output for e in question.context]
        assert texts[asked["input"][i]] == question.target.input
        assert question.target.input in texts[asked["question"][i]]
    columns = [(cell["run"], cell["step"]) for cell in block["cells"]]
    assert columns == [("base", 0)] + [(s, step) for s in ("random", "contrastive") for step in (10, 20)]
    whole, between = block["cells"][0], block["cells"][1]
    assert whole["at"] == list(range(len(questions)))
    answered = [texts[number] for number in whole["answer"]]
    assert answered[0] == questions[0].expected.output and answered[2].endswith(" 0")
    kinds = {(asked["kind"][place], asked["grade"][place]) for place in between["at"]}
    assert kinds == {(PLAIN, 0), (PLAIN, 1), (CHANGED, 1), ("empty", 0)}
    assert len(between["at"]) == len(between["is"]) == len(between["score"])


def test_what_is_relevant_is_marked(tmp_path: Path) -> None:
    questions = write_made_up(tmp_path).questions
    (block,) = answer_blocks(tmp_path)
    for question, marks in zip(questions, block["questions"]["marks"], strict=True):
        if question.kind in (PLAIN, CHANGED):
            letter = "c" if question.kind == CHANGED else "r"
            assert marks.count(letter) == question.grade and len(marks) == len(question.context)


def test_answers_are_right_copied_other_or_not_scored(tmp_path: Path) -> None:
    questions = write_made_up(tmp_path, strategies=["random"], steps=[0]).questions
    table = pd.read_parquet(Run(tmp_path, "topics", "toy", "random", 0).folder / "questions.parquet")
    shown = [{e.output for e in question.context} for question in questions]
    letters = classify(table, shown)
    for i, (letter, question) in enumerate(zip(letters, questions, strict=True)):
        copied = question.irrelevant and question.irrelevant[0].output != question.expected.output
        assert letter == ("r" if i % 3 == 0 else "c" if i % 3 == 1 and copied else "o") or i % 3 == 1
    assert {"r", "c", "o"} == set(letters)
    assert set(classify(table.assign(score=np.nan), shown)) == {"?"}


@pytest.mark.parametrize("given", [{"k": 2}, {"k": 3}])
def test_runs_that_were_asked_other_questions_have_a_block_of_their_own(
    tmp_path: Path, given: dict[str, int]
) -> None:
    write_made_up(tmp_path, strategies=["random"])
    write_made_up(tmp_path, strategies=["contrastive"], **given)
    blocks = list(answer_blocks(tmp_path))
    assert sorted(block["k"] for block in blocks) == sorted({2, given["k"]})


def test_results_without_judged_answers_have_no_block(tmp_path: Path) -> None:
    assert list(answer_blocks(tmp_path)) == []
