"""The figures, each a function from tidy rows (ccutils.records.Row) to an Altair chart."""

from textwrap import wrap
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from ccutils.records import ORDER, check_strategies
from ccutils.report.aggregate import (
    EXCESS,
    IWL,
    KEYS,
    NOVEL,
    OVERRIDE,
    SCORES,
    Headline,
    base_rows,
    final_rows,
    gaps,
    over_seeds,
    scores_table,
    write_number,
)
from ccutils.style import colour_scale, dash_scale, shape_scale

SET_TITLES = {"id": "in domain (ID)", "ood": "out of domain (OOD)"}
OVER_TRAINING = (IWL, OVERRIDE, NOVEL, EXCESS)
UNIT_SCALE = alt.Scale(domain=[0, 1])
CENTRED = alt.Axis(labelFlush=False, tickCount=5)
LEGEND = alt.Legend(symbolOpacity=1, symbolStrokeWidth=0)  # not pale like bands, not frayed by dashes
QUALITY = "quality of the answer (0 to 1)"
SIMILARITY = "similarity to the most similar context example (0 to 1)"


def quality_by_similarity(rows: pd.DataFrame) -> Any:
    """Draw quality by similarity to the most similar demonstration, after the paper's Figure 1."""
    x = similarity_axis(rows.loc[rows["probe"] == "similarity", "grade"])
    return _quality(rows, "similarity", x, "Quality by target-context similarity, at the last step")


def quality_by_relevance(rows: pd.DataFrame) -> Any:
    """Draw quality by the number of relevant examples among the k of the context."""
    x = count_axis(rows.loc[rows["probe"] == "quality", "grade"])
    return _quality(rows, "quality", x, "Quality by number of relevant examples, at the last step")


def gate_and_choice(rows: pd.DataFrame) -> Any:
    """Draw the gate by the number of relevant examples (0, 1, k), and choice with plain and hard negatives.

    The gate is the share of answers that are a label in the context, choice the share of those that are the
    relevant example's.
    """
    title, final = "Gate and choice, at the last step", final_rows(rows)
    gate, choice = final[final["probe"] == "gate"], final[final["probe"].isin(NEGATIVES)]
    without = sorted(set(rows["task"]) - set(gate["task"]))
    missing = f"Not measured on {', '.join(without)}: {UNMEASURED}" if without else ""
    if gate.empty:
        return in_words(title, missing)
    largest = gate.groupby("task")["grade"].transform("max")
    gate = gate[gate["grade"].isin([0, 1]) | (gate["grade"] == largest)]
    data = over_seeds(pd.concat([gate, choice]))
    if choice.empty:
        missing += " Choice: no answer with one relevant example was a label in the context."
    place = data["set"].str.upper()
    data = data.assign(
        panel=panels(data),
        where=np.where(data["probe"] == "gate", GATE, CHOICE) + place,
        condition=data["probe"].map(NEGATIVES).fillna(data["grade"].map("{:.0f}".format)),
    )
    order = [what + name for what in (GATE, CHOICE) for name in sorted(set(place))]
    conditions = [*map("{:.0f}".format, sorted(gate["grade"].unique())), *NEGATIVES.values()]
    strategies = check_strategies(data["strategy"])
    chart = alt.Chart(data).encode(
        x=alt.X("condition:N", title=None, sort=conditions, axis=alt.Axis(labelAngle=0)),
        xOffset=alt.XOffset("strategy:N", sort=strategies),
        color=alt.Color("strategy:N", title="strategy", scale=colour_scale(strategies), legend=LEGEND),
    )
    bars = chart.mark_rule(strokeWidth=2, opacity=0.4).encode(y="low:Q", y2="high:Q")
    points = chart.mark_point(size=45, filled=True, opacity=1).encode(
        y=alt.Y("value:Q", title="share of answers (0 to 1)", scale=UNIT_SCALE),
        shape=alt.Shape("strategy:N", title="strategy", scale=shape_scale(strategies)),
        tooltip=_tooltip("set", "probe", "condition"),
    )
    layers = alt.layer(bars, points).properties(width=195, height=200)
    return layers.facet(
        row=alt.Row("panel:N", title=None),
        column=alt.Column("where:N", title=None, sort=order),
        spacing=20,
        title=alt.TitleParams(title, subtitle=lines(explain(data, "lines"), missing.strip())),
    ).resolve_scale(x="independent", xOffset="independent")


GATE, CHOICE = "gate by relevant examples, ", "choice by irrelevant examples, "
NEGATIVES = {"choice": "random", "hard_choice": "most similar"}
"""The irrelevant examples beside the one relevant, by the probe of choice."""
UNMEASURED = "its labels do not repeat, or its rows are of an older version of this package."
NARROW = 0.3
"""A range of similarities below this cannot show how quality depends on similarity."""


