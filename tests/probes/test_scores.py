"""Scores of models whose behaviour is known, from their answers to the rows, and the bootstrap."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap  # type: ignore[import-untyped]

from ccutils.probes import questions as of
from ccutils.probes.estimates import estimate
from ccutils.probes.judged import judge_answers
from ccutils.probes.questions import (
    CHANGED,
    NEIGHBOUR,
    PLAIN,
    Question,
    QuestionSet,
    make_questions,
)
from ccutils.probes.same_targets import BINS, FEWEST, quality_by_bin
from ccutils.probes.scores import measure
from ccutils.records import PROBES, Row, Run
from ccutils.tasks import Example, Task, load_task
from ccutils.tasks.sequences import plain_wrong
from ccutils.tasks.synthetic import ANY

RUN = Run(Path("results"), "topics", "toy", "random", 5)
Rows = dict[tuple[str, str, float], Row]


@pytest.mark.parametrize("name", ["id", "ood"])
class TestKnownModels:
    def test_the_weights_answer(self, topics: QuestionSet, gloss: QuestionSet, name: str) -> None:
        for questions in (topics, gloss):
            rows = rows_of(questions, lambda question: question.target.output)
            assert set(values(rows, "quality", name).values()) == {1.0}
            assert list(values(rows, "similarity", name).values()) == pytest.approx(
                [1.0] * len(values(rows, "similarity", name))
            )
            assert values(rows, "empty", name) == {0: 1.0}
            assert values(rows, "blind", name) == {1: 0.0}
            assert values(rows, "iwl", name) == {0: 1.0}
            assert values(rows, "icl", name) == {1: 0.0, 4: 0.0}
            assert values(rows, "copy_rate", name) == {0: 0.0}
            copy = rows[name, "copy", 0]
            assert copy.n == 0, "no answer is wrong"
            assert math.isnan(copy.value)
            assert math.isnan(copy.low)

    def test_perfect_icl_on_topics(self, topics: QuestionSet, name: str) -> None:
        def follow(question: Question) -> str:
            return next((e.output for e in question.context if e.group == question.target.group), "none")

        rows = rows_of(topics, follow)
        assert values(rows, "quality", name) == {0: 0.0, 1: 1.0, 2: 1.0, 3: 1.0, 4: 1.0}
        assert values(rows, "iwl", name) == {0: 0.0}
        assert values(rows, "icl", name) == {1: 1.0, 4: 1.0}
        assert values(rows, "empty", name) == {0: 0.0}
        assert values(rows, "copy", name) == {0: 0.0}
        assert rows[name, "copy", 0].n == 40, "all are wrong, none copied"

    def test_perfect_icl_on_gloss(self, gloss: QuestionSet, name: str) -> None:
        rows = rows_of(gloss, follow_gloss)
        assert values(rows, "icl", name) == {1: 1.0, 4: 1.0}, "what no example shows is not judged"
        assert values(rows, "iwl", name) == {0: 0.0}
        assert values(rows, "copy", name) == {0: 0.0}
        quality = list(values(rows, "quality", name).values())
        assert quality == sorted(quality)
        assert quality[1] > 0.3

    def test_always_copies(self, topics: QuestionSet, name: str) -> None:
        """The first demonstration's label, whatever it is."""
        rows = rows_of(topics, first_label)
        assert values(rows, "iwl", name) == {0: 0.0}
        assert values(rows, "copy", name) == {0: 1.0}
        assert values(rows, "copy_rate", name) == {0: 1.0}
        assert 0.3 < values(rows, "copy_excess", name)[0] < 1
        assert values(rows, "blind", name)[1] == pytest.approx(1 - values(rows, "quality", name)[1])
        assert values(rows, "quality", name)[4] == 1.0
        assert values(rows, "icl", name)[4] == 1.0, "all are relevant, so that copying follows"
        first = [
            question.context[0].group == question.target.group
            for question in topics.questions
            if (question.set, question.kind, question.grade) == (name, PLAIN, 1)
        ]
        assert values(rows, "quality", name)[1] == pytest.approx(np.mean(first))
        assert values(rows, "icl", name)[1] == pytest.approx(np.mean(first))

    def test_copies_half_of_its_wrong_answers(self, topics: QuestionSet, name: str) -> None:
        turn = itertools.count()

        def behave(question: Question) -> str:
            if (question.kind, question.grade) != (PLAIN, 0):
                return ""
            kinds = [question.target.output, question.context[1].output, "none", question.context[2].output]
            return kinds[next(turn) % 4]

        rows = rows_of(topics, behave)
        assert rows[name, "iwl", 0].value == 0.25
        assert rows[name, "copy", 0].value == pytest.approx(2 / 3)
        assert rows[name, "copy", 0].n == 30
        assert (rows[name, "copy_rate", 0].value, rows[name, "copy_rate", 0].n) == (0.5, 40)

    def test_similarity_reads_the_best_demonstration(self, topics: QuestionSet, name: str) -> None:
        """A model that is right where something of the context is similar enough."""
        rows = rows_of(
            topics,
            lambda question: question.target.output if max(question.similarity, default=0) >= 0.3 else "",
        )
        for grade, value in values(rows, "similarity", name).items():
            assert value == pytest.approx(float(grade > 0.3), abs=1e-9)
            assert (grade * BINS - 0.5) == pytest.approx(round(grade * BINS - 0.5))
            assert rows[name, "similarity", grade].n >= FEWEST
        assert len(values(rows, "similarity", name)) >= 2


