"""Differences between strategies target by target: both answered the same questions."""

from pathlib import Path

import numpy as np
import pandas as pd

from ccutils.probes.estimates import target_draws
from ccutils.report.aggregate import Headline

KIND_OF = {"quality": "plain", "iwl": "plain", "icl": "changed", "empty": "empty", "retrieved": "retrieved"}
SHARES = {"copy": ("copied", "wrong"), "copy_excess": ("excess", "wrong"), "blind": ("copied", "")}
"""Of a probe that is no mean of scores: the column above and the column below the line ('': all answers)."""
JUDGED_COLUMNS = ["task", "model", "strategy", "variant", "seed", "step", "set", "kind", "grade", "target"]


def find_judged(results: Path) -> pd.DataFrame | None:
    """Read the judged answers of all runs below a results folder; None where there are none."""
    paths = sorted(results.rglob("questions.parquet"))
    columns = [*JUDGED_COLUMNS, "score", "wrong", "copied", "chance"]
    tables = [pd.read_parquet(path, columns=columns) for path in paths]
    return pd.concat(tables, ignore_index=True) if tables else None


def paired_errors(
    judged: pd.DataFrame, final: pd.DataFrame, score: Headline, *, strategy: str, against: str, share: float
) -> "pd.Series[float]":
    """Return by seed the standard error over targets of a score minus `share` times another strategy's.

    `final` holds the rows of one task and model that the score is taken from, which say the steps. Targets
    are resampled, for both strategies the same. Seeds that lack the answers of either are left out.
    """
    task, model = final[["task", "model"]].iloc[0]
    judged = judged[(judged["task"] == task) & (judged["model"] == model) & (judged["variant"] == "")]
    of_score = score.of(final)
    found = {}
    for seed, rows in of_score.groupby("seed"):
        steps = rows.drop_duplicates("strategy").set_index("strategy")["step"]
        if {strategy, against} <= set(steps.index):
            mine = judged[judged["seed"] == seed]
            grade = float(rows["grade"].iloc[0])
            sides = [
                _by_target(mine, strategy=name, step=int(steps[name]), score=score, grade=grade)
                for name in (strategy, against)
            ]
            if all(len(side) for side in sides):
                found[seed] = _error(sides[0], sides[1], share)
    return pd.Series(found, dtype=float)


def _by_target(
    judged: pd.DataFrame, *, strategy: str, step: int, score: Headline, grade: float
) -> pd.DataFrame:
    """Return the sums above and below the line by target, columns top and bottom."""
    top, bottom = SHARES.get(score.probe, ("score", ""))
    # The base is the same model whichever strategy's run asked it.
    asked = judged[judged["step"] == step] if strategy == "base" else judged[judged["strategy"] == strategy]
    asked = asked[(asked["step"] == step) & (asked["set"] == score.set) & (asked["grade"] == grade)]
    asked = asked[asked["kind"] == KIND_OF.get(score.probe, "plain")].assign(
        excess=lambda table: table["copied"] - table["chance"]
    )
    asked = asked[asked[top].notna()].drop_duplicates("target")
    below = asked[bottom] if bottom else np.ones(len(asked))
    return pd.DataFrame({"target": asked["target"], "top": asked[top], "bottom": below}).set_index("target")


def _error(one: pd.DataFrame, other: pd.DataFrame, share: float) -> float:
    both = one.join(other, how="outer", lsuffix="_one", rsuffix="_other").fillna(0).astype(float)
    drawn = target_draws(len(both))
    sums = {name: drawn @ both[name].to_numpy() for name in both}
    with np.errstate(invalid="ignore", divide="ignore"):
        first = sums["top_one"] / sums["bottom_one"]
        second = sums["top_other"] / sums["bottom_other"]
    return float(np.nanstd(first - share * second))
