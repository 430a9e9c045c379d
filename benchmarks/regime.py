"""In which regime of training is a synthetic task informative? Asked on validation seeds alone.

python benchmarks/regime.py topics --steps 250 800 --rate 1e-3 2e-3 --rank 16 --results FOLDER

Trains random and contrastive contexts at each combination, on bases of validation seeds (100 and above, never
one that is reported), asks the last step, and prints a table: what the weights know, what only the context
knows, beside the base. What FOLDER has is not trained again.
"""

import argparse
import itertools
import sys
from pathlib import Path
from typing import Any

import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from ccutils.evaluation import find_responder, probe_run
from ccutils.models import make_recipe, model_path
from ccutils.probes import make_questions
from ccutils.records import read_rows
from ccutils.report.aggregate import IWL, KNOWN, NOVEL, OVERRIDE, Headline
from ccutils.tasks import load_task
from ccutils.training import Plan, Settings, checkpoints, ic_train

STRATEGIES = ("random", "contrastive")
COLUMNS = {
    "knows": IWL,
    "id1": KNOWN,
    "novel": NOVEL,
    "override": OVERRIDE,
    "blind": Headline("blind copying ID, 1 relevant", "blind", "id", 1),
}


def rows_of(plan: Plan, targets: int) -> pd.DataFrame:
    """Train and probe one run, or find it; return its rows."""
    path = plan.run.folder / "probes.parquet"
    ic_train(plan)
    if not path.exists():
        task = load_task(plan.task, seed=plan.seed, **plan.task_options)
        base = model_path(plan.model, task, plan.cache, make_recipe(plan.recipe, plan.seed))
        responder = find_responder(
            [], base, plan.cache, quantise=plan.quantise, window=plan.window, chat=plan.chat
        )
        questions = make_questions(
            task, plan.k, seed=plan.seed, n_targets=targets, similarity=plan.similarity
        )
        probe_run(
            plan.run, questions, responder, checkpoints=checkpoints(plan.run.folder), parameters=plan.known()
        )
    return read_rows([path])


def main() -> None:
    """Train what is not there, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("task")
    parser.add_argument("--steps", type=int, nargs="+", default=[250])
    parser.add_argument("--rate", type=float, nargs="+", default=[2e-3])
    parser.add_argument("--rank", type=int, nargs="+", default=[16])
    parser.add_argument("--batch", type=int, nargs="+", default=[32])
    parser.add_argument("--pool", type=int, nargs="+", default=[1000])
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[100, 101])
    parser.add_argument("--targets", type=int, default=100)
    parser.add_argument("--results", type=Path, default=Path("results/regime"))
    given = parser.parse_args()
    if min(given.seeds) < 100:
        parser.error("a regime is chosen on validation seeds, 100 and above")
    lines: list[dict[str, Any]] = []
    for steps, rate, rank, batch, pool in itertools.product(
        given.steps, given.rate, given.rank, given.batch, given.pool
    ):
        regime = {"steps": steps, "rate": rate, "rank": rank, "batch": batch, "pool": pool}
        folder = given.results / ",".join(f"{name}={v:g}" for name, v in regime.items())
        share_cache(given.results / "cache", folder)
        for strategy, seed in itertools.product(given.strategies, given.seeds):
            plan = Plan(
                task=given.task,
                strategy=strategy,
                seed=seed,
                rank=rank,
                alpha=2 * rank,
                results=str(folder),
                task_options={"pool_size": pool},
                settings=Settings(steps=steps, batch=batch, learning_rate=rate, n_checkpoints=1),
            )
            rows = rows_of(plan, given.targets)
            for name, at in (("base", 0), (strategy, rows["step"].max())):
                scores = {
                    c: float(s.of(rows[rows["step"] == at])["value"].mean()) for c, s in COLUMNS.items()
                }
                lines.append({**regime, "strategy": name, "seed": seed, **scores})
            print(pd.DataFrame(lines[-1:]).to_string(header=len(lines) == 2, index=False), flush=True)
    table = pd.DataFrame(lines).drop_duplicates()
    mean = table.groupby(["steps", "rate", "rank", "batch", "pool", "strategy"], sort=False).mean()
    print(f"\n{given.task}, means over seeds {given.seeds}, {given.targets} targets a set\n")
    print(mean.drop(columns="seed").reset_index().to_markdown(index=False, floatfmt=".3g"))


def share_cache(cache: Path, folder: Path) -> None:
    """Let the regimes share the tiny bases: one cache for all."""
    cache.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "cache"
    if not link.exists():
        link.symlink_to(cache.resolve())


if __name__ == "__main__":
    main()