def main_figure(rows: pd.DataFrame) -> str:
    """Choose the main figure: quality by similarity, or by relevance if similarities lack range."""
    middles = rows.loc[rows["probe"] == "similarity", "grade"]
    wide = len(middles) and middles.max() - middles.min() >= NARROW
    return "quality_by_similarity" if wide else "quality_by_relevance"


def similarity_axis(grades: "pd.Series[float]") -> alt.X:
    """Make an axis of similarity from 0 to the next fifth above the data: some tasks have nothing near 1."""
    fifths = np.ceil(5 * grades.max() + 0.25) if len(grades) else 5
    scale = alt.Scale(domain=[0, min(1.0, float(fifths) / 5)], nice=False)
    return alt.X("grade:Q", title=SIMILARITY, scale=scale, axis=CENTRED)


def count_axis(grades: "pd.Series[float]") -> alt.X:
    """Make an axis of the numbers of relevant examples that occur."""
    axis = alt.Axis(values=sorted(grades.unique()), format="d", labelFlush=False)
    return alt.X("grade:Q", title="relevant examples in the context (count)", axis=axis)


def _quality(rows: pd.DataFrame, probe: str, x: alt.X, title: str) -> Any:
    final = final_rows(rows)
    data = over_seeds(final[final["probe"] == probe])
    name = title.partition(",")[0].lower()
    missing = gaps(rows, [Headline(f"{name} {part.upper()}", probe, part, None) for part in SET_TITLES])
    if data.empty:
        return in_words(title, missing)
    data = pd.concat([data.assign(kind="mean"), baselines(final)], ignore_index=True)
    data = data.assign(panel=panels(data), where=data["set"].map(SET_TITLES))
    # An estimate by fixed effects may be slightly below 0 or above 1, and is drawn there.
    whole = alt.Scale(domain=[min(0.0, float(data["value"].min())), max(1.0, float(data["value"].max()))])
    y = alt.Y("value:Q", title=QUALITY, scale=whole)
    chart = alt.layer(_rules(data), curves(data, x, y))  # a name hides no mark
    return chart.properties(width=330, height=220).facet(
        row=alt.Row("panel:N", title=None),
        column=alt.Column("where:N", title=None, sort=list(SET_TITLES.values())),
        spacing=30,
        title=alt.TitleParams(title, subtitle=lines(explain(data), missing)),
    )


BASELINES = {"retrieved": "base, k nearest", "nearest_label": "label of the nearest"}


def baselines(final: pd.DataFrame) -> pd.DataFrame:
    """Select two baselines as rows of kind "baseline": the untrained base with the k nearest examples as its
    context, and the label of the nearest neighbour.
    """
    found = final[(final["strategy"] == "base") & final["probe"].isin(BASELINES)]
    if found.empty:
        return found
    means = over_seeds(found)
    upper = means.groupby(["task", "model", "set"])["value"].rank(method="first", ascending=False) == 1
    return means.assign(kind="baseline", name=means["probe"].map(BASELINES), upper=upper)


def _rules(data: pd.DataFrame) -> Any:
    """Draw a grey line with its name for each baseline."""
    chart = alt.Chart(data).transform_filter("datum.kind === 'baseline'").encode(y="value:Q")
    tooltip = ["name:N", alt.Tooltip("value:Q", format=".3f"), "interval:N"]
    rule = chart.mark_rule(strokeDash=[1, 3], color="#555555").encode(tooltip=tooltip)
    # One name above its line and one below, so that the names do not overlap.
    names = []
    for upper, away in (("true", -6), ("false", 7)):
        text = chart.transform_filter(f"datum.upper === {upper}").encode(text="name:N", x=alt.value(326))
        look: dict[str, Any] = {"align": "right", "baseline": "middle", "dy": away, "fontSize": 9}
        names.append(text.mark_text(**look, stroke="white", strokeWidth=3))  # read across other marks
        names.append(text.mark_text(**look, color="#555555"))
    return alt.layer(rule, *names)


