"""Answers scored one by one: the table that a run saves beside its rows."""

from collections.abc import Sequence
from itertools import islice

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ccutils.probes.questions import PLAIN, RETRIEVED, Question, QuestionSet
from ccutils.tasks.base import Task, Wrong, label_key
from ccutils.tasks.sequences import plain_wrong

OTHERS = 3
"""The number of other targets' contexts that estimate how often a wrong answer is a copy by chance."""


def judge_answers(questions: QuestionSet, answers: Sequence[str]) -> pd.DataFrame:
    """Score each answer to `questions`, in their order: one row each.

    Columns: set, kind, grade; target (see `number_targets`); similarity of the most similar demonstration
    (NaN without); expected and answer; score, NaN if undefined. If labels repeat (see `labels_repeat`; else
    NaN): in_context, whether the answer is a label in the context (NaN without one); chosen_relevant, whether
    it is that of the relevant examples (NaN without); followed, whether it is the label of the mislabelled
    demonstration (NaN without). For plain contexts with none or one relevant example: wrong, and copied, the
    share that is wrong and a label of an irrelevant demonstration. With none: chance, the same share for
    contexts of other targets. For retrieved contexts: nearest, the score of the label of the most similar
    demonstration as an answer. Else NaN.
    """
    asked = questions.questions
    scores = questions.task.score(list(answers), [question.expected for question in asked])
    table = pd.DataFrame(
        {
            "set": [question.set for question in asked],
            "kind": [question.kind for question in asked],
            "grade": np.array([question.grade for question in asked], dtype=np.int16),
            "target": np.array(number_targets(questions), dtype=np.int32),
            "similarity": [max(question.similarity, default=np.nan) for question in asked],
            "expected": [question.expected.output for question in asked],
            "answer": list(answers),
            "score": np.asarray(scores, dtype=np.float64),
        }
    )
    wrong = questions.task.wrong or plain_wrong
    table = table.assign(nearest=_nearest(questions)).join(_copies(asked, answers, table, wrong))
    return table.join(_compare_labels(questions, answers))


def number_targets(questions: QuestionSet) -> list[int]:
    """Number each question's target by its index in the ID test set, followed by the OOD test set.

    The number depends on the task alone, not on the questions. Targets with the same input have the first
    one's number.
    """
    task, numbers = questions.task, dict[tuple[str, str], int]()
    tests = [*(("id", e) for e in task.id_test), *(("ood", e) for e in task.ood_test)]
    for row, (name, e) in enumerate(tests):
        numbers.setdefault((name, e.input), row)
    return [numbers[q.set, q.target.input] for q in questions.questions]


def labels_repeat(task: Task) -> bool:
    """Check whether the pool has at most half as many labels as examples, so that answers can be compared.

    Translations, glosses, SQL and most parses do not repeat: gate and choice are undefined.
    """
    return len({label_key(e.output) for e in task.pool}) <= len(task.pool) / 2


def _compare_labels(questions: QuestionSet, answers: Sequence[str]) -> pd.DataFrame:
    """Compare answers with labels: the columns in_context, chosen_relevant and followed."""
    names, rows = ("in_context", "chosen_relevant", "followed"), []
    for q, answer in zip(questions.questions, map(label_key, answers), strict=True):
        shown = answer in {label_key(e.output) for e in q.context}
        relevant = shown and answer == label_key(q.expected.output)
        followed = answer == label_key(q.wrong_label)
        asked = (bool(q.context), q.grade > 0, bool(q.wrong_label))
        rows.append(
            [float(x) if a else np.nan for x, a in zip((shown, relevant, followed), asked, strict=True)]
        )
    table = pd.DataFrame(rows, columns=names, dtype=np.float64)
    return table if labels_repeat(questions.task) else table * np.nan


def _nearest(questions: QuestionSet) -> NDArray[np.float64]:
    """Compute the column nearest: the score of the nearest neighbour's label as an answer."""
    found = np.full(len(questions.questions), np.nan)
    places = [i for i, q in enumerate(questions.questions) if q.kind == RETRIEVED]
    chosen = [questions.questions[i] for i in places]
    labels = [q.context[int(np.argmax(q.similarity))].output for q in chosen]
    if chosen:
        found[places] = questions.task.score(labels, [q.expected for q in chosen])
    return found


def _copies(
    asked: Sequence[Question], answers: Sequence[str], table: pd.DataFrame, wrong: Wrong
) -> pd.DataFrame:
    """Compute the columns wrong, copied and chance."""
    found = pd.DataFrame(np.nan, index=table.index, columns=["wrong", "copied", "chance"])
    plain = (table["kind"] == PLAIN) & (table["grade"] <= 1) & table["score"].notna()
    for name, grade in table.loc[plain, ["set", "grade"]].drop_duplicates().itertuples(index=False):
        of_grade = plain & (table["set"] == name) & (table["grade"] == grade)
        order = [int(place) for place in np.flatnonzero(of_grade)]
        for turn, i in enumerate(order):
            question = asked[i]
            share, copied = wrong(answers[i], question.target, question.irrelevant)
            chance = np.nan
            if grade == 0:
                following = [*order[turn + 1 :], *order[:turn]]
                # A context never has its target's label: targets with this label would bias the chance.
                fair = (o for o in following if label_key(asked[o].target.output) != label_key(answers[i]))
                others = list(islice(fair, OTHERS))
                judged = [wrong(answers[i], question.target, asked[o].context)[1] for o in others if share]
                chance = float(np.mean(judged)) if judged else (np.nan if share else 0.0)
            found.loc[i] = (share, copied, chance)
    return found
