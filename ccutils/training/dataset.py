"""The prompts of a training run: shuffled targets, each with a new context in every epoch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from ccutils.contexts.paraphrase import Paraphrases
from ccutils.contexts.prompts import Prompt, Prompter, shorten
from ccutils.contexts.sampler import Contexts, ContextSampler, SlotKind, show_demonstrations
from ccutils.contexts.shared import SharedSampler, target_order
from ccutils.models.packing import IGNORE, Feature, group_prompts, pack
from ccutils.streams import Stream
from ccutils.tasks.base import Example


@dataclass(frozen=True, slots=True)
class Survey:
    """What some training prompts are like: tokens with the answer (mean, most), demonstrations dropped.

    `longest` counts the tokens of the longest sequence that the model reads: a prompt with its answer, or a
    group of them, of which `shared` are read once for all.
    """

    prompts: int
    mean_tokens: float
    most_tokens: int
    mean_answer_tokens: float
    dropped: int
    longest: int
    shared: int


def feature(prompt: list[int], answer: list[int]) -> dict[str, list[int]]:
    """A prompt with its answer as the trainer takes it: only the answer's labels count."""
    return {"input_ids": prompt + answer, "labels": [IGNORE] * len(prompt) + answer}


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Prompts by their place in the run: place i is target i % pool of epoch i // pool's order.

    A pure function of (seed, place): a run that was interrupted, or is shared by several processes, sees the
    prompts it would have seen. Raises InputError where a target alone is too long for the window.
    """

    pool: Sequence[Example]
    sampler: ContextSampler
    paraphrases: Paraphrases
    prompter: Prompter

    def __post_init__(self) -> None:
        self.prompter.check_alone("pool", self.pool)

    @property
    def seed(self) -> int:
        return self.sampler.seed

    @property
    def group_size(self) -> int:
        """How many consecutive prompts share their random demonstrations; 1: none do."""
        return self.sampler.group_size if isinstance(self.sampler, SharedSampler) else 1

    def targets(self, places: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Epochs and pool rows at these places, each of shape (n,)."""
        n = len(self.pool)
        epochs = places // n
        rows = np.empty_like(places)
        for epoch in np.unique(epochs).tolist():
            rows[epochs == epoch] = target_order(self.seed, epoch, n)[places[epochs == epoch] % n]
        return epochs, rows

    def contexts(self, places: Sequence[int]) -> list[tuple[Example, list[Example], list[float]]]:
        """For each place its target, its demonstrations, and how near they are (0: drawn at random)."""
        epochs, rows = self.targets(np.asarray(places, dtype=np.int64))
        found: dict[int, tuple[Example, list[Example], list[float]]] = {}
        for epoch in np.unique(epochs).tolist():
            chosen = np.flatnonzero(epochs == epoch)
            drawn = self.sampler.sample(epoch, rows[chosen])
            for place, line in zip(chosen.tolist(), range(len(chosen)), strict=True):
                found[place] = self._context(epoch, int(rows[place]), drawn, line)
        return [found[i] for i in range(len(places))]

    def _context(
        self, epoch: int, target: int, drawn: Contexts, line: int
    ) -> tuple[Example, list[Example], list[float]]:
        rows, kinds = drawn.rows[line].tolist(), drawn.kinds[line].tolist()

        def paraphrase(row: int) -> str:
            rng = np.random.default_rng([self.seed, Stream.PARAPHRASE_SHOWN, epoch, row])
            return self.paraphrases.pick(self.pool[row], rng)

        fixed = {SlotKind.RANDOM: 0.0, SlotKind.PARAPHRASE: 2.0}
        nearness = [
            self._nearness(target, row) if kind == SlotKind.SIMILAR else fixed[kind]
            for row, kind in zip(rows, kinds, strict=True)
        ]
        return self.pool[target], show_demonstrations(self.pool, rows, kinds, paraphrase), nearness

    def _nearness(self, target: int, row: int) -> float:
        """From 1 for the nearest neighbour down towards 0, by rank: which of them to drop first."""
        rank = np.flatnonzero(self.sampler.nearest[target] == row)
        return float(1 / (1 + rank[0])) if len(rank) else 0.0

    def tokens(self, places: Sequence[int]) -> dict[str, list[list[int]]]:
        """`input_ids` and `labels` of the prompts with their answers; only the answer's labels count."""
        features = [feature(prompt.ids, answer) for prompt, answer in self._prompts(places)]
        return {name: [f[name] for f in features] for name in ("input_ids", "labels")}

    def _prompts(self, places: Sequence[int]) -> Iterator[tuple[Prompt, list[int]]]:
        """The prompts and their answers."""
        for target, demonstrations, nearness in self.contexts(places):
            answer = self.prompter.answer(target)
            yield self.prompter.prompt(demonstrations, target, len(answer), nearness), answer

    def dataset(self, n: int) -> Dataset:
        """The first n prompts as a data set that makes each when it is asked for."""
        rows = Dataset.from_dict({"place": np.arange(n)})
        return rows.with_transform(lambda batch: self.tokens(batch["place"]))

    def survey(self, n: int, most: int = 500) -> Survey:
        """Measure n prompts of the run, or about `most` of them spread over it, in whole groups."""
        size = self.group_size
        groups = min(n, most) // size or 1
        starts = np.unique(np.linspace(0, max(0, n // size - 1), groups).astype(int)) * size
        places = (starts[:, None] + np.arange(size)).ravel()[:n].tolist()
        made = list(self._prompts(places))
        features: list[Feature] = [feature(prompt.ids, answer) for prompt, answer in made]
        lengths = [len(f["input_ids"]) for f in features]
        longest, shared = max(lengths), 0
        if size > 1:
            packed = [group_prompts(features[i : i + size]) for i in range(0, len(features), size)]
            longest, shared = max((len(pack(g).ids), len(g.prefix)) for g in packed)
        return Survey(
            prompts=len(places),
            mean_tokens=float(np.mean(lengths)),
            most_tokens=max(lengths),
            mean_answer_tokens=float(np.mean([len(answer) for _, answer in made])),
            dropped=sum(prompt.dropped for prompt, _ in made),
            longest=longest,
            shared=shared,
        )

    def show(self, place: int) -> str:
        """The prompt at one place and its answer, as a person reads them."""
        target, demonstrations, _ = self.contexts([place])[0]
        return f"{self.prompter.text(demonstrations, target)} «{shorten(target.output, 200)}»"
