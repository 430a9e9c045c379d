"""Intervals of means over seeds, by a bootstrap over seeds and within them targets; tests by sign flips."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import permutation_test, t, ttest_1samp  # type: ignore[import-untyped]

SEED_RESAMPLES = 2000
Z = 1.959964
"""Standard errors on either side of a mean in a 95% interval."""


MEANS_OF_SCORES = ("quality", "empty", "retrieved", "nearest_label", "iwl")
"""The probes that are plain means of the answers' scores: n right and wrong ones sum to a whole number."""


def errors_of(rows: pd.DataFrame) -> "pd.Series[float]":
    """Compute the standard error of each row over its targets, from its interval and number of answers.

    It is at least that of a share by Agresti and Coull (1998), with two right and two wrong answers added: if
    all answers are wrong, resamples show no spread. For means of graded scores (chrF++) the error of
    resamples is widened for few answers, as Student's t is.
    """
    total, n = rows["value"].clip(0, 1) * rows["n"], rows["n"]
    share = (total + 2) / (n + 4)
    of_share = np.sqrt(share * (1 - share) / (n + 4))
    found = (rows["high"] - rows["low"]) / (2 * Z)
    graded = rows["probe"].isin(MEANS_OF_SCORES) & ((total - total.round()).abs() > 1e-6) & (n > 1)
    freedom = (n - 1).clip(lower=1)
    wider = t.ppf(0.975, freedom) / Z * np.sqrt(n / freedom)
    at_least = found.clip(lower=of_share)
    return at_least.mask(graded, np.minimum(found * wider, at_least))


def interval_over_seeds(values: ArrayLike, errors: ArrayLike) -> tuple[float, float]:
    """Compute the 95% interval of the mean of the seeds' values, each with its standard error.

    Where the seeds disagree (their standard deviation is above twice the standard error over targets), the
    interval is Student's t over seeds: a bootstrap of a few seeds would be too narrow. Otherwise resamples
    have one seed less than there are (Rao and Wu 1988), and every drawn seed is moved as another draw of its
    targets would move it. With one seed the interval is over targets alone.

    >>> low, high = interval_over_seeds([0.4, 0.5, 0.6], [0.1, 0.1, 0.1])
    >>> bool(0.3 < low < 0.45 and 0.55 < high < 0.7)
    True
    """
    value, error = np.asarray(values, float), np.asarray(errors, float)
    if not len(value):
        return float("nan"), float("nan")
    spread = float(np.std(value, ddof=1)) if len(value) > 1 else 0.0
    if spread > 2 * float(np.sqrt(np.mean(np.square(error)))):
        half = float(t.ppf(0.975, len(value) - 1)) * spread / len(value) ** 0.5
        return float(value.mean()) - half, float(value.mean()) + half
    drawn, noise = _draws(len(value))
    size = max(1, len(value) - 1)
    means = (drawn @ value + (np.sqrt(drawn) * noise) @ error) / size
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


@lru_cache(maxsize=32)
def _draws(n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw how often each of n seeds is resampled, and standard normal noise; both (SEED_RESAMPLES, n)."""
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(max(1, n - 1), np.full(n, 1 / n), size=SEED_RESAMPLES).astype(np.float64)
    return drawn, rng.standard_normal((SEED_RESAMPLES, n))


def difference_interval(
    ours: Sequence[float], our_errors: Sequence[float], theirs: Sequence[float], their_errors: Sequence[float]
) -> tuple[float, float, float]:
    """Compute the difference of two means over different seeds, and its 95% interval (low, high).

    The spread over seeds is pooled from both, and is at least that over targets; Student's t of n + m - 2
    degrees of freedom.

    >>> difference_interval([0.5, 0.5], [0.1, 0.1], [0.4, 0.4], [0.1, 0.1])[0]
    0.1
    """
    n, m = len(ours), len(theirs)
    difference = round(float(np.mean(ours) - np.mean(theirs)), 12)
    freedom = n + m - 2
    squares = sum(float(np.var(values) * len(values)) for values in (ours, theirs))
    by_targets = float(np.mean(np.square([*our_errors, *their_errors])))
    variance = max(squares / freedom if freedom else 0.0, by_targets)
    half = float(t.ppf(0.975, freedom) if freedom else Z) * (variance * (1 / n + 1 / m)) ** 0.5
    return difference, difference - half, difference + half


def sign_flip_p(values: Sequence[float]) -> float:
    """Compute the two-sided p of the mean being zero, by all sign flips of the seeds' values.

    Of eight seeds it is at least 2/256 = 0.008, of three 0.25.

    >>> sign_flip_p([0.1] * 8)
    0.0078125
    """
    test = permutation_test(
        (np.asarray(values, float),),
        lambda x, axis: np.mean(x, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf if len(values) <= 16 else 9999,
        rng=np.random.default_rng(0),
    )
    return float(test.pvalue)


def t_test_p(values: Sequence[float]) -> float:
    """Compute the two-sided p of the mean being zero by Student's t-test over seeds' values.

    >>> round(t_test_p([0.1, 0.2, 0.3]), 3)
    0.074
    """
    if np.ptp(values) < 1e-12:  # without any spread the statistic is not defined
        return float(abs(values[0]) < 1e-12)
    return float(ttest_1samp(values, 0).pvalue)


def holm(p: Sequence[float]) -> list[float]:
    """Correct p values for their number (Holm 1979), in their order.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p)
    corrected = np.asarray(p, float)[order] * np.arange(len(p), 0, -1)
    found = np.empty(len(p))
    found[order] = np.minimum(np.maximum.accumulate(corrected), 1)
    return [float(x) for x in found]
