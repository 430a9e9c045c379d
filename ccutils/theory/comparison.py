"""Compare trained transformers with the minimal model: rows and a chart. Ours."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import product
from textwrap import wrap
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from scipy.stats import t  # type: ignore[import-untyped]

from ccutils.style import colour_scale
from ccutils.theory.gradient_flow import behaviour, flow
from ccutils.theory.model import Array, World, context_kinds

PANELS = {
    "nothing_relevant": "gate with nothing relevant",
    "relevant": "weight on one relevant example",
    "attention": "its share of the attention",
    "all_relevant": "gate with all relevant",
}


def theory_rows(worlds: Mapping[str, World], strategies: Sequence[str], times: Array) -> pd.DataFrame:
    """Follow gradient flow from theta = (0, 0): columns world, strategy, time and the names of PANELS."""
    parts = []
    for (name, world), strategy in product(worlds.items(), strategies):
        path = flow(context_kinds(world, strategy), [[0.0, 0.0]], times)[:, 0]
        seen = pd.DataFrame(asdict(behaviour(path, world)))
        parts.append(seen.assign(world=name, strategy=strategy, time=times))
    return pd.concat(parts, ignore_index=True)


def comparison_rows(trained: pd.DataFrame, theory: pd.DataFrame) -> pd.DataFrame:
    """Compare the transformer's last step with the theory's last time, by strategy and measure.

    Columns strategy, measure, one for each world of the theory, mean, low and high: the 95% t interval over
    seeds (NaN for one seed).
    """
    last = trained[trained["step"] == trained["step"].max()]
    ends = theory[theory["time"] == theory["time"].max()].set_index(["world", "strategy"])
    rows = []
    for (strategy, part), measure in product(last.groupby("strategy", sort=False), PANELS):
        row: dict[str, Any] = {"strategy": strategy, "measure": PANELS[measure]}
        row |= {world: ends.loc[(world, strategy), measure] for world in ends.index.unique("world")}
        mean, half = part[measure].mean(), part[measure].sem() * t.ppf(0.975, len(part) - 1)
        rows.append(row | {"mean": mean, "low": mean - half, "high": mean + half})
    return pd.DataFrame(rows)


def transformer_chart(trained: pd.DataFrame, theory: pd.DataFrame, strategies: Sequence[str]) -> Any:
    """Draw the measures of the transformer over training, each seed a line, on the theory's gradient flow.

    The theory's log time is rescaled to the range of the training steps.
    """
    steps = trained["step"].max()
    log = np.log(theory["time"] / theory["time"].min())
    theory = theory.assign(step=log / log.max() * steps)
    rows = []
    for measure in PANELS:
        # One title a row, at its left, in lines no longer than a panel is high.
        titles = [wrap(PANELS[measure], 18)] + [None] * (len(strategies) - 1)
        panels = [
            panel(trained, theory, strategy=strategy, measure=measure, title=title, steps=int(steps))
            for strategy, title in zip(strategies, titles, strict=True)
        ]
        rows.append(alt.hconcat(*panels))
    subtitle = [
        "Coloured: the transformer, a line for each seed. Black: the theory, by gradient flow from (0, 0).",
        "Time scales differ: compare order and ends, not speed.",
    ]
    title = alt.TitleParams("A trained transformer against the theory", subtitle=subtitle)
    return alt.vconcat(*rows).properties(title=title)


def panel(
    trained: pd.DataFrame,
    theory: pd.DataFrame,
    *,
    strategy: str,
    measure: str,
    title: list[str] | None,
    steps: int,
) -> Any:
    """Draw one measure of one strategy: seeds as lines, the theory in black, `title` at the left."""
    first, last = measure == next(iter(PANELS)), measure == list(PANELS)[-1]
    x = alt.X("step:Q", title="optimiser steps" if last else None, scale=alt.Scale(domain=[0, steps]))
    y = alt.Y("value:Q", title=title, scale=alt.Scale(domain=[-0.1, 1.15], nice=False))
    seeds, curve = (
        rows[rows["strategy"] == strategy].rename(columns={measure: "value"}) for rows in (trained, theory)
    )
    lines = alt.Chart(seeds[["seed", "step", "value", "strategy"]]).mark_line(strokeWidth=1.3, clip=True)
    flows = alt.Chart(curve[["world", "step", "value"]]).mark_line(color="black", strokeWidth=1.6, clip=True)
    colour = alt.Color("strategy:N", scale=colour_scale([strategy]), legend=None)
    worlds = alt.Scale(domain=list(theory["world"].unique()), range=[[1, 0], [3, 3]])
    dash = alt.StrokeDash("world:N", title="theory", scale=worlds, legend=alt.Legend(orient="bottom"))
    layer = alt.layer(lines.encode(x, y, colour, detail="seed:N"), flows.encode(x, y, dash))
    layer = layer.resolve_scale(color="independent")
    return layer.properties(width=165, height=115, title=strategy if first else "")
