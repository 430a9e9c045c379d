"""Score answers against references: every function takes lists and returns scores in [0, 1], shape (n,)."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ccutils.errors import InputError, reason
from ccutils.tasks.base import Score, label_key
from ccutils.tasks.brackets import Node, ParseError, blank, parse_form, same, slots

Scores = NDArray[np.float64]


Metric = Callable[[Sequence[str], Sequence[str]], Scores]
"""(answers, references) -> scores, shape (n,)."""


def of_outputs(metric: Metric) -> Score:
    """Make a task's score from a metric: the references are the examples' outputs."""
    return lambda answers, examples: metric(answers, [e.output for e in examples])


def text_match(answers: Sequence[str], references: Sequence[str]) -> Scores:
    """Score 1 if the texts have the same `label_key`."""
    return _each(lambda a, r: float(label_key(a) == label_key(r)), answers, references)


def parse_match(answers: Sequence[str], references: Sequence[str]) -> Scores:
    """Score MTOP's exact match: 1 if the answer parses to the reference's tree (order counts)."""
    return _each_parse(lambda a, r: float(same(a, r)), answers, references)


def intent_match(answers: Sequence[str], references: Sequence[str]) -> Scores:
    """Score 1 if the answer is a logical form with the reference's top intent, whatever its slots."""
    return _each_parse(lambda a, r: float(a.label == r.label), answers, references)


def slot_f1(answers: Sequence[str], references: Sequence[str]) -> Scores:
    """Score F1 of the slots: a correct slot has the same label, words and labels above it.

    1 if neither has slots; 0 if the answer is not a logical form. ANY in the reference matches any label, but
    the words under it count.

    >>> slot_f1(["[IN:A [SL:B x ] ]"], ["[IN:A [SL:B x ] [SL:C y ] ]"]).round(2).tolist()
    [0.67]
    """

    def f1(answer: Node, reference: Node) -> float:
        given, wanted = slots(blank(answer, reference)), slots(reference)
        total = given.total() + wanted.total()
        return 2 * (given & wanted).total() / total if total else 1.0

    return _each_parse(f1, answers, references)


def _each_parse(
    compare: Callable[[Node, Node], float], answers: Sequence[str], references: Sequence[str]
) -> Scores:
    def score(answer: str, reference: str) -> float:
        wanted = parse_form(reference)
        try:
            return compare(parse_form(answer), wanted)
        except ParseError:
            return 0.0

    return _each(score, answers, references)


def _each(score: Callable[[str, str], float], answers: Sequence[str], references: Sequence[str]) -> Scores:
    return np.array([score(a, r) for a, r in zip(answers, references, strict=True)], dtype=np.float64)


def chrf(answers: Sequence[str], references: Sequence[str]) -> Scores:
    """Score sentence chrF++ (characters to 6, words to 2) by sacrebleu, divided by 100."""
    from sacrebleu.metrics.chrf import CHRF  # here, since most tasks do without it

    scorer = CHRF(word_order=2)
    return _each(lambda a, r: float(scorer.sentence_score(a, [r]).score) / 100, answers, references)


def bleu(answers: Sequence[str], references: Sequence[str]) -> Scores:
    """Score sentence BLEU by sacrebleu (effective order, exponential smoothing), divided by 100."""
    from sacrebleu.metrics.bleu import BLEU

    scorer = BLEU(effective_order=True)
    return _each(lambda a, r: float(scorer.sentence_score(a, [r]).score) / 100, answers, references)


COMET = "Unbabel/wmt22-comet-da"  # which COMET model the paper used is not known


def comet(
    answers: Sequence[str],
    references: Sequence[str],
    sources: Sequence[str],
    *,
    model: str = COMET,
    batch_size: int = 16,
) -> Scores:
    """Score COMET of each translation: about 0 to 1, not clipped.

    Raises InputError if unbabel-comet is not installed or the model cannot be loaded.
    """
    items = zip(sources, answers, references, strict=True)
    rows = [{"src": s, "mt": a, "ref": r} for s, a, r in items]
    if not rows:
        return np.zeros(0)
    judge, gpus = load_comet(model)
    return np.array(judge.predict(rows, batch_size=batch_size, gpus=gpus).scores, dtype=np.float64)


@lru_cache(maxsize=1)
def load_comet(model: str) -> tuple[Any, int]:
    """Load the COMET model, once, and count the GPUs to run it on."""
    try:
        from comet import download_model, load_from_checkpoint
    except ImportError:
        raise InputError(
            "metric 'comet' needs the package unbabel-comet: pip install unbabel-comet, or choose 'chrf'."
        ) from None
    import torch

    try:
        checkpoint = download_model(model)
    except Exception as error:  # the library raises many kinds: no network, no such id, no licence
        why = reason(error)
        raise InputError(
            f"COMET model {model!r} could not be loaded ({why}): check the name, network and licence."
        ) from None
    return load_from_checkpoint(checkpoint), int(torch.cuda.is_available())
