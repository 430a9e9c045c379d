"""The probes' questions: targets of the test sets, each with contexts constructed for a purpose.

A pure function of (task, seed, k, similarity, n_targets, kinds): every strategy, checkpoint and model answers
the same questions, so comparisons are paired. The choice of kinds does not change questions of other kinds.
`_contexts`, `_hard`, `_mislabelled` and `_stored` construct the contexts.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from ccutils.contexts.neighbours import Index, fold
from ccutils.errors import InputError, check_count, check_kind
from ccutils.streams import Stream
from ccutils.tasks.base import Example, Task, label_key

PLAIN, CHANGED, NEIGHBOUR, EMPTY, RETRIEVED = "plain", "changed", "neighbour", "empty", "retrieved"
HARD, HARD_CHANGED, MISLABELLED = "hard", "hard_changed", "mislabelled"
NEAREST_FIRST, NEAREST_LAST = "nearest_first", "nearest_last"
NOISY = {"noisy_10": 0.1, "noisy_25": 0.25}
"""Kinds of retrieved contexts with this share of the stored labels wrong."""
BETWEEN = "between"
"""Selects PLAIN questions with 2 to k - 1 relevant examples; PLAIN alone selects those with 0, 1 and k."""
KINDS: tuple[str, ...] = (PLAIN, CHANGED, NEIGHBOUR, EMPTY, RETRIEVED)
KINDS += (HARD, HARD_CHANGED, MISLABELLED, NEAREST_FIRST, NEAREST_LAST, *NOISY)
FIRST_KINDS = (PLAIN, BETWEEN, CHANGED, NEIGHBOUR, EMPTY, RETRIEVED)
"""The kinds of results that do not record their kinds."""
DEFAULT_KINDS = (*FIRST_KINDS, HARD, HARD_CHANGED, MISLABELLED)
NEIGHBOURS = 3  # contexts of each target with one neighbour, at ranks spread over the pool
SETS = ("id", "ood")
SHOWN = {(PLAIN, 0), (PLAIN, 1), (CHANGED, 1)}
"""Kinds and grades for IWL-, ICL- and Copy-score and for quality with one relevant example."""
CURVE = {*SHOWN, (EMPTY, 0)}
"""Kinds and grades for curves over training."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question: a target of one set with a context, and the example that its answer is scored against.

    `kind` is one of KINDS:
    - PLAIN: true labels; CHANGED: the relevant examples have a changed label, and `expected` is the answer
      that follows it;
    - HARD, HARD_CHANGED: the same with one relevant example among similar irrelevant ones (see `_hard`);
    - MISLABELLED: one irrelevant example has a wrong label (`wrong_label`), with nothing relevant (grade 0),
      or with the changed relevant example of HARD_CHANGED (grade 1);
    - NEIGHBOUR: nothing relevant except possibly one neighbour; EMPTY: no demonstration;
    - RETRIEVED: the k most similar of all labelled examples in random order; NEAREST_FIRST, NEAREST_LAST: the
      same in order of similarity; NOISY: as RETRIEVED, with a share of the stored labels wrong (ID only).

    `grade` is the number of relevant examples in the context, 0 for kinds that do not control it.
    `similarity` is that of each demonstration to the target, `needed` marks those that the question is about,
    which are dropped last.
    """

    set: str
    kind: str
    grade: int
    target: Example
    expected: Example
    context: tuple[Example, ...]  # (k,) in the order of the prompt; EMPTY has none
    similarity: tuple[float, ...]  # (k,) in [0, 1]
    needed: tuple[bool, ...]  # (k,)
    wrong_label: str = ""

    @property
    def irrelevant(self) -> tuple[Example, ...]:
        """The demonstrations that the question is not about, in order."""
        return tuple(e for e, needed in zip(self.context, self.needed, strict=True) if not needed)


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """All questions of a task and seed; `left_out` counts the questions that could not be constructed."""

    task: Task
    seed: int
    k: int
    questions: tuple[Question, ...]
    left_out: Mapping[str, int]

    def only(self, kind: str) -> "QuestionSet":
        """Select the questions of one kind, such as PLAIN."""
        return replace(self, questions=tuple(q for q in self.questions if q.kind == kind))


@dataclass(frozen=True, slots=True)
class _LeftOut:
    """A question that cannot be constructed for a target."""

    kind: str
    grade: int
    what: str


@dataclass(frozen=True, slots=True)
class _Around:
    """One target and all labelled examples: the pool's first, then the OOD pool's."""

    task: Task
    seed: int
    set: str
    row: int  # of the target in its test set
    target: Example
    own_fold: str  # of the target's input
    examples: Sequence[Example]
    folded: Sequence[str]
    order: NDArray[np.int32]  # (n,) rows, most similar first
    scores: NDArray[np.float32]  # (n,) similarity by row

    def rows(self, name: str) -> range:
        """List the rows of the pool ("id") or of the OOD pool ("ood")."""
        n = len(self.task.pool)
        return range(n) if name == "id" else range(n, len(self.examples))

    def duplicate(self, row: int) -> bool:
        """Check whether the row's input is the target's up to case and spaces."""
        return self.folded[row] == self.own_fold

    def shown(self, rows: Sequence[int]) -> list[Example]:
        """List the examples of rows."""
        return [self.examples[row] for row in rows]

    def stored(self, row: int, share: float) -> Example:
        """Look up the row's example, with a wrong label if the row is in this share of all rows.

        The wrong labels are a function of seed and row; shares are nested.
        """
        rng, own = np.random.default_rng([self.seed, Stream.STORED_LABELS, row]), self.examples[row]
        if rng.random() >= share:
            return own
        try:
            return self.task.change_labels(own, [own], [], rng)[0][0]
        except InputError:
            return own

    def has_label(self, row: int) -> bool:
        """Check whether the row's label is the target's."""
        return label_key(self.examples[row].output) == label_key(self.target.output)

    def rng(self, stream: Stream) -> np.random.Generator:
        """Seed a generator for one kind of draws of this target."""
        return np.random.default_rng([self.seed, stream, SETS.index(self.set), self.row])

    def is_relevant(self, row: int) -> bool:
        """Check whether the row is relevant to the target's answer."""
        return self.task.relevant(self.target, self.examples[row])