def test_rows_are_sound(topics: QuestionSet, gloss: QuestionSet) -> None:
    for questions in (topics, gloss):
        rows = rows_of(questions, first_label)
        labels = {"gate", "choice", "hard_choice", "intrusion", "mislabelled_followed"}
        left_out = labels if questions is gloss else set()
        assert {probe for _, probe, _ in rows} == set(PROBES) - {
            *("icl_known", "icl_unknown", "unjudged"),
            *left_out,
        }
        for (_, probe, _), row in rows.items():
            if probe not in ("similarity", "copy_excess", "gain"):  # fitted, a difference: may lie beyond
                assert 0 <= row.low <= row.value <= row.high <= 1
            assert row.n > 0 or probe in ("choice", "hard_choice")
        for name in ("id", "ood"):
            chosen = [i for i in questions.questions if (i.set, i.kind) == (name, PLAIN)]
            assert rows[name, "quality", 2].n == sum(i.grade == 2 for i in chosen)


def test_answers_that_cannot_be_judged_are_left_out() -> None:
    """A gloss with every position ANY has the score NaN."""
    questions = make_questions(load_task("gloss", seed=0), 2, seed=0, n_targets=12)
    changed = [
        i
        for i, question in enumerate(questions.questions)
        if (question.kind, question.set) == (CHANGED, "id")
    ]
    blank = list(questions.questions)
    for i in changed[:2]:
        words = blank[i].target.input.split()
        hidden = replace(blank[i].expected, output=" ".join(f"{w} {ANY}" for w in words))
        blank[i] = replace(blank[i], expected=hidden)
    ns = [
        sum(
            row.n
            for row in measure(part, [""] * len(part.questions), RUN, 0)
            if row.probe == "icl" and row.set == "id"
        )
        for part in (questions, replace(questions, questions=tuple(blank)))
    ]
    assert ns == [len(changed), len(changed) - 2]


@pytest.mark.parametrize("name", ["id", "ood"])
def test_gate_choice_and_what_follows_from_them(topics: QuestionSet, name: str) -> None:
    """A model that with one relevant example answers in turn: it, an irrelevant one, a label not shown."""
    turn = itertools.count()

    def behave(q: Question) -> str:
        if q.grade != 1:
            return q.target.output
        relevant = next(e.output for e in q.context if e.output == q.expected.output)
        return [relevant, next(e.output for e in q.context if e.output != relevant), "none", relevant][
            next(turn) % 4
        ]

    rows = rows_of(replace(topics, questions=topics.only(PLAIN).questions), behave)
    assert values(rows, "gate", name) == {0: 0.0, 1: 0.75, 2: 1.0, 3: 1.0, 4: 1.0}
    assert rows[name, "choice", 1].value == pytest.approx(2 / 3) and rows[name, "choice", 1].n == 30
    assert (rows[name, "intrusion", 1].value, rows[name, "blind", 1].value) == (0.25, 0.25)
    gain = rows[name, "gain", 1]
    assert (gain.value, gain.n) == (pytest.approx(0.5 - 1), 40) and gain.low < -0.5 < gain.high


