"""How similar contexts are to their targets, against similarities taken one by one."""

import numpy as np
import pandas as pd
import pytest

from ccutils.contexts.neighbours import Index, pool_neighbours
from ccutils.contexts.profile import similarity_profile
from ccutils.contexts.sampler import ContextSampler, SlotKind, Strategy


def test_similarity_profile_against_the_contexts_themselves() -> None:
    pool = [f"{a} {b} {c}" for a in "pqr" for b in "stu" for c in "vw"]
    index, neighbours = Index(pool), pool_neighbours(pool, 3)
    made = ContextSampler(Strategy("contrastive", 3, p=0.4, epsilon=0.3), neighbours, pool, seed=1)
    table = similarity_profile(made, index, lambda row: pool[row][:3], epochs=4)  # two of its three words
    assert table.columns.tolist() == [
        "strategy",
        "seed",
        "epoch",
        "target",
        "best",
        "mean",
        "variance",
        "kind",
    ]
    assert len(table) == 4 * len(pool) and set(table["kind"]) == {"random", "similar", "paraphrase"}
    for line in table.itertuples():
        drawn = made.sample(line.epoch, np.array([line.target]))
        kinds = drawn.kinds[0].tolist()
        texts = [
            pool[r][:3] if kind == SlotKind.PARAPHRASE else pool[r]
            for r, kind in zip(drawn.rows[0], kinds, strict=True)
        ]
        similarity = sorted(index.between([pool[line.target]] * 3, texts).tolist())
        assert line.best == pytest.approx(similarity[-1], abs=1e-5)
        assert line.mean == pytest.approx(sum(similarity[:2]) / 2, abs=1e-5)
        assert line.variance == pytest.approx(np.var(similarity), abs=1e-5)
        assert line.kind == ("random", "similar", "paraphrase")[max(kinds)]


def test_similarity_profile_orders_the_strategies() -> None:
    pool = [f"{a} {b} {c}" for a in "pqr" for b in "stu" for c in "vw"]
    index, neighbours = Index(pool), pool_neighbours(pool, 4)

    def profile(name: str, k: int = 4) -> pd.DataFrame:
        made = ContextSampler(Strategy(name, k), neighbours, pool, seed=0)
        return similarity_profile(made, index, lambda row: pool[row], epochs=20)

    best = {name: profile(name)["best"].mean() for name in ("random", "contrastive", "similar")}
    assert best["random"] < best["contrastive"] < best["similar"]
    assert profile("similar")["mean"].mean() > profile("contrastive")["mean"].mean() + 0.1
    # Only one demonstration stands out in contrastive contexts, so similarity varies most within those.
    assert profile("contrastive")["variance"].mean() > 2 * profile("similar")["variance"].mean()
    empty, alone = profile("none"), profile("random", k=1)
    assert empty["variance"].isna().all() and (alone["variance"] == 0).all()
    assert empty["best"].isna().all() and set(empty["kind"]) == {"none"}
    assert alone["best"].notna().all() and alone["mean"].isna().all()