def make_questions(
    task: Task,
    k: int,
    *,
    seed: int,
    n_targets: int = 100,
    similarity: str = "bm25",
    kinds: Collection[str] = (),
) -> QuestionSet:
    """Construct questions about at most `n_targets` targets of each test set, with k demonstrations each.

    `kinds` are from KINDS or BETWEEN; none: DEFAULT_KINDS. One index over pool and OOD pool measures
    similarity, so that it is comparable between both sets. Raises InputError for k or n_targets out of range
    and for an unknown kind.

    >>> from ccutils.tasks import load_task
    >>> questions = make_questions(load_task("topics", seed=0), k=2, seed=0, n_targets=1)
    >>> [(q.kind, q.grade) for q in questions.questions if q.set == "id"][:3]
    [('plain', 0), ('plain', 1), ('changed', 1)]
    """
    check_questions(task, k, n_targets, kinds)
    examples = [*task.pool, *task.ood_pool]
    folded = [fold(e.input) for e in examples]
    index = Index([e.input for e in examples], similarity)
    questions, left_out = list[Question](), Counter[str]()
    for number, (name, test) in enumerate(zip(SETS, (task.id_test, task.ood_test), strict=True)):
        rng = np.random.default_rng([seed, Stream.QUESTION_TARGETS, number])
        chosen = np.sort(rng.permutation(len(test))[:n_targets]).tolist()
        ranked = _ranked(index, [test[row].input for row in chosen])
        for row, (order, scores) in zip(chosen, ranked, strict=True):
            own_fold = fold(test[row].input)
            around = _Around(task, seed, name, row, test[row], own_fold, examples, folded, order, scores)
            for made in _contexts(around, k):
                between = made.kind == PLAIN and made.grade not in {0, 1, k}
                if (BETWEEN if between else made.kind) not in (kinds or DEFAULT_KINDS):
                    continue
                if isinstance(made, Question):
                    questions.append(made)
                else:
                    left_out[f"{name}, {made.what}"] += 1
    return QuestionSet(task, seed, k, tuple(questions), dict(left_out))


def check_questions(task: Task, k: int, n_targets: int, kinds: Collection[str] = ()) -> None:
    """Raise InputError for k or n_targets out of range and for an unknown kind."""
    for kind in kinds:
        if kind not in (*KINDS, BETWEEN):
            raise InputError(f"kinds has {kind!r}: choose from {', '.join((*KINDS, BETWEEN))}.")
    check_kind("n_targets", n_targets, 100)
    for name, value in (("k", k), ("n_targets", n_targets)):
        check_count(name, value)
    if k > len(task.pool):
        raise InputError(f"k is {k}, above the {len(task.pool)} examples of {task.name}'s pool: lower it.")


def curve_questions(questions: QuestionSet) -> QuestionSet:
    """Select the questions for curves over training: none relevant, one relevant, its label changed, empty.

    A third of all at k = 6; scores from them equal the same scores from all questions.
    """
    kept = tuple(q for q in questions.questions if (q.kind, q.grade) in CURVE)
    return replace(questions, questions=kept)


