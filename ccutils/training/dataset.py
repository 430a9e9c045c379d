"""The prompts of a training run: shuffled targets, each with a new context in every epoch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from datasets import Dataset

from ccutils.contexts.epochs import EpochContexts
from ccutils.contexts.prompts import Prompt, Prompter, feature, shorten
from ccutils.contexts.shared import SharedSampler
from ccutils.models.packing import Feature, group_prompts, pack


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


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSet(EpochContexts):
    """Prompts by their place in the run, of the contexts there, a pure function of (seed, place).

    Raises InputError where a target alone is too long for the window.
    """

    prompter: Prompter

    def __post_init__(self) -> None:
        self.prompter.check_alone("pool", self.pool)

    @property
    def group_size(self) -> int:
        """How many consecutive prompts share their random demonstrations; 1: none do."""
        return self.sampler.group_size if isinstance(self.sampler, SharedSampler) else 1

    def tokens(self, places: Sequence[int]) -> dict[str, list[list[int]]]:
        """Make `input_ids` and `labels` of the prompts with their answers; the answer's labels count."""
        features = [feature(prompt.ids, prompt.answer) for prompt in self._prompts(places)]
        return {name: [f[name] for f in features] for name in ("input_ids", "labels")}

    def _prompts(self, places: Sequence[int]) -> Iterator[Prompt]:
        """Yield the prompts with their answers."""
        for target, demonstrations, nearness in self.contexts(places):
            yield self.prompter.prompt(demonstrations, target, similarity=nearness)

    def dataset(self, n: int) -> Dataset:
        """Return the first n prompts as a data set that makes each when it is asked for."""
        rows = Dataset.from_dict({"place": np.arange(n)})
        return rows.with_transform(lambda batch: self.tokens(batch["place"]))

    def survey(self, n: int, most: int = 500) -> Survey:
        """Measure n prompts of the run, or about `most` of them spread over it, in whole groups."""
        size = self.group_size
        groups = min(n, most) // size or 1
        starts = np.unique(np.linspace(0, max(0, n // size - 1), groups).astype(int)) * size
        places = (starts[:, None] + np.arange(size)).ravel()[:n].tolist()
        made = list(self._prompts(places))
        features: list[Feature] = [feature(prompt.ids, prompt.answer) for prompt in made]
        lengths = [len(f["input_ids"]) for f in features]
        longest, shared = max(lengths), 0
        if size > 1:
            packed = [group_prompts(features[i : i + size]) for i in range(0, len(features), size)]
            longest, shared = max((len(pack(g).ids), len(g.prefix)) for g in packed)
        return Survey(
            prompts=len(places),
            mean_tokens=float(np.mean(lengths)),
            most_tokens=max(lengths),
            mean_answer_tokens=float(np.mean([len(prompt.answer) for prompt in made])),
            dropped=sum(prompt.dropped for prompt in made),
            longest=longest,
            shared=shared,
        )

    def show(self, place: int) -> str:
        """Return the prompt at one place and its answer, as a person reads them."""
        target, demonstrations, _ = self.contexts([place])[0]
        return f"{self.prompter.text(demonstrations, target)} «{shorten(target.output, 200)}»"