def scores_over_training(rows: pd.DataFrame) -> Any:
    """Draw IWL-, ICL- and Copy-score by optimiser steps: each seed, and the mean with its interval."""
    title = "Scores over training"
    of_scores = [start_together(score.of(rows)).assign(score=score.name) for score in OVER_TRAINING]
    chosen = pd.concat([part for part in of_scores if len(part)] or of_scores, ignore_index=True)
    missing = gaps(rows, OVER_TRAINING)
    if chosen.empty:
        return in_words(title, missing)
    parts = (over_seeds(chosen, [*KEYS, "score"]).assign(kind="mean"), chosen.assign(kind="seed"))
    data = pd.concat(parts, ignore_index=True)
    data = data.assign(panel=panels(data))
    axis = alt.Axis(tickCount=5, labelFlush=False)
    x = alt.X("step:Q", title="optimiser steps", axis=axis, scale=alt.Scale(domainMax=data["step"].max()))
    low = min(0.0, float(data["low"].min()))  # a score above chance may be below it
    unit = alt.Scale(domain=[low, 1])
    chart = curves(data, x, alt.Y("value:Q", title="score (share of answers, 0 to 1)", scale=unit))
    subtitle = lines("Thin lines: seeds, unsmoothed. " + explain(data[data["kind"] == "mean"]), missing)
    return chart.properties(width=180, height=170).facet(  # four of them within 1,040 pixels
        row=alt.Row("panel:N", title=None),
        column=alt.Column("score:N", title=None, sort=[score.name for score in OVER_TRAINING]),
        spacing=30,
        title=alt.TitleParams(title, subtitle=subtitle),
    )


def start_together(rows: pd.DataFrame) -> pd.DataFrame:
    """Add the base that all strategies share to each of them as step 0."""
    trained = rows[rows["step"] > 0]
    runs = trained[["task", "model", "strategy", "seed"]].drop_duplicates()
    start = base_rows(rows).drop(columns="strategy").merge(runs, on=["task", "model", "seed"])
    return pd.concat([start, trained], ignore_index=True)


def curves(data: pd.DataFrame, x: alt.X, y: alt.Y) -> Any:
    """Draw interval bands, lines and points for each strategy; rows of kind `seed` as thin lines."""
    names = data["strategy"]
    click = alt.selection_point(name="strategy", fields=["strategy"], bind="legend")

    def strength(shown: float) -> Any:
        return alt.when(click).then(alt.value(shown)).otherwise(alt.value(shown / 8))

    colour = alt.Color("strategy:N", title="strategy", scale=colour_scale(names), legend=LEGEND)
    dash = alt.StrokeDash("strategy:N", title="strategy", scale=dash_scale(names))
    shape = alt.Shape("strategy:N", title="strategy", scale=shape_scale(names))
    chart = alt.Chart(data).transform_filter("datum.kind === 'mean'").encode(x=x, color=colour)
    band = chart.mark_area(clip=True).encode(y=alt.Y("low:Q"), y2="high:Q", opacity=strength(0.13))
    line = chart.mark_line(strokeWidth=2).encode(y=y, strokeDash=dash, opacity=strength(1))
    points = chart.mark_point(size=50, filled=True).encode(
        y=y, shape=shape, opacity=strength(1), tooltip=_tooltip("set", "step", "grade")
    )
    layers: list[alt.Chart] = [band, line, points.add_params(click)]
    if (data["kind"] == "seed").any():
        thin = alt.Chart(data).transform_filter("datum.kind === 'seed'").mark_line(strokeWidth=0.6)
        layers.insert(0, thin.encode(x=x, y=y, color=colour, detail="seed:N", opacity=strength(0.6)))
    return alt.layer(*layers)


def _tooltip(*names: str) -> list[alt.Tooltip]:
    """List what a mark shows when pointed at: its row, mean, interval and number of items."""
    return [
        *(alt.Tooltip(f"{name}:N") for name in ("task", "model", "strategy", *names)),
        alt.Tooltip("value:Q", title="mean", format=".3f"),
        alt.Tooltip("interval:N", title="95% interval"),
        alt.Tooltip("n:Q", title="items, all seeds"),
    ]


def scores_chart(rows: pd.DataFrame) -> Any:
    """Draw the final table: strategies down, headline scores across, shade and number for the mean."""
    table, title = scores_table(rows), "Scores at the last step (0 to 1)"
    missing = gaps(rows, SCORES)
    if table.empty:
        return in_words(title, missing)
    text = list(map(write_number, table["value"], table["low"], table["high"]))
    table = table.assign(panel=panels(table), text=[number.replace(" (", "\n(", 1) for number in text])
    heads = alt.Axis(
        orient="top",
        labelAngle=0,
        labelExpr="split(datum.label, ', ')",
        labelPadding=20,
        domain=False,
        ticks=False,
    )
    x = alt.X("score:N", title=None, sort=[score.name for score in SCORES], axis=heads)
    y = alt.Y("strategy:N", title="strategy", sort=list(ORDER))
    shade = alt.Scale(
        domain=[0, 1], range=["#ffffff", "#8fb3d9"], interpolate="rgb"
    )  # pale enough for black numbers
    # Numbers cover their cells, so they need the same tooltip.
    grid = alt.Chart(table).encode(x, y, tooltip=_tooltip("score"))
    cells = grid.mark_rect(stroke="#dddddd").encode(color=alt.Color("value:Q", scale=shade, legend=None))
    numbers = grid.mark_text(fontSize=11, lineBreak="\n", dy=-6).encode(text="text:N")
    size = {"width": 90 * table["score"].nunique(), "height": alt.Step(34)}  # ten within 1,100 pixels
    subtitle = lines(explain(table, "in brackets"), missing)
    chart: Any = alt.layer(cells, numbers).properties(**size)
    return chart.facet(row=alt.Row("panel:N", title=None), title=alt.TitleParams(title, subtitle=subtitle))


