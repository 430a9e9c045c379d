"""What a group shares, what each target has for itself, and that both depend on seed and place alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_pool import made_up_pool
from scipy.stats import chisquare

from ccutils.contexts.neighbours import pool_neighbours
from ccutils.contexts.sampler import ContextSampler, SlotKind, Strategy, target_order
from ccutils.contexts.shared import SharedSampler
from ccutils.errors import InputError


@st.composite
def cases(draw: st.DrawFn) -> tuple[Strategy, list[int], int, int, int]:
    """A strategy, a pool with duplicates, a seed, an epoch and a group's size, often at the limit."""
    groups = draw(st.lists(st.integers(0, 9), min_size=6, max_size=20).filter(lambda g: len(set(g)) > 3))
    size = draw(st.integers(1, 3))
    p = draw(st.sampled_from([0.0, 0.5, 1.0]))
    epsilon = draw(st.sampled_from([0.0, 0.5, 1.0]).filter(lambda e: p + e <= 1))
    name = draw(st.sampled_from(["random", "contrastive"]))
    used = sum(sorted(map(groups.count, set(groups)))[-size:])
    free = len(groups) - used - size * (name == "contrastive" and p > 0)
    k = draw(st.integers(max(1, free - 1), max(1, free + 1)))
    return Strategy(name, k, p, epsilon), groups, draw(st.integers(0, 2**40)), draw(st.integers(0, 99)), size


