"""The prompts of a training run as a data set, and their lengths."""

from dataclasses import dataclass

import numpy as np
from datasets import Dataset

from ccutils.contexts.epochs import EpochContexts
from ccutils.contexts.prompts import feature
from ccutils.contexts.shared import SharedSampler
from ccutils.models.packing import Feature, group_prompts, pack


@dataclass(frozen=True, slots=True)
class Survey:
    """Statistics of training prompts: tokens with the answer (mean, most) and demonstrations dropped.

    `longest` is the number of tokens of the longest sequence that the model reads: a prompt with its answer,
    or a group of them, whose first `shared` tokens are read once.
    """

    prompts: int
    mean_tokens: float
    most_tokens: int
    mean_answer_tokens: float
    dropped: int
    longest: int
    shared: int


@dataclass(frozen=True, slots=True)
class TrainingSet(EpochContexts):
    """Training prompts by index; needs a `prompter`."""

    @property
    def group_size(self) -> int:
        """The number of consecutive prompts that share their random demonstrations; 1: no sharing."""
        return self.sampler.group_size if isinstance(self.sampler, SharedSampler) else 1

    def dataset(self, n: int) -> Dataset:
        """Make a data set of the first n prompts, each computed when it is read."""
        rows = Dataset.from_dict({"place": np.arange(n)})
        return rows.with_transform(lambda batch: self.tokens(batch["place"]))

    def survey(self, n: int, most: int = 500) -> Survey:
        """Measure n prompts of the run, or about `most` of them spread over it, in whole groups."""
        size = self.group_size
        groups = min(n, most) // size or 1
        starts = np.unique(np.linspace(0, max(0, n // size - 1), groups).astype(int)) * size
        indices = (starts[:, None] + np.arange(size)).ravel()[:n].tolist()
        made = list(self.prompts(indices))
        features: list[Feature] = [feature(prompt.ids, prompt.answer) for prompt in made]
        lengths = [len(f["input_ids"]) for f in features]
        longest, shared = max(lengths), 0
        if size > 1:
            packed = [group_prompts(features[i : i + size]) for i in range(0, len(features), size)]
            longest, shared = max((len(pack(g).ids), len(g.prefix)) for g in packed)
        return Survey(
            prompts=len(indices),
            mean_tokens=float(np.mean(lengths)),
            most_tokens=max(lengths),
            mean_answer_tokens=float(np.mean([len(prompt.answer) for prompt in made])),
            dropped=sum(prompt.dropped for prompt in made),
            longest=longest,
            shared=shared,
        )
