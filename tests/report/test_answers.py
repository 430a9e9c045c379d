"""Questions and answers as answers.html shows them, of made-up models."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up_answers import write_made_up

from ccutils.probes import CHANGED, PLAIN, curve_questions
from ccutils.records import Run
from ccutils.report.answers import answer_blocks, judge_each


def test_a_block_has_every_question_with_its_prompt_and_every_answer(tmp_path: Path) -> None:
    questions = write_made_up(tmp_path).questions
    (block,) = answer_blocks(tmp_path)
    asked, texts, examples = block["questions"], block["texts"], block["examples"]
    assert block["notes"] == [] and len(asked["kind"]) == len(questions)
    for i, question in enumerate(questions):
        assert texts[asked["expected"][i]] == question.expected.output
        assert [examples[place][1] for place in asked["context"][i]] == [e.output for e in question.context]
        place, text = block["targets"][asked["target"][i]]
        assert text == question.target.input and question.target.input in examples[place][0]
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


def test_answers_are_right_copied_other_or_not_judged(tmp_path: Path) -> None:
    questions = write_made_up(tmp_path, strategies=["random"], steps=[0]).questions
    kept = pd.read_parquet(Run(tmp_path, "topics", "toy", "random", 0).folder / "questions.parquet")
    letters = judge_each(kept, kept["answer"].tolist(), questions)
    for i, (letter, question) in enumerate(zip(letters, questions, strict=True)):
        copied = question.irrelevant and question.irrelevant[0].output != question.expected.output
        assert letter == ("r" if i % 3 == 0 else "c" if i % 3 == 1 and copied else "o") or i % 3 == 1
    assert {"r", "c", "o"} == set(letters)
    unjudged = kept.assign(score=np.nan)
    assert set(judge_each(unjudged, kept["answer"].tolist(), questions)) == {"?"}


def test_answers_of_older_results_are_found_where_they_were_first_written(tmp_path: Path) -> None:
    questions = write_made_up(tmp_path)
    (whole,) = answer_blocks(tmp_path)
    for strategy in ("random", "contrastive"):
        path = Run(tmp_path, "topics", "toy", strategy, 0).folder / "questions.parquet"
        table = pd.read_parquet(path)
        for step, folder in ((0, tmp_path / "cache"), (10, path.parent)):
            folder.mkdir(exist_ok=True)
            texts = table.loc[table["step"] == step, "answer"]
            assert len(texts) == len((questions if step == 0 else curve_questions(questions)).questions)
            lines = [json.dumps(pair) for pair in enumerate(texts)]
            (folder / f"answers-step-{step}-abc.jsonl").write_text("\n".join(lines))
            other = [json.dumps([i, "something else"]) for i in range(len(texts))]
            (folder / f"answers-step-{step}-def.jsonl").write_text("\n".join(other))
        older = table.assign(
            answer=table["answer"].where(table["step"] == 20),
            expected=table["expected"].where(table["step"] == 20),
        )
        older.to_parquet(path)
    (found,) = answer_blocks(tmp_path)
    assert found == whole

    (tmp_path / "cache" / "answers-step-0-abc.jsonl").unlink()
    (without,) = answer_blocks(tmp_path)
    assert set(without["cells"][0]["answer"]) == {-1}, "the text is lost, not what it was"
    assert without["cells"][0]["is"].count("r") == whole["cells"][0]["is"].count("r")


def test_prompts_of_data_that_have_changed_are_left_out_and_said(tmp_path: Path) -> None:
    data = tmp_path / "own.csv"
    lines = [f"request {i} about thing {i % 8},label{i % 8}" for i in range(60)]
    data.write_text("\n".join(["input,output", *lines]))
    write_made_up(tmp_path / "results", "jsonl", path=str(data))
    data.write_text("\n".join(["input,output", *[line.replace("label", "name") for line in lines]]))
    (changed,) = answer_blocks(tmp_path / "results")
    assert "have changed since" in changed["notes"][0] and "targets" not in changed
    assert len(changed["cells"]) == 5 and changed["texts"], "the answers are there"
    data.unlink()
    (gone,) = answer_blocks(tmp_path / "results")
    assert "cannot be read" in gone["notes"][0]
    for path in (tmp_path / "results").rglob("probes.json"):
        given = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps({name: value for name, value in given.items() if name != "n_targets"}))
    (older,) = answer_blocks(tmp_path / "results")
    assert "lacks n_targets" in older["notes"][0]


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
