"""Draw maps of the minimal model: phase portraits, loss surfaces, phase diagrams."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ccutils.style import COLOURS
from ccutils.theory.gradient_flow import REGIMES, end_states, flow, regime, stationary_point
from ccutils.theory.model import Array, World, context_kinds, gradient, loss

SHARPNESS = (-4.0, 12.0)  # of theta_1, in every portrait
PULL = (-6.0, 10.0)  # of theta_2
TIMES = np.logspace(-2, 5, 141)
LEAST_STEP = 0.06  # of theta between two points of a line: less than a pixel
NULLCLINES = {"theta_1 is constant": "#e69f00", "theta_2 is constant": "#56b4e9"}
REGIME_COLOURS = ("#0072b2", "#009e73", "#f0e442", "#d55e00", "#cc79a7")


def axes() -> tuple[alt.X, alt.Y]:
    """Build the axes of all portraits."""
    x = alt.X("theta_1:Q", title="theta_1 (sharpness)", scale=alt.Scale(domain=SHARPNESS, nice=False))
    y = alt.Y("theta_2:Q", title="theta_2 (pull of the weights)", scale=alt.Scale(domain=PULL, nice=False))
    return x, y


def grid(count: int) -> Array:
    """Build a grid of points of the portraits' plane, (count, count, 2), the second index along theta_1."""
    return np.stack(np.meshgrid(np.linspace(*SHARPNESS, count), np.linspace(*PULL, count)), axis=-1)


def table(points: ArrayLike) -> pd.DataFrame:
    """Convert points (..., 2) to columns theta_1, theta_2."""
    return pd.DataFrame(np.asarray(points).reshape(-1, 2), columns=["theta_1", "theta_2"])


def nullclines(world: World, strategy: str, count: int = 101) -> pd.DataFrame:
    """Find where a gradient component changes sign on a grid's edges: columns theta_1, theta_2, line."""
    points = grid(count)
    slope = gradient(points, context_kinds(world, strategy))
    slope[np.abs(slope) < 1e-14] = np.nan  # rounding where there is no signal is not a line
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
    """Compute the field: columns theta_1, theta_2, angle (degrees clockwise from up), speed (log10)."""
    points = grid(count + 2)[1:-1, 1:-1]
    step = -gradient(points, context_kinds(world, strategy)).reshape(-1, 2)
    angle = np.degrees(np.arctan2(step[:, 0], step[:, 1]))
    speed = np.log10(np.maximum(np.linalg.norm(step, axis=1), 1e-12))
    return table(points).assign(angle=angle, speed=speed)


