"""What the real tasks are like from file to prompt: splits, neighbours, prompt lengths, gold answers.

python benchmarks/real_data.py                     # the files of ../shared/data
python benchmarks/real_data.py --data OTHER_FOLDER

Prompts are written with a byte-level tokenizer (ByT5's, which needs no download), so tokens are bytes.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from transformers import ByT5Tokenizer

sys.path.insert(0, str(Path(__file__).parents[1]))

from ccutils.contexts.neighbours import pool_neighbours
from ccutils.contexts.paraphrase import choose_paraphraser, paraphrase_pool
from ccutils.contexts.prompts import Prompter
from ccutils.contexts.sampler import ContextSampler, Strategy
from ccutils.tasks import Task, load_task
from ccutils.training.dataset import TrainingSet

TASKS: dict[str, dict[str, Any]] = {
    "mtop": {"path": "mtop_en"},
    "text_to_sql": {"path": "geoquery_sql"},
    "translation-de": {"path": "ntrex", "target": "de"},
    "translation-lt": {"path": "ntrex", "target": "lt"},
}


def report(name: str, task: Task, k: int, window: int) -> None:
    """Print what one task comes to."""
    print(f"\n{name}")
    for fact, value in task.facts.items():
        print(f"  {fact}: {value}")
    sets = {"pool": task.pool, "id_test": task.id_test, "ood_test": task.ood_test, "ood_pool": task.ood_pool}
    print("  examples:", ", ".join(f"{key} {len(part)}" for key, part in sets.items()))
    inputs, start = [e.input for e in task.pool], time.perf_counter()
    near = pool_neighbours(inputs, k)
    print(f"  neighbours by BM25: {time.perf_counter() - start:.1f} s", end="; ")
    told = [task.relevant(e, task.pool[row]) for e, row in zip(task.pool, near.rows[:, 0], strict=True)]
    print(f"similarity of the nearest {near.scores[:, 0].mean():.2f}; it is relevant in {np.mean(told):.0%}")
    made = paraphrase_pool(task, choose_paraphraser(task, kind="rules"), Path("results/real_data"))
    print("  paraphrases by rules:", {kind: f"{share:.0%}" for kind, share in made.shares().items()})
    sampler = ContextSampler(Strategy("contrastive", k), near, inputs, seed=0)
    prompts = TrainingSet(task.pool, sampler, made, prompter=Prompter(ByT5Tokenizer(), task.template, window))
    found = prompts.survey(len(task.pool))
    print(
        f"  prompts with k = {k}: {found.mean_tokens:.0f} bytes on average, {found.most_tokens} at most",
        end="",
    )
    print(f"; window {window}: {found.dropped} demonstrations dropped in {found.prompts} prompts")
    tests = [*task.id_test, *task.ood_test]
    gold = task.score([e.output for e in tests], tests)
    print(f"  score of the gold answers: {np.mean(gold):.4f} of {len(tests)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--k", type=int, default=8)
    parser.add_argument("--window", type=int, default=4096)
    options = parser.parse_args()
    for name, values in TASKS.items():
        folder = str((options.data / values["path"]).resolve())
        report(name, load_task(name, seed=0, **{**values, "path": folder}), options.k, options.window)


if __name__ == "__main__":
    main()
