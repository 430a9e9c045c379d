"""Requests: what is apart stays apart, similarity is graded, paraphrases keep the meaning, changed labels."""

import re
from collections import Counter, defaultdict
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccutils.contexts.neighbours import Index
from ccutils.errors import InputError
from ccutils.tasks import Example, Task, load_task, requests
from ccutils.tasks.brackets import parse_form
from ccutils.tasks.grammar import SIDES, draw_request, read_grammar, slots_of
from ccutils.tasks.requests import fillers
from ccutils.tasks.sequences import near
from ccutils.tasks.splits import normalise

GRAMMAR = read_grammar()


@pytest.fixture(scope="module", params=["intent", "parse", "invented"])
def task(request: pytest.FixtureRequest) -> Task:
    return load_task("requests", seed=0, answer=request.param)


def of_set(task: Task) -> dict[str, list[Example]]:
    return {name: list(getattr(task, name)) for name in ("pool", "id_test", "ood_test", "ood_pool")}


class TestGrammar:
    def test_it_is_as_large_as_it_says(self) -> None:
        intents = GRAMMAR.intents
        assert len(intents) >= 40 and len({i.name for i in intents}) == len(intents)
        assert len({i.domain for i in intents}) >= 8
        for intent in intents:
            ways = [w for side in SIDES for line in intent.lines[side] for w in line.wordings]
            assert len(ways) >= 20 and len(intent.lines["test"]) >= 2, intent.name

    def test_no_filler_and_no_wording_is_on_both_sides(self) -> None:
        for name, of_side in GRAMMAR.slots.items():
            pool, test = (set(map(normalise, of_side[side])) for side in SIDES)
            assert pool and test and not pool & test, name
        sides = [
            {normalise(w) for i in GRAMMAR.intents for line in i.lines[side] for w in line.wordings}
            for side in SIDES
        ]
        assert not sides[0] & sides[1]

    def test_no_wording_has_two_intents(self) -> None:
        found = defaultdict(set)
        for intent, side in product(GRAMMAR.intents, SIDES):
            for line in intent.lines[side]:
                for wording in line.wordings:
                    found[wording].add(intent.name)
        assert not {w: names for w, names in found.items() if len(names) > 1}

    def test_every_slot_is_known_and_nothing_of_the_notation_is_left(self) -> None:
        for intent, side in product(GRAMMAR.intents, SIDES):
            for line in intent.lines[side]:
                for wording in line.wordings:
                    assert all(kind in GRAMMAR.slots for _, kind in slots_of(wording)), wording
                    names = [name for name, _ in slots_of(wording)]
                    assert len(set(names)) == len(names), wording
                    assert not re.search(r"[()|~\[\]=]|  ", wording), wording

    @given(st.integers(0, 2**32 - 1), st.sampled_from(GRAMMAR.intents), st.sampled_from(SIDES))
    def test_a_request_holds_its_fillers_and_is_clean(self, seed, intent, side) -> None:
        drawn = draw_request(GRAMMAR, intent, side, np.random.default_rng(seed))
        for _, filler in drawn.slots:
            assert filler in drawn.text
        assert not re.search(r"[{}|~()]|\b(a|an) (a|an|the)\b|\ba [aeio]|\s\s", drawn.text), drawn.text


