"""Every question that the runs of a results folder were asked, with its prompt and all answers to it.

All of it is read from each run's questions.parquet, to which prompts are written when they are asked.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ccutils.records import ORDER, read_json

HALF = 0.5  # of a score, or of a copied share: from here on the whole answer counts as right, or as copied
SAME_QUESTIONS = ("task", "model", "seed", "k", "similarity", "n_targets", "task_options", "kinds")
"""Parameters of probing that determine the questions; runs that share them are shown together."""
QUESTION_KEY = ["set", "kind", "grade", "target", "turn"]


@dataclass(frozen=True, slots=True)
class AskedRun:
    """One run's scored answers, its name (strategy with variant), and how many prompts were cut short."""

    name: str
    table: pd.DataFrame
    cut: int

    def step(self, step: int) -> pd.DataFrame:
        """Select the rows of one step. Column turn: a target may have several contexts of one kind."""
        table = self.table[self.table["step"] == step]
        return table.assign(turn=table.groupby(QUESTION_KEY[:-1]).cumcount()).reset_index(drop=True)


@dataclass(slots=True)
class Numbered:
    """Distinct values, each with its number, so that what repeats is written once."""

    numbers: dict[Any, int] = field(default_factory=dict)

    def number(self, value: Any) -> int:
        """Number a value, the same value always alike."""
        return self.numbers.setdefault(value, len(self.numbers))

    def values(self) -> list[Any]:
        """List the values in the order of their numbers."""
        return list(self.numbers)


def answer_blocks(results: Path) -> Iterator[dict[str, Any]]:
    """Yield what answers.html shows, a block of JSON-like values for all runs that share their questions.

    A block's lists are as long as its questions, and contain numbers of the texts in `texts` and `examples`.
    """
    groups: dict[str, list[AskedRun]] = {}
    for path in sorted(results.rglob("questions.parquet")):
        given, table = read_json(path.with_name("probes.json")) or {}, pd.read_parquet(path)
        if given and "context" in table:  # runs asked before prompts were stored have none to show
            first = table.iloc[0]
            name = ",".join(filter(None, [first["strategy"], first["variant"]]))
            key = json.dumps({name: given.get(name) for name in SAME_QUESTIONS} | {"base": first["base"]})
            groups.setdefault(key, []).append(AskedRun(name, table, given["probes"].get("prompts_cut", 0)))
    for key, runs in groups.items():
        runs.sort(key=lambda run: (ORDER.index(run.name.partition(",")[0]), run.name))
        yield _block(json.loads(key), runs)


def _block(key: Mapping[str, Any], runs: Sequence[AskedRun]) -> dict[str, Any]:
    """Collect the questions of one task, model and seed, and the answers of each run at each step."""
    texts, examples = Numbered(), Numbered()
    asked = runs[0].step(0)
    context = [[] if slots is None else list(slots) for slots in asked["context"]]
    columns: dict[str, Any] = {name: asked[name].tolist() for name in ("set", "kind", "grade")}
    for name in ("expected", "own", "input", "question"):
        columns[name] = [texts.number(text) for text in asked[name]]
    columns |= {
        "best": [None if np.isnan(best) else round(best, 4) for best in asked["similarity"].astype(float)],
        "context": [[examples.number((s["question"], s["answer"])) for s in slots] for slots in context],
        "similarity": [[round(100 * s["similarity"]) for s in slots] for slots in context],
        "marks": ["".join(s["mark"] for s in slots) for slots in context],
    }
    shown = [{slot["answer"] for slot in slots} for slots in context]
    places = asked[QUESTION_KEY].reset_index(names="at")
    # Before training all strategies are the same model, so the first run's answers of step 0 are the base's.
    steps = [("base", runs[0], 0)]
    steps += [(run.name, run, int(step)) for run in runs for step in sorted(set(run.table["step"]) - {0})]
    cells = []
    for name, run, step in steps:
        answers = places.merge(run.step(step), on=QUESTION_KEY)
        score = answers["score"].astype(float)
        cells.append(
            {
                **{"run": name, "step": step, "at": answers["at"].tolist()},
                "answer": [texts.number(text) for text in answers["answer"]],
                "is": classify(answers, [shown[place] for place in answers["at"]]),
                "score": [None if np.isnan(one) else round(100 * one) for one in score],
            }
        )
    cut = runs[0].cut
    short = f"{cut} of {len(asked)} prompts did not fit the window: of those the least similar examples "
    return {
        **{name: key[name] for name in ("task", "model", "seed", "k", "base")},
        "notes": [f"{short} were left out before the model read them."] if cut else [],
        **{"instruction": asked["instruction"].iloc[0], "questions": columns, "cells": cells},
        **{"examples": examples.values(), "texts": texts.values()},
    }


def classify(answers: pd.DataFrame, shown: Sequence[set[str]]) -> str:
    """Write a letter for each answer: r right, c copied from the context, o other, ? not scored.

    Right begins at half the score. A wrong answer is copied where the column copied says so; of kinds for
    which it is empty, where it is an answer of its context (`shown`).
    """
    score, copied = answers["score"].to_numpy(float), answers["copied"].to_numpy(float)
    same = [answer in texts for answer, texts in zip(answers["answer"].str.strip(), shown, strict=True)]
    repeats = np.where(np.isnan(copied), same, copied >= HALF)
    return "".join(np.select([np.isnan(score), score >= HALF, repeats], ["?", "r", "c"], "o"))
