"""What sharing random demonstrations does to learning: the three scores with independent and shared contexts.

python benchmarks/sharing.py --task topics --steps 800

Contrastive contexts, the tiny base, seeds that are not those of profile `cpu`. targets_per_context 0:
independent
contexts; 1: the same with the target's own demonstration last; 8: shared by 8 targets, the own last. So 1
against 0 tells what the position does, 8 against 1 what sharing does. Finished runs are kept in --results.
"""

import argparse
import sys
import time
from pathlib import Path

import pandas as pd
from scipy.stats import sem, t

sys.path.insert(0, str(Path(__file__).parents[1]))

from ccutils.evaluation.responder import Responder
from ccutils.evaluation.runs import probe_run
from ccutils.models.base import model_path
from ccutils.probes.questions import make_questions
from ccutils.records import read_rows
from ccutils.report.aggregate import COPY, IWL, OVERRIDE, check_rows, final_rows
from ccutils.tasks import load_task
from ccutils.training.plan import Plan
from ccutils.training.run import ic_train
from ccutils.training.saved import checkpoints
from ccutils.training.settings import Settings

SCORES = (IWL, OVERRIDE, COPY)


def half_width(values: list[float]) -> float:
    """Return half the width of the 95% t interval of a mean."""
    return float(t.ppf(0.975, len(values) - 1) * sem(values))


def measure(plan: Plan, n_targets: int) -> dict[str, float]:
    """Train and probe the last step of one run: its scores, and the seconds of training."""
    seconds = ic_train(plan)["seconds"]
    task = load_task(plan.task, seed=plan.seed)
    step, adapter = list(checkpoints(plan.run.folder).items())[-1]
    questions = make_questions(task, plan.k, seed=plan.seed, n_targets=n_targets)
    probe_run(
        plan.run, questions, Responder(plan.model, plan.cache), checkpoints={step: adapter}, parameters={}
    )
    rows = final_rows(check_rows(read_rows([plan.run.folder / "probes.parquet"])))
    rows = rows[rows["strategy"] == plan.strategy]
    return {**{s.name: float(s.of(rows)["value"].mean()) for s in SCORES}, "seconds": seconds}


def summary(lines: pd.DataFrame) -> pd.DataFrame:
    """Mean ± half the 95% t interval over seeds of each score by group, and of its difference to group 1."""
    names = [s.name for s in SCORES]
    table = {}
    for group, part in lines.groupby("group"):
        wide = part.set_index("seed")
        apart = wide[names] - lines[lines["group"] == 1].set_index("seed")[names]
        cells = {n: f"{wide[n].mean():.3f} ± {half_width(list(wide[n])):.3f}" for n in names}
        cells |= {
            f"{n} − own last": f"{apart[n].mean():+.3f} ± {half_width(list(apart[n])):.3f}" for n in names
        }
        table[group] = {**cells, "seconds": f"{wide['seconds'].mean():.1f}"}
    return pd.DataFrame(table).T.rename_axis("group")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--task", default="topics")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--seeds", type=int, nargs="+", default=[200, 201, 202, 203, 204])
    parser.add_argument("--groups", type=int, nargs="+", default=[0, 1, 8])
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--results", default="results/sharing")
    options = parser.parse_args()
    base = model_path("tiny", load_task(options.task, seed=0), Path(options.results) / "cache")
    settings = Settings(steps=options.steps, n_checkpoints=1)
    lines, start = [], time.monotonic()
    for seed in options.seeds:
        for group in options.groups:
            where = f"{options.results}/group-{group}"
            plan = Plan(
                task=options.task,
                model=base,
                seed=seed,
                targets_per_context=group,
                results=where,
                settings=settings,
            )
            lines.append({"group": group, "seed": seed, **measure(plan, options.questions)})
            print(f"{time.monotonic() - start:.0f} s: group {group}, seed {seed}", flush=True)
    print(summary(pd.DataFrame(lines)).to_string())


if __name__ == "__main__":
    main()
