"""What the minimal model predicts as the weights learn: weight on a relevant example against knowledge.

The weights' error is held while theta settles: it takes the weights to learn more slowly than attention does.
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
from ccutils.theory.model import World, best_weight, context_kinds, make_kinds, stack, weights

SETTLED = 1e7  # where even the slowest is within 0.02 of its end


def knowledge_rows(world: World, strategies: Sequence[str], errors: ArrayLike) -> pd.DataFrame:
    """Follow each strategy from theta = (0, 0) for each error of the weights, above 0 to 1: one row a grade.

    Columns strategy, error, grade; weight: on one example of that grade among k - 1 random ones; best: the
    best such weight; nothing_relevant: the gate where no example is near. The other fields are `world`'s.
    """
    worlds = [replace(world, error=float(error)) for error in np.asarray(errors)]
    starts, parts = np.zeros((len(worlds), 2)), []
    for strategy in strategies:
        ends = flow(stack([context_kinds(there, strategy) for there in worlds]), starts, [SETTLED])[-1]
        for there, end in zip(worlds, ends, strict=True):
            one = make_kinds(there, [(1.0, 1, grade, 0.0) for grade in there.grades])
            columns = {
                "grade": there.grades,
                "weight": weights(end, one)[0],
                "best": best_weight(there, there.grades),
            }
            gate = float(behaviour(end, there).nothing_relevant)
            rows = pd.DataFrame(columns).assign(strategy=strategy, error=there.error, nothing_relevant=gate)
            parts.append(rows)
    return pd.concat(parts, ignore_index=True)


def knowledge_chart(rows: pd.DataFrame) -> Any:
    """Draw the weight on a relevant example against what the weights know, a panel a grade, best dotted."""
    rows = rows.assign(knowledge=1 - rows["error"])
    names = list(rows["strategy"].unique())
    x = alt.X("knowledge:Q", title="the weights know (share of variance)", axis=alt.Axis(tickCount=5))
    legend = alt.Legend(title=None, orient="bottom")
    colour = alt.Color("strategy:N", scale=colour_scale(names), legend=legend)
    dash = alt.StrokeDash("strategy:N", scale=dash_scale(names), legend=legend)
    panels: list[Any] = []
    for grade, part in rows.groupby("grade"):
        title = None if panels else "weight on the relevant example"
        y = alt.Y("weight:Q", title=title, scale=alt.Scale(domain=[0, 1]))
        lines = alt.Chart(part).mark_line().encode(x, y, colour, dash)
        dots = alt.Chart(part[part["strategy"] == names[0]])
        dots = dots.mark_line(strokeDash=[1, 4], color="black", strokeWidth=2.5)
        layer = alt.layer(lines, dots.encode(x, y=alt.Y("best:Q")))
        panels.append(layer.properties(width=230, height=200, title=f"its similarity: {grade:g}"))
    subtitle = [
        "A prediction: the more the weights know, the less the context counts. Dotted: the best weight."
    ]
    heading = alt.TitleParams("ICL as knowledge grows, at the end of training", subtitle=subtitle)
    return alt.hconcat(*panels).properties(title=heading)
