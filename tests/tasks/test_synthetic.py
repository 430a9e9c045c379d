"""The two synthetic tasks: their sets, frequencies, changed labels and scores."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from ccutils.errors import InputError
from ccutils.tasks import Example, load_task
from ccutils.tasks.relabel import change_output
from ccutils.tasks.synthetic import (
    ANY,
    change_glosses,
    gloss_match,
    gloss_wrong,
    pseudo_words,
    zipf_law,
)


@pytest.fixture(scope="module", params=["topics", "gloss"])
def name(request) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def task(name):
    return load_task(name, seed=0)


class TestSets:
    def test_sizes(self, task):
        assert [len(part) for part in (task.pool, task.id_test, task.ood_test)] == [1000, 200, 200]

    def test_the_sets_share_no_input(self, task):
        sets = [{e.input for e in p} for p in (task.pool, task.id_test, task.ood_test, task.ood_pool)]
        assert not any(one & other for one, other in combinations(sets, 2))

    def test_what_is_novel_the_pool_lacks(self, task):
        """No word and no label of the OOD sets occurs in the pool or the ID test set."""

        def words(*parts):
            return {w for part in parts for e in part for w in f"{e.input} {e.output}".split()}

        assert not words(task.pool, task.id_test) & words(task.ood_pool, task.ood_test)

    def test_the_pools_teach_what_the_tests_ask(self, task):
        for pool, test in ((task.pool, task.id_test), (task.ood_pool, task.ood_test)):
            shown = {word for e in pool for word in e.output.split()}
            assert all(set(e.output.split()) <= shown for e in test)
            assert all(any(task.relevant(t, e) for e in pool) for t in test)

    def test_one_input_has_one_answer(self, task):
        answers: dict[str, set[str]] = {}
        for e in [*task.pool, *task.ood_pool, *task.id_test, *task.ood_test]:
            answers.setdefault(e.input, set()).add(e.output)
        assert all(len(found) == 1 for found in answers.values())

    def test_a_seed_makes_a_world(self, name):
        one, again, other = (load_task(name, seed=seed) for seed in (3, 3, 4))
        for part in ("pool", "id_test", "ood_test", "ood_pool"):
            assert getattr(one, part) == getattr(again, part)
            assert getattr(one, part) != getattr(other, part)


class TestTopics:
    def test_frequencies_follow_the_law(self):
        """Topic i with probability proportional to 1 / i, behind one example of each that opens the pool."""
        task = load_task("topics", seed=0, n_topics=30, pool_size=3030)
        labels = [e.output for e in task.pool[:30]]
        assert len(set(labels)) == 30
        counts = Counter(e.output for e in task.pool[30:])
        observed = [counts[label] for label in labels]
        assert chisquare(observed, 3000 * zipf_law(30, 1.0)).pvalue > 0.001
        assert chisquare(observed, 3000 * zipf_law(30, 0.5)).pvalue < 0.001
        novel = Counter(e.output for e in task.ood_test)
        assert chisquare([novel[e.output] for e in task.ood_pool[:40]]).pvalue > 0.001

    def test_a_topic_is_its_words(self):
        """Each topic has words of its own, each input four different ones of them."""
        task = load_task("topics", seed=1)
        words: dict[str, set[str]] = {}
        for e in [*task.pool, *task.id_test, *task.ood_pool]:
            assert len(set(e.input.split())) == 4
            assert e.group == e.output
            words.setdefault(e.group, set()).update(e.input.split())
        assert len(words) == 120
        assert all(len(own) <= 16 for own in words.values())
        assert not any(a & b for a, b in combinations(words.values(), 2))

    @pytest.mark.parametrize("name", ["topics", "gloss"])
    def test_no_test_input_is_a_pool_input_reordered(self, name):
        task = load_task(name, seed=0)
        for pool, test in ((task.pool, task.id_test), (task.ood_pool, task.ood_test)):
            known = {frozenset(e.input.split()) for e in pool}
            assert not known & {frozenset(e.input.split()) for e in test}

    def test_similarity_has_a_range(self):
        """The words that a target shares with the most similar example of its topic: all grades occur."""
        task = load_task("topics", seed=0)
        shared = Counter(
            max(len(set(t.input.split()) & set(e.input.split())) for e in task.pool if e.group == t.group)
            for t in task.id_test
        )
        assert set(shared) >= {1, 2, 3}
        assert max(shared.values()) < 0.6 * len(task.id_test)

    @pytest.mark.parametrize(("strength", "kept"), [(0.0, 4), (0.25, 3), (0.5, 2), (1.0, 0)])
    def test_a_paraphrase_changes_as_many_words_as_its_strength_says(self, strength, kept):
        """Into words that the pool has for the topic; its words are never those of a test."""
        task = load_task("topics", seed=0)
        words: dict[str, set[str]] = {}
        for e in task.pool:
            words.setdefault(e.group, set()).update(e.input.split())
        tests = {frozenset(e.input.split()) for e in [*task.id_test, *task.ood_test]}
        rng = np.random.default_rng(0)
        roomy = [e for e in task.pool if len(words[e.group]) >= 8]
        assert len(roomy) > 500
        made = [(e, task.paraphrase(e, strength, rng)) for e in roomy for _ in range(4)]
        changed = [(e, text) for e, text in made if text != e.input]
        assert len(changed) > 0.9 * len(made)
        for e, text in changed:
            assert len(set(text.split()) & set(e.input.split())) == kept
            assert len(set(text.split())) == 4
            assert set(text.split()) <= words[e.group]
            assert frozenset(text.split()) not in tests


class TestFreshLabels:
    def test_none_are_drawn_anew_unless_asked(self):
        plain, none = load_task("topics", seed=0), load_task("topics", seed=0, fresh=0.0)
        assert plain.redraw_labels is None
        assert (plain.pool, plain.id_test) == (none.pool, none.id_test)

    @given(st.integers(0, 2**32 - 1))
    def test_a_topic_has_one_new_label_in_a_context_and_the_others_keep_theirs(self, seed):
        task = load_task("topics", seed=0, fresh=0.25, n_topics=8, n_novel=2, pool_size=60, n_test=10)
        rng = np.random.default_rng(seed)
        context = [task.pool[i] for i in rng.choice(60, 4, replace=False)]
        drawn = task.redraw_labels(context, rng)
        assert [e.input for e in drawn] == [e.input for e in context]
        new = {e.group: d.output for e, d in zip(context, drawn, strict=True)}
        assert all(new[e.group] == d.output for e, d in zip(context, drawn, strict=True))
        assert len(set(new.values())) == len(new)  # no two topics share one
        changing = {g for g, label in new.items() if g != label}
        assert changing.isdisjoint(e.group for e in task.id_test)
        assert changing == {t for t in new if t in self.changing_of(task)}

    @staticmethod
    def changing_of(task):
        """The topics whose label changes when each is shown alone."""
        rng = np.random.default_rng(0)
        return {e.group for e in task.pool if task.redraw_labels([e], rng)[0].output != e.output}

    def test_the_share_is_that_of_the_topics_frequent_and_rare(self):
        task = load_task("topics", seed=0, fresh=0.2)
        changing = self.changing_of(task)
        frequent = [e.group for e in task.pool[:80]]  # one of each, the most frequent first
        assert [i for i, group in enumerate(frequent) if group in changing] == list(range(4, 80, 5))


class TestGloss:
    def test_a_paraphrase_is_the_sentence_itself(self):
        """Its gloss repeats each word in place: other words, or another order, have another gloss."""
        task = load_task("gloss", seed=0)
        rng = np.random.default_rng(0)
        assert all(task.paraphrase(e, 0.5, rng) == e.input for e in task.pool)

    def test_answers_are_word_by_word_of_one_lexicon(self):
        task = load_task("gloss", seed=2)
        lexicon: dict[str, str] = {}
        for e in [*task.pool, *task.ood_pool, *task.id_test, *task.ood_test]:
            words = e.output.split()
            assert words[::2] == e.input.split()
            assert len(set(e.input.split())) == 3
            for word, said in zip(words[::2], words[1::2], strict=True):
                assert lexicon.setdefault(word, said) == said
        assert len(set(lexicon.values())) == len(lexicon) == 160

    def test_frequent_words_are_frequent(self):
        """Words of a sentence are drawn without repeats, so only the order of ranks is known."""
        task = load_task("gloss", seed=0, pool_size=3000)
        ranks = [w for e in task.pool[:40] for w in e.input.split()]
        counts = Counter(w for e in task.pool[40:] for w in e.input.split())
        tenths = [sum(counts[w] for w in ranks[i : i + 12]) for i in range(0, 120, 12)]
        assert tenths[0] > 2 * tenths[1] > 2 * tenths[4] > 2 * tenths[-1]
        assert counts[ranks[0]] > counts[ranks[1]] > counts[ranks[5]]

    def test_score(self):
        asked = Example("a b c", "a X b Y c Z")
        partly = Example("a b c", f"a X b {ANY} c Z")
        unknown = Example("a", f"a {ANY}")
        answers = ["a X b Y c Z", "a X b Z c Y", "a X", "", "a X b Q c Z", "a X"]
        found = gloss_match(answers, [asked, asked, asked, asked, partly, unknown])
        assert found[:5].tolist() == pytest.approx([1, 1 / 3, 1 / 3, 0, 1])
        assert np.isnan(found[5])

    def test_wrong_and_copied(self):
        target = Example("a b c", "a X b Y c Z")
        shown = [Example("d e f", "d P e Q f R")]
        assert gloss_wrong("a X b Y c Z", target, shown) == (0, 0)
        assert gloss_wrong("a P b Y c Z", target, shown) == pytest.approx((1 / 3, 1 / 3))
        assert gloss_wrong("a W b P c Z", target, shown) == pytest.approx((2 / 3, 1 / 3))
        assert gloss_wrong("", target, shown) == (1, 0)


class TestChangedLabels:
    @given(seed=st.integers(0, 10**6), grade=st.integers(1, 4))
    def test_invariants(self, task, seed, grade):
        """Inputs stay; new labels occur nowhere in the context; the answer that follows has them."""
        rng = np.random.default_rng(seed)
        ood = bool(seed % 2)
        target = (task.ood_test if ood else task.id_test)[seed % 200]
        pool = task.ood_pool if ood else task.pool
        relevant = [e for e in pool if task.relevant(target, e)][:grade]
        irrelevant = [e for e in pool if not task.relevant(target, e)][:4]
        changed, answer = task.change_labels(target, relevant, irrelevant, rng)
        assert [(e.input, e.group) for e in changed] == [(e.input, e.group) for e in relevant]
        before = {w for e in (target, *relevant, *irrelevant) for w in e.output.split() if w.isupper()}
        new = {w for w in answer.split() if w.isupper()}
        assert new
        assert not new & before
        assert new <= {w for e in changed for w in e.output.split()}
        follows = Example(target.input, answer)
        assert task.score([answer], [follows]).tolist() == [1]
        assert task.score([target.output], [follows]).tolist() == [0]

    @given(seed=st.integers(0, 10**6))
    def test_words_of_other_sentences_keep_their_gloss(self, seed):
        target, relevant = Example("a b", "a A b B"), [Example("a c", "a A c C"), Example("d a", "d D a A")]
        names = ["A", "B", "C", "D", "E", "F", "G"]
        changed, answer = change_glosses(target, relevant, [], names, np.random.default_rng(seed))
        new = answer.split()[1]
        assert new in {"E", "F", "G"}
        assert [e.output for e in changed] == [f"a {new} c C", f"d D a {new}"]
        assert answer == f"a {new} b {ANY}"

    def test_nothing_left_to_change_to(self):
        rng = np.random.default_rng(0)
        target, other = Example("a", "A"), Example("b", "B")
        with pytest.raises(InputError, match="2 labels"):
            change_output(target, [target], [other], ["A", "B"], rng, spare=())
        with pytest.raises(InputError, match="2 glosses"):
            change_glosses(Example("a", "a A"), [], [Example("b", "b B")], ["A", "B"], rng)


@given(n=st.integers(1, 200), exponent=st.floats(0, 3))
def test_zipf_law(n, exponent):
    law = zipf_law(n, exponent)
    assert law.sum() == pytest.approx(1)
    assert np.allclose(law / law[0], np.arange(1, n + 1) ** -exponent)


def test_pseudo_words():
    words = pseudo_words(6000)
    assert len(set(words)) == 6000
    assert pseudo_words(6000) == words
    assert all(w.islower() and w.isalpha() and len(w) in (4, 6) for w in words)
