"""Predictions of gate and choice, on rows that the model generates itself."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ccutils.errors import InputError
from ccutils.theory.gradient_flow import flow
from ccutils.theory.model import CONTEXT_STRATEGIES, World, context_kinds
from ccutils.theory.prediction import gate_and_choice, predict_panels

WORLD = World(k=4, similarity="absolute")


@pytest.mark.parametrize(("time", "error"), [(30.0, 0.2), (300.0, 0.4)])
def test_other_strategies_are_predicted_from_contrastive(time: float, error: float) -> None:
    rows = synthetic_rows(time, error)
    predicted, fitted = predict_panels(rows, WORLD)
    assert fitted["time"] == pytest.approx(time, rel=0.02)
    assert fitted["error"] == pytest.approx(error, abs=0.01)
    assert set(predicted["strategy"]) == set(CONTEXT_STRATEGIES)
    for panel in ("gate", "choice"):
        assert np.nanmax(np.abs(predicted[panel] - predicted[f"{panel}_predicted"])) < 0.01


def test_a_missing_value_is_left_out_of_the_fit() -> None:
    rows = synthetic_rows(100.0, 0.3)
    rows.loc[(rows["strategy"] == "contrastive") & (rows["n_relevant"] == 4), "gate"] = np.nan
    predicted, _ = predict_panels(rows, WORLD)
    assert np.nanmax(np.abs(predicted["gate"] - predicted["gate_predicted"])) < 0.02


@pytest.mark.parametrize("change", [{"strategy": "random"}, {"n_relevant": 2}])
def test_rows_without_a_base_or_with_another_number_of_relevant_examples_are_refused(
    change: dict[str, object],
) -> None:
    with pytest.raises(InputError, match="n_relevant"):
        predict_panels(synthetic_rows(1.0, 0.5).assign(**change), WORLD)


def synthetic_rows(time: float, error: float) -> pd.DataFrame:
    """The panels of a base and of every strategy after gradient flow from it."""
    base, world = np.array([2.0, 0.5, 1.5]), replace(WORLD, error=error)
    thetas = {"base": base}
    for name in CONTEXT_STRATEGIES:
        thetas[name] = flow(context_kinds(world, name), base[None], [time])[0, 0]
    parts = [
        gate_and_choice(theta, world).reset_index().assign(strategy=name) for name, theta in thetas.items()
    ]
    return pd.concat(parts, ignore_index=True)
