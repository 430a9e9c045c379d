"""Random contexts without relevant examples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccutils.contexts import BarredSampler, Strategy
from ccutils.errors import InputError

INPUTS = [f"{word} {n}" for word in ("rain", "call", "song") for n in range(4)]


def same_word(target: int, row: int) -> bool:
    return INPUTS[target].split()[0] == INPUTS[row].split()[0]


@given(seed=st.integers(0, 99), epoch=st.integers(0, 9), k=st.integers(1, 8))
def test_contexts_contain_neither_the_target_nor_relevant_examples(seed, epoch, k):
    drawn = BarredSampler(Strategy("random", k), INPUTS, seed, same_word).sample(epoch, np.arange(12))
    assert drawn.rows.shape == (12, k)
    for target, rows in enumerate(drawn.rows.tolist()):
        assert len(set(rows)) == k
        assert not any(same_word(target, row) for row in rows)


def test_drawing_depends_on_seed_epoch_and_target_alone():
    sampler = BarredSampler(Strategy("random", 3), INPUTS, 5, same_word)
    together = sampler.sample(2, np.array([1, 7, 4])).rows
    assert np.array_equal(sampler.sample(2, np.array([4])).rows[0], together[2])
    assert not np.array_equal(sampler.sample(3, np.array([1, 7, 4])).rows, together)


def test_irrelevant_examples_are_drawn_uniformly():
    sampler = BarredSampler(Strategy("random", 2), INPUTS, 0, same_word)
    counts = np.bincount(
        np.concatenate([sampler.sample(e, np.array([0])).rows[0] for e in range(2000)]), minlength=12
    )
    assert counts[:4].sum() == 0
    assert np.all(abs(counts[4:] - 500) < 120)


def test_too_few_irrelevant_examples_are_refused():
    with pytest.raises(InputError, match="pool example 0"):
        BarredSampler(Strategy("random", 9), INPUTS, 0, same_word).sample(0, np.array([0]))


def test_other_strategies_are_refused():
    with pytest.raises(InputError, match="similar"):
        BarredSampler(Strategy("similar", 2), INPUTS, 0, same_word)
