"""Baselines without a language model: rules and a linear classifier that answer the probes' questions."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from ccutils.contexts.similarity import words
from ccutils.errors import InputError
from ccutils.probes.judged import labels_repeat
from ccutils.probes.questions import PLAIN, QuestionSet

VALIDATION_SEED = 100
"""The seed whose questions the gate's threshold is chosen on; no result is reported for it."""


def answer_all(
    questions: QuestionSet, validation: Callable[[int], QuestionSet]
) -> tuple[dict[str, list[str]], str]:
    """Answer by every baseline, by the names of BASELINES; also return why classifier and gated are missing.

    `validation` makes questions by a seed; those of VALIDATION_SEED choose the gate's threshold. Without
    scikit-learn, and where outputs are not labels that repeat, there is neither classifier nor gate.
    """
    answers = {"majority": majority_label(questions), "nearest": nearest_shown(questions)}
    if questions.task.map_labels is None or not labels_repeat(questions.task):
        return answers, ""
    try:
        known = tfidf_classifier(questions)
        other = validation(VALIDATION_SEED + (questions.seed == VALIDATION_SEED))
        threshold = choose_threshold(other, tfidf_classifier(other))
    except InputError as error:
        return answers, f"no classifier among the baselines: {error}"
    return answers | {"classifier": known, "gated": gated(questions, known, threshold)}, ""


def majority_label(questions: QuestionSet) -> list[str]:
    """Answer every question with the pool's most frequent label."""
    [(label, _)] = Counter(e.output for e in questions.task.pool).most_common(1)
    return [label] * len(questions.questions)


def nearest_shown(questions: QuestionSet) -> list[str]:
    """Answer with the label of the most similar demonstration, or nothing without demonstrations."""
    return [q.context[int(np.argmax(q.similarity))].output if q.context else "" for q in questions.questions]


def tfidf_classifier(questions: QuestionSet) -> list[str]:
    """Answer by logistic regression on TF-IDF vectors of the pool's inputs, without contexts.

    Raises InputError if scikit-learn is missing and for a pool with a single label.
    """
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
    except ImportError as error:
        raise InputError(
            "the TF-IDF classifier needs scikit-learn: pip install 'contrastive-context[tfidf]'."
        ) from error
    pool = questions.task.pool
    if len({e.output for e in pool}) < 2:
        raise InputError(
            f"a classifier needs two labels or more, and the pool of {questions.task.name} has one."
        )
    model = make_pipeline(
        TfidfVectorizer(analyzer=words, sublinear_tf=True), LogisticRegression(C=10, max_iter=1000)
    )
    model.fit([e.input for e in pool], [e.output for e in pool])
    return [str(label) for label in model.predict([q.target.input for q in questions.questions])]


def gated(questions: QuestionSet, otherwise: Sequence[str], threshold: float) -> list[str]:
    """Answer with the most similar demonstration's label if its similarity is above the threshold.

    Else with `otherwise`: the classifier's answers, or those of a model that does not use its context.
    """
    return [
        copied if max(q.similarity, default=-1.0) > threshold else known
        for q, copied, known in zip(questions.questions, nearest_shown(questions), otherwise, strict=True)
    ]


def choose_threshold(validation: QuestionSet, otherwise: Sequence[str]) -> float:
    """Choose the threshold of `gated`, in [-1, 1], on validation questions.

    It maximises the mean of knowledge (ID, nothing relevant) and novel (OOD, one relevant example; ID for a
    task without OOD questions). `otherwise` are answers to `validation`. The lowest of equals is chosen.
    """
    asked = validation.questions
    name = "ood" if any(q.set == "ood" for q in asked) else "id"
    parts = [
        [i for i, q in enumerate(asked) if (q.kind, q.set, q.grade) == (PLAIN, *part)]
        for part in (("id", 0), (name, 1))
    ]
    if not all(parts):
        raise InputError(
            "a threshold needs plain questions with none and with one relevant example: add kinds."
        )
    expected = [q.expected for q in asked]
    copying, knowing = (
        validation.task.score(answers, expected) for answers in (nearest_shown(validation), otherwise)
    )
    best = np.array([max(q.similarity, default=-1.0) for q in asked])

    def quality(threshold: float) -> float:
        right = np.where(best > threshold, copying, knowing)
        return float(np.mean([right[part].mean() for part in parts]))

    return float(max(sorted({-1.0, *best[np.concatenate(parts)]}), key=quality))
