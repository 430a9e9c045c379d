"""Variants stand beside their strategy, and never in its mean."""

import json

import pandas as pd
import pytest
import vl_convert
from made_up import fabricate

from ccutils.report.ablations import ablations
from ccutils.report.aggregate import EXCESS, IWL, final_rows, over_seeds, usual_rows


def made_up() -> pd.DataFrame:
    """Rows of contrastive as it is, and of a variant that knows more."""
    rows = fabricate(strategies=("random", "contrastive"))
    other = rows[rows["strategy"] == "contrastive"].assign(variant="epsilon=0")
    other = other.assign(value=other["value"].where(other["step"] == 0, 0.9), high=1.0)
    return pd.concat([rows, other], ignore_index=True)


def test_a_variant_is_not_taken_together_with_its_strategy() -> None:
    table = over_seeds(IWL.of(final_rows(made_up())))
    table = table[table["strategy"] == "contrastive"].set_index("variant")
    assert table["value"].to_dict() == pytest.approx({"": 0.5, "epsilon=0": 0.9})
    assert set(usual_rows(made_up())["variant"]) == {""}


def test_a_strategy_that_is_there_in_one_variant_alone_stands_for_itself() -> None:
    rows = made_up()
    alone = rows[(rows["strategy"] != "contrastive") | (rows["variant"] != "")]
    assert set(usual_rows(alone)["strategy"]) == {"random", "contrastive"}
    two = pd.concat([alone, alone[alone["variant"] != ""].assign(variant="p=0")], ignore_index=True)
    assert set(usual_rows(two)["strategy"]) == {"random"}


def test_every_variant_is_drawn_by_name() -> None:
    specification = ablations(made_up()).to_dict()
    assert "contrastive, epsilon=0" in json.dumps(specification)
    svg = vl_convert.vegalite_to_svg(specification)
    assert "NaN" not in svg and "contrastive, epsilon=0" in svg
    assert "No variant of a strategy was run" in json.dumps(ablations(fabricate()).to_dict())


def test_the_wrong_answers_are_counted_beside_the_copy_score() -> None:
    rows = made_up()
    rows.loc[rows["probe"] == EXCESS.probe, "n"] = 7
    svg = vl_convert.vegalite_to_svg(ablations(rows).to_dict())
    drawn = over_seeds(EXCESS.of(final_rows(rows)))
    assert len(drawn) and svg.count(f">{drawn['n'].iloc[0]} wrong<") == len(drawn)


def test_the_base_is_asked_as_the_profile_asks() -> None:
    """A variant with another k puts other questions to the base."""
    rows = made_up()
    rows.loc[(rows["variant"] != "") & (rows["step"] == 0), "value"] = 0.1
    base = over_seeds(IWL.of(final_rows(rows))).set_index("strategy").loc["base"]
    assert base["value"] == pytest.approx(0.5)
