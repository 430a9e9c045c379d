"""Every question that the runs of a results folder were asked, with its prompt and all answers to it.

The prompts are made again by `make_questions`, a pure function of what lies in each run's probes.json: so
they need no file, and runs of older versions show theirs. They are held against the judged answers, and left
out, with a sentence that says so, where data or code have changed since.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ccutils.contexts import Prompter
from ccutils.errors import InputError
from ccutils.probes import CHANGED, Question, QuestionSet, make_questions
from ccutils.probes.judged import number_targets
from ccutils.probes.questions import FIRST_KINDS, HARD_CHANGED, MISLABELLED
from ccutils.records import ORDER, read_answers, read_json
from ccutils.tasks import Example, Task, load_task

RIGHT, COPIED, OTHER, UNJUDGED_ANSWER = "r", "c", "o", "?"
"""What an answer is, as one letter."""
HALF = 0.5  # of a score, or of a copied share: from here on the whole answer counts as right, or as copied
SAME_QUESTIONS = ("task", "model", "seed", "k", "similarity", "n_targets", "task_options", "kinds")
"""Parameters of probing on which the questions depend; of runs that share them the answers stand together."""
QUESTION_KEY = ["set", "kind", "grade", "target", "turn"]
NOT_KEPT = -1  # in the place of an answer's number


@dataclass(frozen=True, slots=True)
class AskedRun:
    """One run's judged answers, the folder that they lie in, its name (strategy with variant), and how many
    of its prompts did not fit the window.
    """

    name: str
    folder: Path
    table: pd.DataFrame
    cut: int

    def step(self, step: int) -> pd.DataFrame:
        """Return the lines of one step, in the order in which its questions were asked."""
        return numbered(self.table[self.table["step"] == step])


@dataclass(slots=True)
class Numbered:
    """Distinct values, each with its number, so that what repeats is written once."""

    numbers: dict[Any, int] = field(default_factory=dict)

    def number(self, value: Any) -> int:
        return self.numbers.setdefault(value, len(self.numbers))

    def values(self) -> list[Any]:
        return list(self.numbers)


def answer_blocks(results: Path) -> Iterator[dict[str, Any]]:
    """Yield what answers.html shows, a block of JSON-like values for all runs that share their questions.

    A block's lists are as long as its questions, and hold numbers of the texts in `texts` and `examples`; see
    `_written` and `_cells`.
    """
    groups: dict[str, list[AskedRun]] = {}
    for path in sorted(results.rglob("questions.parquet")):
        given = read_json(path.with_name("probes.json")) or {}
        table = pd.read_parquet(path)
        if given and len(table):
            first = table.iloc[0]
            name = ",".join(filter(None, [str(first["strategy"]), str(first.get("variant", ""))]))
            key = {**{name: given.get(name) for name in SAME_QUESTIONS}, "base": str(first.get("base", ""))}
            cut = int(given.get("probes", {}).get("prompts_cut", 0))
            groups.setdefault(json.dumps(key), []).append(AskedRun(name, path.parent, table, cut))
    for key_text, runs in groups.items():
        runs.sort(key=lambda run: (ORDER.index(run.name.partition(",")[0]), run.name))
        yield _block(results, json.loads(key_text), runs)


def _block(results: Path, key: Mapping[str, Any], runs: Sequence[AskedRun]) -> dict[str, Any]:
    """Return all that one task, model and seed have to show."""
    steps = {run.name: sorted(int(step) for step in run.table["step"].unique()) for run in runs}
    fullest = max(
        (run.step(step) for run in runs for step in (steps[run.name][-1], steps[run.name][0])), key=len
    )
    questions, problem = remake_questions(key, fullest)
    places = {line: i for i, line in enumerate(fullest[QUESTION_KEY].itertuples(index=False, name=None))}
    texts = Numbered()
    # Before training all strategies are the same model, so the first run's answers of step 0 are the base's.
    columns = [("base", runs[0], 0)] if 0 in steps[runs[0].name] else []
    columns += [(run.name, run, step) for run in runs for step in steps[run.name] if step]
    cells = [
        {"run": name, "step": step, **_cells(run, step, results, places, questions, texts)}
        for name, run, step in columns
    ]
    cut = runs[0].cut
    short = f"{cut} of {len(fullest)} prompts did not fit the window: of those the least similar examples "
    notes = [problem, f"{short} were left out before the model read them." if cut else ""]
    return {
        **{name: key[name] for name in ("task", "model", "seed", "k", "base")},
        "notes": [note for note in notes if note],
        **_written(fullest, questions, texts),
        "cells": cells,
        "texts": texts.values(),
    }


def numbered(table: pd.DataFrame) -> pd.DataFrame:
    """Return judged answers with the column turn: a target may have several contexts of one kind."""
    return table.assign(turn=table.groupby(QUESTION_KEY[:-1]).cumcount()).reset_index(drop=True)


def remake_questions(key: Mapping[str, Any], asked: pd.DataFrame) -> tuple[QuestionSet | None, str]:
    """Make a run's questions again and hold them against its judged answers.

    Returns None and a sentence that says why, where that cannot be done.
    """
    missing = [name for name in ("k", "similarity", "n_targets") if key[name] is None]
    if missing:
        return None, f"The prompts cannot be shown: the runs' probes.json lacks {', '.join(missing)}."
    try:
        task = load_task(str(key["task"]), seed=key["seed"], **(key["task_options"] or {}))
        made = make_questions(
            task,
            key["k"],
            seed=key["seed"],
            n_targets=key["n_targets"],
            similarity=key["similarity"],
            kinds=FIRST_KINDS if key["kinds"] is None else key["kinds"],
        )
    except (InputError, OSError) as error:
        return None, f"The prompts cannot be shown, since the task's data cannot be read: {error}"
    lines = pd.DataFrame(
        {
            "set": [q.set for q in made.questions],
            "kind": [q.kind for q in made.questions],
            "grade": [q.grade for q in made.questions],
            "target": number_targets(made),
        }
    )
    best = [max(q.similarity, default=np.nan) for q in made.questions]
    lines, asked = _dense(lines), _dense(asked)
    same = len(lines) == len(asked) and (
        (numbered(lines)[QUESTION_KEY].to_numpy() == asked[QUESTION_KEY].to_numpy()).all()
        and np.allclose(best, asked["similarity"], atol=1e-4, equal_nan=True)
    )
    kept = [text if isinstance(text, str) else None for text in asked["expected"]]
    wanted = [q.expected.output for q in made.questions]
    # Older versions kept texts of the last step alone.
    if same and kept in (wanted, [None] * len(wanted)):
        return made, ""
    return None, (
        "The prompts cannot be shown, since the task's data or this code have changed since the questions "
        "were asked: run notebook 04_probes again, which asks only what is new."
    )


def _dense(table: pd.DataFrame) -> pd.DataFrame:
    """Number the targets in the order of their first question, as older versions did."""
    return table.assign(target=pd.factorize(table["target"])[0])


def _written(asked: pd.DataFrame, made: QuestionSet | None, texts: Numbered) -> dict[str, Any]:
    """Return a block's questions: set, kind, grade, target (a number), best (similarity of the most similar
    demonstration) and expected (a text); of those made again, also target's own output, and by slot the
    context (numbers of examples), marks (see `_marks`) and similarity in hundredths.

    `examples` are pairs of a question and its answer as the prompt writes them; `targets` the place of each
    target among them, and its input alone.
    """
    asked = _dense(asked)
    best = asked["similarity"].astype(float)
    columns: dict[str, Any] = {name: asked[name].tolist() for name in ("set", "kind", "grade", "target")}
    columns["best"] = [None if np.isnan(b) else round(b, 4) for b in best]
    if made is None:
        kept = [text if isinstance(text, str) else "" for text in asked["expected"]]
        return {"questions": {**columns, "expected": [texts.number(text) for text in kept]}}
    examples, known = Numbered(), dict[int, int]()
    prompter = Prompter(None, replace(made.task.template, instruction=""), 0)

    def place(example: Example) -> int:
        if id(example) not in known:  # the same objects stand in many contexts
            question = prompter.messages([], example)[0]["content"]
            known[id(example)] = examples.number((question, prompter.answer_text(example).strip()))
        return known[id(example)]

    asked_of = {number: q.target for number, q in zip(columns["target"], made.questions, strict=True)}
    columns |= {
        "expected": [texts.number(q.expected.output) for q in made.questions],
        "own": [texts.number(q.target.output) for q in made.questions],
        "context": [[place(e) for e in q.context] for q in made.questions],
        "marks": [_marks(made.task, q) for q in made.questions],
        "similarity": [[round(100 * s) for s in q.similarity] for q in made.questions],
    }
    targets = {number: [place(target), target.input] for number, target in asked_of.items()}
    return {
        "instruction": made.task.template.instruction,
        "questions": columns,
        "targets": [targets[number] for number in sorted(targets)],
        "examples": examples.values(),
    }


def _marks(task: Task, question: Question) -> str:
    """Return a letter for each slot: c for a changed label, w for the wrong label of an irrelevant example, r
    for a relevant example, n for another that the question is about, . for the rest.
    """
    marks = []
    for example, needed in zip(question.context, question.needed, strict=True):
        if question.wrong_label and example.output == question.wrong_label:
            marks.append("w")
        elif needed and question.kind in (CHANGED, HARD_CHANGED, MISLABELLED):
            marks.append("c")
        elif task.relevant(question.target, example) or (needed and question.grade):
            marks.append("r")
        else:
            marks.append("n" if needed else ".")
    return "".join(marks)


def _cells(
    run: AskedRun,
    step: int,
    results: Path,
    places: Mapping[tuple[Any, ...], int],
    made: QuestionSet | None,
    texts: Numbered,
) -> dict[str, Any]:
    """Return the answers of one model: the places of the questions it was asked (`at`), numbers of answers,
    what each is (a letter each), and the score in hundredths.
    """
    table = run.step(step)
    at = [places.get(line, -1) for line in table[QUESTION_KEY].itertuples(index=False, name=None)]
    table, at = table[[place >= 0 for place in at]], [place for place in at if place >= 0]
    questions = [made.questions[place] for place in at] if made else None
    answers: list[str] | None = table["answer"].tolist()
    if not all(isinstance(answer, str) for answer in answers or ()):
        # Older versions kept texts of the last step alone; the others lie where they were first written.
        folder = run.folder if step else results / "cache"
        answers = find_texts(folder, step, table, questions, made.task) if questions and made else None
    scores = table["score"].to_numpy(float)
    return {
        "at": at,
        "answer": [texts.number(text) for text in answers] if answers else [NOT_KEPT] * len(at),
        "is": judge_each(table, answers, questions),
        "score": [None if np.isnan(score) else round(100 * score) for score in scores],
    }


def judge_each(
    table: pd.DataFrame, answers: Sequence[str] | None, questions: Sequence[Question] | None
) -> str:
    """Return a letter for each answer: right, copied from the context, other, or not judged.

    Right begins at half the score. A wrong answer is copied where the probes found so; of kinds of which
    they do not say, where it is a label of its context.
    """
    letters = []
    for i, (score, copied) in enumerate(zip(table["score"], table["copied"], strict=True)):
        if np.isnan(score):
            letters.append(UNJUDGED_ANSWER)
        elif score >= HALF:
            letters.append(RIGHT)
        elif np.isnan(copied) and answers and questions:
            labels = [example.output.split() for example in questions[i].context]
            letters.append(COPIED if answers[i].split() in labels else OTHER)
        else:
            letters.append(COPIED if copied >= HALF else OTHER)
    return "".join(letters)


def find_texts(
    folder: Path, step: int, table: pd.DataFrame, questions: Sequence[Question], task: Task
) -> list[str] | None:
    """Find a step's answers among the files in which they were first written: those with the scores that were
    judged.

    None where there are none, or where files that differ fit alike.
    """
    recorded, found = table["score"].to_numpy(float), set[tuple[str, ...]]()
    for path in sorted(folder.glob(f"answers-step-{step}-*.jsonl")):
        known = read_answers(path)
        places = [str(i) for i in range(len(questions))]
        if known.keys() == set(places):
            answers = [known[place] for place in places]
            scores = task.score(answers, [question.expected for question in questions])
            if np.allclose(scores, recorded, atol=1e-5, equal_nan=True):
                found.add(tuple(answers))
    return list(found.pop()) if len(found) == 1 else None
