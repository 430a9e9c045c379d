"""The minimal model's loss and derivatives against its definition, its theorems, and sums by hand."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from minimal_worlds import defined_loss, thetas, worlds

from ccutils.errors import InputError
from ccutils.theory.model import (
    CONTEXT_STRATEGIES,
    SIMILARITIES,
    Kinds,
    World,
    best_gate,
    best_weight,
    context_kinds,
    contrast_signal,
    copying_threshold,
    derivatives,
    gradient,
    loss,
    make_kinds,
    one_near,
    signals,
    stack,
    weights,
)

similarities = st.lists(st.floats(0, 1), min_size=2, max_size=8)


@pytest.mark.parametrize("strategy", CONTEXT_STRATEGIES)
@settings(max_examples=60, deadline=None)
@given(world=worlds(), theta=thetas, slope=st.none() | st.floats(-6, 12))
def test_loss_gradient_and_hessian_of_a_strategy_equal_the_definition(
    strategy: str, world: World, theta: np.ndarray, slope: float | None
) -> None:
    assert_defined(theta if slope is None else np.append(theta, slope), world, context_kinds(world, strategy))


@settings(max_examples=80, deadline=None)
@given(s=similarities, theta=thetas, data=st.data())
def test_loss_gradient_and_hessian_of_any_similarities_equal_the_definition(
    s: list[float], theta: np.ndarray, data: Any
) -> None:
    world = data.draw(worlds(k=len(s)))
    assert_defined(theta, world, make_kinds(world, [(1.0, [(1, value, 0.0) for value in s])]))


@pytest.mark.parametrize("strategy", CONTEXT_STRATEGIES)
def test_gradient_is_exact_to_1e_8_relative_in_norm(strategy: str) -> None:
    rng = np.random.default_rng(0)
    for similarity in SIMILARITIES:
        world = World(similarity=similarity)
        kinds = context_kinds(world, strategy)
        for theta in rng.uniform([-3, -4], [8, 6], size=(100, 2)):
            point = torch.tensor(theta, requires_grad=True)
            (slope,) = torch.autograd.grad(defined_loss(point, world, kinds), point)
            assert np.linalg.norm(gradient(theta, kinds) - slope.numpy()) <= 1e-8 * np.linalg.norm(slope)


@given(world=worlds(), theta=thetas, strategy=st.sampled_from(CONTEXT_STRATEGIES))
@settings(max_examples=60, deadline=None)
def test_weights_sum_to_one_and_signals_to_the_gradient(
    world: World, theta: np.ndarray, strategy: str
) -> None:
    kinds = context_kinds(world, strategy)
    groups, slot = weights(theta, kinds)
    np.testing.assert_allclose(groups.sum(-1) + slot, 1.0, rtol=1e-14)
    assert kinds.share.sum() == pytest.approx(1.0)
    assert signals(theta, kinds).sum() == pytest.approx(gradient(theta, kinds)[0], rel=1e-9, abs=1e-14)


def test_stacked_worlds_give_what_each_gives() -> None:
    every = [context_kinds(World(k=k, noise=0.1 * k), "contrastive") for k in (1, 4, 9)]
    theta = np.array([[1.0, 2.0], [0.5, -1.0], [3.0, 3.0]])
    alone = [gradient(point, kinds) for point, kinds in zip(theta, every, strict=True)]
    np.testing.assert_allclose(gradient(theta, stack(every)), alone, rtol=1e-14)


class TestSignals:
    """Results 1 to 6 of the notebook, at any theta."""

    @given(world=worlds(), theta=thetas)
    def test_1_random_gives_theta_1_none_and_theta_2_grows(self, world: World, theta: np.ndarray) -> None:
        slope = gradient(theta, context_kinds(world, "random"))
        gate = world.k / (world.k + np.exp(theta[1]))
        curve = (1 + world.noise) / world.k + 1 - world.error
        assert slope[0] == 0 > slope[1]
        assert slope[1] == pytest.approx(-2 * gate**2 * (1 - gate) * curve, rel=1e-9)

    @given(world=worlds(), theta=thetas, strategy=st.sampled_from(["similar", "batch_mix"]))
    def test_2_and_5_no_contrast_without_contrast_inside(
        self, world: World, theta: np.ndarray, strategy: str
    ) -> None:
        contrast, opening = signals(theta, context_kinds(world, strategy))
        assert contrast == 0
        assert world.similarity == "absolute" or abs(opening) < 1e-14

    @given(
        s=st.floats(0.05, 1),
        error=st.floats(0, 1),
        noise=st.floats(0, 2),
        k=st.integers(2, 9),
        theta_2=st.floats(-8, 8),
    )
    def test_3_contrast_inside_a_context_raises_theta_1(
        self, s: float, error: float, noise: float, k: int, theta_2: float
    ) -> None:
        world = World(k=k, p=1.0, epsilon=0.0, noise=noise, error=error, grades=(s,))
        contrast, opening = signals([0.0, theta_2], context_kinds(world, "contrastive"))
        gate = k / (k + np.exp(theta_2))
        by_hand = -2 * gate * s * ((1 - error) * gate + error) * s * (k - 1) / k**2
        assert contrast == pytest.approx(by_hand, rel=1e-9, abs=1e-15)
        assert contrast < 0
        assert abs(opening) < 1e-14  # with relative similarity nothing acts against it

    def test_3_with_absolute_similarity_the_gate_can_outweigh_contrast(self) -> None:
        world = World(p=1.0, epsilon=0.0, error=0.0, grades=(0.1,), similarity="absolute")
        contrast, opening = signals([0.0, 1.2], context_kinds(world, "contrastive"))
        assert contrast < 0 < contrast + opening

    @given(world=worlds(counterfactual=0.0), theta=thetas, s=st.floats(0.05, 1))
    def test_3_weight_on_random_examples_only_hurts_so_one_kind_has_no_stationary_point(
        self, world: World, theta: np.ndarray, s: float
    ) -> None:
        kinds = one_near(world, s)
        near, random = weights(theta, kinds)[0][0]
        if world.k > 1:
            each = random / (world.k - 1)
            assert each * (1 + world.noise) + (1 - world.error) * (near + random - s * near) >= 0
            assert np.linalg.norm(gradient(theta, kinds)) > 0

    @given(theta=thetas, error=st.floats(0, 1), s=st.floats(0.05, 1))
    def test_6_absolute_similarity_ties_theta_1_to_the_gate(
        self, theta: np.ndarray, error: float, s: float
    ) -> None:
        kinds = context_kinds(World(error=error, grades=(s,), similarity="absolute"), "similar")
        slope = gradient(theta, kinds)
        assert slope[0] == pytest.approx(-s * slope[1], rel=1e-9, abs=1e-15)


class TestContrastSignal:
    """The notebook's theorem: what counts is the variance of similarity within a context."""

    @given(s=similarities, theta_2=st.floats(-6, 6), error=st.floats(0, 1), noise=st.floats(0, 1))
    def test_it_is_the_derivative_by_theta_1_and_never_positive(
        self, s: list[float], theta_2: float, error: float, noise: float
    ) -> None:
        world = World(k=len(s), error=error, noise=noise)
        slope = gradient([0.0, theta_2], make_kinds(world, [(1.0, [(1, value, 0.0) for value in s])]))
        signal = contrast_signal(s, len(s) / (len(s) + np.exp(theta_2)), error)
        assert float(signal) == pytest.approx(slope[0], rel=1e-8, abs=1e-12)
        assert signal <= 1e-15  # whatever the skew

    def test_it_agrees_with_sampled_labels(self) -> None:
        """The loss of 400,000 sampled contexts, differentiated by finite differences on common draws."""
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
        assert abs(slope.mean() - no_skew) > half  # the sample is large enough to see the skew's term

    @given(s=st.floats(0, 1), k=st.integers(2, 9), gate=st.floats(0, 1), error=st.floats(0, 1))
    def test_none_where_all_are_alike(self, s: float, k: int, gate: float, error: float) -> None:
        assert abs(contrast_signal(np.full(k, s), gate, error)) < 1e-15


