"""The minimal model's pictures hold what the model says, and can be drawn and moved."""

import json
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
import vl_convert

from ccutils.theory import charts, curves
from ccutils.theory.gradient_flow import stationary_point
from ccutils.theory.model import CONTEXT_STRATEGIES, World, best_weight, context_kinds, gradient, weights


def drawn(chart: Any) -> str:
    """The SVG of a chart, without the time that saving it thrice would take."""
    return str(vl_convert.vegalite_to_svg(json.dumps(chart.to_dict())))


PAGE = 880  # pixels that an output surely has in a window 1,100 wide, exported or in Jupyter


def width(svg: str) -> int:
    """Of a picture, legends and all, in pixels."""
    found = re.search(r'<svg[^>]* width="(\d+)', svg)
    assert found
    return int(found[1])


def test_nullclines_are_where_the_gradient_vanishes_and_cross_at_the_point() -> None:
    lines = charts.nullclines(World(), "contrastive")
    names = list(charts.NULLCLINES)
    for component, name in enumerate(names):
        part = lines[lines["line"] == name]
        slope = gradient(part[["theta_1", "theta_2"]].to_numpy(), context_kinds(World(), "contrastive"))
        assert np.abs(slope[:, component]).max() < 1e-3
    point = stationary_point(context_kinds(World(), "contrastive"))
    assert point is not None
    at = np.array([point.theta_1, point.theta_2])
    for name in names:
        near = lines.loc[lines["line"] == name, ["theta_1", "theta_2"]].to_numpy() - at
        assert np.linalg.norm(near, axis=1).min() < 0.2


def test_no_nullcline_without_a_signal() -> None:
    assert charts.nullclines(World(), "random").empty
    assert set(charts.nullclines(World(), "batch_mix")["line"]) == {"theta_2 is constant"}


def test_arrows_point_down_the_loss() -> None:
    field = charts.arrows(World(), "random")
    assert field["angle"].to_numpy() == pytest.approx(0)  # up: theta_2 grows
    field = charts.arrows(World(), "similar")
    assert np.abs(field["angle"]).to_numpy() == pytest.approx(180)


def test_trajectories_begin_at_their_starts() -> None:
    paths = charts.trajectories(World(), "contrastive", [[1.0, 2.0], [0.0, 0.0]])
    first = paths[paths["time"] == 0].sort_values("start")
    assert first[["theta_1", "theta_2"]].to_numpy().tolist() == [[1.0, 2.0], [0.0, 0.0]]


def test_portraits_and_surfaces_can_be_drawn() -> None:
    svg = drawn(charts.portraits([World()], CONTEXT_STRATEGIES))
    assert svg.count(">theta_1 (sharpness)<") == 4
    assert svg.count(">theta_2 (pull of the weights)<") == 4
    assert width(svg) <= PAGE
    svg = drawn(charts.portraits([World(), World(similarity="absolute")], ["batch_mix"]))
    assert svg.index(">batch_mix, relative<") < svg.index(">batch_mix, absolute<")
    assert svg.count(">theta_2 is constant<") == 1  # one legend for all
    svg = drawn(charts.loss_surfaces(World(), CONTEXT_STRATEGIES, count=5))
    assert "squared error" in svg
    assert width(svg) <= PAGE


def test_phases_by_noise_and_error() -> None:
    values = {"noise": np.array([0.0, 0.5, 1.0]), "error": np.array([0.0, 0.6, 1.0])}
    rows = charts.phase_rows(World(), "contrastive", x="noise", y="error", values=values).set_index(
        ["noise", "error"]
    )
    assert rows.loc[(0.0, 0.0), "regime"] == "pure IWL"  # perfect weights need no context
    assert rows.loc[(0.0, 0.6), "regime"] == "mixture"
    rows = charts.phase_rows(World(), "similar", x="noise", y="error", values=values).set_index(
        ["noise", "error"]
    )
    assert rows.loc[(0.0, 1.0), "regime"] == "copying"
    titles = ("noise", "label noise"), ("error", "error of the weights")
    chart = charts.phase_diagram(rows.reset_index().assign(panel="similar"), *titles, "Phases")
    assert "label noise" in drawn(chart)