def context_structure(contexts: pd.DataFrame, bins: int = 20) -> Any:
    """Draw a histogram for each strategy: the similarity of targets to the best example of their context.

    `contexts` has a row for each drawn context: task, strategy, seed, best (in [0, 1]; NaN without context).
    """
    title = "Similarity structure of each strategy's contexts"
    best = contexts[contexts["best"].notna()]
    if best.empty:
        return in_words(title, "No strategy that has contexts was drawn.")
    edges, by = np.linspace(0, 1, bins + 1), ["task", "strategy"]
    place = np.digitize(best["best"], edges[1:-1])
    best = best.assign(low=edges[place], high=edges[place + 1])
    data = best.groupby([*by, "low", "high"], as_index=False).agg(contexts=("best", "size"))
    data["share"] = data["contexts"] / data.groupby(by)["contexts"].transform("sum")
    data = data.merge(best.groupby(by, as_index=False).agg(mean=("best", "mean")), on=by)
    tooltip = [
        *(alt.Tooltip(f"{name}:N") for name in by),
        alt.Tooltip("low:Q", title="similarity from", format=".2f"),
        alt.Tooltip("high:Q", title="to", format=".2f"),
        alt.Tooltip("share:Q", title="share of contexts", format=".1%"),
        alt.Tooltip("contexts:Q", title="contexts, all seeds"),
        alt.Tooltip("mean:Q", title="mean similarity", format=".3f"),
    ]
    chart = alt.Chart(data)
    bars = chart.mark_bar(stroke="white", strokeWidth=0.5).encode(
        x=alt.X("low:Q", title=SIMILARITY, scale=UNIT_SCALE, axis=CENTRED, bin="binned"),
        x2="high:Q",
        y=alt.Y("share:Q", title="share of contexts", axis=alt.Axis(format="%", tickCount=4)),
        color=alt.Color("strategy:N", scale=colour_scale(data["strategy"]), legend=None),
        tooltip=tooltip,
    )
    mean = chart.mark_rule(strokeDash=[4, 3]).encode(x="mean(mean):Q")
    return (
        alt.layer(bars, mean)
        .properties(width=330, height=90)
        .facet(
            row=alt.Row("strategy:N", title=None, sort=check_strategies(data["strategy"])),
            column=alt.Column("task:N", title=None),
            title=alt.TitleParams(title, subtitle="All seeds together; dashed: the mean."),
        )
    )


def in_words(title: str, reason: str) -> Any:
    """Write the title of a figure that has nothing to draw, and the reason."""
    said = wrap(reason or "The rows contain nothing to draw.", 90)  # within 700 pixels, in a wide font too
    text = alt.Chart(pd.DataFrame({"reason": ["\n".join(said)]}))
    return (
        text.mark_text(align="left", baseline="top", fontSize=12, lineBreak="\n", lineHeight=16)
        .encode(text="reason:N", x=alt.value(8), y=alt.value(10))
        .properties(width=700, height=20 + 16 * len(said), title=title)
    )


def lines(*sentences: str) -> list[str]:
    """Build the lines of a subtitle, without empty ones."""
    return [sentence for sentence in sentences if sentence]


def panels(data: pd.DataFrame) -> "pd.Series[str]":
    """Name each row's task and, if there are several models, its model."""
    if data["model"].nunique() == 1:
        return data["task"]
    return data["task"] + ", " + data["model"].map(short)


def short(model: str) -> str:
    """Shorten a model's name or folder to its last part."""
    return model.rstrip("/").rpartition("/")[2]


def explain(data: pd.DataFrame, what: str = "bands") -> str:
    """Describe a figure's data: model, number of seeds, and what its intervals are."""
    models = sorted({short(model) for model in data["model"]})
    few, many = int(data["seeds"].min()), int(data["seeds"].max())
    start = f"Model {models[0]}. " if len(models) == 1 else ""
    if many == 1:
        return f"{start}One seed" + (f"; {what}: 95% interval over its answers." if what == "bands" else ".")
    count = f"{many}" if few == many else f"{few} to {many}"
    alone = " (of one seed, interval over its answers)" if few == 1 and what == "bands" else ""
    return f"{start}Means over {count} seeds; {what}: 95% intervals over seeds and targets{alone}."
