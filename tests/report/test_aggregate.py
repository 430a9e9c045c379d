"""Means, intervals and the final table, on fabricated rows with known answers."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import fabricate, write_results

from ccutils.errors import InputError
from ccutils.report.aggregate import (
    check_rows,
    final_rows,
    find_rows,
    over_seeds,
    scores_table,
    wide_table,
)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=6))
def test_intervals_hold_the_mean_and_stay_within_0_and_1(values: list[float]) -> None:
    rows = fabricate(strategies=("random",), seeds=tuple(range(len(values))), steps=(20,))
    rows["value"] = rows["seed"].map(dict(enumerate(values)))
    line = over_seeds(rows).iloc[0]
    bounds = [0, line["low"], line["value"], line["high"], 1]
    assert all(left <= right + 1e-9 for left, right in pairwise(bounds))
    assert line["value"] == pytest.approx(np.mean(values)) and line["n"] == 20 * len(values)


def test_one_seed_falls_back_on_its_items_and_says_so() -> None:
    rows = fabricate(strategies=("random",), seeds=(1,), steps=(20,)).assign(low=0.2, high=0.75)
    line = over_seeds(rows).iloc[0]
    assert (line["low"], line["high"]) == pytest.approx((0.2, 0.75))
    assert line["interval"] == "0.20 to 0.75 (items of one seed)"


def test_twenty_answers_of_one_seed_that_are_all_wrong_do_not_tell_that_every_answer_is() -> None:
    rows = fabricate(strategies=("random",), seeds=(1,), steps=(20,)).assign(value=0.0, low=0.0, high=0.0)
    line = over_seeds(rows).iloc[0]
    assert line["low"] == 0
    assert line["high"] == pytest.approx(1.96 * (2 / 24 * 22 / 24 / 24) ** 0.5, abs=1e-4)


def test_the_final_rows_are_the_last_step_and_one_base() -> None:
    final = final_rows(fabricate())
    assert final.groupby("strategy")["step"].unique().map(list).to_dict() == {
        "base": [0],
        "random": [20],
        "similar": [20],
        "contrastive": [20],
    }
    # three strategies measured step 0, the base counts once a seed
    base = final[(final["strategy"] == "base") & (final["probe"] == "iwl") & (final["set"] == "id")]
    assert base["seed"].tolist() == [0, 1, 2] and base["n"].tolist() == [20, 20, 20]


def test_the_table_takes_each_score_from_its_own_rows_in_order() -> None:
    rows = fabricate(strategies=("contrastive", "random"))
    wanted = (rows["probe"] == "icl") & (rows["set"] == "id") & (rows["grade"] == 1) & (rows["step"] == 20)
    rows.loc[wanted & (rows["strategy"] == "contrastive"), "value"] = 0.9
    largest = (
        (rows["probe"] == "quality") & (rows["set"] == "ood") & (rows["grade"] == 1) & (rows["step"] == 20)
    )
    rows.loc[largest, "value"] = 0.8
    wide = wide_table(scores_table(rows)).set_index("strategy")
    assert list(wide.index) == ["base", "random", "contrastive"]
    assert list(wide.columns[2:5]) == ["IWL-score", "ICL-score, override", "ICL-score, novel"]
    assert wide.loc["contrastive", "ICL-score, override"].startswith("0.90 (")
    assert wide.loc["random", "ICL-score, override"].startswith("0.50 (")
    assert wide.loc["random", "ICL-score, novel"].startswith("0.80 (")
    assert wide["step"].tolist() == [0, 20, 20] and wide["seeds"].tolist() == [3, 3, 3]


def test_what_was_not_measured_is_left_out_and_shown_as_a_dash() -> None:
    rows = fabricate(strategies=("random", "similar"))
    never_wrong = (rows["probe"] == "copy") & (rows["strategy"] == "similar") & (rows["step"] == 20)
    rows.loc[never_wrong, ["value", "n", "low", "high"]] = [np.nan, 0, np.nan, np.nan]
    wide = wide_table(scores_table(check_rows(rows))).set_index("strategy")
    assert wide.loc["similar", "Copy-score"] == "–" and wide.loc["random", "Copy-score"] != "–"


def test_rows_are_found_below_a_folder(tmp_path: Path) -> None:
    rows = fabricate(seeds=(0, 1), steps=(0, 10))
    write_results(tmp_path, rows)
    assert len(find_rows(tmp_path)) == len(rows)


def test_a_folder_without_rows_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InputError, match=folder.name):
            find_rows(folder)
