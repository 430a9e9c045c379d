"""The loss of ICL as the weights learn: the numbers that the notebook states, and their figure."""

import json

import numpy as np
import pandas as pd
import pytest
import vl_convert
from hypothesis import given
from hypothesis import strategies as st

from ccutils.theory.gradient_flow import flow, stationary_point
from ccutils.theory.knowledge import counterfactual_chart, knowledge_chart, knowledge_rows
from ccutils.theory.model import World, context_kinds, stationary_weights, weights


def test_contrastive_lets_go_as_the_weights_learn() -> None:
    rows = knowledge_rows(World(), ["contrastive"], [0.6, 0.1, 0.02])
    found = rows.pivot(index="error", columns="grade", values="weight")
    assert found.loc[0.6].to_numpy() == pytest.approx([0.50, 0.71, 0.85], abs=0.01)
    assert found.loc[0.1].to_numpy() == pytest.approx([0.07, 0.22, 0.52], abs=0.01)
    assert found.loc[0.02].to_numpy() == pytest.approx([0.0, 0.0, 0.12], abs=0.01)
    assert np.all(np.diff(found, axis=0) > 0)  # the larger the error, the more weight on the context


def test_it_stays_near_the_best_weight_and_shuts_where_nothing_is_relevant() -> None:
    rows = knowledge_rows(World(), ["contrastive", "batch_mix"], [0.3, 0.6])
    parts = {name: part for name, part in rows.groupby("strategy")}
    assert np.abs(parts["contrastive"]["weight"] - parts["contrastive"]["best"]).max() < 0.06
    assert parts["contrastive"]["nothing_relevant"].max() < 0.02
    assert parts["batch_mix"]["weight"].max() < 0.1 < parts["batch_mix"]["nothing_relevant"].min()


class TestCounterfactual:
    """A share r of the relevant contexts has changed labels, which the weights get wrong."""

    @given(
        k=st.integers(2, 9),
        error=st.floats(0, 1),
        noise=st.floats(0, 1),
        s=st.floats(0.05, 1),
        r=st.floats(0.01, 1),
    )
    def test_the_weight_at_the_stationary_point_is_bounded_below_whatever_the_weights_know(
        self, k: int, error: float, noise: float, s: float, r: float
    ) -> None:
        world = World(k=k, error=error, noise=noise, counterfactual=r)
        near, random = stationary_weights(world, s)
        gate, effective = near + (k - 1) * random, (1 - r) * error + r
        assert 0 <= random < near <= gate <= 1 + 1e-9
        assert near >= s * r / (1 + noise) - 1e-12
        if random > 0:
            assert near - random == pytest.approx(s * (effective + (1 - effective) * gate) / (1 + noise))

    @pytest.mark.parametrize(("r", "error"), [(0.25, 0.0), (0.5, 0.0), (1.0, 0.0), (0.5, 0.3)])
    def test_gradient_flow_ends_at_the_stationary_weights(self, r: float, error: float) -> None:
        world = World(p=1.0, epsilon=0.0, error=error, grades=(0.6,), counterfactual=r)
        kinds = context_kinds(world, "contrastive")
        near, others = weights(flow(kinds, [[0.0, 0.0]], [1e6])[-1, 0], kinds)[0][0]
        assert (near, others / (world.k - 1)) == pytest.approx(stationary_weights(world, 0.6), abs=1e-6)

    def test_contrastive_has_a_finite_stable_point_with_perfect_weights_if_r_is_above_0(self) -> None:
        for r, there in ((0.0, False), (0.25, True)):
            point = stationary_point(context_kinds(World(error=0.0, counterfactual=r), "contrastive"))
            assert (point is not None) == there

    def test_icl_stays_as_the_weights_learn(self) -> None:
        weight = {
            r: knowledge_rows(World(counterfactual=r), ["contrastive"], [0.02])["weight"].min()
            for r in (0, 0.25)
        }
        assert weight[0] < 0.01
        assert weight[0.25] > 0.3


def test_the_chart_has_a_panel_a_grade() -> None:
    world = World(grades=(0.8, 0.9))
    rows = knowledge_rows(world, ["random", "contrastive"], [0.2, 0.6])
    other = rows[rows["strategy"] == "contrastive"].assign(counterfactual=0.5)
    for chart in (knowledge_chart(rows), counterfactual_chart(pd.concat([rows, other]))):
        svg = vl_convert.vegalite_to_svg(json.dumps(chart.to_dict()))
        assert svg.count(">its similarity: 0.8<") == svg.count(">its similarity: 0.9<") == 1
        assert svg.count(">weight on the relevant example<") == 1