@given(cases())
@settings(max_examples=150, deadline=None)
def test_contexts_share_random_demonstrations_without_targets_or_duplicates(
    case: tuple[Strategy, list[int], int, int, int],
) -> None:
    strategy, groups, seed, epoch, size = case
    inputs, neighbours = made_up_pool(groups)
    alone = None
    try:
        made = SharedSampler(strategy, neighbours, inputs, seed, group_size=size)
        alone = ContextSampler(strategy, neighbours, inputs, seed)
    except InputError:
        return  # too small a pool for this k; see the test of that
    n, k = len(groups), strategy.k
    contexts, independent = made.sample(epoch, np.arange(n)), alone.sample(epoch, np.arange(n))
    assert contexts.rows.dtype == np.int32 and contexts.kinds.dtype == np.uint8
    assert contexts.rows.shape == contexts.kinds.shape == (n, k)
    order = target_order(seed, epoch, n).tolist()
    for target in range(n):
        rows, own = contexts.rows[target].tolist(), contexts.kinds[target, -1]
        assert (contexts.kinds[target, :-1] == SlotKind.RANDOM).all()
        assert own == independent.kinds[target].max()
        assert len(set(rows)) == k
        alike = [row for row in rows if groups[row] == groups[target]]
        assert alike == ([target] if own == SlotKind.PARAPHRASE else [])
        if own == SlotKind.SIMILAR:
            assert rows[-1] == neighbours.rows[target, 0]
        if own == SlotKind.PARAPHRASE:
            assert rows[-1] == target
    places = epoch * n + np.arange(n)
    for number in np.unique(places // size).tolist():
        members = [order[place % n] for place in places[places // size == number]]
        shared = contexts.rows[members, :-1]
        assert (shared == shared[0]).all()
        assert not {groups[m] for m in members} & {groups[row] for row in shared[0].tolist()}


def test_too_small_a_pool_is_refused_and_just_enough_suffices() -> None:
    inputs, neighbours = made_up_pool([0, 0, 1, 2, 3, 4, 5, 6])
    strategy = Strategy("contrastive", 3)
    made = SharedSampler(strategy, neighbours, inputs, seed=0, group_size=2)  # 8 - (2 + 1) - 2 nearest = 3
    assert made.sample(3, np.arange(8)).rows.shape == (8, 3)
    with pytest.raises(InputError, match="group of 3"):
        SharedSampler(strategy, neighbours, inputs, seed=0, group_size=3)
    everything = made_up_pool(list(range(9)))[0]
    rows = (
        SharedSampler(Strategy("random", 6), None, everything, seed=0, group_size=4)
        .sample(0, np.arange(9))
        .rows
    )
    assert all(len(set(row)) == 6 for row in rows.tolist())


def test_contexts_depend_on_seed_and_place_alone() -> None:
    made = sampler(4, 8, n=30)  # groups go over the ends of epochs
    whole = [made.sample(epoch, np.arange(30)).rows for epoch in range(4)]
    again = sampler(4, 8, n=30)
    for epoch in (3, 0, 2):
        for targets in ([7], [29, 0, 7, 7], []):
            part = again.sample(epoch, np.array(targets, dtype=np.int64)).rows
            assert np.array_equal(part, whole[epoch][targets])
    assert not np.array_equal(whole[0], whole[1])
    assert not np.array_equal(sampler(4, 8, n=30, seed=1).sample(0, np.arange(30)).rows, whole[0])
    last, first = target_order(0, 0, 30)[-6:], target_order(0, 1, 30)[:2]
    assert len(np.unique(np.concatenate([whole[0][last], whole[1][first]])[:, :-1], axis=0)) == 1


def test_what_is_shared_and_what_is_own_are_uniform_over_the_admissible() -> None:
    groups = [0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    inputs, neighbours = made_up_pool(groups)
    made = SharedSampler(Strategy("random", 3), neighbours, inputs, seed=0, group_size=2)
    drawn = [made.sample(epoch, np.array([5])).rows[0] for epoch in range(2500)]
    partner = []
    for epoch in range(2500):
        order = target_order(0, epoch, 12)
        partner.append(order[np.flatnonzero(order == 5)[0] ^ 1])  # 12 is even: groups are pairs
    # Shared ones by symmetry: each row that is neither a duplicate nor alone in having one is as likely.
    counts = np.bincount(np.concatenate([rows[:2] for rows in drawn]), minlength=12)
    assert counts[5] == 0 and chisquare(np.delete(counts, [0, 1, 5])).pvalue > 1e-5
    for other in (6, 2):  # given the partner, all but the two targets
        given = [rows for rows, p in zip(drawn, partner, strict=True) if p == other]
        shared = np.bincount(np.concatenate([rows[:2] for rows in given]), minlength=12)
        assert shared[other] == 0 and chisquare(np.delete(shared, [other, 5])).pvalue > 1e-5
    own = np.bincount([rows[2] for rows in drawn], minlength=12)
    assert own[5] == 0 and own[6] > 0  # a partner may be shown where it is not shared
    fair = np.bincount([r for rows in drawn for r in set(range(12)) - {5, *rows[:2].tolist()}], minlength=12)
    assert chisquare(np.delete(own, 5), np.delete(fair, 5) / 9).pvalue > 1e-5


def test_a_group_of_one_is_an_independent_context_with_its_own_last() -> None:
    made = sampler(3, 1, n=200)
    contexts = made.sample(0, np.arange(200))
    assert len(np.unique(contexts.rows[:, :-1], axis=0)) > 190
    shares = [
        (contexts.kinds[:, -1] == kind).mean()
        for kind in (SlotKind.RANDOM, SlotKind.SIMILAR, SlotKind.PARAPHRASE)
    ]
    assert shares == pytest.approx([0.4, 0.5, 0.1], abs=0.12)


def test_k_of_one_shares_nothing() -> None:
    contexts = sampler(1, 4).sample(0, np.arange(40))
    assert contexts.rows.shape == (40, 1) and set(contexts.kinds.ravel().tolist()) == {0, 1, 2}


def test_what_cannot_be_shared_is_refused() -> None:
    with pytest.raises(InputError, match="similar"):
        sampler(3, 4, name="similar")
    for size in (0, 2.5, True):
        with pytest.raises(InputError, match=f"size.*{size}"):
            sampler(3, size)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="40"):
        sampler(3, 4).sample(0, np.array([40]))


def test_the_training_set_puts_a_group_in_a_row(tmp_path: Path) -> None:
    prompts = pytest.importorskip("small", reason="needs torch").make_prepared(tmp_path).prompts
    from ccutils.models.packing import group_prompts

    inputs = [e.input for e in prompts.pool]
    made = SharedSampler(Strategy("contrastive", 4), pool_neighbours(inputs, 1), inputs, 5, group_size=4)
    prompts = replace(prompts, sampler=made)
    last = set()
    for place in range(0, 100, 4):  # two epochs and more
        contexts = prompts.contexts(range(place, place + 4))
        shared = [demonstrations[:-1] for _, demonstrations, _ in contexts]
        assert shared == [shared[0]] * 4
        last |= {demonstrations[-1].input for _, demonstrations, _ in contexts}
        for target, demonstrations, _ in contexts:
            assert target not in demonstrations[:-1]  # a paraphrase may be its input
        found = prompts.tokens(range(place, place + 4))
        lines = [dict(zip(found, line, strict=True)) for line in zip(*found.values(), strict=True)]
        begin = prompts.prompter.prompt([*shared[0], prompts.pool[0]], prompts.pool[1], 1).ids
        few = prompts.prompter.prompt([prompts.pool[0]], prompts.pool[1], 1).ids
        assert len(group_prompts(lines).prefix) >= len(begin) - len(few)
    assert len(last) > 20


def sampler(
    k: int, size: int, n: int = 40, seed: int = 0, name: str = "contrastive", p: float = 0.5
) -> SharedSampler:
    inputs, neighbours = made_up_pool(list(range(n)))
    return SharedSampler(Strategy(name, k, p, 0.1), neighbours, inputs, seed, group_size=size)
