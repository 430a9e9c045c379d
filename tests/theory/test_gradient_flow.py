"""Where training goes: flow from 100 random starts, stationary points and their stability, regimes."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ccutils.errors import InputError
from ccutils.theory.gradient_flow import (
    REGIMES,
    behaviour,
    descend,
    end_states,
    flow,
    loss_at_infinity,
    regime,
    stationary_point,
)
from ccutils.theory.model import (
    CONTEXT_STRATEGIES,
    SIMILARITIES,
    Kinds,
    World,
    best_gate,
    best_weight,
    context_kinds,
    derivatives,
    gradient,
    loss,
    weights,
)


class TestFlow:
    """Every claim of the notebook's section 4, from 100 random starts for each strategy."""

    @pytest.mark.parametrize("similarity", SIMILARITIES)
    def test_1_random_ends_in_pure_iwl(self, similarity: str) -> None:
        world = World(similarity=similarity)
        path = flow(context_kinds(world, "random"), STARTS, LONG)
        assert np.array_equal(path[-1, :, 0], STARTS[:, 0])  # theta_1 never moves
        assert np.all(np.diff(path[..., 1], axis=0) > 0)
        # For large theta_2, d theta_2 / dt = 2 c (k exp(-theta_2))^2: it is log(4 c k^2 t) / 2.
        c = (1 + world.noise) / world.k + 1 - world.error
        assert path[-1, :, 1] == pytest.approx(np.log(4 * c * world.k**2 * 1e8) / 2, abs=1e-3)

    def test_2_similar_ends_in_copying_if_the_weights_are_poor(self) -> None:
        world = World()
        path = flow(context_kinds(world, "similar"), STARTS, LONG)
        assert path[-1, :, 0] == pytest.approx(STARTS[:, 0], abs=1e-6)
        assert gates(path[-1], world, "random").min() > 0.9999  # it copies what is irrelevant as well
        assert gates(path[-1], world, "similar").min() > 0.9999

    def test_2_similar_stops_in_its_valley_if_the_weights_are_good(self) -> None:
        world = World(error=0.3)
        path = flow(context_kinds(world, "similar"), STARTS, LONG)
        assert path[-1, :, 0] == pytest.approx(STARTS[:, 0], abs=1e-6)
        assert gates(path[-1], world, "similar") == pytest.approx(best_gate(world, "similar"), abs=1e-5)
        assert_in_a_level_valley(path[-1, :5], context_kinds(world, "similar"))

    @pytest.mark.parametrize(("error", "gate", "name"), [(0.05, 0.36, "blend"), (0.3, 0.87, "copying")])
    def test_2_similar_copies_long_before_its_gate_is_fully_open(
        self, error: float, gate: float, name: str
    ) -> None:
        world = World(error=error)
        end = flow(context_kinds(world, "similar"), [[0.0, 0.0]], [1e5])[-1, 0]
        assert float(gates(end, world, "random")[0]) == pytest.approx(gate, abs=0.005)
        assert REGIMES[int(regime(end, world))] == name

    @pytest.mark.parametrize("similarity", SIMILARITIES)
    def test_3_contrast_inside_alone_with_one_grade_makes_theta_1_grow_for_ever(
        self, similarity: str
    ) -> None:
        world = World(p=1.0, epsilon=0.0, grades=(0.85,), similarity=similarity)
        path = flow(context_kinds(world, "contrastive"), STARTS, LONG, accuracy=1e-6)
        assert stationary_point(context_kinds(world, "contrastive")) is None
        assert path[-1, :, 0].min() > 12
        near, random = weights(path[-1], context_kinds(world, "contrastive"))[0][:, 0].T
        assert near == pytest.approx(float(best_weight(world, 0.85)), abs=2e-3)
        assert random.max() < 5e-3  # of all five together

    @pytest.mark.parametrize("similarity", SIMILARITIES)
    @pytest.mark.parametrize("change", [{}, {"p": 1.0, "epsilon": 0.0}], ids=["mixed", "near alone"])
    def test_4_contrastive_ends_in_its_one_stable_point(
        self, similarity: str, change: dict[str, Any]
    ) -> None:
        """Of several grades: they are contrast across contexts, with random contexts or without."""
        drawn = context_kinds(World(similarity=similarity, **change), "contrastive")
        point = stationary_point(drawn)
        assert point is not None
        assert point.eigenvalues[0] > 0
        assert point.gradient_norm < 1e-10
        assert point.loss < loss_at_infinity(drawn) - 1e-3  # so a minimum exists, and not at infinity
        ends = flow(drawn, STARTS, LONG, accuracy=1e-6)[-1]
        assert ends == pytest.approx(np.tile([point.theta_1, point.theta_2], (100, 1)), abs=1e-4)

    def test_4_the_point_without_random_contexts_is_where_the_notebook_says(self) -> None:
        point = stationary_point(context_kinds(World(p=1.0, epsilon=0.0), "contrastive"))
        assert point is not None
        assert (point.theta_1, point.theta_2) == pytest.approx((8.779, 5.430), abs=1e-3)
        assert point.loss == pytest.approx(0.3015, abs=1e-4)

    @pytest.mark.parametrize("similarity", SIMILARITIES)
    def test_4_grades_far_apart_can_be_met_best_at_infinity(self, similarity: str) -> None:
        drawn = context_kinds(
            World(p=1.0, epsilon=0.0, grades=(0.3, 1.0), similarity=similarity), "contrastive"
        )
        assert stationary_point(drawn) is None
        assert loss(flow(drawn, [[0.0, 0.0]], LONG)[-1], drawn) == pytest.approx(
            loss_at_infinity(drawn), abs=1e-6
        )

    @pytest.mark.parametrize("similarity", SIMILARITIES)
    def test_4_with_one_grade_contrastive_runs_to_infinity_along_a_switch(self, similarity: str) -> None:
        world = World(grades=(0.85,), similarity=similarity)
        drawn = context_kinds(world, "contrastive")
        assert stationary_point(drawn) is None
        end = flow(drawn, STARTS, LONG, accuracy=1e-6)[-1]
        seen = behaviour(end, world)
        assert seen.nothing_relevant.max() < 1e-3
        assert seen.relevant == pytest.approx(float(best_weight(world, 0.85)), abs=1e-3)
        assert loss(end, drawn) == pytest.approx(loss_at_infinity(drawn), abs=1e-5)

    def test_5_batch_mix_ends_in_a_blend_without_choice(self) -> None:
        world = World()
        end = flow(context_kinds(world, "batch_mix"), STARTS, LONG)[-1]
        assert end[:, 0] == pytest.approx(STARTS[:, 0], abs=1e-6)
        assert gates(end, world, "random") == pytest.approx(best_gate(world, "batch_mix"), abs=1e-5)
        assert gates(end, world, "similar") == pytest.approx(best_gate(world, "batch_mix"), abs=1e-5)
        assert_in_a_level_valley(end[:5], context_kinds(world, "batch_mix"))

    def test_6_with_absolute_similarity_batch_mix_learns_to_choose(self) -> None:
        world = World(similarity="absolute")
        seen = behaviour(flow(context_kinds(world, "batch_mix"), STARTS, LONG)[-1], world)
        assert seen.nothing_relevant.max() < 1e-3
        assert seen.attention.min() > 0.99
        # Even so, it trusts one example as it would k that agree: more than is best.
        assert seen.relevant.min() > best_weight(world, world.grades).max()

    def test_6_with_absolute_similarity_similar_keeps_a_sum(self) -> None:
        world = World(similarity="absolute", grades=(0.85,))
        end = flow(context_kinds(world, "similar"), STARTS, LONG)[-1]
        # d theta_1 = -s d theta_2, so theta_1 + s theta_2 stays as it was.
        assert end @ [1, 0.85] == pytest.approx(STARTS @ [1, 0.85], abs=1e-5)
        assert np.all(end[:, 0] >= STARTS[:, 0])


