"""The questions: nothing relevant where nothing should be, paired, changed labels that differ."""

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccutils.contexts.neighbours import Index, fold
from ccutils.errors import InputError
from ccutils.origin import hash_texts
from ccutils.probes import questions as of
from ccutils.probes.questions import (
    CHANGED,
    EMPTY,
    NEIGHBOUR,
    NEIGHBOURS,
    PLAIN,
    RETRIEVED,
    Question,
    QuestionSet,
    curve_questions,
    make_questions,
    one_target,
)
from ccutils.tasks import Example, Task, load_task

DATA = Path(__file__).parents[3] / "shared" / "data"
ALL = (*of.KINDS, of.BETWEEN)
SMALL = {
    "topics": {"n_topics": 12, "n_novel": 6, "pool_size": 80, "n_test": 12},
    "gloss": {"n_words": 24, "n_novel": 12, "pool_size": 80, "n_test": 12},
}


@settings(deadline=None, max_examples=12)
@given(name=st.sampled_from(list(SMALL)), seed=st.integers(0, 10**6), k=st.integers(1, 7))
def test_contexts_hold_what_they_should(name: str, seed: int, k: int) -> None:
    questions = make_questions(
        load_task(name, seed=seed, **SMALL[name]), k, seed=seed, n_targets=8, kinds=ALL
    )
    assert {question.set for question in questions.questions} == {"id", "ood"}
    check(questions)


REAL = {
    "mtop": {"path": str(DATA / "mtop_en"), "pool_size": 300, "n_test": 20},
    "translation": {"path": str(DATA / "ntrex"), "pool_size": 300, "n_test": 20},
    "text_to_sql": {"path": str(DATA / "geoquery_sql"), "pool_size": 200, "n_test": 20},
}


@pytest.mark.parametrize("name", list(REAL))
@pytest.mark.filterwarnings("ignore:Set aside")
def test_contexts_of_real_tasks(name: str) -> None:
    if not DATA.exists():
        pytest.skip("needs ../shared/data")
    questions = make_questions(load_task(name, seed=0, **REAL[name]), 4, seed=0, n_targets=15, kinds=ALL)
    check(questions)
    assert {question.kind for question in questions.questions} == set(of.KINDS)


@pytest.mark.parametrize("name", list(SMALL))
def test_contexts_of_a_target_differ_only_where_they_must(name: str) -> None:
    """Grade g + 1 replaces one demonstration of grade g; a changed label changes nothing but labels."""
    questions = make_questions(load_task(name, seed=3, **SMALL[name]), 5, seed=3, n_targets=8)
    pairs = 0
    for kinds in by_target(questions).values():
        for (kind, grade), found in kinds.items():
            question = found[0]
            if kind == PLAIN and (PLAIN, grade + 1) in kinds:
                more = kinds[PLAIN, grade + 1][0]
                assert sum(a != b for a, b in zip(question.context, more.context, strict=True)) == 1
                pairs += 1
            if kind == CHANGED:
                plain = kinds[PLAIN, grade][0]
                assert [e.input for e in question.context] == [e.input for e in plain.context]
                changed = [a != b for a, b in zip(question.context, plain.context, strict=True)]
                tells = [questions.task.relevant(question.target, e) for e in plain.context]
                assert changed == tells
                assert question.expected.output != question.target.output
            if kind == NEIGHBOUR:
                none = kinds[PLAIN, 0][0]
                for other in found:
                    assert sum(a != b for a, b in zip(other.context, none.context, strict=True)) == 1
                assert len(found) == NEIGHBOURS
    assert pairs > 20


def test_changed_labels_are_new_to_the_context() -> None:
    questions = make_questions(load_task("topics", seed=1, **SMALL["topics"]), 4, seed=1, n_targets=12)
    changed = [question for question in questions.questions if question.kind == CHANGED]
    assert {question.grade for question in changed} == {1, 4}
    for question in changed:
        followers = [e for e in question.context if e.output == question.expected.output]
        assert len(followers) == question.grade
        assert all(e.group == question.target.group for e in followers)


def test_same_questions_every_time_and_whatever_their_number() -> None:
    task = load_task("topics", seed=0, **SMALL["topics"])
    few, many = make_questions(task, 4, seed=0, n_targets=5), make_questions(task, 4, seed=0, n_targets=12)
    assert (
        few.questions
        == make_questions(load_task("topics", seed=0, **SMALL["topics"]), 4, seed=0, n_targets=5).questions
    )
    assert [question for question in many.questions if question in few.questions] == list(few.questions)
    assert few.questions != make_questions(task, 4, seed=1, n_targets=5).questions


