"""Contexts whose examples differ in similarity, against the definition differentiated automatically."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ccutils.errors import InputError
from ccutils.records import CONTEXT_STRATEGIES
from ccutils.theory.gradient_flow import behaviour, flow
from ccutils.theory.model import SIMILARITIES, World, context_kinds, gradient, loss
from ccutils.theory.spread import (
    SpreadContexts,
    contrast_signal,
    spread_contexts,
    spread_end,
    spread_gradient,
    spread_loss,
)


@st.composite
def similarities(draw: Callable[..., Any]) -> np.ndarray:
    return np.array(draw(st.lists(st.floats(0, 1), min_size=2, max_size=8)))


@given(
    s=similarities(),
    theta=st.tuples(st.floats(-4, 8), st.floats(-5, 5)),
    error=st.floats(0, 1),
    noise=st.floats(0, 1),
    similarity=st.sampled_from(SIMILARITIES),
)
@settings(max_examples=80, deadline=None)
def test_loss_and_gradient_equal_the_definition(
    s: np.ndarray, theta: tuple[float, float], error: float, noise: float, similarity: str
) -> None:
    world = World(k=len(s), error=error, noise=noise, similarity=similarity)
    point = torch.tensor(theta, dtype=torch.float64, requires_grad=True)
    expected = defined_loss(point, s, world)
    (slope,) = torch.autograd.grad(expected, point)
    contexts = SpreadContexts(np.ones(1), s[None], np.zeros((1, len(s))))
    assert spread_loss(theta, contexts, world) == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(spread_gradient(theta, contexts, world), slope, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("strategy", CONTEXT_STRATEGIES)
@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_without_spread_it_is_the_minimal_model(strategy: str, similarity: str) -> None:
    world = World(similarity=similarity)
    contexts, kinds = spread_contexts(world, strategy), context_kinds(world, strategy)
    for theta in ([0.0, 0.0], [3.0, -1.0], [9.0, 6.0]):
        assert spread_loss(theta, contexts, world) == pytest.approx(float(loss(theta, kinds)), rel=1e-12)
        np.testing.assert_allclose(
            spread_gradient(theta, contexts, world), gradient(theta, kinds), rtol=1e-9, atol=1e-13
        )
    if strategy == "contrastive":
        end = flow(kinds, [[0.0, 0.0]], [1e5])[-1, 0]
        assert spread_end(contexts, world) == pytest.approx(end, abs=1e-3)


class TestContrastSignal:
    """The notebook's theorem: what counts is the variance of similarity within a context."""

    @given(s=similarities(), theta_2=st.floats(-6, 6), error=st.floats(0, 1), noise=st.floats(0, 1))
    @settings(max_examples=100, deadline=None)
    def test_it_is_the_derivative_by_theta_1_and_never_positive(
        self, s: np.ndarray, theta_2: float, error: float, noise: float
    ) -> None:
        world = World(k=len(s), error=error, noise=noise)
        point = torch.tensor([0.0, theta_2], dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(defined_loss(point, s, world), point)
        signal = contrast_signal(s, len(s) / (len(s) + np.exp(theta_2)), error)
        assert float(signal) == pytest.approx(slope[0].item(), rel=1e-8, abs=1e-12)
        assert signal <= 1e-15  # whatever the skew

    def test_against_drawn_labels(self) -> None:
        """The loss of 400,000 drawn contexts, differentiated by finite differences on common draws."""
        rng = np.random.default_rng(0)
        s, error, n, step = np.array([0.1, 0.2, 0.3, 0.9]), 0.5, 400_000, 1e-3
        unknown, known = (share**0.5 * rng.normal(size=(n, 5)) for share in (error, 1 - error))
        g = known + unknown  # coordinates along the target and four directions orthogonal to it
        y = s * g[:, :1] + np.sqrt(1 - s**2) * g[:, 1:]

        def squared(theta_1: float) -> np.ndarray:
            logits = np.append(theta_1 * s, theta_1 * s.mean())
            share = np.exp(logits) / np.exp(logits).sum()
            return np.asarray((y @ share[:-1] + share[-1] * known[:, 0] - g[:, 0]) ** 2)

        slope = (squared(step) - squared(-step)) / (2 * step)
        exact, half = contrast_signal(s, 4 / 5, error), 4 * slope.std() / n**0.5
        assert abs(slope.mean() - exact) < half < 0.1 * abs(exact)
        no_skew = contrast_signal(s, 4 / 5, error) + 2 * 0.64 * ((s - s.mean()) ** 3).mean() / 4
        assert abs(slope.mean() - no_skew) > half  # the draws tell the skew's term

    @given(s=st.floats(0, 1), k=st.integers(2, 9), gate=st.floats(0, 1), error=st.floats(0, 1))
    def test_none_where_all_are_alike(self, s: float, k: int, gate: float, error: float) -> None:
        assert abs(contrast_signal(np.full(k, s), gate, error)) < 1e-15


class TestSpreadOfFiveHundredths:
    """Results 2 and 5 hold at spread 0 alone, as the notebook says."""

    def test_similar_is_far_from_blind(self) -> None:
        world = World()
        blind, spread = (
            behaviour(spread_end(spread_contexts(world, "similar", x), world), world) for x in (0.0, 0.05)
        )
        assert blind.chosen == pytest.approx(1 / world.k, abs=1e-6)
        assert spread.chosen > 0.5

    def test_batch_mix_is_no_blend(self) -> None:
        world = World()
        blend, spread = (
            behaviour(spread_end(spread_contexts(world, "batch_mix", x), world), world) for x in (0.0, 0.05)
        )
        assert blend.chosen == pytest.approx(1 / world.k, abs=1e-6)
        assert spread.chosen > 0.5


def test_a_spread_has_its_standard_deviation_and_keeps_the_grade() -> None:
    contexts = spread_contexts(World(), "batch_mix", 0.05)
    assert contexts.s[:-1].std(axis=1) == pytest.approx(0.05)
    assert contexts.s[:-1].mean(axis=1) == pytest.approx([0.75, 0.85, 0.95])
    assert contexts.s[-1].tolist() == [0.0] * 6  # random ones stay so
    assert spread_contexts(World(), "contrastive", 0.05).s == pytest.approx(
        spread_contexts(World(), "contrastive").s
    )


@pytest.mark.parametrize("spread", [0.06, float("nan")])
def test_a_spread_beyond_one_is_told(spread: float) -> None:
    with pytest.raises(InputError, match="spread is"):
        spread_contexts(World(), "similar", spread)


def defined_loss(theta: torch.Tensor, s: np.ndarray, world: World) -> torch.Tensor:
    """The definition for one context, by the covariances of labels and a softmax over k + 1 logits."""
    to_target = torch.tensor(np.append(s, 1.0))  # the slot's place is the target's own
    covariance = torch.outer(to_target, to_target).fill_diagonal_(1.0)
    mean = to_target[:-1].mean() if world.similarity == "relative" else 0.0
    share = torch.softmax(torch.cat([theta[0] * to_target[:-1], (theta[1] + theta[0] * mean)[None]]), 0)
    known, unknown = share.clone(), share.clone()
    known[-1] = share[-1] - 1
    unknown[-1] = -1.0
    noise = (share[:-1] ** 2).sum() + 1
    error = (1 - world.error) * known @ covariance @ known + world.error * unknown @ covariance @ unknown
    return error + world.noise * noise
