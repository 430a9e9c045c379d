"""Draw curves of the minimal model: end states, stationary points, an interactive chart. Ours."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from html import escape
from itertools import product
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from ccutils.style import EMBED, colour_scale, dash_scale
from ccutils.theory.gradient_flow import end_states, examine
from ccutils.theory.model import (
    Array,
    World,
    best_weight,
    context_kinds,
    loss_of_kinds,
    make_kinds,
    one_near,
    weights,
)

WEIGHT_SCALE = alt.Scale(domain=[0, 1])
GRADES = ("nothing relevant", "one relevant", "all relevant")
STATIONARY = {
    "theta_1": "theta_1 (sharpness)",
    "theta_2": "theta_2 (pull)",
    "smallest": "smaller eigenvalue",
}


def end_state_rows(world: World, thetas: Mapping[str, Array], count: int = 101) -> pd.DataFrame:
    """Compute one example's weight and attention among random ones: strategy, similarity, panel, value."""
    s = np.linspace(0, 1, count)
    parts = []
    for name, theta in thetas.items():
        groups, slot = weights(theta, one_near(world, s))
        near, share = groups[:, 0], groups[:, 0] / np.maximum(1 - slot, 1e-300)
        for panel, value in (("its weight in the answer", near), ("its share of the attention", share)):
            parts.append(pd.DataFrame({"similarity": s, "value": value, "strategy": name, "panel": panel}))
    return pd.concat(parts, ignore_index=True)


def end_state_chart(world: World, thetas: Mapping[str, Array]) -> Any:
    """Draw an example's weight and attention by similarity at each strategy's theta; best weight dotted."""
    rows, names = end_state_rows(world, thetas), list(thetas)
    x = alt.X("similarity:Q", title="similarity of the one relevant example (0 to 1)")
    legend = alt.Legend(title=None, orient="bottom")
    colour = alt.Color("strategy:N", scale=colour_scale(names), sort=names, legend=legend)
    dash = alt.StrokeDash("strategy:N", scale=dash_scale(names), sort=names, legend=legend)
    s = np.linspace(0, 1, 101)
    best = pd.DataFrame({"similarity": s, "value": best_weight(world, s)})
    panels = []
    for panel in rows["panel"].unique():
        y = alt.Y("value:Q", title=panel, scale=WEIGHT_SCALE)
        lines = alt.Chart(rows[rows["panel"] == panel]).mark_line().encode(x, y, colour, dash)
        panels.append(lines.properties(width=330, height=220))
    dots = alt.Chart(best).mark_line(strokeDash=[1, 4], color="black", strokeWidth=2.5).encode(x, y="value:Q")
    panels[0] = alt.layer(panels[0], dots)
    title = alt.TitleParams(
        f"End states: one example of some similarity among {world.k - 1} random ones",
        subtitle="Dotted: the best weight. Overlapping lines: flat attention, 1 / k.",
    )
    return alt.hconcat(*panels).properties(title=title)


def error_table(world: World, thetas: Mapping[str, Array]) -> pd.DataFrame:
    """Compute the squared error of each strategy's theta with 0, 1 and k near examples, mean over grades.

    Columns: strategy and the names of GRADES; a last row for f alone.
    """
    rows = []
    for name, theta in thetas.items():
        row: dict[str, Any] = {"strategy": name}
        for grade, near in zip(GRADES, (0, 1, world.k), strict=True):
            some = make_kinds(world, [(1.0, [(near, s, 0.0)] if near else []) for s in world.grades])
            row[grade] = float(loss_of_kinds(theta, some).mean())
        rows.append(row)
    alone = dict.fromkeys(GRADES, world.error + world.noise)
    return pd.DataFrame([*rows, {"strategy": "the weights alone", **alone}])


def stationary_rows(worlds: Mapping[str, World], axes: Mapping[str, Array]) -> pd.DataFrame:
    """Find contrastive training's stable point, one parameter varied at a time.

    `worlds` has a name for each world to start from; `axes` the values of each parameter. Columns world,
    parameter, at, theta_1, theta_2, smallest, largest (eigenvalues of the Hessian), gradient_norm; all NaN
    where there is no finite point.
    """
    rows = []
    for (name, world), (parameter, values) in product(worlds.items(), axes.items()):
        changes: list[dict[str, Any]] = [{parameter: value} for value in np.asarray(values).tolist()]
        changed = [replace(world, **change) for change in changes]
        for value, theta, there in zip(values, end_states(changed, "contrastive"), changed, strict=True):
            row: dict[str, Any] = {"world": name, "parameter": parameter, "at": float(value)}
            point = examine(theta, context_kinds(there, "contrastive"))
            if point is not None:
                found = asdict(point)
                found["smallest"], found["largest"] = found.pop("eigenvalues")
                row |= found
            rows.append(row)
    return pd.DataFrame(rows)