class TestByHand:
    def test_one_random_example(self) -> None:
        # Perfect weights, half on y_1, half on f: the error is half of (y_1 - g), of variance 2.
        world = World(k=1, noise=0.0, error=0.0)
        assert loss([0.0, 0.0], context_kinds(world, "random")) == pytest.approx(0.5)

    def test_one_paraphrase_without_the_weights_is_exact(self) -> None:
        world = World(k=1, p=0.0, epsilon=1.0, noise=0.7, error=1.0)
        assert loss([0.0, -800.0], context_kinds(world, "contrastive")) == pytest.approx(0.0, abs=1e-12)

    def test_one_near_example_useless_weights(self) -> None:
        # All weight on y_1 = s g + sqrt(1 - s^2) other + noise: (1 - s)^2 + (1 - s^2) + noise twice.
        world = World(k=1, p=1.0, epsilon=0.0, noise=0.2, error=1.0, grades=(0.6,))
        expected = 2 * (1 - 0.6) + 2 * 0.2
        assert loss([0.0, -800.0], context_kinds(world, "contrastive")) == pytest.approx(expected)
        assert best_weight(world, 0.6) == pytest.approx(0.6 / 1.2)

    def test_perfect_weights_ignore_the_context(self) -> None:
        world = World(error=0.0, noise=0.3)
        assert best_weight(world, [0.2, 0.9, 1.0]) == pytest.approx(0.0)
        assert [best_gate(world, name) for name in ("random", "similar", "batch_mix")] == [0, 0, 0]
        for name in CONTEXT_STRATEGIES:
            assert loss([0.0, 800.0], context_kinds(world, name)) == pytest.approx(0.3)  # the noise alone

    def test_perfect_weights_are_wrong_about_counterfactual_labels(self) -> None:
        # f alone: its own variance, 1, and the label's.
        world = World(error=0.0, noise=0.0, counterfactual=1.0)
        assert loss([0.0, 800.0], context_kinds(world, "similar")) == pytest.approx(2.0)
        assert loss([0.0, 800.0], context_kinds(world, "random")) == pytest.approx(0.0)

    def test_useless_weights_and_no_noise(self) -> None:
        world = World(k=6, error=1.0, noise=0.0, grades=(0.5,))
        assert best_weight(world, 0.5) == pytest.approx(0.5)  # regression to the mean: s
        # Six labels of variance 1, covariance 1/4 among them and 1/2 with the target's: 0.5 / (2.25 / 6) > 1.
        assert best_gate(world, "similar") == 1.0
        assert copying_threshold(world, 0.5) == pytest.approx(0.5 + 1.5 / 6)

    def test_best_gate_of_batch_mix_between_its_limits(self) -> None:
        assert best_gate(World(p=0.0), "batch_mix") == best_gate(World(), "random") == 0
        assert best_gate(World(p=1.0, epsilon=0.0), "batch_mix") == best_gate(World(), "similar")
        # Half random, half near, of one grade 1, two examples, no noise, weights that know half:
        # the two parts of the loss are A^2 and (A - 1)^2 / 2 + ..., so it is least at 3 A = 1.
        world = World(k=2, p=0.5, epsilon=0.0, noise=0.0, error=0.5, grades=(1.0,))
        assert best_gate(world, "batch_mix") == pytest.approx(1 / 3)

    def test_with_one_example_contrastive_is_batch_mix_and_p_0_and_1_are_random_and_similar(self) -> None:
        def at(world: World, name: str) -> float:
            return float(loss([2.0, -1.0], context_kinds(world, name)))

        one, none, always = (World(k=k, p=p, epsilon=0.0) for k, p in ((1, 0.4), (6, 0.0), (6, 1.0)))
        assert at(one, "contrastive") == pytest.approx(at(one, "batch_mix"), rel=1e-14)
        assert at(none, "contrastive") == pytest.approx(at(none, "random"))
        assert at(none, "batch_mix") == pytest.approx(at(none, "random"))
        assert at(always, "batch_mix") == pytest.approx(at(always, "similar"))

    @given(world=worlds(), s=st.floats(0.05, 1))
    def test_no_weight_is_better_than_the_best(self, world: World, s: float) -> None:
        """With one example, at theta_2 = -logit(weight), the loss itself is the oracle."""
        alone = World(1, 1.0, 0.0, world.noise, world.error, (s,), "absolute", world.counterfactual)
        at = np.clip(np.append(np.linspace(0, 1, 51), best_weight(alone, s)), 1e-9, 1 - 1e-9)
        theta = np.stack([np.zeros_like(at), np.log(1 - at) - np.log(at)], -1)
        values = loss(theta, context_kinds(alone, "contrastive"))
        assert values[-1] <= values.min() + 1e-8

    def test_copying_begins_at_its_threshold(self) -> None:
        for s in (0.5, 0.8, 0.95):
            at = copying_threshold(World(k=20), s)
            assert best_gate(World(k=20, grades=(s,), error=min(1, at + 1e-6)), "similar") == 1.0
            assert best_gate(World(k=20, grades=(s,), error=at - 1e-6), "similar") < 1.0


