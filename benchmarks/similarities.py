"""How often the nearest examples are relevant, by similarity: what a strategy's dose rests on.

python benchmarks/similarities.py
python benchmarks/similarities.py --task mtop --options '{"path": "../shared/data/mtop_en"}'

Relevant is what the task calls so (for labels: the same one). Seeds are validation seeds.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from contexts import machine

from ccutils.contexts.neighbours import Index, pool_neighbours
from ccutils.tasks import Example, Task, load_task

SEED = 100  # a validation seed: never one of those that are reported


def share(task: Task, targets: list[Example], rows: np.ndarray, pool: list[Example]) -> tuple[float, float]:
    """Return how often the nearest is relevant, and the share of relevant ones among the k nearest."""
    found = np.array(
        [
            [task.relevant(target, pool[row]) for row in nearest if row >= 0]
            for target, nearest in zip(targets, rows, strict=True)
        ]
    )
    return float(found[:, 0].mean()), float(found.mean())


def measure(task: Task, similarity: str, k: int) -> dict[str, object]:
    """Return the line of one similarity: within the pool, and of ID and OOD targets in their pools."""
    start, line = time.process_time(), {"similarity": similarity}
    texts = [example.input for example in task.pool]
    inside = pool_neighbours(texts, k, similarity).rows
    lines = {"in the pool": share(task, list(task.pool), inside, list(task.pool))}
    for name, targets, pool in (("ID", task.id_test, task.pool), ("OOD", task.ood_test, task.ood_pool)):
        index = Index([example.input for example in pool], similarity)
        rows = index.search([target.input for target in targets], k).rows
        lines[name] = share(task, list(targets), rows, list(pool))
    for name, (first, of_k) in lines.items():
        line |= {f"{name}: the nearest": f"{first:.2f}", f"{name}: of {k}": f"{of_k:.2f}"}
    return {**line, "CPU s": f"{time.process_time() - start:.1f}"}


def main() -> None:
    """Print a table of all similarities."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--task", default="requests")
    parser.add_argument("--options", type=json.loads, default={}, help="of the task, as JSON")
    parser.add_argument("--similarities", nargs="+", default=["bm25", "tfidf", "minilm"])
    parser.add_argument("-k", type=int, default=4)
    given = parser.parse_args()
    task = load_task(given.task, seed=SEED, **given.options)
    table = pd.DataFrame([measure(task, similarity, given.k) for similarity in given.similarities])
    print(
        f"{given.task}, pool {len(task.pool)}, k = {given.k}, seed {SEED}; {machine()}, "
        f"{os.environ.get('OMP_NUM_THREADS', 'all')} thread(s)\n"
    )
    print(table.to_markdown(index=False, disable_numparse=True))


if __name__ == "__main__":
    main()
