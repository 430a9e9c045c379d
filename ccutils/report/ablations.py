"""What a variant of a strategy changes: its headline scores beside those of the strategy as it is."""

from typing import Any

import altair as alt
import pandas as pd

from ccutils.records import ORDER
from ccutils.report.aggregate import EXCESS, IWL, KNOWN, NOVEL, OVERRIDE, final_rows, over_seeds
from ccutils.report.charts import UNIT_SCALE, explain, in_words, lines, panels
from ccutils.style import colour_scale

ABLATIONS_TITLE = "Variants of the strategies, at the last step"
WRONG = "Beside the Copy-score: how many answers were wrong, of which it is a share."
LABEL_FITS = 0.65  # up to this end of an interval a number fits behind it, above it before it
ABLATION_SCORES = (IWL, OVERRIDE, NOVEL, KNOWN, EXCESS)


def ablations(rows: pd.DataFrame) -> Any:
    """Draw the headline scores of every variant, a line for each, with 95% intervals.

    Beside the Copy-score stands the number of wrong answers, of which it is a share: of few, it is unsteady.
    """
    if not (rows["variant"] != "").any():
        return in_words(ABLATIONS_TITLE, "No variant of a strategy was run: profile ablations runs some.")
    final = final_rows(rows)
    of_scores = [over_seeds(score.of(final)).assign(score=score.name) for score in ABLATION_SCORES]
    data = pd.concat([part for part in of_scores if len(part)], ignore_index=True)
    place = data["strategy"].map(list(ORDER).index)
    wrong = data["n"].map("{} wrong".format).where(data["score"] == EXCESS.name, "")
    data = data.assign(panel=panels(data), name=variant_names(data), place=place, wrong=wrong)
    order = list(dict.fromkeys(data.sort_values(["place", "variant"])["name"]))
    chart = alt.Chart(data).encode(
        y=alt.Y("name:N", title=None, sort=order, axis=alt.Axis(labelLimit=260)),
        color=alt.Color("strategy:N", title="strategy", scale=colour_scale(data["strategy"]), legend=None),
    )
    tooltip = ["task:N", "name:N", "score:N", alt.Tooltip("value:Q", format=".3f"), "interval:N"]
    bars = chart.mark_rule(strokeWidth=2, opacity=0.4, clip=True).encode(x="low:Q", x2="high:Q")
    x = alt.X("value:Q", title="score (0 to 1)", scale=UNIT_SCALE, axis=alt.Axis(tickCount=3))
    points = chart.mark_point(size=45, filled=True, opacity=1, clip=True).encode(x=x, tooltip=tooltip)
    right = chart.mark_text(align="left", dx=6, fontSize=10).transform_filter(f"datum.high <= {LABEL_FITS}")
    left = chart.mark_text(align="right", dx=-6, fontSize=10).transform_filter(f"datum.high > {LABEL_FITS}")
    counts = (right.encode(x="high:Q", text="wrong:N"), left.encode(x="low:Q", text="wrong:N"))
    return (
        alt.layer(bars, points, *counts)
        .properties(width=124, height=alt.Step(18))
        .facet(
            row=alt.Row("panel:N", title=None),
            column=alt.Column("score:N", title=None, sort=[score.name for score in ABLATION_SCORES]),
            title=alt.TitleParams(ABLATIONS_TITLE, subtitle=lines(explain(data, "lines"), WRONG)),
        )
    )


def variant_names(rows: pd.DataFrame) -> pd.Series:
    """Name each row's strategy together with its variant: "contrastive, p=0"."""
    return rows["strategy"] + rows["variant"].map(lambda variant: f", {variant}" if variant else "")