def test_phases_stay_within_the_simplex() -> None:
    axis = np.linspace(0, 1, 5)
    rows = charts.phase_rows(World(), "contrastive", x="p", y="epsilon", values={"p": axis, "epsilon": axis})
    assert len(rows) == 15
    assert (rows["p"] + rows["epsilon"]).max() <= 1 + 1e-9


def test_end_states_and_errors() -> None:
    thetas = {"random": np.array([0.0, 800.0]), "contrastive": np.array([10.3, 6.4])}
    rows = curves.end_state_rows(World(), thetas)
    assert rows.loc[(rows["strategy"] == "random"), "value"].max() <= 1 / 6 + 1e-9
    table = curves.error_table(World(), thetas).set_index("strategy")
    assert table.loc["random"].tolist() == pytest.approx(table.loc["the weights alone"].tolist())
    assert table.loc["contrastive", "one relevant"] < 0.5 * table.loc["random", "one relevant"]
    svg = drawn(curves.end_state_chart(World(), thetas))
    assert "its weight in the answer" in svg
    assert width(svg) <= PAGE


def test_stationary_rows_hold_stable_points_or_nothing() -> None:
    rows = curves.stationary_rows(
        {"relative": World()}, {"error": np.array([0.0, 0.5]), "k": np.array([1, 4])}
    )
    assert rows["theta_1"].notna().tolist() == [False, True, False, True]
    assert rows["smallest"].min() > 0
    assert rows["gradient_norm"].max() < 1e-10
    svg = drawn(curves.stationary_chart(rows, {"error": "weights' error", "k": "k"}))
    assert "label noise" not in svg
    assert svg.count(">smaller eigenvalue<") == 1  # at the left of its row


def test_all_parameters_of_the_stable_point_fit_a_page() -> None:
    axes = {"k": [2, 4], "p": [0.2, 0.5], "epsilon": [0.0, 0.1], "noise": [0.0, 1.0], "error": [0.5, 1.0]}
    rows = curves.stationary_rows(
        {"relative": World()}, {name: np.array(values) for name, values in axes.items()}
    )
    assert width(drawn(curves.stationary_chart(rows, dict(zip(axes, axes, strict=True))))) <= PAGE


def movable_rows(world: World) -> pd.DataFrame:
    """What the browser would compute of the movable chart, evaluated by Vega itself from its SVG's data."""
    spec = curves.movable(world, {"random": np.array([0.0, 1.0])}).to_dict()
    for param in spec["params"]:
        if param["name"] == "theta_1":
            param["value"] = 3.0
        if param["name"] == "theta_2":
            param["value"] = 1.0
    spec["mark"] = {"type": "text"}
    spec["encoding"]["text"] = {"field": "value", "type": "quantitative", "format": ".6f"}
    spec["transform"].append({"filter": "abs(datum.s - 0.8) < 0.001"})
    text = vl_convert.vegalite_to_svg(json.dumps(spec))
    found = [part.split("<")[0] for part in text.split(">") if part.split("<")[0].count(".") == 1]
    return pd.DataFrame({"value": [float(part) for part in found if len(part.split(".")[1]) == 6]})


@pytest.mark.parametrize("similarity", ["relative", "absolute"])
def test_the_movable_chart_computes_the_models_weights(similarity: str) -> None:
    world = World(p=1.0, epsilon=0.0, grades=(0.8,), similarity=similarity)
    (a, random), b = (weight[0] for weight in weights([3.0, 1.0], context_kinds(world, "contrastive")))
    values = movable_rows(world)["value"].tolist()
    assert values == pytest.approx([a, random, b, float(best_weight(world, 0.8))], abs=1e-6)


def test_the_movable_chart_has_its_sliders_in_a_frame_that_needs_no_network() -> None:
    chart = curves.movable(World(), {"random": np.array([0.0, 1.0])})
    names = {param["name"]: param["bind"]["input"] for param in chart.to_dict()["params"]}
    assert names == dict.fromkeys(("theta_1", "theta_2", "k", "error", "noise"), "range")
    frame = curves.frame(chart, 400)
    assert frame.startswith("<div><iframe srcdoc=")
    assert "script src=" not in frame.replace("&quot;", '"')
