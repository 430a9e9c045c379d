"""Quality of answers: every function takes lists and returns a score in [0, 1] for each item, shape (n,)."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ccutils.brackets import Node, ParseError, parse, same, slots

Scores = NDArray[np.float64]


def text_match(answers: Sequence[str], references: Sequence[str]) -> Scores:
    """1 where the texts are equal, white space aside."""
    return _each(lambda a, r: float(a.split() == r.split()), answers, references)


def parse_match(answers: Sequence[str], references: Sequence[str]) -> Scores:
    """MTOP's exact match: 1 where the answer parses to the reference's tree (order counts)."""
    return _each_parse(lambda a, r: float(same(a, r)), answers, references)


def intent_match(answers: Sequence[str], references: Sequence[str]) -> Scores:
    """1 where the answer is a logical form with the reference's top intent, whatever its slots."""
    return _each_parse(lambda a, r: float(a.label == r.label), answers, references)


def slot_f1(answers: Sequence[str], references: Sequence[str]) -> Scores:
    """F1 of the slots of each item: a slot is right with its label, its words and the labels above it.

    1 where neither has slots; 0 where the answer is not a logical form.
    """

    def f1(answer: Node, reference: Node) -> float:
        given, wanted = slots(answer), slots(reference)
        total = given.total() + wanted.total()
        return 2 * (given & wanted).total() / total if total else 1.0

    return _each_parse(f1, answers, references)


def _each_parse(
    compare: Callable[[Node, Node], float], answers: Sequence[str], references: Sequence[str]
) -> Scores:
    def score(answer: str, reference: str) -> float:
        wanted = parse(reference)
        try:
            return compare(parse(answer), wanted)
        except ParseError:
            return 0.0

    return _each(score, answers, references)


def _each(score: Callable[[str, str], float], answers: Sequence[str], references: Sequence[str]) -> Scores:
    return np.array([score(a, r) for a, r in zip(answers, references, strict=True)], dtype=np.float64)
