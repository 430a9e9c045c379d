"""Paired differences between strategies: both answered the same questions, seed by seed, target by target."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ccutils.probes.estimates import target_draws
from ccutils.report.aggregate import Headline
from ccutils.report.intervals import errors_of, interval_over_seeds

KIND_OF = {"quality": "plain", "iwl": "plain", "icl": "changed", "empty": "empty", "retrieved": "retrieved"}
RATIOS = {
    "copy": ("copied", "wrong"),
    "copy_rate": ("copied", ""),
    "copy_excess": ("excess", "wrong"),
    "blind": ("copied", ""),
}
"""Columns above and below the line for a probe that is not a mean of scores ('': all answers)."""
JUDGED_COLUMNS = ["task", "model", "strategy", "variant", "seed", "step", "set", "kind", "grade", "target"]


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference by seed, with its standard errors over targets: both indexed by seed."""

    by_seed: "pd.Series[float]"
    errors: "pd.Series[float]"

    @property
    def seeds(self) -> int:
        """The number of seeds."""
        return len(self.by_seed)

    @property
    def mean(self) -> float:
        """The mean over seeds; NaN without seeds."""
        return float(self.by_seed.mean())

    def interval(self) -> tuple[float, float]:
        """Compute the 95% interval of the mean over seeds and targets; NaN for fewer than two seeds."""
        if self.seeds < 2:
            return float("nan"), float("nan")
        return interval_over_seeds(self.by_seed, self.errors)


def paired_difference(
    final: pd.DataFrame,
    score: Headline,
    strategy: str,
    against: str = "",
    *,
    share: float = 1.0,
    judged: pd.DataFrame | None = None,
) -> Difference:
    """Subtract `share` times a score of the strategy `against` ("": nothing) from that of `strategy`, by
    seed.

    `final` holds the last rows of one task and model (`final_rows`). With `judged` (`find_judged`) standard
    errors are of differences target by target, else of both strategies as if independent.
    """
    chosen = score.of(final)
    chosen = chosen.assign(error=errors_of(chosen))
    names = sorted({strategy, against} - {""})
    value, error = (
        chosen.pivot(index="seed", columns="strategy", values=what).reindex(columns=names)
        for what in ("value", "error")
    )
    difference, errors = value[strategy], error[strategy]
    if against:
        difference = difference - share * value[against]
        errors = (errors**2 + (share * error[against]) ** 2) ** 0.5
        if judged is not None and len(chosen):
            paired = paired_errors(judged, final, score, strategy=strategy, against=against, share=share)
            errors = paired.reindex(errors.index).fillna(errors)
    difference = difference.dropna()
    return Difference(difference, errors.reindex(difference.index))


def find_judged(results: Path) -> pd.DataFrame | None:
    """Read the scored answers of all runs below a results folder; None if there are none."""
    paths = sorted(results.rglob("questions.parquet"))
    columns = [*JUDGED_COLUMNS, "score", "wrong", "copied", "chance"]
    tables = [pd.read_parquet(path, columns=columns) for path in paths]
    return pd.concat(tables, ignore_index=True) if tables else None


def paired_errors(
    judged: pd.DataFrame, final: pd.DataFrame, score: Headline, *, strategy: str, against: str, share: float
) -> "pd.Series[float]":
    """Compute by seed the standard error over targets of a score minus `share` times another strategy's.

    Targets are resampled, the same for both strategies. Seeds without answers of either are left out.
    """
    task, model = final[["task", "model"]].iloc[0]
    judged = judged[(judged["task"] == task) & (judged["model"] == model) & (judged["variant"] == "")]
    found = {}
    for seed, rows in score.of(final).groupby("seed"):
        steps = rows.drop_duplicates("strategy").set_index("strategy")["step"]
        if {strategy, against} <= set(steps.index):
            mine = judged[(judged["seed"] == seed) & (judged["set"] == score.set)]
            mine = mine[mine["grade"] == float(rows["grade"].iloc[0])]
            one, other = (_by_target(mine, name, int(steps[name]), score) for name in (strategy, against))
            if len(one) and len(other):
                found[seed] = _error(one, other, share)
    return pd.Series(found, dtype=float)


def _by_target(judged: pd.DataFrame, strategy: str, step: int, score: Headline) -> pd.DataFrame:
    """Sum a score by target: columns top and bottom, above and below the line."""
    top, bottom = RATIOS.get(score.probe, ("score", ""))
    asked = judged[(judged["step"] == step) & (judged["kind"] == KIND_OF.get(score.probe, "plain"))]
    if strategy != "base":  # the base is the same model whichever strategy's run asked it
        asked = asked[asked["strategy"] == strategy]
    asked = asked.assign(excess=asked["copied"] - asked["chance"])
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
