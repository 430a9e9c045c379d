"""Contexts: what may never be in one, how often each kind is, and that drawing is pure."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_pool import made_up_pool
from scipy.stats import binomtest, chisquare

from ccutils.contexts.neighbours import Neighbours, duplicate_groups
from ccutils.contexts.sampler import STRATEGIES, ContextSampler, SlotKind, Strategy
from ccutils.errors import InputError


def sampler(
    name: str, k: int, n: int = 50, seed: int = 0, p: float = 0.5, epsilon: float = 0.1
) -> ContextSampler:
    inputs, neighbours = made_up_pool(list(range(n)))
    return ContextSampler(Strategy(name, k, p, epsilon), neighbours, inputs, seed)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Strategy, list[int], int, int]:
    """A strategy and a small pool, often with k at its limit and many duplicates."""
    groups = draw(st.lists(st.integers(0, 6), min_size=2, max_size=14).filter(lambda g: len(set(g)) > 1))
    most = len(groups) - max(map(groups.count, groups))
    k = draw(st.integers(max(1, most - 2), most))
    p = draw(st.sampled_from([0.0, 0.3, 0.5, 1.0]))
    epsilon = draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]).filter(lambda e: p + e <= 1))
    strategy = Strategy(draw(st.sampled_from(STRATEGIES)), k, p, epsilon)
    return strategy, groups, draw(st.integers(0, 2**40)), draw(st.integers(0, 1000))


@given(cases())
@settings(max_examples=300, deadline=None)
def test_contexts_contain_neither_target_nor_duplicates_and_follow_their_strategy(
    case: tuple[Strategy, list[int], int, int],
) -> None:
    strategy, groups, seed, epoch = case
    inputs, neighbours = made_up_pool(groups)
    made = ContextSampler(strategy, neighbours, inputs, seed)
    contexts = made.sample(epoch, np.arange(len(groups)))
    assert contexts.rows.dtype == np.int32 and contexts.kinds.dtype == np.uint8
    assert contexts.rows.shape == contexts.kinds.shape
    assert contexts.rows.shape == (len(groups), 0 if strategy.name == "none" else strategy.k)
    number = duplicate_groups(inputs)
    for target, (rows, kinds) in enumerate(zip(contexts.rows, contexts.kinds, strict=True)):
        assert len(set(rows.tolist())) == len(rows)
        real = rows[kinds != SlotKind.PARAPHRASE]
        assert target not in real and not np.any(number[real] == number[target])
        assert np.all(rows[kinds == SlotKind.PARAPHRASE] == target)
        if strategy.name == "similar":
            assert set(rows.tolist()) == set(neighbours.rows[target, : strategy.k].tolist())
        if strategy.name == "contrastive":
            assert np.count_nonzero(kinds != SlotKind.RANDOM) <= 1
            assert np.all(rows[kinds == SlotKind.SIMILAR] == neighbours.rows[target, 0])
        if strategy.name == "batch_mix":
            assert len(set(kinds.tolist())) == 1 and kinds[0] in (SlotKind.RANDOM, SlotKind.SIMILAR)
            if kinds[0] == SlotKind.SIMILAR:
                assert set(rows.tolist()) == set(neighbours.rows[target, : strategy.k].tolist())


@given(cases(), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_a_context_is_a_function_of_seed_epoch_and_target(case, random) -> None:  # type: ignore[no-untyped-def]
    strategy, groups, seed, epoch = case
    inputs, neighbours = made_up_pool(groups)
    whole = ContextSampler(strategy, neighbours, inputs, seed).sample(epoch, np.arange(len(groups)))
    asked = [random.randrange(len(groups)) for _ in range(random.randrange(1, 9))]  # some twice, any order
    again = ContextSampler(strategy, neighbours, inputs, seed)
    again.sample(epoch + 1, np.array([0]))
    part = again.sample(epoch, np.array(asked, dtype=np.int32))
    np.testing.assert_array_equal(part.rows, whole.rows[asked])
    np.testing.assert_array_equal(part.kinds, whole.kinds[asked])


def test_seeds_and_epochs_give_other_contexts() -> None:
    targets = np.arange(200)
    first = sampler("random", 4, n=200).sample(0, targets).rows
    assert np.mean(np.all(first == sampler("random", 4, n=200).sample(1, targets).rows, axis=1)) < 0.02
    assert (
        np.mean(np.all(first == sampler("random", 4, n=200, seed=1).sample(0, targets).rows, axis=1)) < 0.02
    )


def within(count: int, n: int, probability: float) -> bool:
    """Whether a count lies in the interval that holds all but one in 100,000 of binomial draws."""
    return bool(binomtest(count, n, probability).pvalue > 1e-5)


@pytest.mark.parametrize(("p", "epsilon"), [(0.5, 0.1), (0.7, 0.3), (0.0, 0.2), (1.0, 0.0), (0.25, 0.0)])
def test_slot_probabilities_of_contrastive(p: float, epsilon: float) -> None:
    made = sampler("contrastive", 5, n=200, p=p, epsilon=epsilon)
    kinds = np.concatenate([made.sample(epoch, np.arange(200)).kinds for epoch in range(100)])
    assert within(np.count_nonzero(kinds == SlotKind.SIMILAR), len(kinds), p)
    assert within(np.count_nonzero(kinds == SlotKind.PARAPHRASE), len(kinds), epsilon)


def test_probability_of_similar_contexts_in_batch_mix() -> None:
    made = sampler("batch_mix", 5, n=200, p=0.3)
    kinds = np.concatenate([made.sample(epoch, np.arange(200)).kinds for epoch in range(100)])
    assert within(np.count_nonzero(kinds[:, 0] == SlotKind.SIMILAR), len(kinds), 0.3)


def test_slots_are_shuffled() -> None:
    made = sampler("contrastive", 6, n=200)
    kinds = np.concatenate([made.sample(epoch, np.arange(200)).kinds for epoch in range(60)])
    for kind in (SlotKind.SIMILAR, SlotKind.PARAPHRASE):
        assert chisquare((kinds == kind).sum(axis=0)).pvalue > 1e-5
    rows = np.concatenate([sampler("similar", 3, n=20).sample(e, np.array([19])).rows for e in range(3000)])
    orders = np.unique(rows, axis=0, return_counts=True)[1]
    assert len(orders) == 6 and chisquare(orders).pvalue > 1e-5  # all orders of three neighbours


@pytest.mark.parametrize("name", ["random", "contrastive"])
def test_random_slots_are_uniform_over_the_admissible(name: str) -> None:
    inputs, neighbours = made_up_pool([0, 0, 1, 2, 3, 1, 4, 5, 5, 0])
    made = ContextSampler(Strategy(name, 3, p=1.0, epsilon=0.0), neighbours, inputs, seed=3)
    target = 2  # row 5 is its duplicate
    drawn = [made.sample(epoch, np.array([target])) for epoch in range(6000)]
    rows = np.concatenate([c.rows[c.kinds == SlotKind.RANDOM] for c in drawn])
    counts = np.bincount(rows, minlength=10)
    barred = {2, 5} if name == "random" else {2, 5, int(neighbours.rows[target, 0])}
    assert all(counts[row] == 0 for row in barred)
    free = np.array([counts[row] for row in range(10) if row not in barred])
    # Draws within a context exclude one another, so counts vary less than independent draws would.
    assert chisquare(free).pvalue > 1e-5
    pairs = np.array([sorted(c.rows[c.kinds == SlotKind.RANDOM][:2].tolist()) for c in drawn])
    both = np.unique(pairs, axis=0, return_counts=True)[1]
    assert len(both) == len(free) * (len(free) - 1) // 2 and chisquare(both).pvalue > 1e-5


def test_pool_of_just_enough_examples_gives_all_of_them() -> None:
    rows = sampler("random", 4, n=5).sample(0, np.arange(5)).rows
    assert [sorted(row) for row in rows.tolist()] == [[r for r in range(5) if r != t] for t in range(5)]


def test_too_few_admissible_examples_are_refused() -> None:
    inputs, neighbours = made_up_pool([0, 0, 0, 1, 2])
    ContextSampler(Strategy("random", 2), neighbours, inputs, seed=0)
    with pytest.raises(InputError, match=r"pool example 0 .*k is 3"):
        ContextSampler(Strategy("random", 3), neighbours, inputs, seed=0)


def test_neighbours_that_do_not_fit_are_refused() -> None:
    inputs, neighbours = made_up_pool([0, 1, 2, 3, 4])
    few = Neighbours(neighbours.rows[:, :2], neighbours.scores[:, :2])
    with pytest.raises(InputError, match="3 neighbours"):
        ContextSampler(Strategy("similar", 3), few, inputs, seed=0)
    with pytest.raises(InputError, match="1 neighbours"):
        ContextSampler(Strategy("contrastive", 3), None, inputs, seed=0)
    with pytest.raises(InputError, match="this pool"):
        ContextSampler(Strategy("contrastive", 3), neighbours, [*inputs, "more"], seed=0)
    with pytest.raises(InputError, match="duplicate"):
        ContextSampler(Strategy("contrastive", 3), neighbours, ["input 0", "INPUT 0", *inputs[2:]], seed=0)
    for strategy in (Strategy("random", 3), Strategy("none", 3), Strategy("contrastive", 3, p=0)):
        assert ContextSampler(strategy, None, inputs, seed=0).sample(0, np.array([1])).rows.shape[0] == 1


def test_targets_outside_the_pool_are_refused() -> None:
    with pytest.raises(InputError, match="50"):
        sampler("random", 3).sample(0, np.array([50]))


def test_no_targets_give_no_contexts() -> None:
    for name in STRATEGIES:
        assert len(sampler(name, 3).sample(0, np.array([], dtype=np.int64)).rows) == 0
