"""The contexts of a run by place: every target once an epoch, each time in a new order and context."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ccutils.contexts.paraphrase import Paraphrases
from ccutils.contexts.sampler import (
    Contexts,
    ContextSampler,
    SlotKind,
    show_demonstrations,
    target_order,
)
from ccutils.streams import Stream
from ccutils.tasks.base import Example, RedrawLabels


@dataclass(frozen=True, slots=True)
class EpochContexts:
    """Contexts by their place in a run: place i is target i % pool of epoch i // pool's order.

    A pure function of (seed, place): a run that was interrupted, or is shared by several processes, sees the
    contexts it would have seen. `redraw_labels`, where a task has it, is done to each context, and then
    `counterfactual` (ccutils.contexts.counterfactual). With `vary_k` a context keeps m of its k
    demonstrations, m uniform on 0..k, random ones dropped first: a context that was drawn with a paraphrase
    or a neighbour has lost it only where m is 0, a share 1 / (k + 1).
    """

    pool: Sequence[Example]
    sampler: ContextSampler
    paraphrases: Paraphrases
    redraw_labels: RedrawLabels | None = None
    counterfactual: RedrawLabels | None = None
    vary_k: bool = False

    @property
    def seed(self) -> int:
        return self.sampler.seed

    def targets(self, places: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return epochs and pool rows at these places, each of shape (n,)."""
        n = len(self.pool)
        epochs = places // n
        rows = np.empty_like(places)
        for epoch in np.unique(epochs).tolist():
            rows[epochs == epoch] = target_order(self.seed, epoch, n)[places[epochs == epoch] % n]
        return epochs, rows

    def contexts(self, places: Sequence[int]) -> list[tuple[Example, list[Example], list[float]]]:
        """Return each place's target, its demonstrations, and how near they are (0: drawn at random)."""
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
        if self.vary_k:
            rng = np.random.default_rng([self.seed, Stream.VARIED_K, epoch, target])
            nearest_first = sorted(range(len(rows)), key=lambda i: -nearness[i])
            kept = sorted(nearest_first[: rng.integers(len(rows) + 1)])
            rows, kinds, nearness = ([x[i] for i in kept] for x in (rows, kinds, nearness))
        shown = [*show_demonstrations(self.pool, rows, kinds, paraphrase), self.pool[target]]
        for stream, relabel in (
            (Stream.LABELS_REDRAWN, self.redraw_labels),
            (Stream.COUNTERFACTUAL, self.counterfactual),
        ):
            if relabel:
                shown = relabel(shown, np.random.default_rng([self.seed, stream, epoch, target]))
        return shown[-1], shown[:-1], nearness

    def _nearness(self, target: int, row: int) -> float:
        """Return 1 for the nearest neighbour down towards 0, by rank: which of them to drop first."""
        rank = np.flatnonzero(self.sampler.nearest[target] == row)
        return float(1 / (1 + rank[0])) if len(rank) else 0.0
