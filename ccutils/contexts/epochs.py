"""Contexts and training prompts by index: every target once an epoch, in a new order and context."""

from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass

import numpy as np
from numpy.typing import NDArray

from ccutils.contexts.paraphrase import Paraphrases
from ccutils.contexts.prompts import Prompt, Prompter, feature, shorten
from ccutils.contexts.sampler import ContextSampler, SlotKind, show_demonstrations, target_order
from ccutils.streams import Stream
from ccutils.tasks.base import Example, RedrawLabels

Context = tuple[Example, list[Example], list[float]]
"""A target, its demonstrations, and how near each is: 2 for a paraphrase, 1 / rank for a neighbour, or 0."""


@dataclass(frozen=True, slots=True)
class EpochContexts:
    """Contexts by their index in a run: index i is target i % pool in the order of epoch i // pool.

    A pure function of (seed, index): a run that was interrupted, or is shared by several processes, sees the
    same contexts. `redraw_labels`, if a task has it, is applied to each context, and then `counterfactual`
    (ccutils.contexts.counterfactual). With `vary_k` a context keeps m of its k demonstrations, m uniform on
    0..k, random ones dropped first: a context with a paraphrase or a neighbour loses it only if m is 0, with
    probability 1 / (k + 1). `prompts`, `tokens` and `show` need a `prompter`. Raises InputError if a target
    alone is too long for the prompter's window.
    """

    pool: Sequence[Example]
    sampler: ContextSampler
    paraphrases: Paraphrases
    redraw_labels: RedrawLabels | None = None
    counterfactual: RedrawLabels | None = None
    vary_k: bool = False
    _: KW_ONLY
    prompter: Prompter | None = None

    def __post_init__(self) -> None:
        if self.prompter:
            self.prompter.check_alone("pool", self.pool)

    @property
    def seed(self) -> int:
        return self.sampler.seed

    def targets(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Find epochs and pool rows at these indices, each of shape (n,)."""
        n = len(self.pool)
        epochs = indices // n
        rows = np.empty_like(indices)
        for epoch in np.unique(epochs).tolist():
            rows[epochs == epoch] = target_order(self.seed, epoch, n)[indices[epochs == epoch] % n]
        return epochs, rows

    def contexts(self, indices: Sequence[int]) -> list[Context]:
        """Sample the context at each index."""
        epochs, rows = self.targets(np.asarray(indices, dtype=np.int64))
        found: dict[int, Context] = {}
        for epoch in np.unique(epochs).tolist():
            chosen = np.flatnonzero(epochs == epoch)
            drawn = self.sampler.sample(epoch, rows[chosen])
            lines = zip(rows[chosen].tolist(), drawn.rows.tolist(), drawn.kinds.tolist(), strict=True)
            found |= {i: self._context(epoch, *line) for i, line in zip(chosen.tolist(), lines, strict=True)}
        return [found[i] for i in range(len(indices))]

    def _context(self, epoch: int, target: int, rows: list[int], kinds: list[int]) -> Context:
        def rng(stream: Stream) -> np.random.Generator:
            return np.random.default_rng([self.seed, stream, epoch, target])

        nearness = [self._nearness(target, row, kind) for row, kind in zip(rows, kinds, strict=True)]
        if self.vary_k:
            nearest_first = sorted(range(len(rows)), key=lambda i: -nearness[i])
            kept = sorted(nearest_first[: rng(Stream.VARIED_K).integers(len(rows) + 1)])
            rows, kinds = [rows[i] for i in kept], [kinds[i] for i in kept]
            nearness = [nearness[i] for i in kept]

        def paraphrase(row: int) -> str:
            return self.paraphrases.pick(self.pool[row], rng(Stream.PARAPHRASE_SHOWN))

        shown = [*show_demonstrations(self.pool, rows, kinds, paraphrase), self.pool[target]]
        if self.redraw_labels:
            shown = self.redraw_labels(shown, rng(Stream.LABELS_REDRAWN))
        if self.counterfactual:
            shown = self.counterfactual(shown, rng(Stream.COUNTERFACTUAL))
        return shown[-1], shown[:-1], nearness

    def _nearness(self, target: int, row: int, kind: int) -> float:
        """Rank a demonstration: those of a lower value are dropped first."""
        if kind != SlotKind.SIMILAR:
            return 2.0 if kind == SlotKind.PARAPHRASE else 0.0
        rank = np.flatnonzero(self.sampler.nearest[target] == row)
        return float(1 / (1 + rank[0])) if len(rank) else 0.0

    def prompts(self, indices: Sequence[int]) -> Iterator[Prompt]:
        """Yield the prompt at each index with its answer."""
        assert self.prompter
        for target, demonstrations, nearness in self.contexts(indices):
            yield self.prompter.prompt(demonstrations, target, similarity=nearness)

    def tokens(self, indices: Sequence[int]) -> dict[str, list[list[int]]]:
        """Tokenise the prompts: `input_ids`, and `labels` for the answers alone."""
        features = [feature(prompt.ids, prompt.answer) for prompt in self.prompts(indices)]
        return {name: [f[name] for f in features] for name in ("input_ids", "labels")}

    def show(self, index: int) -> str:
        """Write the prompt at one index and its answer, as a person reads them."""
        assert self.prompter
        target, demonstrations, _ = self.contexts([index])[0]
        return f"{self.prompter.text(demonstrations, target)} «{shorten(target.output, 200)}»"
