"""Predict gate and choice of every strategy from the base's and one strategy's measured values. Ours.

Gate: share of answers that are a label in the context. Choice: share of those that are the relevant one. The
model has three parameters (see ccutils.theory.model): the sharpness of the choice, the pull of the weights
and the slope of the gate. They start at the base's measured panels and follow gradient flow. Training time
and the weights' error are fitted on one strategy and used for all.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.optimize import least_squares  # type: ignore[import-untyped]

from ccutils.errors import InputError
from ccutils.theory.gradient_flow import behaviour, flow
from ccutils.theory.model import Array, World, context_kinds, one_near, weights


def gate_and_choice(theta: ArrayLike, world: World) -> pd.DataFrame:
    """Compute gate and choice with 0, 1 and k relevant examples: columns gate, choice, index n_relevant.

    Choice is NaN without a relevant example.
    """
    kinds = context_kinds(world, "random"), one_near(world, world.grades), context_kinds(world, "similar")
    gate = [1 - float(weights(theta, each)[1].mean()) for each in kinds]
    index = pd.Index([0, 1, world.k], name="n_relevant")
    choice = [np.nan, float(behaviour(theta, world).attention), 1.0]
    return pd.DataFrame({"gate": gate, "choice": choice}, index=index)


def predict_panels(
    rows: pd.DataFrame, world: World, fit_on: str = "contrastive"
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Fit on strategy `fit_on` and predict all strategies in `rows`.

    `rows` has columns strategy (one of them "base"), n_relevant (0, 1 or k), gate and choice, from 0 to 1;
    NaN is excluded from the fit. The error of `world` is fitted. Returns `rows` without the base, and columns
    gate_predicted and choice_predicted, and the fitted time and error. Raises InputError if the base or
    `fit_on` is missing, or for another n_relevant.
    """
    missing = {"base", fit_on} - set(rows["strategy"])
    if missing or not rows["n_relevant"].isin([0, 1, world.k]).all():
        raise InputError(f"rows need strategies base and {fit_on}, n_relevant 0, 1 and k = {world.k}.")
    measured = {
        str(name): part.set_index("n_relevant")[["gate", "choice"]] for name, part in rows.groupby("strategy")
    }

    def miss(strategy: str, theta: Array) -> Array:
        """Compute predicted minus measured values, 0 where there is no measurement."""
        found = measured[strategy]
        return np.asarray((gate_and_choice(theta, world).loc[found.index] - found).fillna(0.0)).ravel()

    def end(strategy: str, fitted: Array) -> Array:
        there = replace(world, error=float(1 / (1 + np.exp(-fitted[1]))))
        return np.asarray(flow(context_kinds(there, strategy), start[None], [np.exp(fitted[0])])[0, 0])

    def missed(fitted: Array) -> Array:
        return miss(fit_on, end(fit_on, fitted))

    start = least_squares(lambda theta: miss("base", theta), np.ones(3), bounds=(-20, 20)).x
    guesses = [np.array([log_time, 0.0]) for log_time in (0.0, 2.0, 4.0, 6.0, 8.0)]
    best = min(guesses, key=lambda guess: float((missed(guess) ** 2).sum()))
    fitted = least_squares(missed, best, bounds=([-5, -6], [16, 6])).x
    parts = []
    for strategy in [name for name in rows["strategy"].unique() if name != "base"]:
        predicted = gate_and_choice(end(strategy, fitted), world).add_suffix("_predicted")
        parts.append(rows[rows["strategy"] == strategy].join(predicted, on="n_relevant"))
    values = {"time": float(np.exp(fitted[0])), "error": float(1 / (1 + np.exp(-fitted[1])))}
    return pd.concat(parts, ignore_index=True), values
