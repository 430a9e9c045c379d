"""Counterfactual contexts: the share relabelled, the labels replaced, and contexts that stay as they were."""

import hashlib
import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccutils.contexts.counterfactual import RELABEL, Counterfactual
from ccutils.contexts.dose import count_targets
from ccutils.contexts.epochs import EpochContexts
from ccutils.contexts.neighbours import pool_neighbours
from ccutils.contexts.paraphrase import Paraphrases
from ccutils.contexts.sampler import ContextSampler, Strategy
from ccutils.contexts.your_data import ContrastiveContexts
from ccutils.errors import InputError
from ccutils.records import CONTEXT_STRATEGIES
from ccutils.tasks import Task, load_task
from ccutils.tasks.base import Example
from ccutils.training.plan import Plan, check_plan

K = 4
STRATEGY = st.sampled_from(CONTEXT_STRATEGIES)
SEED = st.integers(0, 999)


@given(strategy=STRATEGY, seed=SEED, share=st.floats(0, 1), start=st.integers(0, 5000))
@settings(max_examples=60, deadline=None)
def test_target_and_relevant_examples_share_a_label_absent_from_the_context(
    strategy: str, seed: int, share: float, start: int
) -> None:
    places = range(start, start + 40)
    before = contexts(strategy, seed).contexts(places)
    after = contexts(strategy, seed, share).contexts(places)
    for (target, shown, _), (new_target, new_shown, _) in zip(before, after, strict=True):
        labels = {e.output for e in (target, *shown)}
        same = [e.output == target.output for e in shown]
        if new_target.output == target.output:
            assert new_shown == shown
            continue
        assert any(same) and new_target.output not in labels
        assert new_shown == [
            replace(e, output=new_target.output) if relevant else e
            for e, relevant in zip(shown, same, strict=True)
        ]