def one_target(questions: QuestionSet) -> list[int]:
    """Find the indices of three questions about one target: none relevant, one relevant, its label changed.

    Fewer if no target has all three.
    """
    best, asked = list[int](), questions.questions
    for _, group in groupby(range(len(asked)), key=lambda i: asked[i].target):
        best = max(best, [i for i in group if (asked[i].kind, asked[i].grade) in SHOWN], key=len)
    return best


def _ranked(index: Index, texts: Sequence[str]) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float32]]]:
    """Yield for each text all rows by similarity, and the similarities by row."""
    for start in range(0, len(texts), 32):  # a few at a time: a large pool has many similarities
        found = index.search(texts[start : start + 32], len(index.texts))
        scores = np.empty_like(found.scores)
        np.put_along_axis(scores, found.rows, found.scores, axis=1)
        yield from zip(found.rows, scores, strict=True)


def _contexts(around: _Around, k: int) -> Iterator[Question | _LeftOut]:
    """Yield the questions of one target, whose contexts differ in as few slots as their purpose allows.

    Each slot has an irrelevant example. At grade g the first g slots of a random order have the g most
    similar relevant examples instead, as a retriever would find them. So a relevant example is equally likely
    in every slot, and contexts of one target share their first demonstrations until they differ. A NEIGHBOUR
    takes the first of those slots.
    """
    task, target, rng = around.task, around.target, around.rng(Stream.QUESTION_CONTEXTS)
    relevant, irrelevant = _relevant(around), _irrelevant(around, k, rng)
    slots = rng.permutation(k).tolist()

    def filled(first: Sequence[int]) -> list[int]:
        """List rows in the order of `slots`: these, then irrelevant ones, each always in its own slot."""
        return [*first, *irrelevant[: k - len(first)][::-1]]

    for grade in range(k + 1):
        rows = filled(relevant[:grade])
        if len(relevant) < grade or len(rows) < k:
            yield _LeftOut(PLAIN, grade, f"{grade} relevant")
            continue
        shown = around.shown(rows)
        yield _question(around, PLAIN, grade, rows, shown, slots)
        if grade in {1, k}:
            try:
                changed, answer = task.change_labels(target, shown[:grade], shown[grade:], rng)
            except InputError:  # no label is free, or none can be changed
                yield _LeftOut(CHANGED, grade, f"{grade} relevant, label changed")
                continue
            shown = [*changed, *shown[grade:]]
            yield replace(
                _question(around, CHANGED, grade, rows, shown, slots), expected=replace(target, output=answer)
            )
    for row in _neighbours(around, irrelevant, rng):
        rows = filled([row])
        if len(rows) == k:
            yield _question(around, NEIGHBOUR, 0, rows, around.shown(rows), slots, needed=1)
    yield Question(around.set, EMPTY, 0, target, target, (), (), ())
    nearest = [row for row in around.order.tolist() if not around.duplicate(row)][:k]
    if len(nearest) == k:
        yield from _stored(around, nearest, slots)
    if len(rows := filled([])) == k:
        yield _mislabelled(around, 0, rows, around.shown(rows), slots, around.rng(Stream.MISLABELLED))
    yield from _hard(around, k, relevant)


def _question(
    around: _Around,
    kind: str,
    grade: int,
    rows: Sequence[int],
    shown: Sequence[Example],
    slots: Sequence[int],
    *,
    needed: int | None = None,
) -> Question:
    """Put the examples `shown`, one for each row, into their slots.

    The question is about the first `needed` of them (by default `grade`).
    """
    placed = np.argsort(slots).tolist()  # slot -> its index in `rows`
    similarity = tuple(float(around.scores[rows[i]]) for i in placed)
    about = tuple(i < (grade if needed is None else needed) for i in placed)
    context = tuple(shown[i] for i in placed)
    return Question(around.set, kind, grade, around.target, around.target, context, similarity, about)


