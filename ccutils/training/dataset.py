"""The prompts of a training run as a data set, and their lengths."""

from dataclasses import dataclass

import numpy as np
from datasets import Dataset

from ccutils.contexts.epochs import EpochContexts


@dataclass(frozen=True, slots=True)
class Survey:
    """Statistics of some training prompts: tokens with the answer (mean, most), demonstrations dropped."""

    prompts: int
    mean_tokens: float
    most_tokens: int
    mean_answer_tokens: float
    dropped: int


@dataclass(frozen=True, slots=True)
class TrainingSet(EpochContexts):
    """Training prompts by index; needs a `prompter`."""

    def dataset(self, n: int) -> Dataset:
        """Make a data set of the first n prompts, each computed when it is read."""
        rows = Dataset.from_dict({"place": np.arange(n)})
        return rows.with_transform(lambda batch: self.tokens(batch["place"]))

    def survey(self, n: int, most: int = 500) -> Survey:
        """Measure the first n prompts of the run, or `most` of them spread evenly."""
        places = np.unique(np.linspace(0, n - 1, min(n, most)).astype(int)).tolist()
        made = list(self.prompts(places))
        lengths = [len(prompt.ids) + len(prompt.answer) for prompt in made]
        return Survey(
            prompts=len(places),
            mean_tokens=float(np.mean(lengths)),
            most_tokens=max(lengths),
            mean_answer_tokens=float(np.mean([len(prompt.answer) for prompt in made])),
            dropped=sum(prompt.dropped for prompt in made),
        )
