"""From answers to the probes' rows: quality, IWL-, ICL- and Copy-score, with bootstrap intervals.

All come from the questions of
ccutils.probes.questions: IWL-score and Copy-score from the answers at grade 0, ICL-score from those with a
changed label.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from ccutils.probes.estimates import Estimate, estimate
from ccutils.probes.judged import judge_answers
from ccutils.probes.questions import CHANGED, EMPTY, KINDS, NEIGHBOUR, PLAIN, RETRIEVED, SETS, QuestionSet
from ccutils.probes.same_targets import quality_by_bin
from ccutils.records import Row, Run


def measure(questions: QuestionSet, answers: Sequence[str], run: Run, step: int) -> list[Row]:
    """Measure every probe by the answers to `questions`, in their order; see `measure_judged`."""
    return measure_judged(judge_answers(questions, answers), run, step)


def measure_judged(judged: pd.DataFrame, run: Run, step: int) -> list[Row]:
    """Measure every probe by judged answers; without questions a probe has no row.

    quality: plain contexts by grade. empty: no context. retrieved: the k most similar examples as context;
    nearest_label: what the label of the first of them scores as an answer, without any model. iwl: plain
    contexts of grade 0. icl: contexts with changed labels by grade, scored against the answer that follows;
    icl_known and icl_unknown: those of grade 1 by whether the weights know the target. similarity: see
    ccutils.probes.same_targets. copy, copy_rate, copy_chance and copy_excess: grade 0, see `judge_answers`; n
    of all but copy_rate is the number of answers that are wrong at all. blind: grade 1. An answer that cannot
    be judged is left out; where there are such answers, unjudged is their share of all those asked for.
    """
    rows = []
    for name in SETS:
        asked = judged[judged["set"] == name]
        of_set = asked[asked["score"].notna()]
        for probe, grade, found in [*_unjudged(asked), *_estimates(of_set)]:
            key = (run.task, run.model, run.strategy, run.seed, step, name, probe, float(grade))
            rows.append(Row(*key, found.value, found.n, found.low, found.high, run.variant, run.base))
    return rows


def _unjudged(asked: pd.DataFrame) -> Iterator[tuple[str, float, Estimate]]:
    """Yield a row that counts the answers without a score, if there are any."""
    without = asked["score"].isna().to_numpy().astype(np.float64)
    if without.any():
        yield "unjudged", 0, estimate(without, np.ones(len(without)), asked["target"].tolist())


def _estimates(judged: pd.DataFrame) -> Iterator[tuple[str, float, Estimate]]:
    """Yield probe, grade and estimate of each row of one set."""

    def mean(chosen: pd.DataFrame, column: str = "score", over: str = "") -> Estimate:
        wholes = chosen[over].to_numpy(float) if over else np.ones(len(chosen))
        return estimate(chosen[column].to_numpy(float), wholes, chosen["target"].tolist())

    of_kind = {kind: judged[judged["kind"] == kind] for kind in KINDS}
    plain, changed = of_kind[PLAIN], of_kind[CHANGED]
    for grade in sorted(set(plain["grade"])):
        yield "quality", grade, mean(plain[plain["grade"] == grade])
    for grade in sorted(set(changed["grade"])):
        yield "icl", grade, mean(changed[changed["grade"] == grade])
    for known, chosen in changed[changed["grade"] == 1].groupby("known"):
        yield ("icl_known" if known else "icl_unknown"), 1, mean(chosen)
    if len(of_kind[EMPTY]):
        yield "empty", 0, mean(of_kind[EMPTY])
    if len(retrieved := of_kind[RETRIEVED]):
        yield "retrieved", 0, mean(retrieved)
        yield "nearest_label", 0, mean(retrieved[retrieved["nearest"].notna()], "nearest")
    without, one = plain[plain["grade"] == 0], plain[plain["grade"] == 1]
    if len(of_kind[NEIGHBOUR]):
        for middle, found in quality_by_bin(pd.concat([without, of_kind[NEIGHBOUR]])):
            yield "similarity", middle, found
    if len(without):
        yield "iwl", 0, mean(without)
        yield "copy", 0, mean(without, "copied", "wrong")
        yield "copy_rate", 0, mean(without, "copied")
        other = without[without["chance"].notna()]  # all, but where a set has one target
        yield "copy_chance", 0, mean(other, "chance", "wrong")
        yield (
            "copy_excess",
            0,
            mean(other.assign(excess=other["copied"] - other["chance"]), "excess", "wrong"),
        )
    if len(one):
        yield "blind", 1, mean(one, "copied")
