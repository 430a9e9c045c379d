"""Random contexts without a relevant example, an ablation: no contrast by chance."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ccutils.contexts.sampler import Contexts, ContextSampler, SlotKind, Strategy
from ccutils.errors import InputError
from ccutils.streams import Stream


class BarredSampler(ContextSampler):
    """Draws random contexts without a relevant example, so that the dose is 0.

    `relevant(target, row)` says whether one pool row is relevant to another; it need not be transitive, so
    draws are one by one. Raises InputError for a strategy other than random; `sample` does for a target with
    fewer than k irrelevant examples.

    >>> inputs = ["rain in Oslo", "rain in Lima", "call my sister", "play a song"]
    >>> sampler = BarredSampler(Strategy("random", k=2), inputs, 0, lambda a, b: {a, b} == {0, 1})
    >>> sorted(sampler.sample(epoch=0, targets=np.array([0])).rows[0].tolist())
    [2, 3]
    """

    def __init__(
        self, strategy: Strategy, inputs: Sequence[str], seed: int, relevant: Callable[[int, int], bool]
    ) -> None:
        if strategy.name != "random":
            raise InputError(
                f"barred is 1 and the strategy {strategy.name!r}: it is available for random only."
            )
        super().__init__(strategy, None, inputs, seed)
        self.relevant = relevant

    def sample(self, epoch: int, targets: NDArray[Any]) -> Contexts:
        """Sample one context per target (pool rows, shape (n,)), independent of the other targets passed."""
        rows = np.array([self._context(epoch, int(t)) for t in targets], dtype=np.int32)
        shape = (len(targets), self.strategy.k)
        return Contexts(rows.reshape(shape), np.full(shape, SlotKind.RANDOM, dtype=np.uint8))

    def _context(self, epoch: int, target: int) -> list[int]:
        """Find the first k rows of a random order that are neither relevant nor duplicates."""
        found = list[int]()
        rng = np.random.default_rng([self.seed, Stream.BARRED_CONTEXTS, epoch, target])
        for row in rng.permutation(len(self.order)).tolist():
            if self.start[row] != self.start[target] and not self.relevant(target, row):
                found.append(row)
            if len(found) == self.strategy.k:
                return found
        raise InputError(
            f"pool example {target} has {len(found)} irrelevant examples in the pool, and k is "
            f"{self.strategy.k}: lower k or enlarge the pool."
        )
