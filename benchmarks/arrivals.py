"""Measure how trained models answer targets of new groups after 0, 1, 2 and 3 examples are added.

python benchmarks/arrivals.py results/smollm2
python benchmarks/arrivals.py results/smollm2 --similarities bm25 minilm --targets 20

All finished runs of the folder (one task and model) and their base are asked; the table shows means over
seeds. Notebook 03 shows the same for one run.
"""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.common import machine, make_parser
from ccutils.contexts import Prompter
from ccutils.models import answer, load_adapter, load_base, make_recipe
from ccutils.models.base import context_length, load_tokenizer, model_path
from ccutils.probes import LivePool, answer_arrivals, find_arrivals
from ccutils.records import read_json
from ccutils.tasks import load_task
from ccutils.training import checkpoints


def ask(folders: list[Path], similarities: list[str], most: int) -> Iterator[pd.DataFrame]:
    """Yield the answers of each run by similarity, and those of the base once for each seed."""
    pools: dict[
        tuple[int, str], LivePool
    ] = {}  # built once: embedding a pool takes longer than its questions
    for folder in folders:
        plan = read_json(folder / "plan.json") or {}
        task = load_task(plan["task"], seed=plan["seed"], **plan["task_options"])
        recipe = make_recipe(plan["recipe"], plan["seed"])
        path = model_path(plan["model"], task, folder.parents[3] / "cache", recipe)
        tokenizer, base = load_tokenizer(path), load_base(path, quantise=plan["quantise"])
        prompter = Prompter(tokenizer, task.template, plan["window"] or context_length(path), plan["chat"])
        model = load_adapter(base, list(checkpoints(folder).values())[-1])
        arrivals, say = find_arrivals(task, most=most), partial(answer, model, tokenizer)
        for similarity in similarities:
            key, named = (plan["seed"], similarity), {"seed": plan["seed"], "similarity": similarity}
            first = key not in pools
            pool = pools[key] = LivePool.make(task.pool, similarity) if first else pools[key]
            found = partial(answer_arrivals, say, prompter, pool, arrivals, task, k=plan["k"])
            if first:
                with model.disable_adapter():
                    yield found().assign(strategy="base", **named)
            yield found().assign(strategy=folder.parent.name, **named)
            print(f"done: {folder.parent.name}, seed {plan['seed']}, {similarity}", file=sys.stderr)


def main() -> None:
    """Print a table of strategies by similarity and number of examples added."""
    parser = make_parser(__doc__)
    parser.add_argument("results", type=Path, help="folder of one task's and model's runs")
    parser.add_argument("--similarities", nargs="+", default=["bm25"])
    parser.add_argument("--targets", type=int, default=20)
    given = parser.parse_args()
    runs = (path.parent for path in given.results.rglob("done.json"))
    folders = sorted(folder for folder in runs if "," not in folder.parent.name)  # no variants
    if len({folder.parents[1] for folder in folders}) != 1:
        raise SystemExit(
            f"{given.results} must contain runs of exactly one task and model: name its subfolder."
        )
    rows = pd.concat(ask(folders, given.similarities, given.targets), ignore_index=True)
    rows = rows.assign(shown=rows["shown"] > 0)
    shown = rows.groupby(["similarity", "added"])["shown"].mean().unstack("added")
    right = rows.groupby(["similarity", "strategy", "added"])["right"].mean().unstack("added")
    shown.index = pd.MultiIndex.from_product([shown.index, ["a relevant example is shown"]])
    table = pd.concat([right, shown]).reset_index(names=["similarity", "strategy"])
    print(f"{given.targets} targets a seed, seeds {sorted(set(rows['seed']))}; {machine()}\n")
    print(table.sort_values("similarity", kind="stable").to_markdown(index=False, floatfmt=".2f"))


if __name__ == "__main__":
    main()
