"""The answer in a reply, and warnings about replies that hold something else."""

from dataclasses import replace
from pathlib import Path

import pytest

from ccutils.probes.questions import QuestionSet, make_questions
from ccutils.tasks import load_task
from ccutils.tools.replies import Reply, answer_warnings, extract, read_replies


def test_some_markup_is_no_reason_to_warn(questions: QuestionSet) -> None:
    answers = [question.expected.output for question in questions.questions]
    answers[0] = f"**{answers[0]}**"
    assert not answer_warnings(questions, answers)


@pytest.mark.parametrize(
    ("text", "answer", "complete"),
    [
        (" rain\nInput: snow", "rain", True),
        ("rain", "rain", False),
        ("<think>It is wet.\n\nRain?</think>\n\nrain", "rain", False),
        ("It is wet, the template opened the thought.</think> rain\n", "rain", True),
        ("<think></think>rain", "rain", False),
        ("<think>a</think><think>b", "", False),
        ("<THINKING>a</THINKING>\nrain\n", "rain", True),
        ("[THINK]a[/THINK]rain", "rain", False),
        ("<seed:think>a</seed:think>rain", "rain", False),
        ("◁think▷a◁/think▷rain", "rain", False),
        (
            "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>rain",
            "rain",
            False,
        ),
        ("<|begin_of_thought|>a<|end_of_thought|>rain", "rain", False),
        ("<|START_THINKING|>a<|END_THINKING|>rain", "rain", False),
        ("<|thinking|>a<|/thinking|>rain", "rain", False),
        ("<|channel>thought\na<channel|>rain", "rain", False),
        ("<think >a</think >rain", "rain", False),
        ("```\nrain\n```", "rain", True),
        ("```sql\nSELECT a\n\n  FROM b\n```\nIt selects a.", "SELECT a FROM b", True),
        ("~~~\nrain\n~~~", "rain", True),
        ("<think>a</think>\n```text\nrain\n```", "rain", True),
        ("```\nrain", "rain", False),
        ("```rain```", "rain", False),
        ("```\n```", "", True),
        ("I think of rain", "I think of rain", False),
        ("<b>rain</b>", "<b>rain</b>", False),
        ("", "", False),
    ],
)
def test_answer_without_a_thought_before_it_or_a_fence_around_it(
    text: str, answer: str, complete: bool
) -> None:
    assert extract(text) == (answer, complete)
    assert extract(answer)[0] == answer  # files of an earlier version hold answers, not replies


@pytest.mark.parametrize(
    ("text", "ended", "cut"),
    [
        ("<think>It", "length", True),
        ("<think>It", "stop", True),
        (None, "length", True),
        (None, "stop", False),
        (" \n", "stop", False),
        ("rain", "length", True),
        ("rain\nmore", "length", False),
        ("```\nrain\n``` and so", "length", False),
        ("```\nrain", "length", True),
    ],
)
def test_replies_cut_off_before_the_answer_is_complete(text: str | None, ended: str, cut: bool) -> None:
    assert Reply(text, ended).cut is cut


def test_saved_replies_are_read_again_and_broken_lines_skipped(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    saved = [Reply("rain\u2028snow\u0085", "stop", 7), Reply(None, "content_filter"), Reply("\ud83d")]
    lines = "".join(reply.line(f"key {i}") for i, reply in enumerate(saved))
    path.write_text(lines + '["key 3", "of an earlier version"]\nnull\n["key 4", "cut o', encoding="utf-8")
    wanted = [*saved, Reply("of an earlier version")]
    assert read_replies(path) == {f"key {i}": reply for i, reply in enumerate(wanted)}
    assert read_replies(tmp_path / "none.jsonl") == {}


@pytest.mark.parametrize(
    ("form", "warned"),
    [
        ("{}", 0),
        ("**{}**", 2),
        ("`{}`", 2),
        ("Answer: {}", 2),
        ("<answer>{}</answer>", 2),
        ("\\boxed{{{}}}", 2),
        ("the label is {}", 1),
        ("", 0),
    ],
)
def test_warnings_about_markup_and_about_answers_that_are_no_labels(
    questions: QuestionSet, form: str, warned: int
) -> None:
    answers = [form.format(question.expected.output) for question in questions.questions]
    assert len(answer_warnings(questions, answers)) == warned


def test_free_text_is_not_expected_to_be_a_label(questions: QuestionSet) -> None:
    task = questions.task
    distinct = [replace(e, output=f"text {i}") for i, e in enumerate(task.pool)]
    free = replace(task, pool=distinct, id_test=[], ood_test=[], ood_pool=[])
    answers = ["something else"] * len(questions.questions)
    assert not answer_warnings(replace(questions, task=free), answers)


@pytest.fixture(scope="module")
def questions() -> QuestionSet:
    return make_questions(load_task("topics", seed=0, pool_size=200, n_test=10), k=2, seed=0, n_targets=3)
