"""Results of models that do not exist, for the tests of answers: they answer by a rule, in no time."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ccutils.evaluation.runs import write_judged
from ccutils.probes import (
    DEFAULT_KINDS,
    Question,
    QuestionSet,
    curve_questions,
    judge_answers,
    make_questions,
)
from ccutils.probes.scores import measure_judged
from ccutils.records import Run, write_rows
from ccutils.tasks import load_task

MARKUP = (
    "</script><script>document.title='broken'</script>",
    "<img src=x onerror=\"document.title='broken'\">",
)
"""Texts that end a script or run one, where a page takes its data for its own."""


def write_made_up(
    root: Path,
    task: str = "topics",
    *,
    strategies: Sequence[str] = ("random", "contrastive"),
    steps: Sequence[int] = (0, 10, 20),
    n_targets: int = 4,
    k: int = 2,
    seed: int = 0,
    **options: Any,
) -> QuestionSet:
    """Lay out results as notebook 04 does, and return the questions that were asked."""
    options = {"pool_size": 100} | options if task == "topics" else options
    questions = make_questions(load_task(task, seed=seed, **options), k, seed=seed, n_targets=n_targets)
    some = curve_questions(questions)
    for strategy in strategies:
        run = Run(root, task, "toy", strategy, seed)
        judged = {}
        for step in steps:
            asked = questions if step in (0, max(steps)) else some
            answers = [answer_by_rule(q, i, step) for i, q in enumerate(asked.questions)]
            judged[step] = judge_answers(asked, answers)
        write_judged(run, judged, questions)
        given = {"task": task, "model": "toy", "k": k, "n_targets": n_targets, "similarity": "bm25"}
        given["kinds"] = list(DEFAULT_KINDS)
        rows = [row for step, table in judged.items() for row in measure_judged(table, run, step)]
        write_rows(
            run.folder / "probes.parquet",
            rows,
            {**given, "seed": seed, "task_options": options, "probes": {}},
        )
    return questions


def answer_by_rule(question: Question, place: int, step: int) -> str:
    """Answer rightly at every third place, else with a label of the context, else with a text of its own."""
    copy = question.irrelevant[0].output if question.irrelevant else "nothing"
    return (question.expected.output, copy, f"{MARKUP[place % 2]} {step}")[place % 3]


def write_own_data(path: Path) -> None:
    """Write a data file in which every input, and some labels, hold markup."""
    lines = [
        {"input": f"{MARKUP[i % 2]} thing {i} & more of {i % 8}", "output": f"label{i % 8}<b>"}
        for i in range(60)
    ]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
