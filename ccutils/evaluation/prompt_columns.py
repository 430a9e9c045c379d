"""The prompts of a run's questions, part by part, as questions.parquet stores them for answers.html."""

from dataclasses import replace
from typing import Any

import pandas as pd

from ccutils.contexts import Prompter
from ccutils.probes.questions import CHANGED, HARD_CHANGED, MISLABELLED, Question, QuestionSet
from ccutils.tasks.base import Task


def prompt_columns(questions: QuestionSet) -> pd.DataFrame:
    """Write the prompts of `questions` part by part: a row each, in their order.

    Columns: instruction; input (the target's, alone), question (as the prompt has it) and own (its label);
    context, a list of demonstrations in the order of the prompt, each with question, answer, similarity (0
    to 1) and mark (see `_marks`).
    """
    template = questions.task.template
    prompter = Prompter(None, replace(template, instruction=""), 0)
    written: dict[int, tuple[str, str]] = {}

    def parts(example: Any) -> tuple[str, str]:
        if id(example) not in written:  # the same objects occur in many contexts
            question = prompter.messages([], example)[0]["content"]
            written[id(example)] = question, prompter.answer_text(example).strip()
        return written[id(example)]

    rows = []
    for q in questions.questions:
        context = [
            {"question": parts(e)[0], "answer": parts(e)[1], "similarity": round(s, 2), "mark": mark}
            for e, s, mark in zip(q.context, q.similarity, _marks(questions.task, q), strict=True)
        ]
        rows.append((template.instruction, q.target.input, parts(q.target)[0], q.target.output, context))
    return pd.DataFrame(rows, columns=["instruction", "input", "question", "own", "context"])


def _marks(task: Task, question: Question) -> str:
    """Mark each demonstration by a letter: c for a changed label, w for the wrong label of an irrelevant
    example, r for a relevant example, n for another that the question is about, . for the rest.
    """
    marks = []
    for example, needed in zip(question.context, question.needed, strict=True):
        if question.wrong_label and example.output == question.wrong_label:
            marks.append("w")
        elif needed and question.kind in (CHANGED, HARD_CHANGED, MISLABELLED):
            marks.append("c")
        elif task.relevant(question.target, example) or (needed and question.grade):
            marks.append("r")
        else:
            marks.append("n" if needed else ".")
    return "".join(marks)
