"""Pictures of the minimal model: phase portraits, loss surfaces, end states, phase diagrams. All ours."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ccutils.figures import COLOURS, colour_scale, dash_scale
from ccutils.minimal_flow import REGIMES, behaviour, end_states, flow, regime, stationary_point
from ccutils.minimal_model import (
    Array,
    World,
    best_weight,
    gradient,
    kinds,
    loss,
    make_kinds,
    weights,
)

SHARPNESS = (-4.0, 12.0)  # of theta_1, in every portrait
PULL = (-6.0, 10.0)  # of theta_2
TIMES = np.logspace(-2, 5, 71)
NULLCLINES = {"θ₁ stands still": "#e69f00", "θ₂ stands still": "#56b4e9"}
REGIME_COLOURS = ("#0072b2", "#009e73", "#f0e442", "#d55e00", "#cc79a7")
THETA_1, THETA_2 = "θ₁: how sharply attention follows similarity", "θ₂: pull of the weights"


def axes() -> tuple[alt.X, alt.Y]:
    """The plane that all portraits share."""
    x = alt.X("theta_1:Q", title="θ₁ (sharpness)", scale=alt.Scale(domain=SHARPNESS, nice=False))
    y = alt.Y("theta_2:Q", title="θ₂ (pull of the weights)", scale=alt.Scale(domain=PULL, nice=False))
    return x, y


def grid(count: int) -> Array:
    """Points of the portraits' plane, (count, count, 2), the second index along theta_1."""
    return np.stack(np.meshgrid(np.linspace(*SHARPNESS, count), np.linspace(*PULL, count)), axis=-1)


def table(points: ArrayLike) -> pd.DataFrame:
    """Points (..., 2) as columns theta_1, theta_2."""
    return pd.DataFrame(np.asarray(points).reshape(-1, 2), columns=["theta_1", "theta_2"])


def nullclines(world: World, strategy: str, count: int = 161) -> pd.DataFrame:
    """Columns theta_1, theta_2, line: where a component of the gradient changes its sign on a grid's edges."""
    points = grid(count)
    slope = gradient(points, kinds(world, strategy))
    slope[np.abs(slope) < 1e-14] = np.nan  # no signal at all, rounding aside, is not a line
    parts = []
    for component, name in enumerate(NULLCLINES):
        for axis in (0, 1):
            low, high = (
                np.moveaxis(slope[..., component], axis, 0)[part] for part in (np.s_[:-1], np.s_[1:])
            )
            here, there = (np.moveaxis(points, axis, 0)[part] for part in (np.s_[:-1], np.s_[1:]))
            cross = low * high < 0
            part = (low[cross] / (low[cross] - high[cross]))[:, None]
            parts.append(table(here[cross] + part * (there[cross] - here[cross])).assign(line=name))
    return pd.concat(parts, ignore_index=True)


def arrows(world: World, strategy: str, count: int = 17) -> pd.DataFrame:
    """Columns theta_1, theta_2, angle (degrees clockwise from up), speed (log10): the field of the flow."""
    points = grid(count + 2)[1:-1, 1:-1]
    step = -gradient(points, kinds(world, strategy)).reshape(-1, 2)
    angle = np.degrees(np.arctan2(step[:, 0], step[:, 1]))
    speed = np.log10(np.maximum(np.linalg.norm(step, axis=1), 1e-12))
    return table(points).assign(angle=angle, speed=speed)


def trajectories(world: World, strategy: str, starts: ArrayLike) -> pd.DataFrame:
    """Columns theta_1, theta_2, time, start: gradient flow from each of `starts` (n, 2)."""
    starts = np.asarray(starts, dtype=np.float64)
    path = np.concatenate([starts[None], flow(kinds(world, strategy), starts, TIMES)])  # (times, n, 2)
    time, start = np.meshgrid(np.concatenate([[0.0], TIMES]), np.arange(len(starts)), indexing="ij")
    return table(path).assign(time=time.ravel(), start=start.ravel())