@pytest.mark.parametrize("strategy", ["similar", "batch_mix"])
def test_2_and_5_hold_without_spread_alone(strategy: str) -> None:
    world = World()
    blind, spread = (
        behaviour(flow(context_kinds(world, strategy, x), [[0.0, 0.0]], [1e5])[-1, 0], world).attention
        for x in (0.0, 0.05)
    )
    assert blind == pytest.approx(1 / world.k, abs=1e-6)
    assert spread > 0.5


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_a_gate_slope_of_its_own_is_followed_too(similarity: str) -> None:
    """With three parameters, theta_1 has the contrast signal alone, so batch_mix leaves it at 0."""
    world = World(similarity=similarity)
    ends = {name: flow(context_kinds(world, name), [[0.0, 0.0, 0.0]], [1e4])[0, 0] for name in STRATEGIES}
    assert ends["batch_mix"][0] == 0
    assert ends["contrastive"][0] > 1
    assert behaviour(ends["contrastive"], world).nothing_relevant < 0.1


class TestStationaryPoint:
    @pytest.mark.parametrize(
        ("name", "value"),
        [("k", 2), ("k", 12), ("p", 0.1), ("p", 0.9), ("epsilon", 0.0), ("noise", 0.5), ("error", 1.0)],
    )
    def test_contrastive_has_a_stable_one(self, name: str, value: float) -> None:
        drawn = context_kinds(replace(World(), **{name: value}), "contrastive")  # type: ignore[arg-type]
        point = stationary_point(drawn)
        assert point is not None
        assert np.linalg.norm(gradient([point.theta_1, point.theta_2], drawn)) < 1e-10
        assert point.eigenvalues[0] > 0
        assert point.loss < loss_at_infinity(drawn)

    @pytest.mark.parametrize("change", [{"error": 0.0}, {"p": 0.0, "epsilon": 0.0}, {"k": 1}])
    def test_none_with_perfect_weights_nothing_near_or_nothing_to_stand_out_from(
        self, change: dict[str, Any]
    ) -> None:
        assert stationary_point(context_kinds(replace(World(), **change), "contrastive")) is None

    @pytest.mark.parametrize("strategy", ["random", "similar", "batch_mix"])
    def test_none_without_contrast(self, strategy: str) -> None:
        assert stationary_point(context_kinds(World(), strategy)) is None