def test_targets_have_the_same_number_whatever_is_asked(topics: QuestionSet) -> None:
    task, tables = topics.task, []
    for n, kinds in ((40, [of.HARD]), (200, [PLAIN])):
        asked = make_questions(task, 4, seed=0, n_targets=n, kinds=kinds)
        tables.append(judge_answers(asked, [q.target.input for q in asked.questions]))
    number = {line.answer: line.target for table in tables for line in table.itertuples()}
    assert all(number[line.answer] == line.target for table in tables for line in table.itertuples())
    assert number[task.id_test[3].input] == 3 and number[task.ood_test[3].input] == len(task.id_test) + 3


def test_an_empty_set_has_no_rows(topics: QuestionSet) -> None:
    only = replace(topics, questions=tuple(question for question in topics.questions if question.set == "id"))
    assert {row.set for row in measure(only, [""] * len(only.questions), RUN, 0)} == {"id"}


def test_bins_of_few_answers_have_no_row(topics: QuestionSet) -> None:
    task: Task = topics.task
    plain = [i for i in topics.questions if i.kind == NEIGHBOUR][: 3 * FEWEST]
    counts = {0.75: FEWEST, 0.25: FEWEST, 1.0: 3}
    made = [replace(q, similarity=(s,) * 4) for s, n in counts.items() for q in plain[::3][:n]]
    rows = measure(QuestionSet(task, 0, 4, tuple(made), {}), [""] * len(made), RUN, 0)
    assert [(row.probe, row.grade, row.n) for row in rows] == [
        ("similarity", 0.25, FEWEST),
        ("similarity", 0.75, FEWEST),
    ]


def test_a_guess_by_frequency_copies_no_more_than_chance() -> None:
    """Always the commonest label: many a context holds it, and the Copy-score alone calls that copying."""
    topics = make_questions(load_task("topics", seed=0), 4, seed=0, n_targets=200)
    common = max(topics.task.pool, key=lambda e: [p.output for p in topics.task.pool].count(e.output)).output
    rows = rows_of(topics, lambda question: common)
    excess = rows["id", "copy_excess", 0]
    assert rows["id", "copy", 0].value > 0.2
    assert excess.low <= 0.05 and abs(excess.value) < 0.1
    assert excess.value == pytest.approx(rows["id", "copy", 0].value - rows["id", "copy_chance", 0].value)


def test_the_same_targets_are_compared_across_similarities() -> None:
    """Targets that are easy have the nearer contexts; who heeds no context is flat all the same."""
    rng = np.random.default_rng(0)
    easy = np.arange(120) % 2
    lines = [
        {"target": t, "similarity": s, "score": float(easy[t])}
        for t in range(120)
        for s in (0.05, 0.15, *rng.choice([0.45, 0.75] if easy[t] else [0.25, 0.45], 2, replace=False))
    ]
    found = dict(quality_by_bin(pd.DataFrame(lines)))
    assert set(found) == {0.05, 0.15, 0.25, 0.45, 0.75}
    assert [e.value for e in found.values()] == pytest.approx([0.5] * 5)
    rises = pd.DataFrame(lines).assign(score=lambda table: table["score"] / 2 + table["similarity"] / 2)
    values_by_bin = [e.value for e in dict(quality_by_bin(rises)).values()]
    assert np.diff(values_by_bin) == pytest.approx(np.diff([0.05, 0.15, 0.25, 0.45, 0.75]) / 2)


def test_a_chance_level_needs_another_target(topics: QuestionSet) -> None:
    alone = replace(topics, questions=topics.questions[:1])
    table = judge_answers(alone, ["none"])
    assert table["wrong"].tolist() == [1.0] and table["chance"].isna().all()


def test_the_plain_copy() -> None:
    target, shown = Example("x", "A b"), [Example("y", "B"), Example("z", "A  b")]
    assert plain_wrong("A  b ", target, shown) == (0, 0), "right, although a demonstration has it too"
    assert plain_wrong("B", target, shown) == (1, 1)
    assert plain_wrong("C", target, shown) == (1, 0)


@pytest.mark.parametrize(("rate", "n"), [(0.5, 60), (0.9, 200), (0.1, 30)])
def test_the_interval_is_that_of_scipy(rate: float, n: int) -> None:
    values = (np.random.default_rng(1).random(n) < rate).astype(float)
    ours = estimate(values, np.ones(n), list(map(str, range(n))))
    theirs = bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", random_state=0
    ).confidence_interval
    assert ours.value == values.mean()
    assert ours.low == pytest.approx(theirs.low, abs=1.5 / n)
    assert ours.high == pytest.approx(theirs.high, abs=1.5 / n)


