"""From answers to the probes' rows: quality, IWL-, ICL- and Copy-score, with bootstrap intervals.

That there are these scores is the paper's; how they are measured is ours. All come from the questions of
ccutils.probes.questions: IWL-score and Copy-score from the answers at grade 0, ICL-score from those with a
changed label.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ccutils.probes.questions import CHANGED, NEIGHBOUR, PLAIN, SETS, Question, QuestionSet
from ccutils.records import Row, Run
from ccutils.tasks.base import Wrong
from ccutils.tasks.sequences import plain_wrong

BINS = 10  # of similarity, of equal width; a row's grade is the middle of its bin
FEWEST = 10  # answers of a bin: fewer tell nothing, and would make a curve jump
N_RESAMPLES = 1000
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean, or a ratio of sums, over n answers, and its 95% bootstrap interval; NaN where n is 0."""

    value: float
    n: int
    low: float
    high: float


def measure(questions: QuestionSet, answers: Sequence[str], run: Run, step: int) -> list[Row]:
    """Measure every probe by the answers to `questions`, in their order; without questions it has no row.

    quality: plain contexts by grade. iwl: those of grade 0. icl: contexts with changed labels by grade,
    scored against the answer that follows. similarity: contexts of grade 0 or with one neighbour, by their
    best similarity; no row where no context has a neighbour. copy and copy_rate: grade 0, see `Task.wrong`;
    n of copy is the number of answers that are wrong at all. An answer whose score is NaN cannot be judged
    and is left out.
    """
    expected = [question.expected for question in questions.questions]
    scores = questions.task.score(list(answers), expected)  # (questions,)
    wrong = questions.task.wrong or plain_wrong
    rows = []
    for name in SETS:
        of_set = [i for i, question in enumerate(questions.questions) if question.set == name]
        estimates = _estimates(
            [questions.questions[i] for i in of_set], [answers[i] for i in of_set], scores[of_set], wrong
        )
        for probe, grade, found in estimates:
            key = (run.task, run.model, run.strategy, run.seed, step, name, probe, float(grade))
            rows.append(Row(*key, found.value, found.n, found.low, found.high, run.variant, run.base))
    return rows


def _estimates(
    questions: Sequence[Question], answers: Sequence[str], scores: Values, wrong: Wrong
) -> Iterator[tuple[str, float, Estimate]]:
    """Probe, grade and estimate of each row of one set; scores are (questions,)."""

    def mean(chosen: list[int]) -> Estimate:
        judged = [i for i in chosen if not np.isnan(scores[i])]
        return estimate(scores[judged], np.ones(len(judged)), [questions[i].target.input for i in judged])

    def grades(kind: str) -> dict[int, list[int]]:
        return _group(questions, lambda question: question.grade if question.kind == kind else None)

    plain = grades(PLAIN)
    for grade, chosen in plain.items():
        yield "quality", grade, mean(chosen)
    for grade, chosen in grades(CHANGED).items():
        yield "icl", grade, mean(chosen)
    neighbours = any(question.kind == NEIGHBOUR for question in questions)
    for place, chosen in _group(questions, _bin).items() if neighbours else ():
        if len(chosen) >= FEWEST:
            yield "similarity", (place + 0.5) / BINS, mean(chosen)
    if 0 in plain:
        yield "iwl", 0, mean(plain[0])
        judged = [i for i in plain[0] if not np.isnan(scores[i])]
        pairs = [wrong(answers[i], questions[i].target, questions[i].context) for i in judged]
        shares = np.array(pairs, dtype=np.float64).reshape(-1, 2)  # (n, 2): wrong, copied
        targets = [questions[i].target.input for i in judged]
        yield "copy", 0, estimate(shares[:, 1], shares[:, 0], targets)
        yield "copy_rate", 0, estimate(shares[:, 1], np.ones(len(shares)), targets)


def _bin(question: Question) -> int | None:
    """The bin of a context's best similarity, for contexts of the similarity probe."""
    if question.kind == NEIGHBOUR or (question.kind == PLAIN and question.grade == 0):
        return min(int(max(question.similarity) * BINS), BINS - 1)
    return None


def _group(questions: Sequence[Question], key: Callable[[Question], int | None]) -> dict[int, list[int]]:
    """Places of the questions by key, in ascending order of keys; None is left out."""
    groups: dict[int, list[int]] = {}
    for i, question in enumerate(questions):
        at = key(question)
        if at is not None:
            groups.setdefault(at, []).append(i)
    return dict(sorted(groups.items()))


def estimate(parts: Values, wholes: Values, targets: Sequence[str]) -> Estimate:
    """sum(parts) / sum(wholes), all (n,), and the percentile interval of a bootstrap with a fixed seed.

    Targets are resampled, each with all its answers (several contexts of one target are no independent
    draws). Resamples whose wholes are all 0 say nothing and are left out. n counts the wholes above 0.

    >>> found = estimate(np.array([1.0, 0.0]), np.array([1.0, 1.0]), ["first target", "second target"])
    >>> found.value, found.n
    (0.5, 2)
    """
    n = int(np.count_nonzero(wholes))
    if n == 0:
        return Estimate(np.nan, 0, np.nan, np.nan)
    _, group = np.unique(np.array(targets), return_inverse=True)
    drawn = _draws(int(group.max()) + 1)  # (N_RESAMPLES, targets)
    tops, bottoms = drawn @ np.bincount(group, parts), drawn @ np.bincount(group, wholes)
    ratios = tops[bottoms > 0] / bottoms[bottoms > 0]
    low, high = np.percentile(ratios, [2.5, 97.5])
    return Estimate(float(parts.sum() / wholes.sum()), n, float(low), float(high))


@lru_cache(maxsize=64)
def _draws(n: int) -> Values:
    """How often each of n targets is drawn in each resample: (N_RESAMPLES, n), always the same."""
    return np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=N_RESAMPLES).astype(np.float64)
