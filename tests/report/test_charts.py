"""The charts hold what the rows say, name their axes, and draw without a complaint."""

import json
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
import vl_convert
from made_up import fabricate

from ccutils.report import charts
from ccutils.style import COLOURS

CHARTS = (
    charts.quality_by_similarity,
    charts.quality_by_relevance,
    charts.scores_over_training,
    charts.scores_chart,
    charts.gate_and_choice,
)


@pytest.mark.parametrize("make", CHARTS)
@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_every_chart_draws_in_fixed_colours(make: Any, seeds: tuple[int, ...]) -> None:
    chart = make(with_gate(fabricate(tasks=("fake", "false"), seeds=seeds)))
    svg = vl_convert.vegalite_to_svg(chart.to_dict())
    assert "NaN" not in svg and "undefined" not in svg and "fake" in svg and "false" in svg
    if make is not charts.scores_chart:
        assert all(COLOURS[name] in svg for name in ("random", "similar", "contrastive"))


def test_axes_are_named_with_units() -> None:
    for make, units in zip(CHARTS[:3], ("0 to 1)", "(count)", "optimiser steps"), strict=True):
        text = json.dumps(make(fabricate()).to_dict())
        assert "0 to 1)" in text and units in text


def test_quality_is_that_of_the_last_step_with_base_beside_it() -> None:
    rows = fabricate()
    rows.loc[rows["step"] == 10, "value"] = 0.99  # must not be drawn
    data = values(charts.quality_by_relevance(rows))
    assert set(data["step"]) == {0, 20} and set(data["strategy"]) == {
        "base",
        "random",
        "similar",
        "contrastive",
    }
    assert set(data["grade"]) == {0, 1, 2} and np.allclose(data["value"], 0.5)


def with_gate(rows: pd.DataFrame) -> pd.DataFrame:
    """Add rows of gate and choice to those of the first task."""
    found = rows[(rows["probe"] == "quality") & (rows["task"] == "fake")]
    one = found[found["grade"] == 1]
    added = [found.assign(probe="gate", value=0.3)]
    added += [one.assign(probe=name, value=0.7) for name in ("choice", "hard_choice")]
    return pd.concat([rows, *added], ignore_index=True)


def test_gate_and_choice_stand_beside_each_other_with_intervals() -> None:
    data = values(charts.gate_and_choice(with_gate(fabricate())))
    gate, choice = data[data["probe"] == "gate"], data[data["probe"] != "gate"]
    assert set(gate["condition"]) == {"0", "1", "2"} and set(choice["condition"]) == {
        "random",
        "most similar",
    }
    assert set(gate["where"].str[-3:]) == {" ID", "OOD"} and np.allclose(gate["value"], 0.3)
    assert np.allclose(choice["value"], 0.7) and (data["low"] < data["value"]).all()
    assert set(data["strategy"]) == {"base", "random", "similar", "contrastive"}


def test_a_task_without_gate_and_choice_is_named() -> None:
    (reason,) = values(charts.gate_and_choice(fabricate()))["reason"]
    assert "fake" in reason
    two = charts.gate_and_choice(with_gate(fabricate(tasks=("fake", "false")))).to_dict()
    assert any("false" in line for line in two["title"]["subtitle"])


@pytest.mark.parametrize(("widest", "name"), [(0.25, "relevance"), (0.75, "similarity")])
def test_the_main_figure_depends_on_the_range_of_similarities(widest: float, name: str) -> None:
    rows = fabricate()
    rows.loc[(rows["probe"] == "similarity") & (rows["grade"] == 0.75), "grade"] = widest
    rows.loc[(rows["probe"] == "similarity") & (rows["grade"] == 0.25), "grade"] = 0.05
    assert charts.main_figure(rows) == f"quality_by_{name}"


def test_an_estimate_beyond_the_range_is_shown_where_it_lies() -> None:
    rows = fabricate()
    below = (rows["probe"] == "similarity") & (rows["step"] == 20) & (rows["strategy"] == "similar")
    rows.loc[below, ["value", "low"]] = -0.05
    domains = re.findall(r'"domain": (\[[^\]]*\])', json.dumps(charts.quality_by_similarity(rows).to_dict()))
    numbers = [json.loads(domain) for domain in domains if '"' not in domain]
    assert any(domain == pytest.approx([-0.05, 1.0]) for domain in numbers)


def test_training_curves_are_raw_and_start_from_one_base() -> None:
    rows = fabricate()
    only_random_measured_it = rows[(rows["step"] > 0) | (rows["strategy"] == "random")]
    data = values(charts.scores_over_training(only_random_measured_it))
    seeds = data[
        (data["kind"] == "seed") & (data["score"] == "ICL-score, override") & (data["panel"] == "fake")
    ]
    for strategy in ("random", "similar", "contrastive"):
        mine = seeds[(seeds["strategy"] == strategy) & (seeds["seed"] == 2)].sort_values("step")
        assert mine["step"].tolist() == [0, 10, 20] and np.allclose(mine["value"], [0.5, 0.6, 0.6])
    means = data[(data["kind"] == "mean") & (data["step"] == 20)]
    assert len(means) == 12 and (means["low"] < 0.45).all() and (means["high"] > 0.55).all()