@given(strategy=STRATEGY, seed=SEED, relabel=st.sampled_from(RELABEL), vary_k=st.booleans(), data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_context_depends_on_seed_epoch_and_target_alone(
    strategy: str, seed: int, relabel: str, vary_k: bool, data: st.DataObject
) -> None:
    places = data.draw(st.permutations(range(190, 215)))  # across the end of an epoch
    made = contexts(strategy, seed, 0.5, relabel, vary_k)
    found = dict(zip(places, made.contexts(places), strict=True))
    again = contexts(strategy, seed, 0.5, relabel, vary_k)
    assert [again.contexts([place])[0] for place in range(190, 215)] == [found[i] for i in range(190, 215)]


@given(strategy=STRATEGY, seed=SEED)
@settings(max_examples=20, deadline=None)
def test_share_zero_changes_nothing_and_share_one_relabels_every_relevant_context(
    strategy: str, seed: int
) -> None:
    plain, none = contexts(strategy, seed), contexts(strategy, seed, 0.0)
    assert none.contexts(range(150)) == plain.contexts(range(150))
    [counts] = count_targets(contexts(strategy, seed, 1.0), topics(), [150])
    assert counts["relabelled"] == counts["relevant"] == 150 - counts["true_label_no_relevant"]


@pytest.mark.parametrize("share", [0.25, 0.5, 0.8])
@pytest.mark.parametrize("strategy", CONTEXT_STRATEGIES)
def test_the_achieved_share_is_the_one_asked_for(strategy: str, share: float) -> None:
    [first, counts] = count_targets(contexts(strategy, 0, share), topics(), [200, 3000])
    assert first["targets"] == 200 and counts["targets"] == 3000
    assert counts["relabelled"] / counts["relevant"] == pytest.approx(share, abs=0.06)


def test_a_larger_share_relabels_the_same_contexts_and_more() -> None:
    low, high = (relabelled(contexts("contrastive", 1, share)) for share in (0.3, 0.6))
    assert low < high


@pytest.mark.parametrize("relabel", RELABEL)
def test_every_control_relabels_the_same_targets_with_labels_of_the_pool(relabel: str) -> None:
    rule = relabelled(contexts("contrastive", 2, 0.5))
    assert relabelled(contexts("contrastive", 2, 0.5, relabel)) == rule


def test_the_control_target_leaves_demonstrations_and_gives_a_label_that_none_shows() -> None:
    for before, after in changed("target"):
        assert after[:-1] == before[:-1]
        assert after[-1].output not in {e.output for e in before}


def test_the_control_also_irrelevant_mislabels_as_many_irrelevant_examples() -> None:
    for before, after in changed("also_irrelevant"):
        relevant = [e.output == before[-1].output for e in before[:-1]]
        wrong = [a.output != b.output for a, b in zip(after[:-1], before[:-1], strict=True)]
        assert all(w for w, r in zip(wrong, relevant, strict=True) if r)
        n_relevant = sum(relevant)
        assert sum(wrong) - n_relevant == min(n_relevant, len(relevant) - n_relevant)
        assert {e.output for e, r in zip(after[:-1], relevant, strict=True) if not r}.isdisjoint(
            {after[-1].output}
        )


def test_the_control_all_renames_every_label_one_to_one() -> None:
    for before, after in changed("all"):
        pairs = {(b.output, a.output) for b, a in zip(before, after, strict=True)}
        old, new = zip(*pairs, strict=True)
        assert len(set(old)) == len(set(new)) == len(pairs)
        assert set(old).isdisjoint(new)


def test_labels_are_permuted_where_the_context_has_all() -> None:
    pool = [Example(f"{label} {i}", label) for label in "ABC" for i in range(3)]
    shown = [pool[0], pool[3], pool[6], pool[1]]  # A, B, C and the target, A
    for seed in range(20):
        made = Counterfactual(pool, 1.0)(shown, np.random.default_rng(seed))
        assert made[0].output == made[3].output != "A"
        assert {e.output for e in made} == set("ABC")
        kept = Counterfactual(pool, 1.0, "target")(shown, np.random.default_rng(seed))
        assert kept == shown


def test_new_labels_have_the_frequencies_of_the_pool() -> None:
    pool = [Example(f"{label} {i}", label) for label, n in (("A", 4), ("B", 6), ("C", 2)) for i in range(n)]
    made = Counterfactual(pool, 1.0)
    drawn = [made([pool[0], pool[1]], np.random.default_rng(i))[-1].output for i in range(2000)]
    assert drawn.count("B") / 2000 == pytest.approx(0.75, abs=0.04) and "A" not in drawn


def test_spellings_of_one_label_are_one_class() -> None:
    pool = [Example(f"{label} {i}", label) for label in ("very good", "very  good", "bad") for i in range(2)]
    made = Counterfactual(pool, 1.0)([pool[0], pool[2]], np.random.default_rng(0))
    assert [e.output for e in made] == ["bad", "bad"]


def test_gloss_replaces_the_shown_glosses_of_the_target_and_no_others() -> None:
    task = load_task("gloss", seed=0, pool_size=200)
    made = Counterfactual(task.pool, 1.0, map_labels=task.map_labels)
    rng = np.random.default_rng(0)
    for i in range(100):
        before = [task.pool[j] for j in rng.choice(200, K + 1, replace=False)]
        after = made(before, np.random.default_rng(i))
        lexicon = {w: g for e in before for w, g in glosses(e)}
        shown = {w for e in before[:-1] for w, _ in glosses(e)}.intersection(before[-1].input.split())
        new = {w: g for e in after for w, g in glosses(e)}
        assert {w for w in lexicon if new[w] != lexicon[w]} == shown
        assert not {new[w] for w in shown}.intersection(lexicon.values())
        assert all(new[w] == g for e in after for w, g in glosses(e)) and len(set(new.values())) == len(new)
        assert [e.input for e in after] == [e.input for e in before]


@given(strategy=STRATEGY, seed=SEED)
@settings(max_examples=20, deadline=None)
def test_vary_k_drops_random_demonstrations_first_and_keeps_the_order(strategy: str, seed: int) -> None:
    whole = contexts(strategy, seed).contexts(range(100))
    for (target, shown, near), (same, kept, kept_near) in zip(
        whole, contexts(strategy, seed, vary_k=True).contexts(range(100)), strict=True
    ):
        assert same == target
        assert sorted(kept_near, reverse=True) == sorted(near, reverse=True)[: len(kept)]
        rest = iter(shown)
        assert all(e in rest for e in kept)


def test_vary_k_draws_every_length_alike() -> None:
    made = contexts("contrastive", 0, vary_k=True).contexts(range(3000))
    counts = np.bincount([len(shown) for _, shown, _ in made], minlength=K + 1)
    assert len(counts) == K + 1 and np.all(abs(counts - 600) < 100)
    designed = np.mean([max(near, default=0) > 0 for _, _, near in made])
    assert designed == pytest.approx(0.6 * K / (K + 1), abs=0.04)


@pytest.mark.parametrize(
    ("task", "options", "changes"),
    [
        ("topics", {}, {"counterfactual": 1.5}),
        ("topics", {}, {"counterfactual": 0.5, "relabel": "some"}),
        ("topics", {}, {"relabel": "all"}),
        ("requests", {"answer": "parse"}, {"counterfactual": 0.5}),
    ],
)
def test_values_that_do_not_go_together_are_refused_by_name(task, options, changes) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=r"counterfactual|relabel"):
        check_plan(Plan(task=task, **changes), load_task(task, seed=0, **options))