class TestTask:
    def test_the_same_seed_is_the_same_task_and_tests_are_those_of_all_seeds(self, task) -> None:
        first = task.pool[0]
        answer = {first.extra["parse"]: "parse", first.extra["intent"]: "intent"}.get(
            first.output, "invented"
        )
        again, other = (load_task("requests", seed=seed, answer=answer) for seed in (0, 1))
        assert of_set(again) == of_set(task)
        assert list(other.pool) != list(task.pool)
        assert list(other.id_test) == list(task.id_test) and list(other.ood_test) == list(task.ood_test)

    def test_no_input_of_a_test_shares_a_filler_with_a_pool_and_half_share_their_line(self, task) -> None:
        pools, tests = ([*a, *b] for a, b in ((task.pool, task.ood_pool), (task.id_test, task.ood_test)))
        lines = {e.extra["line"] for e in pools}
        assert 0.3 < np.mean([e.extra["line"] in lines for e in tests]) < 0.55
        used = [{f for e in part for f in fillers(e).items()} for part in (pools, tests)]
        assert not used[0] & used[1]

    def test_no_test_is_a_near_copy_of_a_pool_input(self, task) -> None:
        pool = [normalise(e.input) for e in [*task.pool, *task.ood_pool]]
        index = Index(pool)
        texts = [normalise(e.input) for e in [*task.id_test, *task.ood_test]]
        for text, rows in zip(texts, index.search(texts, 5).rows, strict=True):
            assert not any(near(text, pool[row]) for row in rows)

    def test_inputs_differ_and_domains_are_held_out(self, task) -> None:
        sets = of_set(task)
        inputs = [normalise(e.input) for part in sets.values() for e in part]
        assert len(set(inputs)) == len(inputs)
        ood = {"travel", "health", "money"}
        assert {e.group for e in [*sets["ood_test"], *sets["ood_pool"]]} == ood
        assert not {e.group for e in [*sets["pool"], *sets["id_test"]]} & ood

    def test_intents_have_a_long_tail_and_none_is_missing(self, task) -> None:
        counts = Counter(e.extra["intent"] for e in task.pool)
        assert len(counts) == task.facts["intents"] == 40
        common = sorted(counts.values(), reverse=True)
        assert common[0] > 10 * common[-10] and sum(common[:10]) > len(task.pool) / 2

    def test_the_nearest_example_is_relevant_more_often_than_not(self) -> None:
        """Else no model could go on adapting by retrieved examples, and training on nearest ones misleads."""
        task = load_task("requests", seed=0)
        for pool, tests in ((task.pool, task.id_test), (task.ood_pool, task.ood_test)):
            rows = Index([e.input for e in pool]).search([e.input for e in tests], 1).rows[:, 0]
            assert np.mean([task.relevant(t, pool[r]) for t, r in zip(tests, rows, strict=True)]) > 0.5

    def test_validation_questions_are_other_than_the_tests(self) -> None:
        test, dev = (load_task("requests", seed=0, test_split=split) for split in ("test", "dev"))
        for name in ("id_test", "ood_test"):
            assert not {e.input for e in getattr(test, name)} & {e.input for e in getattr(dev, name)}
        assert list(test.pool) == list(dev.pool)

    def test_similarity_is_graded(self) -> None:
        """Of one line, of one intent, of one domain, of none: each is nearer to the target than the next."""
        task = load_task("requests", seed=0)
        pool = task.pool
        found = Index([e.input for e in pool]).search([e.input for e in pool[:300]], len(pool))
        grades: dict[str, list[float]] = defaultdict(list)
        for target, rows, scores in zip(pool, found.rows, found.scores, strict=False):
            for row, score in zip(rows, scores, strict=True):
                e = pool[row]
                if e is not target:
                    same = [e.extra["line"] == target.extra["line"], task.relevant(target, e)]
                    at = [*same, e.group == target.group, True].index(True)
                    grades[["line", "intent", "domain", "none"][at]].append(float(score))
        means = [float(np.mean(grades[name])) for name in ("line", "intent", "domain", "none")]
        assert means == sorted(means, reverse=True) and means[0] > 2 * means[1] > 0

    def test_a_paraphrase_keeps_intent_and_fillers_and_is_no_test(self, task) -> None:
        tests = {e.input for e in [*task.id_test, *task.ood_test]}
        rng, changed = np.random.default_rng(0), 0
        assert task.paraphrase
        for e in task.pool[:300]:
            text = task.paraphrase(e, 0.5, rng)
            assert all(filler in text for filler in fillers(e).values())
            assert text not in tests
            changed += text != e.input
        assert changed > 290

    def test_the_answer_is_right_and_others_are_wrong(self, task) -> None:
        some = list(task.pool[:20])
        assert task.score([e.output for e in some], some).tolist() == [1.0] * 20
        others = [next(o.output for o in task.pool if o.output != e.output) for e in some]
        assert task.score(others, some).tolist() == [0.0] * 20

    def test_an_invented_name_is_of_one_intent_and_tells_nothing_of_it(self) -> None:
        plain, invented = (load_task("requests", seed=0, answer=answer) for answer in ("intent", "invented"))
        names = {e.extra["intent"]: e.output for part in of_set(invented).values() for e in part}
        assert len(set(names.values())) == len(names) >= 40
        assert not set(names.values()) & {word for name in names for word in re.split(r"\W|_", name)}
        assert [e.input for e in invented.pool] == [e.input for e in plain.pool]
        assert [e.output for e in invented.pool] == [names[e.output] for e in plain.pool]

    def test_a_parse_has_the_intent_and_the_fillers_in_their_order(self, task) -> None:
        for e in task.pool[:50]:
            tree = parse_form(e.extra["parse"])
            assert tree.label == f"IN:{e.extra['intent'].upper()}"
            places = [e.input.index(filler) for filler in fillers(e).values()]
            assert places == sorted(places)

    def test_changed_labels_are_in_no_other_place(self, task) -> None:
        target = task.id_test[0]
        relevant = [e for e in task.pool if task.relevant(target, e)][:2]
        irrelevant = [e for e in task.pool if not task.relevant(target, e)][:2]
        changed, answer = task.change_labels(target, relevant, irrelevant, np.random.default_rng(0))
        assert answer != target.output and [e.input for e in changed] == [e.input for e in relevant]
        assert all(c.output != e.output for c, e in zip(changed, relevant, strict=True))
        assert not {c.output for c in changed} & {e.output for e in irrelevant}


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"answer": "label"}, "label"),
        ({"ood_domains": ["wether"]}, "wether"),
        ({"ood_domains": []}, "ood_domains"),
        ({"pool_size": 10}, "pool_size"),
        ({"ood_domains": ["weather"], "n_test": 8_000}, "n_test"),
        ({"zipf": -1.0}, "zipf"),
        ({"test_split": "train"}, "test_split"),
    ],
)
def test_impossible_options_are_refused_by_name(options, name, monkeypatch) -> None:
    monkeypatch.setattr(requests, "IN_VAIN", 5)  # a small grammar: few draws suffice
    with pytest.raises(InputError, match=name):
        load_task("requests", seed=0, **options)
