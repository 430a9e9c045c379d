"""Fabricated rows of results for the tests of figures: their values are invented and mean nothing."""

from dataclasses import asdict
from pathlib import Path

import pandas as pd

from ccutils.records import Row, Run, write_rows

GRADES = {"quality": (0, 1, 2), "similarity": (0.25, 0.75), "iwl": (0,), "icl": (1, 2), "copy": (0,)}
GRADES |= {"copy_excess": (0,), "blind": (1,), "empty": (0,), "retrieved": (0,), "nearest_label": (0,)}


def fabricate(
    tasks: tuple[str, ...] = ("fake",),
    models: tuple[str, ...] = ("toy",),
    strategies: tuple[str, ...] = ("random", "similar", "contrastive"),
    seeds: tuple[int, ...] = (0, 1, 2),
    steps: tuple[int, ...] = (0, 10, 20),
) -> pd.DataFrame:
    """One row for each combination; `value` is 0.5 at step 0 and else 0.4, 0.5, 0.6 by seed."""
    rows = []
    for task in tasks:
        for model in models:
            for strategy in strategies:
                for seed in seeds:
                    for step in steps:
                        value = 0.4 + 0.1 * seed if step else 0.5
                        for place in ("id", "ood"):
                            for probe, grades in GRADES.items():
                                for grade in grades:
                                    key = (task, model, strategy, seed, step, place, probe, float(grade))
                                    rows.append(Row(*key, value, 20, value - 0.1, value + 0.1))
    return pd.DataFrame([asdict(row) for row in rows])


def write_results(root: Path, rows: pd.DataFrame) -> None:
    """Lay rows out as notebook 04 does."""
    for (task, model, strategy, seed), part in rows.groupby(["task", "model", "strategy", "seed"]):
        run = Run(root, str(task), str(model), str(strategy), int(str(seed)))
        records = [Row(*line) for line in part[list(Row.__dataclass_fields__)].itertuples(index=False)]
        parameters = {"strategy": run.strategy, "k": 2, "facts": {"pool": 7}}
        write_rows(run.folder / "probes.parquet", records, parameters)