def test_the_relevant_example_may_be_in_any_slot_and_is_the_nearest() -> None:
    task = load_task("topics", seed=0, n_test=200)
    questions = [
        i
        for i in make_questions(task, 4, seed=0, n_targets=200).questions
        if (i.kind, i.grade, i.set) == (PLAIN, 1, "id")
    ]
    slots = np.array([[task.relevant(i.target, e) for e in i.context].index(True) for i in questions])
    counts = np.bincount(slots, minlength=4)
    assert counts.min() > 0.25 * len(questions) - 4 * np.sqrt(len(questions) * 0.25 * 0.75)
    index = Index([e.input for e in [*task.pool, *task.ood_pool]])
    for question, slot in zip(questions[:20], slots, strict=False):
        own = [e.input for e in task.pool if task.relevant(question.target, e)]
        best = index.between([question.target.input] * len(own), own).max()
        assert question.similarity[slot] == pytest.approx(best, abs=1e-4)


def test_neighbours_span_the_range_of_similarity() -> None:
    task = load_task("gloss", seed=0)
    best = [
        max(i.similarity)
        for i in make_questions(task, 6, seed=0, n_targets=60).questions
        if i.kind == NEIGHBOUR
    ]
    assert np.count_nonzero(np.histogram(best, 10, (0, 1))[0]) >= 7


def test_ood_contexts_are_of_the_ood_pool() -> None:
    task = load_task("topics", seed=0, **SMALL["topics"])
    novel = {e.group for e in task.ood_pool}
    for question in make_questions(task, 4, seed=0, n_targets=12).questions:
        if question.kind == PLAIN:
            assert all((e.group in novel) == (question.set == "ood") for e in question.context)


def test_questions_of_the_first_kinds_stay_the_same() -> None:
    """The hash was made before other kinds existed: results of then and now answer the same questions."""
    made = make_questions(load_task("topics", seed=0), 4, seed=0, n_targets=30, kinds=of.FIRST_KINDS)
    lines = [
        [q.set, q.kind, q.grade, q.target.input, q.expected.output, [[e.input, e.output] for e in q.context]]
        for q in made.questions
    ]
    assert hash_texts(lines) == "7e8630369913f45aff18b6df7496aaa6"


@pytest.mark.parametrize("kinds", [(PLAIN,), (of.HARD, RETRIEVED), (NEIGHBOUR, of.MISLABELLED)])
def test_selected_kinds_are_the_same_questions_as_among_all(kinds: tuple[str, ...]) -> None:
    task = load_task("topics", seed=0, **SMALL["topics"])
    some, every = (make_questions(task, 4, seed=0, n_targets=5, kinds=k) for k in (kinds, ALL))
    chosen = [q for q in every.questions if q.kind in kinds and (q.kind != PLAIN or q.grade in (0, 1, 4))]
    assert list(some.questions) == chosen != []
    with pytest.raises(InputError, match="nonsense"):
        make_questions(task, 4, seed=0, kinds=["nonsense"])


def test_hard_negatives_are_similar_and_similarity_does_not_tell_which_is_relevant() -> None:
    made = make_questions(load_task("requests", seed=0), 4, seed=0, n_targets=200, kinds=[PLAIN, of.HARD])
    ranks, best = [], dict[str, list[float]]()
    for q in made.questions:
        if q.grade == 1:
            own = q.similarity[q.needed.index(True)]
            others = [s for s, needed in zip(q.similarity, q.needed, strict=True) if not needed]
            best.setdefault(q.kind, []).append(max(others))
            if q.kind == of.HARD:
                ranks.append(sum(s > own for s in others))
    assert np.mean(best[of.HARD]) > 2 * np.mean(best[PLAIN])
    counts = np.bincount(ranks, minlength=4) / len(ranks)
    assert counts.min() > 0.15 and counts.max() < 0.35