def test_a_pool_of_texts_or_of_one_label_is_refused() -> None:
    for outputs in (list("abcdef"), ["a"] * 6):
        with pytest.raises(InputError, match="counterfactual"):
            Counterfactual([Example(str(i), o) for i, o in enumerate(outputs)], 0.5)


@pytest.mark.parametrize(
    ("strategy", "digest"),
    [
        ("random", "fc83bfb43b9e7694"),
        ("similar", "6cece1c070472a28"),
        ("contrastive", "a37433c508ea7a15"),
        ("batch_mix", "a2dea9a803488a60"),
    ],
)
def test_contexts_without_it_have_not_changed(strategy: str, digest: str) -> None:
    made = contexts(strategy, 3).contexts(range(500))
    texts = [[[e.input, e.output] for e in (*shown, target)] for target, shown, _ in made]
    assert hash_json(texts) == digest


def test_an_export_without_it_has_not_changed() -> None:
    assert hash_json(list(ContrastiveContexts(ROWS, k=3, epsilon=0.3).rows(epochs=3))) == "4a9e37271c44eb36"


def test_exported_rows_say_which_labels_are_wrong_on_purpose() -> None:
    true = {row["input"]: row["output"] for row in ROWS}
    rows = list(ContrastiveContexts(ROWS, k=3, epsilon=0.3, counterfactual=0.5).rows(epochs=20))
    for row in rows:
        asked = row["prompt"].rsplit("Input: ", 1)[1].removesuffix("\nOutput:")
        assert row["counterfactual"] == (row["completion"].strip() != true[asked])
    assert 0.2 < np.mean([row["counterfactual"] for row in rows]) < 0.5


ROWS = [{"input": f"{what} in {where}", "output": what.upper()} for what in ("rain", "food", "news")
        for where in ("Oslo", "Lima", "Accra", "Quito")]  # fmt: skip


@cache
def topics() -> Task:
    return load_task("topics", seed=0, pool_size=200)


@cache
def neighbours():  # type: ignore[no-untyped-def]
    return pool_neighbours([e.input for e in topics().pool], K, "bm25")


def contexts(
    strategy: str, seed: int, share: float | None = None, relabel: str = "relevant", vary_k: bool = False
) -> EpochContexts:
    """Contexts of `topics`; without a share they are not relabelled. Paraphrases are backwards."""
    pool = topics().pool
    sampler = ContextSampler(Strategy(strategy, K), neighbours(), [e.input for e in pool], seed)
    backwards = Paraphrases({e.input: (e.input[::-1],) for e in pool}, {e.input: "rule" for e in pool})
    relabelling = None if share is None else Counterfactual(pool, share, relabel)
    return EpochContexts(pool, sampler, backwards, counterfactual=relabelling, vary_k=vary_k)


def relabelled(made: EpochContexts) -> set[int]:
    """The indices of the contexts whose target has a wrong label, which is one of the pool."""
    _, rows = made.targets(np.arange(400))
    labels = {e.output for e in made.pool}
    pairs = [
        (made.pool[row], target) for row, (target, *_) in zip(rows, made.contexts(range(400)), strict=True)
    ]
    assert all(target.output in labels for _, target in pairs)
    return {i for i, (true, target) in enumerate(pairs) if true.output != target.output}


def changed(relabel: str) -> list[tuple[list[Example], list[Example]]]:
    """Contexts, targets last, before and after a control has relabelled them."""
    before = contexts("similar", 0).contexts(range(300))
    after = contexts("similar", 0, 0.5, relabel).contexts(range(300))
    pairs = [([*b[1], b[0]], [*a[1], a[0]]) for b, a in zip(before, after, strict=True) if a[0] != b[0]]
    assert len(pairs) > 80
    return pairs


def glosses(example: Example) -> list[tuple[str, str]]:
    words = example.output.split()
    return list(zip(words[::2], words[1::2], strict=True))


def hash_json(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]
