"""The probes' rows from scored answers: quality, IWL-, ICL- and Copy-score, with bootstrap intervals.

IWL-score and Copy-score use the answers at grade 0, ICL-score those to questions with a changed label.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from ccutils.probes.estimates import Estimate, estimate
from ccutils.probes.judged import judge_answers
from ccutils.probes.questions import (
    CHANGED,
    HARD,
    KINDS,
    MISLABELLED,
    NEIGHBOUR,
    PLAIN,
    RETRIEVED,
    SETS,
    QuestionSet,
)
from ccutils.probes.same_targets import quality_by_bin
from ccutils.records import Row, Run

SCORE_OF = {PLAIN: "quality", CHANGED: "icl"}
"""The probe that is the mean score of a kind of questions, if its name is not the kind's."""


def measure(questions: QuestionSet, answers: Sequence[str], run: Run, step: int) -> list[Row]:
    """Measure every probe by the answers to `questions`, in their order; see `measure_judged`."""
    return measure_judged(judge_answers(questions, answers), run, step)


def measure_judged(judged: pd.DataFrame, run: Run, step: int) -> list[Row]:
    """Measure every probe (see PROBES) by scored answers; without questions a probe has no row.

    Answers without a score are left out; if there are any, unjudged is their share. n of copy, copy_chance
    and copy_excess is the number of wrong answers, n of choice and hard_choice the number of answers that are
    a label in the context. similarity: see ccutils.probes.same_targets.
    """
    rows = []
    for name in SETS:
        asked = judged[judged["set"] == name]
        of_set = asked[asked["score"].notna()]
        for probe, grade, found in [*_unjudged(asked), *_estimates(of_set), *_by_label(of_set)]:
            key = (run.task, run.model, run.strategy, run.seed, step, name, probe, float(grade))
            rows.append(Row(*key, found.value, found.n, found.low, found.high, run.variant, run.base))
    return rows


def _unjudged(asked: pd.DataFrame) -> Iterator[tuple[str, float, Estimate]]:
    """Yield the share of answers without a score, if there are any."""
    without = asked["score"].isna().to_numpy().astype(np.float64)
    if without.any():
        yield "unjudged", 0, estimate(without, np.ones(len(without)), asked["target"].tolist())


def _estimates(judged: pd.DataFrame) -> Iterator[tuple[str, float, Estimate]]:
    """Yield probe, grade and estimate of each row of one set."""
    of_kind = {kind: judged[judged["kind"] == kind] for kind in KINDS}
    for kind, grade, asked in _by_kind(judged[judged["kind"] != NEIGHBOUR]):
        yield SCORE_OF.get(kind, kind), grade, _mean(asked)
    if len(retrieved := of_kind[RETRIEVED]):
        yield "nearest_label", 0, _mean(retrieved[retrieved["nearest"].notna()], "nearest")
    plain = of_kind[PLAIN]
    without, one = plain[plain["grade"] == 0], plain[plain["grade"] == 1]
    if len(of_kind[NEIGHBOUR]):
        for middle, found in quality_by_bin(pd.concat([without, of_kind[NEIGHBOUR]])):
            yield "similarity", middle, found
    if len(without):
        yield "iwl", 0, _mean(without)
        yield "copy", 0, _mean(without, "copied", "wrong")
        yield "copy_rate", 0, _mean(without, "copied")
        other = without[without["chance"].notna()]  # all, unless a set has one target
        yield "copy_chance", 0, _mean(other, "chance", "wrong")
        excess = other.assign(excess=other["copied"] - other["chance"])
        yield "copy_excess", 0, _mean(excess, "excess", "wrong")
    if len(one):
        yield "blind", 1, _mean(one, "copied")
    paired = one.merge(without.drop_duplicates("target"), on="target", suffixes=("", "_without"))
    if len(paired):
        yield "gain", 1, _mean(paired.assign(gain=paired["score"] - paired["score_without"]), "gain")


def _by_label(judged: pd.DataFrame) -> Iterator[tuple[str, float, Estimate]]:
    """Yield the probes of one set that compare answers with labels in the context, if labels repeat."""
    for kind, grade, asked in _by_kind(judged[judged["in_context"].notna()]):
        if kind == PLAIN:
            yield "gate", grade, _mean(asked, "in_context")
        if (kind, grade) in {(PLAIN, 1), (HARD, 1)}:
            probe = "choice" if kind == PLAIN else "hard_choice"
            yield probe, 1, _mean(asked, "chosen_relevant", "in_context")
        if (kind, grade) == (PLAIN, 1):
            neither = asked.assign(neither=(asked["in_context"] == 0) & (asked["score"] == 0))
            yield "intrusion", 1, _mean(neither, "neither")
        if kind == MISLABELLED:
            yield "mislabelled_followed", grade, _mean(asked, "followed")


def _by_kind(judged: pd.DataFrame) -> Iterator[tuple[str, float, pd.DataFrame]]:
    """Yield kind, grade and scored answers of each kind of questions."""
    for _, asked in judged.groupby(["kind", "grade"]):
        kind, grade = asked.iloc[0][["kind", "grade"]]
        yield str(kind), float(grade), asked


def _mean(asked: pd.DataFrame, column: str = "score", over: str = "") -> Estimate:
    """Estimate the mean of a column, or its sum over another column's, with its interval."""
    wholes = asked[over].to_numpy(float) if over else np.ones(len(asked))
    return estimate(asked[column].to_numpy(float), wholes, asked["target"].tolist())
