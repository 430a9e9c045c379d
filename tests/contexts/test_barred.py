"""Random contexts that are barred from relevant examples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccutils.contexts import BarredSampler, Strategy
from ccutils.errors import InputError
from ccutils.tasks import load_task

INPUTS = [f"{word} {n}" for word in ("rain", "call", "song") for n in range(4)]


def same_word(target: int, row: int) -> bool:
    return INPUTS[target].split()[0] == INPUTS[row].split()[0]


@given(seed=st.integers(0, 99), epoch=st.integers(0, 9), k=st.integers(1, 8))
def test_no_context_holds_its_target_or_what_tells_of_it(seed, epoch, k):
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


def test_all_that_may_stand_beside_a_target_do_alike():
    sampler = BarredSampler(Strategy("random", 2), INPUTS, 0, same_word)
    counts = np.bincount(
        np.concatenate([sampler.sample(e, np.array([0])).rows[0] for e in range(2000)]), minlength=12
    )
    assert counts[:4].sum() == 0
    assert np.all(abs(counts[4:] - 500) < 120)


def test_too_few_are_told():
    with pytest.raises(InputError, match=r"pool example 0 has 8 .* k is 9"):
        BarredSampler(Strategy("random", 9), INPUTS, 0, same_word).sample(0, np.array([0]))


def test_other_strategies_are_refused():
    with pytest.raises(InputError, match="only random"):
        BarredSampler(Strategy("similar", 2), INPUTS, 0, same_word)


def test_a_barred_context_of_topics_has_no_dose():
    from ccutils.contexts import measure_dose

    task = load_task("topics", seed=0, pool_size=200)
    inputs = [e.input for e in task.pool]
    sampler = BarredSampler(
        Strategy("random", 6), inputs, 0, lambda a, b: task.relevant(task.pool[a], task.pool[b])
    )
    assert measure_dose(sampler, task) == 0
