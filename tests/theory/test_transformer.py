"""The trained transformer: its measures read the construction right, and training does what it says."""

import numpy as np
import pytest
import torch

from ccutils.errors import InputError
from ccutils.theory.comparison import PANELS, comparison_rows, theory_rows, transformer_chart
from ccutils.theory.construction import Attention, construct
from ccutils.theory.gradient_flow import behaviour
from ccutils.theory.model import SIMILARITIES, World
from ccutils.theory.transformer import MEASURES, Training, measure_weights, seed_source, train_transformers

SHORT = Training(steps=150, d=4, batch=32, every=75, probes=200)


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_measures_of_the_construction_are_the_models_weights(similarity: str) -> None:
    # One grade, so that weights are the same in all probes and least squares has an exact answer.
    world = World(k=3, grades=(0.8,), similarity=similarity)
    theta = np.array([2.0, 0.5])
    source = seed_source(world, 0, SHORT)
    exact = construct(world, theta, source.f, SHORT.scale)
    single = Attention(*(getattr(exact, name).float() for name in Attention.__dataclass_fields__))
    row = measure_weights(world, single, [source], 1, SHORT).iloc[0]
    seen = behaviour(theta, world)
    for name in PANELS:
        assert row[name] == pytest.approx(float(getattr(seen, name)), abs=1e-4)
    assert row["weights"] == pytest.approx(float(1 - seen.relevant / seen.attention), abs=1e-4)


def test_training_is_measured_and_repeats_itself() -> None:
    torch.set_num_threads(1)
    world = World(k=3)
    rows = train_transformers(world, ["random", "contrastive"], [0, 1], SHORT)
    assert list(rows.columns) == ["strategy", "seed", *MEASURES, "step"]
    assert sorted(set(rows["step"])) == [0, 75, 150]
    assert len(rows) == 2 * 2 * 3
    assert rows.notna().all(axis=None)
    again = train_transformers(world, ["contrastive"], [0, 1], SHORT)
    same = rows[rows["strategy"] == "contrastive"].reset_index(drop=True)
    np.testing.assert_allclose(same[list(MEASURES)], again[list(MEASURES)], atol=1e-3)


def test_random_contexts_teach_the_weights_alone() -> None:
    torch.set_num_threads(1)
    rows = train_transformers(World(k=3), ["random"], [0, 1], Training(steps=600, d=4, every=600, probes=300))
    start, end = (rows[rows["step"] == step] for step in (0, 600))
    assert start["weights"].abs().max() < 0.3
    assert end["weights"].min() > 0.8  # it knows f
    assert end["nothing_relevant"].abs().max() < 0.2  # and leaves the context alone
    assert end["relevant"].abs().max() < 0.1


def test_bad_training_values_are_refused() -> None:
    with pytest.raises(InputError, match="steps"):
        Training(steps=0)
    with pytest.raises(InputError, match="rate"):
        Training(rate=-1)
    with pytest.raises(InputError, match="d is 5"):
        train_transformers(World(k=6), ["random"], [0])


def test_comparison_has_a_row_for_each_measure_and_its_interval() -> None:
    torch.set_num_threads(1)
    world = World(k=3)
    trained = train_transformers(world, ["random"], [0, 1, 2], SHORT)
    theory = theory_rows({"relative": world}, ["random"], np.logspace(-2, 5, 8))
    assert theory["nothing_relevant"].iloc[0] == pytest.approx(0.75, abs=0.01)  # k / (k + 1), from theta = 0
    rows = comparison_rows(trained, theory)
    assert rows["measure"].tolist() == list(PANELS.values())
    values = trained.loc[trained["step"] == 150, "relevant"]
    row = rows[rows["measure"] == PANELS["relevant"]].iloc[0]
    assert row["mean"] == pytest.approx(values.mean())
    # 4.3027: the 97.5% quantile of t with two degrees of freedom
    assert row["high"] - row["mean"] == pytest.approx(4.302653 * values.std() / 3**0.5, rel=1e-5)
    spec = transformer_chart(trained, theory, ["random"]).to_dict()
    assert len(spec["vconcat"]) == len(PANELS)
    titles = [row["hconcat"][0]["layer"][0]["encoding"]["y"]["title"] for row in spec["vconcat"]]
    assert [" ".join(lines) for lines in titles] == list(PANELS.values())
    assert max(len(line) for lines in titles for line in lines) <= 18  # longer ones run into the next panel