def trajectories(world: World, strategy: str, starts: ArrayLike) -> pd.DataFrame:
    """Follow gradient flow from each of `starts` (n, 2): columns theta_1, theta_2, time, start."""
    starts = np.asarray(starts, dtype=np.float64)
    ends = flow(context_kinds(world, strategy), starts, TIMES, accuracy=1e-6)
    path = np.concatenate([starts[None], ends])  # (times, n, 2)
    time, start = np.meshgrid(np.concatenate([[0.0], TIMES]), np.arange(len(starts)), indexing="ij")
    # Omit points that overlap the previous one: drawing them would take most of the time.
    length = np.linalg.norm(np.diff(path, axis=0, prepend=path[:1]), axis=-1).cumsum(0)
    seen = np.diff(length // LEAST_STEP, axis=0, prepend=-1) > 0
    seen[-1] = True
    return table(path[seen]).assign(time=time[seen], start=start[seen])


def default_starts() -> Array:
    """Build starting points: a grid within the portraits' plane, and (0, 0); shape (n, 2)."""
    x, y = np.meshgrid([-3.0, 1.0, 5.0, 9.0], [-5.0, -1.0, 3.0, 7.0])
    return np.concatenate([np.stack([x.ravel(), y.ravel()], -1), [[0.0, 0.0]]])


def portrait(
    world: World, strategy: str, starts: ArrayLike | None = None, size: int = 260, *, legend: bool = True
) -> Any:
    """Draw one strategy's portrait: field, nullclines, trajectories from `starts`, and the stable point."""
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
    key = alt.Legend(title=None, orient="bottom", direction="vertical") if legend else None
    layers = [
        field.encode(x, y, angle=angle, color=shade),
        lines.encode(x, y, color=alt.Color("line:N", scale=names, legend=key)),
        paths.encode(x, y, detail="start:N", order="time:Q"),
        dots.encode(x, y),
    ]
    point = stationary_point(context_kinds(world, strategy))
    if point is not None:
        mark = alt.Chart(table([[point.theta_1, point.theta_2]])).mark_point(
            shape="diamond", size=110, filled=True, color="black", opacity=1, clip=True
        )
        layers.append(mark.encode(x, y))
    chart = alt.layer(*layers).resolve_scale(color="independent")
    return chart.properties(width=size, height=size, title=f"{strategy}, {world.similarity}")


def portraits(worlds: Sequence[World], strategies: Sequence[str]) -> Any:
    """Draw all strategies' portraits side by side, a row for each world, on one scale, a legend below."""
    size, last = 155, (worlds[-1], strategies[0])  # four of them fit a page
    rows = [
        alt.hconcat(*(portrait(world, name, size=size, legend=(world, name) == last) for name in strategies))
        for world in worlds
    ]
    subtitle = [
        "Arrows: direction of training, darker is faster. Lines: training from many starts (dots).",
        "Black diamond: the finite stable stationary point, if any. No nullcline: no signal.",
        "relative, absolute: whether the weights' slot sees the context's mean similarity.",
    ]
    title = alt.TitleParams("What each strategy teaches", subtitle=subtitle)
    return alt.vconcat(*rows).properties(title=title)


def loss_surfaces(world: World, strategies: Sequence[str], count: int = 41) -> Any:
    """Draw the expected squared error over the plane, in steps, for each strategy."""
    points = grid(count)
    data = pd.concat(
        table(points).assign(panel=name, loss=loss(points, context_kinds(world, name)).ravel())
        for name in strategies
    )
    scheme = alt.SchemeParams(name="viridis", count=14)
    scale = alt.Scale(type="quantize", domain=[0.1, 1.5], scheme=scheme, reverse=True, nice=False)
    colour = alt.Color("loss:Q", title="squared error", scale=scale, legend=alt.Legend(orient="bottom"))
    title = "Loss surfaces (the labels' variance is 1)"
    x, y = (alt.Scale(domain=domain, nice=False) for domain in (SHARPNESS, PULL))
    chart = tiles(
        data, ("theta_1", "theta_1 (sharpness)", x), ("theta_2", "theta_2 (pull of the weights)", y), colour
    )
    return chart.properties(width=180, height=180, title=title)


def tiles(
    data: pd.DataFrame, x: tuple[str, str, alt.Scale], y: tuple[str, str, alt.Scale], colour: alt.Color
) -> Any:
    """Draw tiles around a regular grid's points, a column for each `panel`; x, y: column, title and scale."""
    for (name, _, _), low, high in ((x, "left", "right"), (y, "low", "high")):
        half = np.diff(np.unique(data[name])).min() / 2
        # Tiles overlap a little, which hides the seams that SVG viewers show.
        data = data.assign(**{low: data[name] - half, high: data[name] + 1.2 * half})
    chart = alt.Chart(data).mark_rect(clip=True)
    return chart.encode(
        x=alt.X("left:Q", title=x[1], scale=x[2]),
        x2="right:Q",
        y=alt.Y("low:Q", title=y[1], scale=y[2]),
        y2="high:Q",
        color=colour,
        column=alt.Column("panel:N", title=None, sort=list(data["panel"].unique())),
    )


def phase_rows(world: World, strategy: str, *, x: str, y: str, values: dict[str, Array]) -> pd.DataFrame:
    """Compute end states over a grid: columns x, y, strategy, regime.

    `values` are the grid's, by name of World's fields. Descent from theta = (0, 0) gives the end state.
    """
    cells = [(a, b) for a in values[x] for b in values[y] if {x, y} != {"p", "epsilon"} or a + b <= 1 + 1e-9]
    changes: list[dict[str, Any]] = [{x: float(a), y: float(b)} for a, b in cells]
    ends = end_states([replace(world, **change) for change in changes], strategy)
    names = np.array(REGIMES)[regime(ends, world)]
    return pd.DataFrame(cells, columns=[x, y]).assign(strategy=strategy, regime=names)


def phase_diagram(rows: pd.DataFrame, x: tuple[str, str], y: tuple[str, str], title: str) -> Any:
    """Draw the regimes of phase_rows, a panel for each value of column `panel`; x, y: column and title."""
    scale = alt.Scale(domain=list(REGIMES), range=list(REGIME_COLOURS))
    colour = alt.Color("regime:N", title="end state", scale=scale, legend=alt.Legend(orient="bottom"))
    domains = (
        alt.Scale(domain=[rows[name].min(), rows[name].max()], nice=False, padding=2) for name in (x[0], y[0])
    )
    chart = tiles(rows, (*x, next(domains)), (*y, next(domains)), colour)
    return chart.properties(width=180, height=180, title=title)
