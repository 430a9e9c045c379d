"""Means and ratios of answers with bootstrap intervals over targets."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

N_RESAMPLES = 1000
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean, or a ratio of sums, over n answers, and its 95% bootstrap interval; NaN where n is 0."""

    value: float
    n: int
    low: float
    high: float


def estimate(parts: Values, wholes: Values, targets: Sequence[Hashable]) -> Estimate:
    """Estimate sum(parts) / sum(wholes), all (n,), with the percentile interval of a seeded bootstrap.

    Targets are resampled with all their answers, since contexts of one target are not independent. Resamples
    whose wholes are all 0 are left out. n counts the wholes that are not 0.

    >>> found = estimate(np.array([1.0, 0.0]), np.array([1.0, 1.0]), ["first target", "second target"])
    >>> found.value, found.n
    (0.5, 2)
    """
    n = int(np.count_nonzero(wholes))
    if n == 0:
        return Estimate(np.nan, 0, np.nan, np.nan)
    group = pd.factorize(pd.Series(list(targets)))[0]
    drawn = target_draws(int(group.max()) + 1)  # (N_RESAMPLES, targets)
    tops, bottoms = drawn @ np.bincount(group, parts), drawn @ np.bincount(group, wholes)
    ratios = tops[bottoms > 0] / bottoms[bottoms > 0]
    low, high = np.percentile(ratios, [2.5, 97.5])
    return Estimate(float(parts.sum() / wholes.sum()), n, float(low), float(high))


@lru_cache(maxsize=64)
def target_draws(n: int) -> Values:
    """Draw how often each of n targets is in each resample: (N_RESAMPLES, n), always the same."""
    return np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=N_RESAMPLES).astype(np.float64)