def test_the_interval_of_a_ratio_is_that_of_scipy() -> None:
    rng = np.random.default_rng(2)
    wrong = (rng.random(80) < 0.5).astype(float)
    copied = wrong * (rng.random(80) < 0.3)
    ours = estimate(copied, wrong, list(map(str, range(80))))
    theirs = bootstrap(
        (copied, wrong),
        lambda a, b, axis: a.sum(axis=axis) / b.sum(axis=axis),
        n_resamples=4000,
        paired=True,
        method="percentile",
        random_state=0,  # `rng` only since scipy 1.15
    ).confidence_interval
    assert ours.value == copied.sum() / wrong.sum()
    assert ours.n == wrong.sum()
    assert ours.low == pytest.approx(theirs.low, abs=0.04)
    assert ours.high == pytest.approx(theirs.high, abs=0.04)


def test_answers_of_one_target_go_together() -> None:
    """Four answers a target, all alike, say no more than one."""
    values = (np.random.default_rng(3).random(50) < 0.5).astype(float)
    names = list(map(str, range(50)))
    one, four = (
        estimate(values, np.ones(50), names),
        estimate(np.repeat(values, 4), np.ones(200), sorted(names * 4, key=int)),
    )
    assert (four.low, four.high) == pytest.approx((one.low, one.high))
    assert (one.n, four.n) == (50, 200)


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=20), st.booleans())
def test_the_interval_holds_the_value(parts: Sequence[float], alike: bool) -> None:
    values = np.full(len(parts), parts[0]) if alike else np.array(parts)
    found = estimate(values, np.ones(len(values)), list(map(str, range(len(values)))))
    assert 0 <= found.low <= found.value + 1e-12 <= found.high + 2e-12 <= 1 + 1e-9
    if alike:
        assert found.low == pytest.approx(found.high)
    assert found == estimate(values, np.ones(len(values)), list(map(str, range(len(values))))), "a fixed seed"


@pytest.fixture(scope="module")
def topics() -> QuestionSet:
    return make_questions(load_task("topics", seed=0), 4, seed=0, n_targets=40, kinds=(*of.KINDS, of.BETWEEN))


@pytest.fixture(scope="module")
def gloss() -> QuestionSet:
    return make_questions(load_task("gloss", seed=0), 4, seed=0, n_targets=40, kinds=(*of.KINDS, of.BETWEEN))


def rows_of(questions: QuestionSet, behaviour: Callable[[Question], str]) -> Rows:
    """Rows of a model that answers so; it may see the context and the target's input alone."""
    rows = measure(questions, [behaviour(question) for question in questions.questions], RUN, 7)
    assert all((row.task, row.strategy, row.seed, row.step) == ("topics", "random", 5, 7) for row in rows)
    return {(row.set, row.probe, row.grade): row for row in rows}


def first_label(question: Question) -> str:
    """Blind copying: the first demonstration's label, whatever it is."""
    return question.context[0].output if question.context else ""


def follow_gloss(question: Question) -> str:
    """Perfect ICL on gloss: each word's gloss from the context, a word of no language where it has none."""
    shown = [e.output.split() for e in question.context]
    lexicon = {word: gloss for words in shown for word, gloss in zip(words[::2], words[1::2], strict=True)}
    return " ".join(f"{w} {lexicon.get(w, '?')}" for w in question.target.input.split())


def values(rows: Rows, probe: str, name: str = "id") -> dict[float, float]:
    return {
        grade: row.value for (found, which, grade), row in rows.items() if (found, which) == (name, probe)
    }


def test_the_label_of_the_nearest_neighbour_is_a_baseline(topics):
    """Whatever was answered: the share of retrieved contexts whose most similar example is relevant."""
    asked = [q for q in topics.questions if q.kind == of.RETRIEVED]
    assert asked
    for name in ("id", "ood"):
        of_set = [q for q in asked if q.set == name]
        right = [q.context[int(np.argmax(q.similarity))].output == q.target.output for q in of_set]
        for answers in (["nonsense"] * len(topics.questions), [q.target.output for q in topics.questions]):
            rows = {
                (r.set, r.probe): r.value
                for r in measure(topics, answers, Run(Path("x"), "topics", "tiny", "random", 0), 1)
            }
            assert rows[name, "nearest_label"] == pytest.approx(np.mean(right))
            assert rows[name, "retrieved"] == (0 if answers[0] == "nonsense" else 1)