def _hard(around: _Around, k: int, relevant: Sequence[int]) -> Iterator[Question | _LeftOut]:
    """Put one relevant example among similar irrelevant ones, so that similarity does not reveal it.

    Its rank by similarity among the k is drawn uniformly: it is the most similar relevant example with enough
    irrelevant ones above it, and the irrelevant ones are the most similar that leave it that rank. With the
    k - 1 most similar irrelevant ones instead, the nearest relevant example would be the most similar in 0.7
    to 0.8 of the questions. If irrelevant examples share no word with the target, as in `topics`, it always
    is. Then the same with a changed label, and with a wrong label on one irrelevant example as well.
    """
    rng, target = around.rng(Stream.HARD_NEGATIVES), around.target
    taken, own = {*relevant}, around.rows(around.set)
    free = [r for r in own if r not in taken and not around.duplicate(r) and not around.has_label(r)]
    drawn = rng.permutation(np.array(free, dtype=np.int64))  # ties are broken at random, not by row
    irrelevant = drawn[np.argsort(-around.scores[drawn], kind="stable")].tolist()
    above = np.searchsorted(-around.scores[irrelevant], -around.scores[list(relevant)])  # each relevant one
    similar = [(row, n) for row, n in zip(relevant, above.tolist(), strict=True) if around.scores[row] > 0]
    for rank in range(int(rng.integers(k)), -1, -1):
        row, n = next(((row, n) for row, n in similar if n >= rank), (-1, 0))
        rows = [row, *irrelevant[:rank], *irrelevant[n : n + k - 1 - rank]]
        if row >= 0 and len(rows) == k:
            break
    else:
        yield _LeftOut(HARD, 1, "hard negatives")
        return
    rows, slots = [row, *rng.permutation(rows[1:]).tolist()], rng.permutation(k).tolist()
    shown = around.shown(rows)
    yield _question(around, HARD, 1, rows, shown, slots)
    try:
        changed, answer = around.task.change_labels(target, shown[:1], shown[1:], rng)
    except InputError:
        yield _LeftOut(HARD_CHANGED, 1, "hard negatives, label changed")
        return
    shown, expected = [*changed, *shown[1:]], replace(target, output=answer)
    yield replace(_question(around, HARD_CHANGED, 1, rows, shown, slots), expected=expected)
    if k > 1:
        made = _mislabelled(around, 1, rows, shown, slots, rng)
        yield replace(made, expected=expected) if isinstance(made, Question) else made


def _mislabelled(
    around: _Around,
    grade: int,
    rows: Sequence[int],
    shown: Sequence[Example],
    slots: Sequence[int],
    rng: np.random.Generator,
) -> Question | _LeftOut:
    """Change the label of the irrelevant example after the `grade` relevant ones.

    The new label is neither its own nor the target's nor that of another demonstration.
    """
    before, one, after = shown[:grade], shown[grade], shown[grade + 1 :]
    try:
        [wrong], _ = around.task.change_labels(one, [one], [*before, *after, around.target], rng)
    except InputError:
        return _LeftOut(MISLABELLED, grade, f"{grade} relevant, one mislabelled")
    made = _question(around, MISLABELLED, grade, rows, [*before, wrong, *after], slots, needed=grade + 1)
    return replace(made, wrong_label=wrong.output)


def _stored(around: _Around, nearest: Sequence[int], slots: Sequence[int]) -> Iterator[Question]:
    """Show the k most similar of all labelled examples: shuffled, in order, and with some labels wrong."""
    shown, k = around.shown(nearest), len(nearest)
    yield _question(around, RETRIEVED, 0, nearest, shown, slots)
    yield _question(around, NEAREST_FIRST, 0, nearest, shown, range(k))
    yield _question(around, NEAREST_LAST, 0, nearest, shown, range(k)[::-1])
    for kind, share in NOISY.items() if around.set == "id" else ():
        noisy = [around.stored(row, share) for row in nearest]
        yield _question(around, kind, 0, nearest, noisy, slots)


def _relevant(around: _Around) -> list[int]:
    """List the relevant rows of the set's own pool, most similar first, without duplicates."""
    source = around.rows(around.set)
    own = [row for row in around.order.tolist() if row in source and not around.duplicate(row)]
    return [row for row in own if around.is_relevant(row)]


def _irrelevant(around: _Around, k: int, rng: np.random.Generator) -> list[int]:
    """Draw up to k irrelevant rows whose label is not the target's.

    For the OOD set they are from the OOD pool, so that novelty alone does not reveal the relevant example; if
    that has too few, the pool's follow.
    """
    found = list[int]()
    for name in ("id",) if around.set == "id" else ("ood", "id"):
        rows = around.rows(name)
        for row in (rng.permutation(len(rows)) + rows.start).tolist():
            if len(found) == k:
                return found
            if not (around.duplicate(row) or around.has_label(row) or around.is_relevant(row)):
                found.append(row)
    return found


def _neighbours(around: _Around, taken: Sequence[int], rng: np.random.Generator) -> list[int]:
    """Choose NEIGHBOURS rows of the set's own pool: rank m ** u of m, with u spread evenly over [0, 1)."""
    source = around.rows(around.set)
    free = [r for r in around.order.tolist() if r in source and r not in taken and not around.duplicate(r)]
    u = (np.arange(NEIGHBOURS) + rng.random(NEIGHBOURS)) / NEIGHBOURS
    return [free[int(rank) - 1] for rank in len(free) ** u] if free else []