def test_more_rows_than_altair_allows_by_default_are_drawn() -> None:
    rows = fabricate(seeds=tuple(range(5)), steps=tuple(range(0, 1000, 10)))
    assert len(values(charts.scores_over_training(rows))) > 5000


LACKING = {
    "similarity": lambda rows: rows["probe"] == "similarity",
    "similarity OOD": lambda rows: (rows["probe"] == "similarity") & (rows["set"] == "ood"),
    "icl": lambda rows: rows["probe"] == "icl",
    "copy": lambda rows: rows["probe"] == "copy",
    "ood": lambda rows: rows["set"] == "ood",
    "scores": lambda rows: rows["probe"] != "similarity",
    "all but one": lambda rows: (rows["probe"] != "quality") | (rows["grade"] != 2) | (rows["set"] == "ood"),
    "choice": lambda rows: rows["probe"].isin(["choice", "hard_choice"]),
    "training": lambda rows: rows["step"] > 0,
    "everything": lambda rows: rows["step"] >= 0,
}


@pytest.mark.parametrize("make", CHARTS)
@pytest.mark.parametrize("lacking", LACKING)
def test_every_chart_draws_what_there_is(make: Any, lacking: str) -> None:
    rows = with_gate(fabricate())
    chart = make(rows[~LACKING[lacking](rows)].reset_index(drop=True))
    svg = vl_convert.vegalite_to_svg(chart.to_dict())
    assert "NaN" not in svg and "undefined" not in svg


def test_what_there_are_too_few_answers_for_is_named() -> None:
    rows = fabricate(tasks=("fake", "false"))
    (reason,) = values(charts.quality_by_similarity(rows[rows["probe"] != "similarity"]))["reason"]
    assert "ID" in reason and "OOD" in reason
    assert max(map(len, reason.splitlines())) <= 90, "a line that the figure's frame holds"

    def subtitle(make: Any, gone: Any) -> str:
        return json.dumps(make(rows[~gone]).to_dict()["title"]["subtitle"])

    gone = (rows["probe"] == "similarity") & (rows["task"] == "false") & (rows["set"] == "ood")
    assert "OOD (false, toy)" in subtitle(charts.quality_by_similarity, gone)
    assert "Copy-score" in subtitle(charts.scores_over_training, rows["probe"] == "copy_excess")
    assert "override" in subtitle(charts.scores_chart, rows["probe"] == "icl")
    assert "Too few" not in subtitle(charts.scores_over_training, rows["probe"] == "similarity")
    assert all("Too few" not in json.dumps(make(with_gate(rows)).to_dict()) for make in CHARTS)


def test_several_models_are_told_apart() -> None:
    data = values(charts.scores_chart(fabricate(models=("some/where/big", "small"))))
    assert set(data["panel"]) == {"fake, big", "fake, small"}


def test_histograms_of_contexts_count_every_context_once() -> None:
    best = [0.0, 0.04, 0.05, 0.5, 0.99, 1.0]
    lines = [{"task": "fake", "strategy": "similar", "seed": 0, "best": b} for b in best]
    contexts = pd.DataFrame([*lines, {"task": "fake", "strategy": "none", "seed": 0, "best": np.nan}])
    data = values(charts.context_structure(contexts))
    assert data["contexts"].sum() == 6 and data["share"].sum() == pytest.approx(1)
    assert set(data["strategy"]) == {"similar"} and np.allclose(data["mean"], np.mean(best))
    counts = {round(low, 2): n for low, n in zip(data["low"], data["contexts"], strict=True)}
    assert counts == {0.0: 2, 0.05: 1, 0.5: 1, 0.95: 2}


def test_baselines_stand_in_the_figures_of_quality() -> None:
    """The untrained base with the nearest examples, and the label of the nearest: a line each a panel."""
    rows = fabricate()
    for make in (charts.quality_by_similarity, charts.quality_by_relevance):
        found = values(make(rows))
        lines = found[found["kind"] == "baseline"]
        assert sorted(zip(lines["set"], lines["name"], strict=True)) == sorted(
            (part, name) for part in ("id", "ood") for name in ("base, k nearest", "label of the nearest")
        )
        assert set(lines["value"]) == {0.5}  # the base's, not a strategy's


def values(chart: Any) -> pd.DataFrame:
    """The data that a chart draws."""
    (data,) = chart.to_dict()["datasets"].values()
    return pd.DataFrame(data)
