"""What paraphrasers make of a pool: how often they keep the label, how similar they are to their target.

python benchmarks/paraphrasers.py
python benchmarks/paraphrasers.py --task mtop --options '{"path": "../shared/data/mtop_en"}'

The label is kept where the nearest of all other examples by all-MiniLM-L6-v2 has it; what this judge says of
the inputs themselves stands in the line "none", and is as much as any paraphraser can reach. Of another
kind is what fell back: a model that says nothing usable gives way to rules. Seeds are validation seeds.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from contexts import machine

from ccutils.contexts.neighbours import Index
from ccutils.contexts.paraphrase import Paraphraser, Paraphrases, paraphrase
from ccutils.models import write_paraphrases
from ccutils.tasks import Task, load_task

SEED = 100  # a validation seed: never one of those that are reported
SIMILARITIES = ("bm25", "minilm")
KINDS = {"none": "", "rules": "", "task": "", "model": "smollm2"}
"""Kinds of paraphrasers with their sources."""


def similarity_to(texts: list[str], rows: list[int], index: Index) -> float:
    """Return the mean similarity of each text to the input at its row."""
    found = index.search(texts, len(index.texts))
    scores = found.scores[found.rows == np.array(rows)[:, None]]
    return float(scores.sum() / len(texts))


def label_kept(task: Task, texts: list[str], rows: list[int], index: Index) -> float:
    """Return how often the nearest example other than the target itself has the target's label."""
    nearest = index.search(texts, 1, exclude=[[row] for row in rows]).rows[:, 0]
    pairs = zip(rows, nearest, strict=True)
    return float(np.mean([task.relevant(task.pool[row], task.pool[other]) for row, other in pairs]))


def measure(
    task: Task, chosen: list[int], kind: str, cache: Path, indexes: dict[str, Index]
) -> tuple[dict[str, object], Paraphrases]:
    """Return the line of one paraphraser over the chosen rows of the pool, and what it said."""
    start = time.process_time()
    examples = [task.pool[row] for row in chosen]
    how = Paraphraser(kind, source=KINDS[kind], language=task.language, frames=task.frames, seed=SEED)
    made = paraphrase(examples, how, cache, own=task.paraphrase, write=write_paraphrases)
    took = time.process_time() - start
    pairs = [(text, row) for row, e in zip(chosen, examples, strict=True) for text in made.texts[e.input]]
    texts, rows = [text for text, _ in pairs], [row for _, row in pairs]
    line: dict[str, object] = {
        "paraphraser": f"{kind} {KINDS[kind]}".strip(),
        "of its kind": f"{made.shares().get(kind, 0):.2f}",
        "different": f"{np.mean([made.texts[e.input] != (e.input,) for e in examples]):.2f}",
        "each": f"{len(texts) / len(examples):.1f}",
        "label kept": f"{label_kept(task, texts, rows, indexes['minilm']):.2f}",
        **{name: f"{similarity_to(texts, rows, index):.2f}" for name, index in indexes.items()},
        "CPU s": f"{took:.0f}",
    }
    return line, made


def main() -> None:
    """Print a table of all paraphrasers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--task", default="requests")
    parser.add_argument("--options", type=json.loads, default={}, help="of the task, as JSON")
    parser.add_argument("--examples", type=int, default=100)
    parser.add_argument("--show", type=int, default=3, help="inputs whose paraphrases are printed")
    parser.add_argument("--results", type=Path, default=Path("results/paraphrasers"))
    given = parser.parse_args()
    task = load_task(given.task, seed=SEED, **given.options)
    chosen = np.random.default_rng(SEED).permutation(len(task.pool))[: given.examples].tolist()
    kinds = [kind for kind in KINDS if kind != "task" or task.paraphrase]
    indexes = {name: Index([e.input for e in task.pool], name) for name in SIMILARITIES}
    found = {kind: measure(task, chosen, kind, given.results / "cache", indexes) for kind in kinds}
    table = pd.DataFrame([line for line, _ in found.values()])
    print(f"{given.task}, {len(chosen)} of a pool of {len(task.pool)}, seed {SEED}; {machine()}\n")
    print(table.to_markdown(index=False, disable_numparse=True))
    for row in chosen[: given.show]:
        print(f"\n{task.pool[row].input}")
        for kind, (_, made) in found.items():
            print(f"  {kind}: {' | '.join(made.texts[task.pool[row].input])}")


if __name__ == "__main__":
    main()
