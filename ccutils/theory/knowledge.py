"""Predict in-context learning as the weights learn: weight on a relevant example against knowledge.

For each error of the weights, theta is at its end of training: attention is assumed to learn faster.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ccutils.style import colour_scale, dash_scale
from ccutils.theory.gradient_flow import behaviour, flow
from ccutils.theory.model import World, best_weight, context_kinds, one_near, stack, weights

SETTLED = 1e7  # at this time even the slowest is within 0.02 of its end


def knowledge_rows(world: World, strategies: Sequence[str], errors: ArrayLike) -> pd.DataFrame:
    """Follow each strategy from theta = (0, 0) for each error of the weights, above 0 to 1: one row a grade.

    Columns strategy, error, counterfactual, grade; weight: on one example of that grade among k - 1 random
    ones; best: the best such weight; nothing_relevant: the gate where no example is near. The other fields
    are `world`'s.
    """
    worlds = [replace(world, error=float(error)) for error in np.asarray(errors)]
    starts, parts = np.zeros((len(worlds), 2)), []
    for strategy in strategies:
        ends = flow(stack([context_kinds(there, strategy) for there in worlds]), starts, [SETTLED])[-1]
        for there, end in zip(worlds, ends, strict=True):
            columns = {
                "grade": there.grades,
                "weight": weights(end, one_near(there, there.grades))[0][..., 0],
                "best": best_weight(there, there.grades),
            }
            gate = float(behaviour(end, there).nothing_relevant)
            rows = pd.DataFrame(columns).assign(strategy=strategy, error=there.error, nothing_relevant=gate)
            parts.append(rows.assign(counterfactual=world.counterfactual))
    return pd.concat(parts, ignore_index=True)


def knowledge_chart(rows: pd.DataFrame) -> Any:
    """Draw the weight on a relevant example against knowledge, a panel for each grade, best weight dotted."""
    names = list(rows["strategy"].unique())
    legend = alt.Legend(title=None, orient="bottom")
    colour = alt.Color("strategy:N", scale=colour_scale(names), legend=legend)
    dash = alt.StrokeDash("strategy:N", scale=dash_scale(names), legend=legend)
    best = rows[rows["strategy"] == names[0]]
    subtitle = ["The more the weights know, the less the context counts. Dotted: the best weight."]
    return grade_panels(
        rows, best, (colour, dash), "ICL as knowledge grows, at the end of training", subtitle
    )


def counterfactual_chart(rows: pd.DataFrame) -> Any:
    """Draw the same for `contrastive` with several shares of counterfactual contexts, one line each."""
    scale = alt.Scale(scheme="viridis", reverse=True)
    colour = alt.Color("counterfactual:O", scale=scale, legend=alt.Legend(title="r", orient="bottom"))
    subtitle = ["A share r of the relevant contexts is counterfactual. Dotted: the best weight for r = 0."]
    best = rows[rows["counterfactual"] == 0]
    return grade_panels(
        rows, best, (colour,), "Counterfactual contexts keep ICL as knowledge grows", subtitle
    )


def grade_panels(
    rows: pd.DataFrame, best: pd.DataFrame, looks: Sequence[Any], title: str, subtitle: list[str]
) -> Any:
    """Draw lines of weight against knowledge, a panel for each grade, and `best` dotted."""
    x = alt.X("knowledge:Q", title="knowledge of the weights, 1 - error", axis=alt.Axis(tickCount=5))
    charts: list[Any] = []
    for grade in rows["grade"].unique():
        name = None if charts else "weight on the relevant example"
        y = alt.Y("weight:Q", title=name, scale=alt.Scale(domain=[0, 1]))
        base, dots = (
            alt.Chart(part[part["grade"] == grade].assign(knowledge=lambda rows: 1 - rows["error"]))
            for part in (rows, best)
        )
        dotted = dots.mark_line(strokeDash=[1, 4], color="black", strokeWidth=2.5)
        layer = alt.layer(base.mark_line().encode(x, y, *looks), dotted.encode(x, y=alt.Y("best:Q")))
        charts.append(layer.properties(width=230, height=200, title=f"its similarity: {grade:g}"))
    return alt.hconcat(*charts).properties(title=alt.TitleParams(title, subtitle=subtitle))
