"""Quality by similarity, compared across similarities for the same targets.

Targets with a near neighbour are often of frequent groups, which the weights know better: a plain mean by bin
would rise with similarity even for a model that ignores the context. So each target is its own control.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from ccutils.probes.estimates import Estimate, Values, target_draws

BINS = 10  # of similarity, of equal width; a row's grade is the middle of its bin
FEWEST = 10  # answers in a bin: fewer are too noisy for a curve


def quality_by_bin(judged: pd.DataFrame) -> Iterator[tuple[float, Estimate]]:
    """Yield the middle of each bin of similarity, in [0, 1], and the quality there.

    Least squares on score = target + bin, a fixed effect for each target; the level is the mean score. A
    quality may therefore lie slightly outside [0, 1]. Targets with contexts in one bin only are left out, as
    are bins of few answers. The bootstrap is over targets.
    """
    bins = np.minimum((judged["similarity"] * BINS).astype(int), BINS - 1)
    judged = _comparable(judged.assign(bin=bins))
    if judged.empty:
        return
    bins, column = np.unique(judged["bin"], return_inverse=True)
    target = pd.factorize(judged["target"])[0]
    scores = judged["score"].to_numpy(float)
    count = np.zeros((target.max() + 1, len(bins)))  # (targets, bins): answers
    total = np.zeros_like(count)  # their scores
    np.add.at(count, (target, column), 1)
    np.add.at(total, (target, column), scores)
    value = _effects(count, total, np.ones((1, len(count))))[0]
    low, high = np.percentile(_effects(count, total, target_draws(len(count))), [2.5, 97.5], axis=0)
    for i, lowest in enumerate(bins):
        n = int(count[:, i].sum())
        yield (lowest + 0.5) / BINS, Estimate(float(value[i]), n, float(low[i]), float(high[i]))


def _comparable(judged: pd.DataFrame) -> pd.DataFrame:
    """Select answers to targets that are in several bins, in bins with enough answers."""
    while True:
        several = judged.groupby("target")["bin"].transform("nunique") > 1
        enough = judged.groupby("bin")["bin"].transform("size") >= FEWEST
        if (several & enough).all():
            return judged
        judged = judged[several & enough]


def _effects(count: Values, total: Values, weights: Values) -> Values:
    """Fit the quality by bin for each row of weights (resamples, targets): (resamples, bins)."""
    answers = count.sum(axis=1)  # (targets,)
    share = count / answers[:, None]
    # The normal equations after subtracting each target's own mean: one matrix and vector per target.
    matrix = np.einsum("ti,ij->tij", count, np.eye(count.shape[1])) - np.einsum("ti,tj->tij", count, share)
    vector = total - share * total.sum(axis=1)[:, None]
    summed = np.einsum("rt,tij->rij", weights, matrix)
    effect = np.einsum("rij,rj->ri", np.linalg.pinv(summed, hermitian=True), weights @ vector)
    many = weights @ count  # (resamples, bins)
    mean = (weights @ total).sum(axis=1) / many.sum(axis=1)
    return np.asarray(effect - ((effect * many).sum(axis=1) / many.sum(axis=1) - mean)[:, None])
