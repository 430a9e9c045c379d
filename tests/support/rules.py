"""Artificial responders: rules that answer the probes' questions without a model."""

import re
from collections import Counter
from collections.abc import Callable

import numpy as np

from ccutils.probes.baselines import majority_label, nearest_shown, tfidf_classifier
from ccutils.probes.questions import Question, QuestionSet
from ccutils.tasks import Example

Responder = Callable[[QuestionSet], list[str]]


def oracle(questions: QuestionSet) -> list[str]:
    """Know every answer and follow every relevant example."""
    return [q.expected.output for q in questions.questions]


def random_guess(questions: QuestionSet) -> list[str]:
    """Copy any label shown."""
    rng = np.random.default_rng(0)
    return [str(rng.choice([e.output for e in q.context])) if q.context else "" for q in questions.questions]


def choose_shown(questions: QuestionSet, merit: Callable[[Question, Example], float]) -> list[str]:
    """Copy the label of the shown example of highest merit, a random one of equals."""
    rng = np.random.default_rng(0)

    def best(q: Question) -> str:
        order = [q.context[i] for i in rng.permutation(len(q.context))]
        return max(order, key=lambda e: merit(q, e)).output if order else ""

    return [best(q) for q in questions.questions]


def most_familiar(questions: QuestionSet) -> list[str]:
    count = Counter(e.output for e in questions.task.pool)
    return choose_shown(questions, lambda q, e: count[e.output])


def rarest(questions: QuestionSet) -> list[str]:
    count = Counter(e.output for e in questions.task.pool)
    return choose_shown(questions, lambda q, e: -count[e.output])


def least_similar(questions: QuestionSet) -> list[str]:
    return [q.context[int(np.argmin(q.similarity))].output if q.context else "" for q in questions.questions]


def name_match(questions: QuestionSet) -> list[str]:
    """Copy the label whose name shares most letter triples with the target's input."""

    def triples(text: str) -> set[str]:
        text = re.sub(r"[^a-z]+", " ", text.lower())
        return {text[i : i + 3] for i in range(len(text) - 2)}

    def merit(q: Question, e: Example) -> float:
        of_label = triples(e.output)
        return len(of_label & triples(q.target.input)) / max(1, len(of_label))

    return choose_shown(questions, merit)


def contradicting(questions: QuestionSet) -> list[str]:
    """Copy the label of a demonstration that is not what its input has in the pools: a mislabelled one."""
    task = questions.task
    known = {e.input: e.output for e in (*task.pool, *task.ood_pool)}
    return choose_shown(questions, lambda q, e: float(known[e.input] != e.output))


RULES: dict[str, Responder] = {
    "oracle": oracle,
    "majority label": majority_label,
    "random guess": random_guess,
    "nearest shown": nearest_shown,
    "least similar shown": least_similar,
    "rarest shown": rarest,
    "most familiar shown": most_familiar,
    "name match": name_match,
    "mislabelled demonstration": contradicting,
    "classifier": tfidf_classifier,
}
