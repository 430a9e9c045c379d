"""ICL against IWL over checkpoints: strategies are compared at equal IWL.

The last step alone is misleading: a strategy that has learnt less has also lost less.
"""

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from ccutils.report.aggregate import IWL, NOVEL, OVERRIDE, base_rows, gaps, over_seeds
from ccutils.report.charts import LEGEND, UNIT_SCALE, explain, in_words, lines, panels, start_together
from ccutils.style import colour_scale, dash_scale, shape_scale

FRONTIER_TITLE = "In-context against in-weights learning, over training"
PATH_KEYS = ["task", "model", "strategy"]


def frontier_table(rows: pd.DataFrame, by: tuple[str, ...] = ()) -> pd.DataFrame:
    """Compute points (columns iwl and icl): a row for each task, model, strategy, step and score.

    Means over seeds with columns iwl_low, iwl_high, icl_low, icl_high, seeds; a row for each seed with
    `by=("seed",)`.
    """
    keys = [*PATH_KEYS, "step", *by]
    start = start_together(rows)
    parts = []
    for score in (OVERRIDE, NOVEL):
        sides = [over_seeds(of.of(start), keys) for of in (IWL, score)]
        both = sides[0].merge(sides[1], on=keys, suffixes=("_iwl", "_icl"))
        names = {f"{what}_{side}": f"{side}_{what}" for what in ("low", "high") for side in ("iwl", "icl")}
        names |= {"value_iwl": "iwl", "value_icl": "icl", "seeds_iwl": "seeds"}
        about = {"score": score.name, "probe": score.probe, "set": score.set, "grade": score.grade}
        parts.append(both.rename(columns=names).assign(**about))
    return pd.concat(parts, ignore_index=True)


def icl_at_equal_iwl(rows: pd.DataFrame) -> pd.DataFrame:
    """Compute ICL of each strategy at equal IWL: columns task, model, score, iwl, strategy, icl, seeds.

    For each seed, the IWL is the largest that all strategies reach, except those that learn less than half
    of what the best does. Between checkpoints both scores are interpolated linearly, and ICL is taken where
    the level is first reached.
    """
    points = frontier_table(rows, ("seed",))
    lines = []
    for (task, model, score, seed), part in points.groupby(["task", "model", "score", "seed"]):
        reached = part.groupby("strategy")["iwl"].max()
        learnt = reached[reached >= reached.max() / 2]
        level = float(learnt.min())
        for strategy in learnt.index if level > 0 else ():
            path = part[part["strategy"] == strategy].sort_values("step")
            lines.append((task, model, score, seed, level, strategy, _first_at(path, level)))
    table = pd.DataFrame(lines, columns=["task", "model", "score", "seed", "iwl", "strategy", "icl"])
    keys = ["task", "model", "score", "strategy"]
    found = table.groupby(keys, as_index=False).agg(
        iwl=("iwl", "mean"), icl=("icl", "mean"), seeds=("seed", "nunique")
    )
    return found[["task", "model", "score", "iwl", "strategy", "icl", "seeds"]]


def _first_at(path: pd.DataFrame, level: float) -> float:
    """Interpolate ICL where a path, its checkpoints in order, first reaches this IWL."""
    iwl, icl = path["iwl"].to_numpy(float), path["icl"].to_numpy(float)
    after = int(np.argmax(iwl >= level - 1e-12))
    if after == 0 or iwl[after] == iwl[after - 1]:
        return float(icl[after])
    share = (level - iwl[after - 1]) / (iwl[after] - iwl[after - 1])
    return float(icl[after - 1] + share * (icl[after] - icl[after - 1]))


def frontier(rows: pd.DataFrame) -> Any:
    """Draw IWL-score against both ICL-scores, a path over checkpoints for each strategy, from the base on."""
    missing = gaps(rows, [IWL, OVERRIDE, NOVEL])
    if base_rows(rows).empty or any(score.of(rows).empty for score in (IWL, OVERRIDE, NOVEL)):
        return in_words(FRONTIER_TITLE, missing)
    data = frontier_table(rows)
    data = data.assign(panel=panels(data))
    names = data["strategy"]
    colour = alt.Color("strategy:N", title="strategy", scale=colour_scale(names), legend=LEGEND)
    chart = alt.Chart(data).encode(
        x=alt.X("iwl:Q", title="IWL-score (0 to 1)", scale=UNIT_SCALE),
        y=alt.Y("icl:Q", title="ICL-score (0 to 1)", scale=UNIT_SCALE),
        color=colour,
    )
    tooltip = ["task:N", "strategy:N", "step:Q", "score:N", "seeds:Q"]
    dash = alt.StrokeDash("strategy:N", title="strategy", scale=dash_scale(names))
    path = chart.mark_line(strokeWidth=2).encode(order="step:Q", strokeDash=dash)
    points = chart.mark_point(size=50, filled=True, opacity=1).encode(
        shape=alt.Shape("strategy:N", title="strategy", scale=shape_scale(names)),
        tooltip=[*tooltip, alt.Tooltip("iwl:Q", format=".3f"), alt.Tooltip("icl:Q", format=".3f")],
    )
    across = chart.mark_rule(opacity=0.3).encode(x="iwl_low:Q", x2="iwl_high:Q")
    up = chart.mark_rule(opacity=0.3).encode(y="icl_low:Q", y2="icl_high:Q")
    subtitle = lines(explain(data, "thin bars"), *tell_equal_iwl(icl_at_equal_iwl(rows)), missing)
    return (
        alt.layer(across, up, path, points)
        .properties(width=300, height=260)
        .facet(
            row=alt.Row("panel:N", title=None),
            column=alt.Column("score:N", title=None, sort=[OVERRIDE.name, NOVEL.name]),
            spacing=30,
            title=alt.TitleParams(FRONTIER_TITLE, subtitle=subtitle),
        )
    )


def tell_equal_iwl(table: pd.DataFrame) -> list[str]:
    """Write a sentence for each task and score: ICL of the strategies at equal IWL."""
    sentences = []
    for (task, _, score), part in table.groupby(["task", "model", "score"], sort=True):
        if len(part) > 1:
            shares = ", ".join(f"{s} {v:.2f}" for s, v in zip(part["strategy"], part["icl"], strict=True))
            sentences.append(f"{task}, {score} at equal IWL ({part['iwl'].mean():.2f}): {shares}.")
    return sentences