def test_a_spread_has_its_standard_deviation_and_keeps_the_grade() -> None:
    for k in (6, 7):
        kinds = context_kinds(World(k=k), "batch_mix", 0.05)
        assert kinds.count.sum(-1).tolist() == [k] * 4
        assert (kinds.count * kinds.s).sum(-1) / k == pytest.approx([0.75, 0.85, 0.95, 0.0])
    kinds = context_kinds(World(), "similar", 0.05)
    mean = np.array(World().grades)[:, None]
    assert (kinds.count * (kinds.s - mean) ** 2).sum(-1) / 6 == pytest.approx([0.05**2] * 3)
    plain, spread = (context_kinds(World(), "contrastive", value) for value in (0.0, 0.05))
    assert np.array_equal(plain.s, spread.s)  # a lone near example has its grade


@pytest.mark.parametrize("spread", [0.06, float("nan")])
def test_a_spread_beyond_one_is_refused(spread: float) -> None:
    with pytest.raises(InputError, match="spread"):
        context_kinds(World(), "similar", spread)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("k", 0),
        ("k", 2.5),
        ("k", True),
        ("p", -0.1),
        ("p", 0.95),  # with epsilon 0.1, above 1
        ("epsilon", 1.5),
        ("noise", -1.0),
        ("noise", float("inf")),
        ("error", float("nan")),
        ("counterfactual", 1.1),
        ("grades", ()),
        ("grades", (0.0,)),
        ("grades", (1.2,)),
        ("similarity", "cosine"),
    ],
)
def test_bad_worlds_are_refused(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=name):
        World(**{name: value})


def test_unknown_strategy_is_refused() -> None:
    with pytest.raises(InputError, match="'none'"):
        context_kinds(World(), "none")


def assert_defined(theta: np.ndarray, world: World, kinds: Kinds) -> None:
    point = torch.tensor(theta, requires_grad=True)
    expected = defined_loss(point, world, kinds)
    (slope,) = torch.autograd.grad(expected, point, create_graph=True)
    curve = torch.stack([torch.autograd.grad(part, point, retain_graph=True)[0] for part in slope])
    first, second = derivatives(theta, kinds)
    assert loss(theta, kinds) == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(first, slope.detach(), rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(second, curve, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(gradient(theta, kinds), first, rtol=1e-9, atol=1e-14)