@pytest.mark.parametrize("name", ["topics", "requests"])
def test_a_changed_or_wrong_label_is_all_that_differs_from_the_plain_hard_context(name: str) -> None:
    task = load_task(name, seed=3, **SMALL.get(name, {}))
    made = make_questions(task, 4, seed=3, n_targets=8, kinds=ALL)
    pairs = 0
    for kinds in by_target(made).values():
        for before, after in (((PLAIN, 0), (of.MISLABELLED, 0)), ((of.HARD, 1), (of.HARD_CHANGED, 1))):
            if before in kinds and after in kinds:
                assert differing(kinds[before][0], kinds[after][0]) == 1
        if (of.MISLABELLED, 1) in kinds:
            changed, both = kinds[of.HARD_CHANGED, 1][0], kinds[of.MISLABELLED, 1][0]
            assert differing(changed, both) == 1 and changed.expected == both.expected
            labels = [e.output for e in both.context]
            assert labels.count(both.wrong_label) == 1
            assert both.wrong_label not in (both.target.output, both.expected.output)
            pairs += 1
    assert pairs > 10


def differing(one: Question, other: Question) -> int:
    """Count the slots with another label; the inputs must be the same."""
    assert [e.input for e in one.context] == [e.input for e in other.context]
    return sum(a.output != b.output for a, b in zip(one.context, other.context, strict=True))


def test_retrieved_contexts_in_order_and_with_wrong_labels() -> None:
    task = load_task("topics", seed=0)
    made = make_questions(task, 4, seed=0, n_targets=200, kinds=ALL)
    wrong = dict.fromkeys(of.NOISY, 0)
    for (name, _), kinds in by_target(made).items():
        plain = kinds[RETRIEVED, 0][0]
        first, last = kinds[of.NEAREST_FIRST, 0][0], kinds[of.NEAREST_LAST, 0][0]
        assert first.context == last.context[::-1] and list(last.similarity) == sorted(plain.similarity)
        assert all(((kind, 0) in kinds) == (name == "id") for kind in of.NOISY)
        for kind in of.NOISY if name == "id" else ():
            wrong[kind] += differing(plain, kinds[kind, 0][0])
    assert {kind: n / 800 for kind, n in wrong.items()} == pytest.approx(of.NOISY, abs=0.06)


@pytest.mark.parametrize("options", [{}, {"answer": "parse"}])
def test_changed_labels_of_requests_are_as_familiar_and_frequent_as_the_targets(
    options: dict[str, str],
) -> None:
    task = load_task("requests", seed=0, **options)
    first = {e.output.split()[0] for e in task.pool}
    changed = [q for q in make_questions(task, 4, seed=0, n_targets=200).questions if q.kind == CHANGED]
    drawn = {name: [q.expected.output.split()[0] for q in changed if q.set == name] for name in ("id", "ood")}
    assert set(drawn["id"]) <= first and not set(drawn["ood"]) & first
    common = Counter(e.output.split()[0] for e in task.pool).most_common(5)
    share = sum(n for _, n in common) / len(task.pool)
    assert np.mean([label in dict(common) for label in drawn["id"]]) > share / 2


def tagged(pool: list[Example], ood_pool: list[Example], target: Example) -> Task:
    """A task of one target, in which an example tells something where its group is the target's."""

    def no_labels(*rest: object) -> tuple[list[Example], str]:
        raise InputError("no label is free.")

    return Task(
        name="tagged",
        pool=pool,
        id_test=[target],
        ood_test=[target],
        ood_pool=ood_pool,
        score=lambda answers, examples: np.ones(len(answers)),
        change_labels=no_labels,
        relevant=lambda one, other: one.group == other.group,
    )


def test_what_is_missing_is_left_out_and_counted() -> None:
    """One mate beside a duplicate of the target; a label that cannot be changed; no OOD mates."""
    target = Example("a b", "A", "a")
    others = [Example(f"x{i} y{i}", f"X{i}", f"x{i}") for i in range(4)]
    pool = [Example("a c", "A", "a"), Example("A  B", "A", "a"), Example("q r", "A", "q"), *others]
    questions = make_questions(tagged(pool, others[:1], target), 3, seed=0)
    check(questions)
    assert questions.left_out == {
        "id, 1 relevant, label changed": 1,
        "id, 0 relevant, one mislabelled": 1,
        "id, hard negatives, label changed": 1,
        "ood, 0 relevant, one mislabelled": 1,
        "ood, hard negatives": 1,
        "id, 2 relevant": 1,
        "id, 3 relevant": 1,
        "ood, 1 relevant": 1,
        "ood, 2 relevant": 1,
        "ood, 3 relevant": 1,
    }
    plain = [(i.set, i.grade) for i in questions.questions if i.kind == PLAIN]
    assert plain == [("id", 0), ("id", 1), ("ood", 0)]
    assert others[0] in next(i.context for i in questions.questions if i.set == "ood"), "OOD pool first"


