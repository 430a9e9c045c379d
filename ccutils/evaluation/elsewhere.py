"""Probe in-context learning on transfer tasks: few-shot questions of tasks that a run was not trained on.

The paper has no such probe; this one is ours.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from ccutils.evaluation.responder import Responder
from ccutils.evaluation.runs import hash_task
from ccutils.models.base import hash_base
from ccutils.origin import describe_origin
from ccutils.probes.questions import PLAIN, QuestionSet, make_questions
from ccutils.probes.scores import measure
from ccutils.records import ELSEWHERE, Row, Run, read_rows, write_rows
from ccutils.tasks import load_task


def few_shot_questions(questions: QuestionSet) -> QuestionSet:
    """Select the questions of the ID set with none, one and all of the demonstrations relevant."""
    grades = {0, 1, questions.k}
    kept = (q for q in questions.questions if q.set == "id" and q.kind == PLAIN and q.grade in grades)
    return replace(questions, questions=tuple(kept))


def ask_elsewhere(
    run: Run,
    tasks: Mapping[str, Mapping[str, Any]],
    responder: Responder,
    *,
    k: int,
    checkpoints: Mapping[int, Path],
    n_targets: int = 100,
    similarity: str = "bm25",
) -> pd.DataFrame:
    """Probe the base and the last checkpoint of a run on transfer tasks.

    `tasks` maps their names to their options. Measures quality with 0, 1 and k relevant examples among k (see
    `few_shot_questions`). Writes the rows to the run's folder and returns them; `set` is the transfer task.
    Each answer is saved as it is generated. Raises InputError for an unknown task or option, and for a
    tokenizer that cannot write a task's answers.
    """
    rows, hashes, last = list[Row](), {}, max(checkpoints)
    for name, options in tasks.items():
        task = load_task(name, seed=run.seed, **options)
        made = make_questions(
            task, k, seed=run.seed, n_targets=n_targets, similarity=similarity, kinds=[PLAIN]
        )
        questions, hashes[name] = few_shot_questions(made), hash_task(task)
        prompts = responder.prompts(questions)
        for step, adapter in ((0, None), (last, checkpoints[last])):
            answers = responder.answers(
                prompts,
                max_new_tokens=task.max_new_tokens,
                adapter=adapter,
                folder=run.folder,
                name=f"{name}-step-{step}",
            )
            rows += [replace(row, set=name) for row in measure(questions, answers, run, step)]
    path = run.folder / ELSEWHERE
    origin = {**describe_origin(), "data": hashes, "base": hash_base(responder.path)}
    write_rows(path, rows, {"k": k, "n_targets": n_targets, "tasks": dict(tasks), "origin": origin})
    return read_rows([path])
