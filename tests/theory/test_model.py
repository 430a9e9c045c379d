"""The minimal model's closed forms against its definition, differentiated automatically, and hand sums."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from minimal_worlds import thetas, worlds

from ccutils.errors import InputError
from ccutils.theory.model import (
    CONTEXT_STRATEGIES,
    SIMILARITIES,
    World,
    best_gate,
    best_weight,
    context_kinds,
    copying_threshold,
    gradient,
    gradient_of_kinds,
    hessian,
    loss,
    make_kinds,
    signals,
    stack,
    weights,
)


@pytest.mark.parametrize("strategy", CONTEXT_STRATEGIES)
@settings(max_examples=60, deadline=None)
@given(world=worlds(), theta=thetas)
def test_loss_gradient_and_hessian_equal_the_definition(
    strategy: str, world: World, theta: np.ndarray
) -> None:
    point = torch.tensor(theta, requires_grad=True)
    expected = defined_loss(point, world, strategy)
    (slope,) = torch.autograd.grad(expected, point, create_graph=True)
    rows = [torch.autograd.grad(part, point, retain_graph=True)[0] for part in slope]
    drawn = context_kinds(world, strategy)
    # Relative to the size of the terms that the gradient is a sum of, which may cancel.
    size = np.abs(gradient_of_kinds(theta, drawn)).max()
    assert loss(theta, drawn) == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(gradient(theta, drawn), slope.detach(), rtol=1e-8, atol=1e-8 * size + 1e-15)
    np.testing.assert_allclose(hessian(theta, drawn), torch.stack(rows), rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("strategy", CONTEXT_STRATEGIES)
def test_gradient_is_exact_to_1e_8_relative_in_norm(strategy: str) -> None:
    rng = np.random.default_rng(0)
    for similarity in SIMILARITIES:
        for theta in rng.uniform([-3, -4], [8, 6], size=(100, 2)):
            world = World(similarity=similarity)
            point = torch.tensor(theta, requires_grad=True)
            (slope,) = torch.autograd.grad(defined_loss(point, world, strategy), point)
            difference = np.linalg.norm(gradient(theta, context_kinds(world, strategy)) - slope.numpy())
            assert difference <= 1e-8 * np.linalg.norm(slope.numpy())


@given(world=worlds(), theta=thetas, strategy=st.sampled_from(CONTEXT_STRATEGIES))
@settings(max_examples=60, deadline=None)
def test_weights_sum_to_one_and_signals_to_the_gradient(
    world: World, theta: np.ndarray, strategy: str
) -> None:
    drawn = context_kinds(world, strategy)
    a, r, b = weights(theta, drawn)
    np.testing.assert_allclose(drawn.near * a + (drawn.k - drawn.near) * r + b, 1.0, rtol=1e-14)
    assert drawn.share.sum() == pytest.approx(1.0)
    assert signals(theta, drawn).sum() == pytest.approx(gradient(theta, drawn)[0], rel=1e-9, abs=1e-14)


def test_stacked_worlds_give_what_each_gives() -> None:
    every = [World(k=k, noise=0.1 * k) for k in (1, 4, 9)]
    theta = np.array([[1.0, 2.0], [0.5, -1.0], [3.0, 3.0]])
    together = stack([context_kinds(world, "contrastive") for world in every])
    alone = [
        gradient(point, context_kinds(world, "contrastive"))
        for point, world in zip(theta, every, strict=True)
    ]
    np.testing.assert_allclose(gradient(theta, together), alone, rtol=1e-14)


class TestSignals:
    """Results 1 to 6 of the notebook, at any theta."""

    @given(world=worlds(), theta=thetas)
    @settings(max_examples=100, deadline=None)
    def test_1_random_gives_theta_1_none_and_theta_2_grows(self, world: World, theta: np.ndarray) -> None:
        slope = gradient(theta, context_kinds(world, "random"))
        gate = world.k / (world.k + np.exp(theta[1]))
        curve = (1 + world.noise) / world.k + 1 - world.error
        assert slope[0] == 0
        assert slope[1] < 0
        assert slope[1] == pytest.approx(-2 * gate**2 * (1 - gate) * curve, rel=1e-9)

    @given(world=worlds(), theta=thetas, strategy=st.sampled_from(["similar", "batch_mix"]))
    @settings(max_examples=100, deadline=None)
    def test_2_and_5_no_contrast_without_contrast_inside(
        self, world: World, theta: np.ndarray, strategy: str
    ) -> None:
        contrast, opening = signals(theta, context_kinds(world, strategy))
        assert contrast == 0
        if world.similarity == "relative":
            assert abs(opening) < 1e-14

    @given(
        s=st.floats(0.05, 1),
        error=st.floats(0, 1),
        noise=st.floats(0, 2),
        k=st.integers(2, 9),
        theta_2=st.floats(-8, 8),
    )
    @settings(max_examples=100, deadline=None)
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

    @given(world=worlds(), theta=thetas, s=st.floats(0.05, 1))
    @settings(max_examples=100, deadline=None)
    def test_3_weight_on_random_examples_only_hurts(self, world: World, theta: np.ndarray, s: float) -> None:
        one = make_kinds(world, [(1.0, 1, s, 0.0)])
        a, r, _ = (float(weight[0]) for weight in weights(theta, one))
        gate = a + (world.k - 1) * r
        assert r * (1 + world.noise) + (1 - world.error) * (gate - s * a) >= 0

    @given(world=worlds(), theta=thetas, s=st.floats(0.05, 1))
    @settings(max_examples=60, deadline=None)
    def test_3_one_kind_of_context_has_no_stationary_point(
        self, world: World, theta: np.ndarray, s: float
    ) -> None:
        if world.k > 1:  # with one example there is no random one to stand out from
            assert np.linalg.norm(gradient(theta, make_kinds(world, [(1.0, 1, s, 0.0)]))) > 0

    @given(theta=thetas, error=st.floats(0, 1), s=st.floats(0.05, 1))
    @settings(max_examples=50, deadline=None)
    def test_6_absolute_similarity_ties_theta_1_to_the_gate(
        self, theta: np.ndarray, error: float, s: float
    ) -> None:
        world = World(error=error, grades=(s,), similarity="absolute")
        slope = gradient(theta, context_kinds(world, "similar"))
        assert slope[0] == pytest.approx(-s * slope[1], rel=1e-9, abs=1e-15)


class TestByHand:
    def test_one_random_example(self) -> None:
        world = World(k=1, noise=0.0, error=0.0)  # perfect weights: f = g, and y_1 has nothing to do with it
        # Half on y_1, half on f: the error is half of (y_1 - g), of variance 2.
        assert loss([0.0, 0.0], context_kinds(world, "random")) == pytest.approx(0.5)

    def test_one_paraphrase_without_the_weights_is_exact(self) -> None:
        world = World(k=1, p=0.0, epsilon=1.0, noise=0.7, error=1.0)
        assert loss([0.0, -800.0], context_kinds(world, "contrastive")) == pytest.approx(0.0, abs=1e-12)

    def test_one_near_example_useless_weights(self) -> None:
        # All weight on y_1 = s g + sqrt(1 - s^2) other + noise: (1 - s)^2 + (1 - s^2) + noise twice.
        world = World(k=1, p=1.0, epsilon=0.0, noise=0.2, error=1.0, grades=(0.6,))
        assert loss([0.0, -800.0], context_kinds(world, "contrastive")) == pytest.approx(
            2 * (1 - 0.6) + 2 * 0.2
        )
        assert best_weight(world, 0.6) == pytest.approx(0.6 / 1.2)

    def test_perfect_weights_ignore_the_context(self) -> None:
        world = World(error=0.0, noise=0.3)
        assert best_weight(world, [0.2, 0.9, 1.0]) == pytest.approx(0.0)
        assert [best_gate(world, name) for name in ("random", "similar", "batch_mix")] == [0, 0, 0]
        for name in CONTEXT_STRATEGIES:
            assert loss([0.0, 800.0], context_kinds(world, name)) == pytest.approx(0.3)  # the noise alone

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

    @pytest.mark.parametrize("similarity", SIMILARITIES)
    def test_with_one_example_contrastive_is_batch_mix(self, similarity: str) -> None:
        world = World(k=1, p=0.4, epsilon=0.0, similarity=similarity)
        for theta in ([0.0, 0.0], [2.0, -1.0], [5.0, 3.0]):
            left, right = (loss(theta, context_kinds(world, name)) for name in ("contrastive", "batch_mix"))
            assert left == pytest.approx(float(right), rel=1e-14)

    def test_limits_of_p(self) -> None:
        theta = [1.5, 0.5]
        for name in ("contrastive", "batch_mix"):
            without = context_kinds(World(p=0.0, epsilon=0.0), name)
            assert loss(theta, without) == pytest.approx(float(loss(theta, context_kinds(World(), "random"))))
        always = context_kinds(World(p=1.0, epsilon=0.0), "batch_mix")
        assert loss(theta, always) == pytest.approx(float(loss(theta, context_kinds(World(), "similar"))))

    @given(world=worlds(), s=st.floats(0.05, 1))
    @settings(max_examples=50, deadline=None)
    def test_no_weight_is_better_than_the_best(self, world: World, s: float) -> None:
        best = best_weight(world, s)
        at = np.append(np.linspace(0, 1, 51), best)
        known, w = 1 - world.error, world.error
        values = at**2 * (1 + world.noise + known * (1 - 2 * s)) - 2 * w * s * at
        assert values[-1] <= values.min() + 1e-12

    def test_copying_begins_at_its_threshold(self) -> None:
        for s in (0.5, 0.8, 0.95):
            at = copying_threshold(World(k=20), s)
            assert best_gate(World(k=20, grades=(s,), error=min(1, at + 1e-6)), "similar") == 1.0
            assert best_gate(World(k=20, grades=(s,), error=at - 1e-6), "similar") < 1.0


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"k": 0}, "k is 0"),
        ({"k": 2.5}, "k is 2.5"),
        ({"k": True}, "k is True"),
        ({"p": -0.1}, "p is -0.1"),
        ({"epsilon": 1.5}, "epsilon is 1.5"),
        ({"p": 0.8, "epsilon": 0.3}, "p \\+ epsilon"),
        ({"noise": -1.0}, "noise is -1.0"),
        ({"noise": float("inf")}, "noise is inf"),
        ({"error": float("nan")}, "error is nan"),
        ({"grades": ()}, "grades is"),
        ({"grades": (0.0,)}, "grades holds 0"),
        ({"grades": (1.2,)}, "grades is 1.2"),
        ({"similarity": "cosine"}, "similarity is 'cosine'"),
    ],
)
def test_bad_worlds_are_told(change: dict[str, Any], word: str) -> None:
    with pytest.raises(InputError, match=word):
        World(**change)


def test_unknown_strategy_is_told() -> None:
    with pytest.raises(InputError, match="'none' is not in the minimal model"):
        context_kinds(World(), "none")


def defined_loss(theta: torch.Tensor, world: World, strategy: str) -> torch.Tensor:
    """The definition, one example at a time: covariances of labels, a softmax over k + 1 logits."""
    total = torch.zeros((), dtype=torch.float64)
    drawn = context_kinds(world, strategy)
    for share, near, s, own in zip(drawn.share, drawn.near.astype(int), drawn.s, drawn.own, strict=True):
        to_target = torch.zeros(world.k + 1, dtype=torch.float64)
        to_target[:near] = s
        covariance = torch.outer(to_target, to_target)  # near ones are s * s alike, all others not at all
        covariance[-1], covariance[:, -1] = to_target, to_target
        covariance.fill_diagonal_(1.0)
        mean = to_target[:-1].mean() if world.similarity == "relative" else 0.0
        logits = torch.cat([theta[0] * to_target[:-1], (theta[1] + theta[0] * mean)[None]])
        share_of = torch.softmax(logits, 0)
        known, unknown = share_of.clone(), share_of.clone()
        known[-1] = share_of[-1] - 1  # the weights' answer less the label, in f
        unknown[-1] = -1.0
        labels = share_of[:-1].clone()
        labels[0] = labels[0] * (1 - own)  # a paraphrase's noise is the target's
        noise = (labels**2).sum() + (own * share_of[0] - 1) ** 2
        error = (1 - world.error) * known @ covariance @ known + world.error * unknown @ covariance @ unknown
        total = total + share * (error + world.noise * noise)
    return total
