"""Similarity of contexts to their targets: the most similar demonstration, the others, their variance."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ccutils.contexts.neighbours import Index
from ccutils.contexts.sampler import LABELS, Contexts, ContextSampler, SlotKind


def similarity_profile(
    sampler: ContextSampler,
    index: Index,
    paraphrase: Callable[[int], str],
    *,
    epochs: int = 1,
    targets: NDArray[Any] | None = None,
) -> pd.DataFrame:
    """Measure the similarity of a strategy's contexts to their targets: one row per sampled context.

    Columns strategy, seed, epoch, target; best, the similarity of the most similar demonstration, in [0, 1];
    mean, that of the others (NaN without others); variance, that of all (NaN for an empty context; see
    ccutils.theory.contrast_signal); kind, a label of SlotKind, or "none" if empty. `index` is over the pool's
    inputs; `paraphrase` maps a target's pool row to its paraphrase; `targets` are pool rows, all if None.
    """
    targets = np.arange(len(index.texts)) if targets is None else targets
    tables = []
    for epoch in range(epochs):
        drawn = sampler.sample(epoch, targets)
        k = drawn.rows.shape[1]
        table: dict[str, Any] = {"strategy": sampler.strategy.name, "seed": sampler.seed, "epoch": epoch}
        table |= {"target": targets, "best": np.nan, "mean": np.nan, "variance": np.nan, "kind": "none"}
        if k:
            ordered = np.sort(context_similarity(drawn, index, paraphrase, targets), axis=1)[:, ::-1]
            table["best"] = ordered[:, 0]
            if k > 1:
                table["mean"] = ordered[:, 1:].mean(axis=1)
            table["variance"] = ordered.var(axis=1)
            table["kind"] = LABELS[
                drawn.kinds.max(axis=1)
            ]  # a context has at most one other kind than RANDOM
        tables.append(pd.DataFrame(table))
    return pd.concat(tables, ignore_index=True)


def context_similarity(
    drawn: Contexts, index: Index, paraphrase: Callable[[int], str], targets: NDArray[Any]
) -> NDArray[np.float64]:
    """Measure each demonstration's similarity to its target, in the prompt's order: (n, k), in [0, 1].

    `drawn` are the contexts of `targets`; `index` and `paraphrase` are as in similarity_profile.
    """
    texts = index.texts
    similarity = index.similarity([texts[t] for t in targets.tolist()], drawn.rows).astype(np.float64)
    where = np.nonzero(drawn.kinds == SlotKind.PARAPHRASE)
    rows = drawn.rows[where].tolist()
    similarity[where] = index.between([texts[r] for r in rows], [paraphrase(r) for r in rows])
    return similarity
