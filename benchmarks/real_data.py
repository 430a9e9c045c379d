"""Describe the real tasks from file to prompt: splits, neighbours, prompt lengths, score of gold answers.

python benchmarks/real_data.py                     # the files of ../shared/data
python benchmarks/real_data.py --data OTHER_FOLDER --similarity minilm

Prompts are tokenized by bytes (ByT5's tokenizer, which needs no download).
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from transformers import ByT5Tokenizer

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.common import machine, make_parser, timed
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


def report(name: str, task: Task, k: int, window: int, similarity: str) -> None:
    """Print the facts of one task."""
    print(f"\n{name}")
    for fact, value in task.facts.items():
        print(f"  {fact}: {value}")
    sets = {"pool": task.pool, "id_test": task.id_test, "ood_test": task.ood_test, "ood_pool": task.ood_pool}
    print("  examples:", ", ".join(f"{key} {len(part)}" for key, part in sets.items()))
    inputs = [e.input for e in task.pool]
    seconds, near = timed(lambda: pool_neighbours(inputs, k, similarity))
    relevant = [task.relevant(e, task.pool[row]) for e, row in zip(task.pool, near.rows[:, 0], strict=True)]
    print(
        f"  neighbours by {similarity}: {seconds:.1f} s; similarity of the nearest "
        f"{near.scores[:, 0].mean():.2f}; it is relevant in {np.mean(relevant):.0%}"
    )
    made = paraphrase_pool(task, choose_paraphraser(task, kind="rules"), Path("results/real_data"))
    print("  paraphrases by rules:", {kind: f"{share:.0%}" for kind, share in made.shares().items()})
    sampler = ContextSampler(Strategy("contrastive", k), near, inputs, seed=0)
    prompts = TrainingSet(task.pool, sampler, made, prompter=Prompter(ByT5Tokenizer(), task.template, window))
    found = prompts.survey(len(task.pool))
    print(
        f"  prompts with k = {k}: {found.mean_tokens:.0f} bytes on average, {found.most_tokens} at most; "
        f"window {window}: {found.dropped} demonstrations dropped in {found.prompts} prompts"
    )
    tests = [*task.id_test, *task.ood_test]
    gold = task.score([e.output for e in tests], tests)
    print(f"  score of the gold answers: {np.mean(gold):.4f} of {len(tests)}")


def main() -> None:
    """Describe each task."""
    parser = make_parser(__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--similarity", default="bm25")
    parser.add_argument("--k", type=int, default=8)
    parser.add_argument("--window", type=int, default=4096, help="tokens of a prompt")
    given = parser.parse_args()
    print(machine())
    for name in given.tasks:
        options = TASKS[name] | {"path": str((given.data / TASKS[name]["path"]).resolve())}
        report(name, load_task(name, seed=0, **options), given.k, given.window, given.similarity)


if __name__ == "__main__":
    main()