def default_starts() -> Array:
    """A ring of starts within the portraits' plane, and the middle (0, 0): (n, 2)."""
    x, y = np.meshgrid([-3.0, 1.0, 5.0, 9.0], [-5.0, -1.0, 3.0, 7.0])
    return np.concatenate([np.stack([x.ravel(), y.ravel()], -1), [[0.0, 0.0]]])


def portrait(
    world: World, strategy: str, starts: ArrayLike | None = None, size: int = 220, title: str | None = None
) -> Any:
    """Phase portrait of one strategy: field, nullclines, trajectories from `starts`, and the stable point."""
    x, y = axes()
    starts = default_starts() if starts is None else np.asarray(starts, dtype=np.float64)
    shade = alt.Color("speed:Q", legend=None, scale=alt.Scale(range=["#e4e4e4", "#777777"], domain=[-5, 0]))
    angle = alt.Angle("angle:Q", scale=alt.Scale(domain=[-180, 180], range=[-180, 180]))
    field = alt.Chart(arrows(world, strategy)).mark_point(shape="wedge", filled=True, size=45)
    lines = alt.Chart(nullclines(world, strategy)).mark_circle(size=5, opacity=1)
    names = alt.Scale(domain=list(NULLCLINES), range=list(NULLCLINES.values()))
    paths = alt.Chart(trajectories(world, strategy, starts))
    paths = paths.mark_line(clip=True, strokeWidth=1.4, color=COLOURS[strategy])
    dots = alt.Chart(table(starts)).mark_circle(size=14, color=COLOURS[strategy], opacity=1)
    layers = [
        field.encode(x, y, angle=angle, color=shade),
        lines.encode(x, y, color=alt.Color("line:N", title=None, scale=names)),
        paths.encode(x, y, detail="start:N", order="time:Q"),
        dots.encode(x, y),
    ]
    point = stationary_point(kinds(world, strategy))
    if point is not None:
        mark = alt.Chart(table([[point.theta_1, point.theta_2]])).mark_point(
            shape="diamond", size=110, filled=True, color="black", opacity=1, clip=True
        )
        layers.append(mark.encode(x, y))
    chart = alt.layer(*layers).resolve_scale(color="independent")
    return chart.properties(width=size, height=size, title=title or strategy)


def portraits(worlds: Sequence[World], strategies: Sequence[str]) -> Any:
    """Portraits of all strategies side by side, a row for each world, on one scale."""
    rows = [
        alt.hconcat(
            *(
                portrait(world, strategy, title=f"{strategy}, {world.similarity} similarity", size=200)
                for strategy in strategies
            )
        )
        for world in worlds
    ]
    subtitle = [
        "Arrows: direction of training, darker is faster. Lines: training from many starts (dots).",
        "Black diamond: the stable stationary point, where there is a finite one.",
    ]
    return alt.vconcat(*rows).properties(
        title=alt.TitleParams("What each strategy teaches", subtitle=subtitle)
    )


def loss_surfaces(world: World, strategies: Sequence[str], count: int = 41) -> Any:
    """Expected squared error over the plane, in steps, for each strategy."""
    points = grid(count)
    step = [(high - low) / (count - 1) / 2 for low, high in (SHARPNESS, PULL)]
    data = pd.concat(
        table(points).assign(strategy=name, loss=loss(points, kinds(world, name)).ravel())
        for name in strategies
    )
    data = data.assign(
        left=data["theta_1"] - step[0],
        right=data["theta_1"] + step[0],
        low=data["theta_2"] - step[1],
        high=data["theta_2"] + step[1],
        loss=data["loss"].round(4),
    ).drop(columns=["theta_1", "theta_2"])
    scale = alt.Scale(type="quantize", domain=[0, 1.5], scheme="viridis", reverse=True, nice=False)
    return (
        alt.Chart(data)
        .mark_rect(clip=True)
        .encode(
            x=alt.X("left:Q", title="θ₁ (sharpness)", scale=alt.Scale(domain=SHARPNESS, nice=False)),
            x2="right:Q",
            y=alt.Y("low:Q", title="θ₂ (pull of the weights)", scale=alt.Scale(domain=PULL, nice=False)),
            y2="high:Q",
            color=alt.Color("loss:Q", title="squared error", scale=scale),
            column=alt.Column("strategy:N", title=None, sort=list(strategies)),
        )
        .properties(width=200, height=200, title="Loss surfaces (label variance is 1)")
    )


