"""ICL against IWL: paths start at the base, and strategies are compared at equal IWL."""

import pandas as pd
import pytest
import vl_convert
from made_up import fabricate

from ccutils.report.frontier import frontier, frontier_table, icl_at_equal_iwl, tell_equal_iwl

PATHS = {
    "contrastive": {0: (0.0, 0.8), 10: (0.4, 0.6), 20: (0.6, 0.4)},
    "batch_mix": {0: (0.0, 0.8), 10: (0.5, 0.3), 20: (0.7, 0.2)},
    "similar": {0: (0.0, 0.8), 10: (0.0, 0.9), 20: (0.0, 0.9)},
}


def made_up() -> pd.DataFrame:
    """Rows whose paths are PATHS, on every seed."""
    rows = fabricate(strategies=tuple(PATHS))
    for strategy, path in PATHS.items():
        for step, (iwl, icl) in path.items():
            here = (rows["strategy"] == strategy) & (rows["step"] == step)
            rows.loc[here & (rows["probe"] == "iwl"), ["value", "low", "high"]] = iwl
            rows.loc[here & rows["probe"].isin(["icl", "quality"]), ["value", "low", "high"]] = icl
    return rows


def test_paths_start_at_the_base() -> None:
    points = frontier_table(made_up())
    chosen = points[(points["strategy"] == "contrastive") & (points["score"] == "ICL-score, novel")]
    assert chosen["iwl"].tolist() == pytest.approx([0, 0.4, 0.6])
    assert chosen["icl"].tolist() == pytest.approx([0.8, 0.6, 0.4])


def test_icl_at_equal_iwl_by_hand() -> None:
    """The level is 0.6, where contrastive ends; batch_mix has it half-way from 0.5 to 0.7."""
    table = icl_at_equal_iwl(made_up())
    novel = table[table["score"] == "ICL-score, novel"].set_index("strategy")
    assert set(novel.index) == {"contrastive", "batch_mix"}, "similar learns nothing, and would be the level"
    assert novel["iwl"].tolist() == pytest.approx([0.6, 0.6])
    assert novel["icl"].to_dict() == pytest.approx({"contrastive": 0.4, "batch_mix": 0.25})
    assert tell_equal_iwl(table)[0] == (
        "fake, ICL-score, novel at equal IWL (0.60): batch_mix 0.25, contrastive 0.40."
    )


def test_it_draws_and_says_what_is_missing() -> None:
    rows = made_up()
    svg = vl_convert.vegalite_to_svg(frontier(rows).to_dict())
    assert "NaN" not in svg and "IWL-score (0 to 1)" in svg
    for gone in (rows["probe"] == "icl", rows["step"] == 0, rows["set"] == "ood"):
        text = vl_convert.vegalite_to_svg(frontier(rows[~gone]).to_dict())
        assert "NaN" not in text and "undefined" not in text
