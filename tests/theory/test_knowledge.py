"""The loss of ICL as the weights learn: the numbers that the notebook states, and their figure."""

import json

import numpy as np
import pytest
import vl_convert

from ccutils.theory.knowledge import knowledge_chart, knowledge_rows
from ccutils.theory.model import World


def test_contrastive_lets_go_as_the_weights_learn() -> None:
    rows = knowledge_rows(World(), ["contrastive"], [0.6, 0.1, 0.02])
    found = rows.pivot(index="error", columns="grade", values="weight")
    assert found.loc[0.6].to_numpy() == pytest.approx([0.50, 0.71, 0.85], abs=0.01)
    assert found.loc[0.1].to_numpy() == pytest.approx([0.07, 0.22, 0.52], abs=0.01)
    assert found.loc[0.02].to_numpy() == pytest.approx([0.0, 0.0, 0.12], abs=0.01)
    assert np.all(np.diff(found, axis=0) > 0)  # the larger the error, the more weight on the context


def test_it_stays_near_the_best_weight_and_shuts_where_nothing_is_relevant() -> None:
    rows = knowledge_rows(World(), ["contrastive", "batch_mix"], [0.3, 0.6])
    parts = {name: part for name, part in rows.groupby("strategy")}
    assert np.abs(parts["contrastive"]["weight"] - parts["contrastive"]["best"]).max() < 0.06
    assert parts["contrastive"]["nothing_relevant"].max() < 0.02
    assert parts["batch_mix"]["weight"].max() < 0.1 < parts["batch_mix"]["nothing_relevant"].min()


def test_the_chart_has_a_panel_a_grade() -> None:
    rows = knowledge_rows(World(grades=(0.8, 0.9)), ["random", "contrastive"], [0.2, 0.6])
    svg = vl_convert.vegalite_to_svg(json.dumps(knowledge_chart(rows).to_dict()))
    assert svg.count(">its similarity: 0.8<") == svg.count(">its similarity: 0.9<") == 1
    assert svg.count(">weight on the relevant example<") == 1