def test_loss_at_infinity_is_the_least_of_a_wide_circle() -> None:
    for similarity in SIMILARITIES:
        for strategy in CONTEXT_STRATEGIES:
            drawn = context_kinds(World(similarity=similarity), strategy)
            angles = np.linspace(0, 2 * np.pi, 20_001)
            circle = 2000 * np.stack([np.cos(angles), np.sin(angles)], -1)
            assert loss_at_infinity(drawn) <= loss(circle, drawn).min() + 1e-9


def test_descent_ends_where_flow_does() -> None:
    for similarity in SIMILARITIES:
        world = World(similarity=similarity)
        drawn = context_kinds(world, "contrastive")
        assert descend(drawn, STARTS[:30]) == pytest.approx(flow(drawn, STARTS[:30], LONG)[-1], abs=1e-4)


def test_regimes_at_the_end_of_each_strategy() -> None:
    ends = {"random": "pure IWL", "similar": "copying", "contrastive": "mixture", "batch_mix": "blend"}
    for name, expected in ends.items():
        assert REGIMES[int(regime(end_states([World()], name)[0], World()))] == expected
    assert REGIMES[int(regime(np.array([12.0, -5.0]), World()))] == "pure ICL"


@pytest.mark.parametrize("start", [[np.nan, 0.0], [0.0, np.inf]])
def test_starts_that_are_not_finite_are_refused(start: list[float]) -> None:
    kinds = context_kinds(World(), "random")
    with pytest.raises(InputError, match="starts"):
        flow(kinds, [start], [1.0])
    with pytest.raises(InputError, match="starts"):
        stationary_point(kinds, start)


@pytest.mark.parametrize("times", [[0.0, 1.0], [2.0, 1.0], [np.nan], [[1.0]]])
def test_times_that_do_not_ascend_are_refused(times: Any) -> None:
    with pytest.raises(InputError, match="times"):
        flow(context_kinds(World(), "random"), [[0.0, 0.0]], times)


STRATEGIES = ("contrastive", "batch_mix")
STARTS = np.random.default_rng(0).uniform([-4, -6], [10, 8], size=(100, 2))


LONG = [1.0, 1e4, 1e8]


def assert_in_a_level_valley(ends: np.ndarray, kinds: Kinds) -> None:
    for theta in descend(kinds, ends):
        slope, curve = derivatives(theta, kinds)
        along, across = np.linalg.eigvalsh(curve)
        assert np.linalg.norm(slope) < 1e-10
        assert abs(along) < 1e-12 < 1e-3 < across


def gates(theta: np.ndarray, world: World, strategy: str) -> Any:
    return 1 - weights(theta, context_kinds(world, strategy))[1]
