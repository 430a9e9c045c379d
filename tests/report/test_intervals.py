"""Intervals and tests against known answers."""

from dataclasses import asdict
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccutils.probes.estimates import estimate
from ccutils.report.intervals import (
    Z,
    difference_interval,
    errors_of,
    holm,
    interval_over_seeds,
    sign_flip_p,
)


@pytest.mark.parametrize(("seeds", "least"), [(3, 0.85), (8, 0.91)])
def test_the_interval_covers_the_mean_of_seeds_that_differ(seeds: int, least: float) -> None:
    """benchmarks/coverage.py has more cases."""
    rng, hits = np.random.default_rng(0), 0
    for _ in range(300):
        centres = 0.5 + 0.05 * rng.standard_normal(seeds)
        low, high = interval_over_seeds(centres + 0.04 * rng.standard_normal(seeds), [0.04] * seeds)
        hits += low <= 0.5 <= high
    assert hits / 300 > least


def test_the_width_is_that_of_the_spread_over_seeds() -> None:
    values = np.linspace(0.3, 0.7, 30)
    low, high = interval_over_seeds(values, np.zeros(30))
    assert high - low == pytest.approx(2 * 1.96 * values.std(ddof=1) / 30**0.5, rel=0.08)


def test_one_seed_has_the_interval_of_its_targets() -> None:
    low, high = interval_over_seeds([0.5], [0.05])
    assert (low, high) == pytest.approx((0.5 - 0.098, 0.5 + 0.098), abs=0.01)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0, 0.2))
def test_the_interval_holds_the_mean(values: list[float], error: float) -> None:
    low, high = interval_over_seeds(values, [error] * len(values))
    assert all(a <= b + 1e-9 for a, b in pairwise((low, float(np.mean(values)), high)))


def test_no_row_is_without_error() -> None:
    rows = pd.DataFrame({"value": [0.0, 0.5], "n": [100, 100], "low": [0.0, 0.3], "high": [0.0, 0.7]})
    assert errors_of(rows.assign(probe="quality")).tolist() == pytest.approx(
        [(2 / 104 * 102 / 104 / 104) ** 0.5, 0.4 / 2 / 1.96], rel=1e-3
    )


def test_few_graded_scores_are_covered_and_not_taken_for_right_and_wrong_ones() -> None:
    rng = np.random.default_rng(0)
    scores = rng.beta(2, 10, size=(300, 10))  # such as chrF++ gives, with a mean of 1/6
    found = [estimate(line, np.ones(10), range(10)) for line in scores]
    rows = pd.DataFrame([asdict(one) for one in found])
    half = Z * errors_of(rows.assign(probe="quality"))
    assert 0.91 < ((rows["value"] - 1 / 6).abs() < half).mean() < 0.98
    assert half.median() < 0.4 * (Z * errors_of(rows.assign(probe="blind"))).median()


def test_a_difference_of_like_runs_holds_zero_in_95_of_100() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(600):
        ours, theirs = rng.normal(0.5, 0.1, 3), rng.normal(0.5, 0.1, 8)
        _, low, high = difference_interval(list(ours), [0.02] * 3, list(theirs), [0.02] * 8)
        held += low <= 0 <= high
    assert 0.93 <= held / 600 <= 0.98


def test_a_difference_by_hand() -> None:
    # pooled variance 0.01, t(0.975, 4) = 2.776445, sqrt(2/3)
    found = difference_interval([0.4, 0.5, 0.6], [0.0] * 3, [0.5, 0.6, 0.7], [0.0] * 3)
    half = 2.776445 * 0.1 * (2 / 3) ** 0.5
    assert found == pytest.approx((-0.1, -0.1 - half, -0.1 + half), abs=1e-6)


def test_sign_flips_by_hand() -> None:
    assert sign_flip_p([1, 2, 3]) == pytest.approx(2 / 8)
    assert sign_flip_p([1, 1, -1]) == pytest.approx(1.0)
    assert sign_flip_p([0.3, 0.1, 0.2, 0.4, 0.1, 0.2, 0.3, 0.2]) == pytest.approx(2 / 256)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_never_lowers_a_p_and_keeps_their_order(p: list[float]) -> None:
    corrected = holm(p)
    assert all(a <= b <= 1 for a, b in zip(p, corrected, strict=True))
    order = np.argsort(p, kind="stable")
    assert all(a <= b for a, b in pairwise(np.array(corrected)[order]))
