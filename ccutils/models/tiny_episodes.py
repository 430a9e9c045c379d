"""Pretraining data of the tiny base: repeated words, and episodes whose labels only the context reveals.

No labelled example of the task is used, only its vocabulary, its template and the lengths of its inputs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from ccutils.errors import InputError
from ccutils.tasks.base import Task

Tokens = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Material:
    """The material of episodes: token ids of words and template, and the lengths of inputs."""

    start: list[int]  # of the template: its instruction
    before: list[int]  # before an input
    after: list[int]  # between input and answer
    end: list[int]  # after an answer
    inputs: Tokens  # (words,) of inputs
    answers: list[Tokens]  # by length in tokens: (answers, length), the task's distinct labels
    lengths: Tokens  # (pool,) of inputs, in tokens
    interlinear: bool  # answers repeat the input's words, each with its gloss

    def mean_lengths(self) -> tuple[int, int]:
        """Return the mean lengths of inputs and labels, rounded so that seeds agree."""
        labels = [answers.shape for answers in self.answers]
        return round(float(self.lengths.mean())), round(
            sum(n * m for n, m in labels) / sum(n for n, _ in labels)
        )


def question_around(task: Task) -> tuple[str, str]:
    """Split the template's question into the text before and after the input, other fields empty.

    Raises InputError if the question does not contain the input exactly once.
    """
    blank = {key: "" for e in task.pool[:1] for key in e.extra}
    parts = task.template.question.format(**{**blank, "input": "\0"}).split("\0")
    if len(parts) != 2:
        raise InputError(
            f"the tiny base needs a question with exactly one {{input}}, got {task.template.question!r}."
        )
    return parts[0], parts[1]


def material_of(task: Task, tokenizer: PreTrainedTokenizerFast) -> Material:
    """Collect token ids of the task's words, labels and template."""

    def ids(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    before, after = question_around(task)
    examples = [*task.pool, *task.ood_pool]
    inputs = [ids(e.input) for e in examples]
    outputs = sorted({tuple(ids(e.output)) for e in examples})
    lengths = sorted({len(o) for o in outputs})
    said = {t for o in outputs for t in o}
    words = {t for text in task.vocabulary for t in ids(text)} - said
    used = sorted(({t for row in inputs for t in row} | words) - {tokenizer.unk_token_id})
    return Material(
        start=ids(task.template.instruction),
        before=ids(before),
        after=ids(after),
        end=ids(task.template.separator),
        inputs=np.array(used),
        answers=[np.array([o for o in outputs if len(o) == n]) for n in lengths],
        lengths=np.array([len(row) for row in inputs]),
        interlinear=all(
            o[::2] == tuple(i) for i, e in zip(inputs, examples, strict=True) for o in [tuple(ids(e.output))]
        ),
    )


def repeats(among: Tokens, batch: int, rng: np.random.Generator) -> Tokens:
    """Sample token sequences repeated twice: (batch, 2 * length), one length of 8 to 23 per batch."""
    once = rng.choice(among, (batch, rng.integers(8, 24)))
    return np.concatenate([once, once], axis=1)


def episodes(
    material: Material, k: int, batch: int, rng: np.random.Generator
) -> tuple[Tokens, NDArray[np.bool_]]:
    """Sample a batch of episodes: tokens, and where the loss is, both (batch, length).

    An episode is k demonstrations and one more example, with labels or a lexicon of its own. All episodes of
    a batch have the same slot lengths, so that nothing is padded.
    """
    lengths = rng.choice(material.lengths, k + 1)
    slots = (
        _interlinear(material, lengths, batch, rng)
        if material.interlinear
        else _labels(material, lengths, batch, rng)
    )
    start = np.tile(np.array(material.start, dtype=np.int64), (batch, 1))
    tokens, judged = [start], [np.zeros(start.shape, dtype=np.bool_)]
    for words, answer in slots:
        fixed = [
            np.tile(np.array(part, dtype=np.int64), (batch, 1))
            for part in (material.before, material.after, material.end)
        ]
        parts = [fixed[0], words, fixed[1], answer, fixed[2]]
        tokens += parts
        judged += [np.full(part.shape, i >= 3) for i, part in enumerate(parts)]
    return np.concatenate(tokens, axis=1), np.concatenate(judged, axis=1)


def _labels(
    material: Material, lengths: Tokens, batch: int, rng: np.random.Generator
) -> Iterator[tuple[Tokens, Tokens]]:
    """Yield slots of topic episodes, each with words and a label; the last slot's topic is in the context."""
    k, rows = len(lengths) - 1, np.arange(batch)
    n_topics = int(rng.integers(1, k + 1))
    answers = material.answers[rng.choice(len(material.answers), p=_shares(material.answers))]
    owned = max(2 * int(lengths.max()), 2)  # words a topic owns
    words = rng.choice(material.inputs, (batch, n_topics, owned))
    labels = answers[rng.integers(len(answers), size=(batch, n_topics))]  # (batch, topic, label length)
    topic = rng.integers(n_topics, size=(batch, k + 1))
    topic[:, k] = topic[rows, rng.integers(k, size=batch)]
    for slot, length in enumerate(lengths):
        chosen = np.argsort(rng.random((batch, owned)), axis=1)[:, :length]
        yield words[rows[:, None], topic[:, slot, None], chosen], labels[rows, topic[:, slot]]


def _interlinear(
    material: Material, lengths: Tokens, batch: int, rng: np.random.Generator
) -> Iterator[tuple[Tokens, Tokens]]:
    """Yield slots of gloss episodes: sentences over a small lexicon, each word with its gloss."""
    n_words = int(rng.integers(lengths.max() + 1, 11))
    answers = np.unique(np.concatenate([a[:, 1::2].ravel() for a in material.answers]))
    words = rng.choice(material.inputs, (batch, n_words))
    glosses = rng.choice(answers, (batch, n_words))
    for length in lengths:
        chosen = np.argsort(rng.random((batch, n_words)), axis=1)[:, :length]
        sentence = np.take_along_axis(words, chosen, axis=1)
        pairs = np.stack([sentence, np.take_along_axis(glosses, chosen, axis=1)], axis=2)
        yield sentence, pairs.reshape(batch, 2 * length)


def _shares(answers: Sequence[Tokens]) -> NDArray[np.float64]:
    counts = np.array([len(a) for a in answers], dtype=np.float64)
    return np.asarray(counts / counts.sum())
