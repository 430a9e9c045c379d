"""The questions that probes ask: targets of the test sets, each behind contexts made on purpose.

A pure function of (task, seed, k, similarity, n_targets): every strategy, checkpoint and model answers the
same ones, so that comparisons are paired. See `_contexts` for how contexts are made.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from ccutils.contexts.neighbours import Index, fold
from ccutils.errors import InputError, check_count, check_kind
from ccutils.streams import Stream
from ccutils.tasks.base import Example, Task, label_key

PLAIN, CHANGED, NEIGHBOUR, EMPTY = "plain", "changed", "neighbour", "empty"
RETRIEVED = "retrieved"
KINDS = (PLAIN, CHANGED, NEIGHBOUR, EMPTY, RETRIEVED)
NEIGHBOURS = 3  # contexts of each target that hold one neighbour, at ranks spread over the pool
SETS = ("id", "ood")
SHOWN = {(PLAIN, 0), (PLAIN, 1), (CHANGED, 1)}
"""Kinds and grades that IWL-, ICL- and Copy-score and quality with one relevant example are measured by."""
CURVE = {*SHOWN, (EMPTY, 0)}
"""Kinds and grades that curves over training are drawn of."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question: a target of one set behind a context, and the example that its answer is judged by.

    `kind` is PLAIN (true labels), CHANGED (the relevant examples have a changed label, and `expected` the
    answer that follows it), NEIGHBOUR (nothing relevant but, maybe, one neighbour), EMPTY (no demonstration
    at all, as a model trained without contexts is used) or RETRIEVED (the k most similar of all labelled
    examples, as a model is used that goes on adapting). `grade` counts the relevant examples put into the
    context; of NEIGHBOUR and RETRIEVED it says nothing (0). `similarity` is that of each demonstration to
    the target, `needed` marks those that the question is about: the last to be dropped.
    """

    set: str
    kind: str
    grade: int
    target: Example
    expected: Example
    context: tuple[Example, ...]  # (k,) in the order of the prompt; EMPTY has none
    similarity: tuple[float, ...]  # (k,) in [0, 1]
    needed: tuple[bool, ...]  # (k,)

    @property
    def irrelevant(self) -> tuple[Example, ...]:
        """The demonstrations that the question is not about."""
        return tuple(e for e, needed in zip(self.context, self.needed, strict=True) if not needed)


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """All questions of a task and seed; `left_out` counts targets without enough examples, by grade."""

    task: Task
    seed: int
    k: int
    questions: tuple[Question, ...]
    left_out: Mapping[str, int]

    def only(self, kind: str) -> "QuestionSet":
        """Keep the questions of one kind, such as PLAIN."""
        return replace(self, questions=tuple(q for q in self.questions if q.kind == kind))


@dataclass(frozen=True, slots=True)
class _Around:
    """One target and all labelled examples around it: the pool's first, then the OOD pool's."""

    task: Task
    set: str
    target: Example
    examples: Sequence[Example]
    folded: Sequence[str]
    order: NDArray[np.int32]  # (n,) rows, most similar first
    scores: NDArray[np.float32]  # (n,) similarity by row

    def rows(self, name: str) -> range:
        """Return rows of the pool ("id") or of the OOD pool ("ood")."""
        n = len(self.task.pool)
        return range(n) if name == "id" else range(n, len(self.examples))

    def duplicate(self, row: int) -> bool:
        """Tell whether the row's input is the target's own but for case and spaces."""
        return self.folded[row] == fold(self.target.input)

    def tells(self, row: int) -> bool:
        """Tell whether the row tells something of the target's answer."""
        return self.task.relevant(self.target, self.examples[row])


def make_questions(
    task: Task, k: int, *, seed: int, n_targets: int = 100, similarity: str = "bm25"
) -> QuestionSet:
    """Make the questions about at most `n_targets` targets of each test set, with k demonstrations each.

    Similarity is measured by one index over pool and OOD pool together, so that it means the same in both
    sets. Raises InputError for k or n_targets out of range.

    >>> from ccutils.tasks import load_task
    >>> questions = make_questions(load_task("topics", seed=0), k=2, seed=0, n_targets=1)
    >>> [(q.kind, q.grade) for q in questions.questions if q.set == "id"][:3]
    [('plain', 0), ('plain', 1), ('changed', 1)]
    """
    check_questions(task, k, n_targets)
    examples = [*task.pool, *task.ood_pool]
    folded = [fold(e.input) for e in examples]
    index = Index([e.input for e in examples], similarity)
    questions, left_out = list[Question](), Counter[str]()
    for number, (name, test) in enumerate(zip(SETS, (task.id_test, task.ood_test), strict=True)):
        chosen = np.sort(
            np.random.default_rng([seed, Stream.QUESTION_TARGETS, number]).permutation(len(test))[:n_targets]
        )
        for row, order, scores in _ranked(index, [test[row].input for row in chosen], chosen.tolist()):
            around = _Around(task, name, test[row], examples, folded, order, scores)
            rng = np.random.default_rng([seed, Stream.QUESTION_CONTEXTS, number, row])
            questions += _contexts(around, k, rng, left_out)
    return QuestionSet(task, seed, k, tuple(questions), dict(left_out))


def check_questions(task: Task, k: int, n_targets: int) -> None:
    """Raise InputError for k or n_targets out of range."""
    check_kind("n_targets", n_targets, 100)
    for name, value in (("k", k), ("n_targets", n_targets)):
        check_count(name, value)
    if k > len(task.pool):
        raise InputError(f"k is {k}, above the {len(task.pool)} examples of {task.name}'s pool: lower it.")