def stationary_chart(rows: pd.DataFrame, titles: Mapping[str, str]) -> Any:
    """Draw theta_1, theta_2 and eigenvalues at the stable point, a column for each parameter in `titles`."""
    columns: list[Any] = []
    names = alt.Scale(domain=list(rows["world"].unique()), range=["#009e73", "#000000"])
    colour = alt.Color("world:N", scale=names, legend=alt.Legend(title=None, orient="bottom"))
    linear = {"scale": alt.Scale(domain=[0, 20])}
    log = {"scale": alt.Scale(type="log"), "axis": alt.Axis(format="e", tickCount=4)}
    for parameter, title in titles.items():
        base = alt.Chart(rows[rows["parameter"] == parameter]).mark_line(clip=True, point={"size": 12})
        x = alt.X("at:Q", title=title, axis=alt.Axis(tickCount=3, labelFlush=False))
        panels = []
        for column, name in STATIONARY.items():
            # One title a row, at its left, so that five columns fit a page.
            looks = log if column == "smallest" else linear
            y = alt.Y(f"{column}:Q", title=None if columns else name, **looks)
            panel = base.encode(x, y, colour)
            panels.append(panel.properties(width=110, height=110))
        columns.append(alt.vconcat(*panels))
    subtitle = [
        "Each column varies one parameter. At each point drawn both eigenvalues are positive: it is stable.",
        "No point: none is finite, and theta grows for ever.",
    ]
    heading = alt.TitleParams("The stable point of contrastive training", subtitle=subtitle)
    return alt.hconcat(*columns).resolve_scale(color="shared").properties(title=heading)


def movable(world: World, marks: Mapping[str, Array]) -> Any:
    """Draw a chart with sliders: the effect of theta on one example of similarity s. It needs no kernel.

    `marks` are theta of some strategies, for the subtitle. The browser computes everything.
    """
    sliders = {
        "theta_1": (0.0, -4, 16, 0.1),
        "theta_2": (0.0, -6, 12, 0.1),
        "k": (world.k, 1, 20, 1),
        "error": (world.error, 0, 1, 0.01),
        "noise": (world.noise, 0, 1, 0.01),
    }
    params = [
        alt.param(name, value=value, bind=alt.binding_range(min=low, max=high, step=step, name=f"{name} "))
        for name, (value, low, high, step) in sliders.items()
    ]
    mean = "datum.s / k" if world.similarity == "relative" else "0"
    near, slot = "exp(theta_1 * datum.s)", f"exp(theta_2 + theta_1 * {mean})"
    total = f"({near} + k - 1 + {slot})"
    best = "error * datum.s / max(1e-9, 1 + noise + (1 - error) * (1 - 2 * datum.s))"
    lines = pd.DataFrame(
        [
            ("the relevant example", f"{near} / {total}", "#009e73", [1, 0]),
            ("all others together", f"(k - 1) / {total}", "#d55e00", [7, 3]),
            ("the in-weights answer", f"{slot} / {total}", "#0072b2", [4, 3]),
            ("best for the relevant one", f"min(1, {best})", "#000000", [1, 3]),
        ],
        columns=["name", "formula", "colour", "dash"],
    )
    names = lines["name"].tolist()
    # Vega-Lite folds columns into rows; their names are the legend's.
    base = alt.Chart(alt.sequence(0, 1.005, 0.01, as_="s"))
    for name, formula in zip(names, lines["formula"], strict=True):
        base = base.transform_calculate(**{name: formula})
    x = alt.X("s:Q", title="similarity of the one relevant example (0 to 1)", scale=WEIGHT_SCALE)
    y = alt.Y("value:Q", title="weight in the answer", scale=WEIGHT_SCALE)
    colours = alt.Scale(domain=names, range=lines["colour"].tolist())
    dashes = alt.Scale(domain=names, range=lines["dash"].tolist())
    legend = alt.Legend(title="weight on", labelLimit=300)
    encodings = (
        alt.Color("line:N", scale=colours, legend=legend),
        alt.StrokeDash("line:N", scale=dashes, legend=legend),
    )
    chart = base.transform_fold(names, as_=["line", "value"]).mark_line(strokeWidth=2.5, clip=True)
    ends = "; ".join(f"{name} ({theta[0]:.1f}, {theta[1]:.1f})" for name, theta in marks.items())
    heading = alt.TitleParams(
        "Move theta: can the green line follow the dotted one?",
        subtitle=[
            f"Where training ends, (theta_1, theta_2): {ends}",
            "The sliders are below the chart; a picture shows theta = (0, 0).",
        ],
    )
    return chart.encode(x, y, *encodings).add_params(*params).properties(width=470, height=280, title=heading)


def frame(chart: Any, height: int) -> str:
    """Convert a chart to HTML that needs neither kernel nor network; `height` in pixels."""
    page = escape(chart.to_html(inline=True, embed_options=EMBED))
    return f'<div><iframe srcdoc="{page}" width="100%" height="{height}" style="border:0"></iframe></div>'