def end_state_rows(world: World, thetas: dict[str, Array], count: int = 101) -> pd.DataFrame:
    """Columns strategy, similarity, panel, value: weight and attention on one example among k - 1 random ones."""
    s = np.linspace(0, 1, count)
    parts = []
    for name, theta in thetas.items():
        near, _, slot = weights(theta, make_kinds(world, [(1.0, 1, value, 0.0) for value in s]))
        share = near / np.maximum(1 - slot, 1e-300)
        for panel, value in (("its weight in the answer", near), ("its share of the attention", share)):
            parts.append(pd.DataFrame({"similarity": s, "value": value, "strategy": name, "panel": panel}))
    return pd.concat(parts, ignore_index=True)


def end_state_chart(world: World, thetas: dict[str, Array]) -> Any:
    """Weight and attention of one example by its similarity, for each strategy's theta; the best weight dotted."""
    rows, names = end_state_rows(world, thetas), list(thetas)
    x = alt.X("similarity:Q", title="similarity of the one relevant example (0 to 1)")
    panels = []
    for panel in rows["panel"].unique():
        y = alt.Y("value:Q", title=panel, scale=alt.Scale(domain=[0, 1]))
        colour = alt.Color("strategy:N", scale=colour_scale(names), sort=names)
        dash = alt.StrokeDash("strategy:N", scale=dash_scale(names), sort=names)
        lines = alt.Chart(rows[rows["panel"] == panel]).mark_line().encode(x, y, colour, dash)
        panels.append(lines)
    s = np.linspace(0, 1, 101)
    best = pd.DataFrame({"similarity": s, "value": best_weight(world, s)})
    dots = alt.Chart(best).mark_line(strokeDash=[1, 4], color="black", strokeWidth=2.5).encode(x, y="value:Q")
    panels[0] = alt.layer(panels[0], dots)
    title = alt.TitleParams(
        f"End states: one example of some similarity among {world.k - 1} random ones",
        subtitle="Dotted: the best weight there is.",
    )
    return alt.hconcat(*(panel.properties(width=330, height=220) for panel in panels)).properties(title=title)


def phase_rows(world: World, strategy: str, x: str, y: str, values: dict[str, Array]) -> pd.DataFrame:
    """Columns x, y, strategy, regime and the behaviour at the end state, over the grid of two parameters."""
    cells = [(a, b) for a in values[x] for b in values[y] if {x, y} != {"p", "epsilon"} or a + b <= 1 + 1e-9]
    worlds = [replace(world, **{x: float(a), y: float(b)}) for a, b in cells]
    ends = end_states(worlds, strategy)
    seen, names = behaviour(ends, world), np.array(REGIMES)[regime(ends, world)]
    data = pd.DataFrame(cells, columns=[x, y]).assign(strategy=strategy, regime=names)
    return data.assign(nothing_relevant=seen.nothing_relevant, relevant=seen.relevant)


def phase_diagram(rows: pd.DataFrame, x: str, y: str, titles: tuple[str, str], panel: str, title: str) -> Any:
    """The regime of each cell; a panel for each value of column `panel`."""
    step = [np.diff(np.unique(rows[name])).min() / 2 for name in (x, y)]
    data = rows.assign(
        left=rows[x] - step[0], right=rows[x] + step[0], low=rows[y] - step[1], high=rows[y] + step[1]
    )
    return (
        alt.Chart(data)
        .mark_rect()
        .encode(
            x=alt.X("left:Q", title=titles[0], scale=alt.Scale(nice=False)),
            x2="right:Q",
            y=alt.Y("low:Q", title=titles[1], scale=alt.Scale(nice=False)),
            y2="high:Q",
            color=alt.Color(
                "regime:N", title="end state", scale=alt.Scale(domain=REGIMES, range=REGIME_COLOURS)
            ),
            column=alt.Column(f"{panel}:N", title=None, sort=list(rows[panel].unique())),
            tooltip=[x, y, "regime", "nothing_relevant:Q", "relevant:Q"],
        )
        .properties(width=180, height=180, title=title)
    )