def curve_questions(questions: QuestionSet) -> QuestionSet:
    """Choose the questions that curves over training are drawn of: nothing relevant, one relevant, its label
    changed, no context.

    A third of all at k = 6; the scores that come of them are the same numbers as of all.
    """
    kept = tuple(q for q in questions.questions if (q.kind, q.grade) in CURVE)
    return replace(questions, questions=kept)


def one_target(questions: QuestionSet) -> list[int]:
    """Return the places of three questions about one target, to look at: nothing relevant, one relevant, its
    label changed.

    Fewer where no target has all three.
    """
    places = list[int]()
    for _, group in groupby(range(len(questions.questions)), key=lambda i: questions.questions[i].target):
        found = [i for i in group if (questions.questions[i].kind, questions.questions[i].grade) in SHOWN]
        places = max(places, found, key=len)
    return places


def _ranked(
    index: Index, texts: Sequence[str], names: Sequence[int]
) -> Iterator[tuple[int, NDArray[np.int32], NDArray[np.float32]]]:
    """For each text its name, all rows by similarity, and the similarities by row."""
    for start in range(0, len(texts), 32):  # a few at a time: a large pool has many similarities
        found = index.search(texts[start : start + 32], len(index.texts))
        scores = np.empty_like(found.scores)
        np.put_along_axis(scores, found.rows, found.scores, axis=1)
        yield from zip(names[start : start + 32], found.rows, scores, strict=True)


def _contexts(
    around: _Around, k: int, rng: np.random.Generator, left_out: Counter[str]
) -> Iterator[Question]:
    """Return the contexts of one target, which differ in as few slots as their purpose allows.

    Each slot has an irrelevant example, and a random order of the slots says which give way: at grade g the
    first g of that order hold the g most similar relevant examples, as a retriever would find them. So a
    relevant example is as likely in one slot as in another, and contexts of one target share their first
    demonstrations until they differ. A NEIGHBOUR takes the first of those slots.
    """
    task, target = around.task, around.target
    relevant, irrelevant = _relevant(around), _irrelevant(around, k, rng)
    slots = rng.permutation(k)

    def question(
        kind: str, grade: int, rows: Sequence[int], shown: Sequence[Example], expected: Example
    ) -> Question:
        placed = np.argsort(slots).tolist()  # slot -> its place in `rows`
        found = tuple(float(around.scores[rows[i]]) for i in placed)
        needed = tuple(i < max(grade, kind == NEIGHBOUR) for i in placed)
        return Question(
            around.set, kind, grade, target, expected, tuple(shown[i] for i in placed), found, needed
        )

    def filled(first: Sequence[int]) -> list[int]:
        """Return rows in the order of `slots`: these, then irrelevant ones, each always in its own slot."""
        return [*first, *irrelevant[: k - len(first)][::-1]]

    for grade in range(k + 1):
        rows = filled(relevant[:grade])
        if len(relevant) < grade or len(rows) < k:
            left_out[f"{around.set}, {grade} relevant"] += 1
            continue
        shown = [around.examples[row] for row in rows]
        yield question(PLAIN, grade, rows, shown, target)
        if grade in {1, k}:
            try:
                changed, answer = task.change_labels(target, shown[:grade], shown[grade:], rng)
            except InputError:  # no label is free, or none can be changed
                left_out[f"{around.set}, {grade} relevant, label changed"] += 1
                continue
            yield question(CHANGED, grade, rows, [*changed, *shown[grade:]], replace(target, output=answer))
    for row in _neighbours(around, irrelevant, rng):
        rows = filled([row])
        if len(rows) == k:
            yield question(NEIGHBOUR, 0, rows, [around.examples[r] for r in rows], target)
    yield Question(around.set, EMPTY, 0, target, target, (), (), ())
    nearest = [row for row in around.order.tolist() if not around.duplicate(row)][:k]
    if len(nearest) == k:
        yield question(RETRIEVED, 0, nearest, [around.examples[row] for row in nearest], target)


def _relevant(around: _Around) -> list[int]:
    """Return rows of the set's own pool that tell something, most similar first, none a duplicate."""
    source = around.rows(around.set)
    return [r for r in around.order.tolist() if r in source and not around.duplicate(r) and around.tells(r)]


def _irrelevant(around: _Around, k: int, rng: np.random.Generator) -> list[int]:
    """Return up to k random rows that tell nothing of the target's answer and do not have it as their label.

    For the OOD set they are of the OOD pool too, so that novelty alone does not give the relevant example
    away; where that has too few, the pool's follow.
    """
    found = list[int]()
    for name in ("id",) if around.set == "id" else ("ood", "id"):
        rows = around.rows(name)
        for row in (rng.permutation(len(rows)) + rows.start).tolist():
            if len(found) == k:
                return found
            same = label_key(around.examples[row].output) == label_key(around.target.output)
            own = around.duplicate(row) or same
            if not own and not around.tells(row):
                found.append(row)
    return found


def _neighbours(around: _Around, taken: Sequence[int], rng: np.random.Generator) -> list[int]:
    """NEIGHBOURS rows of the set's own pool: rank m ** u among the m left, with u spread evenly over [0,
    1)."""
    source = around.rows(around.set)
    free = [r for r in around.order.tolist() if r in source and r not in taken and not around.duplicate(r)]
    u = (np.arange(NEIGHBOURS) + rng.random(NEIGHBOURS)) / NEIGHBOURS
    return [free[int(rank) - 1] for rank in len(free) ** u] if free else []
