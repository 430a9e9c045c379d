"""Compare two models: differences of their scores, paired by target, with intervals."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ccutils.probes.estimates import estimate
from ccutils.probes.questions import CHANGED, PLAIN, SETS, QuestionSet
from ccutils.tasks.sequences import plain_wrong

COMPARED = {
    "icl": "ICL-score",
    "iwl": "IWL-score",
    "quality": "quality with one relevant example",
    "copy_rate": "share of answers that are wrong and repeat a label of the context",
}
"""Names of the compared scores. All are means over targets, so that differences can be paired."""
_QUESTIONS = {"icl": (CHANGED, 1), "iwl": (PLAIN, 0), "quality": (PLAIN, 1), "copy_rate": (PLAIN, 0)}


def paired_differences(questions: QuestionSet, answers: Sequence[str], others: Sequence[str]) -> pd.DataFrame:
    """Compute the difference of each score between `answers` and `others`: one row for each set and score.

    Columns set, probe, value (the difference, from -1 to 1), n, low and high (95% bootstrap over targets).
    A question that cannot be scored for one of the two is omitted.
    """
    asked = questions.questions
    lines = []
    for name in SETS:
        for probe, (kind, grade) in _QUESTIONS.items():
            places = [i for i, q in enumerate(asked) if q.set == name and q.kind == kind and q.grade == grade]
            if not places:
                continue
            here, there = (_values(questions, given, places, probe) for given in (answers, others))
            both = np.flatnonzero(~np.isnan(here - there))
            targets = [asked[places[i]].target.input for i in both]
            found = estimate((here - there)[both], np.ones(len(both)), targets)
            lines.append((name, probe, found.value, found.n, found.low, found.high))
    return pd.DataFrame(lines, columns=["set", "probe", "value", "n", "low", "high"])


def _values(
    questions: QuestionSet, answers: Sequence[str], places: Sequence[int], probe: str
) -> NDArray[np.float64]:
    """Compute one value a question: its score, or 1 if it is wrong and copied, else 0; shape (places,)."""
    chosen = [questions.questions[i] for i in places]
    given = [answers[i] for i in places]
    scores = questions.task.score(given, [q.expected for q in chosen])
    if probe != "copy_rate":
        return scores
    wrong = questions.task.wrong or plain_wrong
    copied = [wrong(text, q.target, q.context)[1] for text, q in zip(given, chosen, strict=True)]
    return np.where(np.isnan(scores), np.nan, np.array(copied, dtype=np.float64))


def difference_in_words(differences: pd.DataFrame, model: str, other: str) -> list[str]:
    """Describe each difference in a sentence, and mark those whose interval includes 0."""
    sets = {"id": "in domain", "ood": "out of domain"}
    lines = []
    for row in differences.to_dict("records"):
        if not row["n"]:
            continue
        found = "" if row["low"] * row["high"] > 0 else "; no detectable difference"
        lines.append(
            f"{model} against {other}, {COMPARED[row['probe']]}, {sets[row['set']]}: {row['value']:+.2f} "
            f"({row['low']:+.2f} to {row['high']:+.2f}; {row['n']} targets{found})"
        )
    return lines