def test_questions_of_a_curve_are_a_part_of_all_in_their_order() -> None:
    questions = make_questions(load_task("topics", seed=0, **SMALL["topics"]), 3, seed=0, n_targets=12)
    some = curve_questions(questions)
    kinds = {(q.kind, q.grade) for q in some.questions}
    assert kinds == {(PLAIN, 0), (PLAIN, 1), (CHANGED, 1), (EMPTY, 0)}
    assert list(some.questions) == [q for q in questions.questions if (q.kind, q.grade) in kinds]
    assert (some.task, some.k, some.left_out) == (questions.task, questions.k, questions.left_out)


def test_one_target_to_look_at() -> None:
    questions = make_questions(load_task("topics", seed=0, **SMALL["topics"]), 4, seed=0, n_targets=5)
    shown = [questions.questions[i] for i in one_target(questions)]
    assert [(i.kind, i.grade) for i in shown] == [(PLAIN, 0), (PLAIN, 1), (CHANGED, 1)]
    assert len({i.target.input for i in shown}) == 1


def check(questions: QuestionSet) -> None:
    """What must hold of every question of any task."""
    task, k = questions.task, questions.k
    pools = {"id": list(task.pool), "ood": [*task.ood_pool, *task.pool]}
    for question in questions.questions:
        assert len(question.context) == len(question.similarity) == (0 if question.kind == EMPTY else k)
        assert all(0 <= s <= 1 for s in question.similarity)
        assert all(fold(e.input) != fold(question.target.input) for e in question.context), (
            "never a duplicate"
        )
        tells = [task.relevant(question.target, e) for e in question.context]
        if question.kind == PLAIN:
            assert sum(tells) == question.grade
            assert question.expected is question.target
            assert all(e in pools[question.set] for e in question.context)
            for e, told in zip(question.context, tells, strict=True):
                assert told or e.output != question.target.output
        elif question.kind == NEIGHBOUR:
            assert sum(tells) <= 1
        elif question.kind == of.HARD:
            assert sum(tells) == 1 and question.needed == tuple(tells)


def by_target(questions: QuestionSet) -> dict[tuple[str, str], dict[tuple[str, int], list[Question]]]:
    found: dict[tuple[str, str], dict[tuple[str, int], list[Question]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for question in questions.questions:
        found[question.set, question.target.input][question.kind, question.grade].append(question)
    return found


@pytest.mark.parametrize("name", ["topics", "gloss"])
def test_a_changed_label_is_as_novel_as_the_targets_own(name: str) -> None:
    """Else a model could pick the one familiar label of a context without reading it."""
    task = load_task(name, seed=3)
    trained = {w for e in task.pool for w in e.output.split() if w.isupper()}
    changed = [q for q in make_questions(task, 6, seed=3, n_targets=40).questions if q.kind == CHANGED]
    assert {q.set for q in changed} == {"id", "ood"}
    for q in changed:
        new = {w for w in q.expected.output.split() if w.isupper()} - {"ANY"}
        assert new and (new <= trained if q.set == "id" else not new & trained)


def test_every_target_is_asked_without_a_context() -> None:
    asked = (
        make_questions(load_task("topics", seed=0, **SMALL["topics"]), 3, seed=0, n_targets=5)
        .only(EMPTY)
        .questions
    )
    assert len(asked) == len({(q.set, q.target.input) for q in asked}) == 10
    assert all(q.context == q.irrelevant == () and q.expected == q.target for q in asked)


@pytest.mark.parametrize("name", list(SMALL))
def test_what_is_retrieved_is_the_most_similar_of_all_labelled_examples(name: str) -> None:
    task = load_task(name, seed=2, **SMALL[name])
    examples = [*task.pool, *task.ood_pool]
    index = Index([e.input for e in examples], "bm25")
    asked = [q for q in make_questions(task, 4, seed=2, n_targets=6).questions if q.kind == RETRIEVED]
    assert len(asked) == 12
    for q in asked:
        found = index.search([q.target.input], len(examples))
        others = [
            s
            for row, s in zip(found.rows[0], found.scores[0], strict=True)
            if fold(examples[row].input) != fold(q.target.input)
        ]
        assert sorted(q.similarity, reverse=True) == pytest.approx(others[:4], abs=1e-6)
        assert not any(q.needed)
