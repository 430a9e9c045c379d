"""Paired differences between strategies: both answered the same questions, seed by seed, target by target."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ccutils.probes.estimates import target_draws
from ccutils.probes.questions import KINDS
from ccutils.report.aggregate import Headline
from ccutils.report.intervals import difference_interval, errors_of, interval_over_seeds

KINDS_OF = {
    **dict.fromkeys(("icl", "icl_known", "icl_unknown"), "changed"),
    **{"nearest_label": "retrieved", "hard_choice": "hard", "mislabelled_followed": "mislabelled"},
    **{kind: kind for kind in KINDS},  # most kinds have a probe of the same name
}
"""The kind of questions that a probe is measured by, where it is not "plain"."""
RATIOS = {
    "copy": ("copied", "wrong"),
    "copy_rate": ("copied", "one"),
    "copy_excess": ("excess", "wrong"),
    "blind": ("copied", "one"),
    "nearest_label": ("nearest", "one"),
    "gate": ("in_context", "one"),
    "choice": ("chosen_relevant", "in_context"),
    "hard_choice": ("chosen_relevant", "in_context"),
}
"""Numerator and denominator of a probe that is not a mean of scores ("one": every answer counts)."""
RUN_COLUMNS = ["task", "model", "strategy", "variant", "seed"]
"""The columns that identify a run."""
ANSWER_COLUMNS = [*RUN_COLUMNS, "step", "set", "kind", "grade", "target"]
ANSWER_COLUMNS += ["score", "copied", "in_context", "chosen_relevant"]
"""The columns of scored answers that a reference contains."""


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

    def minus(self, other: "Difference") -> "Difference":
        """Subtract another difference, seed by seed, errors as if independent; of common seeds only."""
        by_seed = (self.by_seed - other.by_seed).dropna()
        return Difference(by_seed, ((self.errors**2 + other.errors**2) ** 0.5).reindex(by_seed.index))


def compare_differences(ours: Difference, theirs: Difference) -> tuple[float, float, float]:
    """Compute ours minus theirs and its 95% interval: of the same seeds where both have some, else of means.

    With common seeds the spread is that of their differences, so one seed's has the interval of its targets.
    """
    common = ours.minus(theirs)
    if common.seeds:
        return common.mean, *interval_over_seeds(common.by_seed, common.errors)
    sides = (ours.by_seed, ours.errors, theirs.by_seed, theirs.errors)
    return difference_interval(*map(list, sides))


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

    `final` contains the last rows of one task and model (`final_rows`). With `judged` (`find_judged`)
    standard errors are of differences target by target, else of both strategies as if independent.
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
            paired = paired_errors(judged, chosen, score, strategy=strategy, against=against, share=share)
            errors = paired.reindex(errors.index).fillna(errors)
    difference = difference.dropna()
    return Difference(difference, errors.reindex(difference.index))


def find_judged(results: Path) -> pd.DataFrame | None:
    """Read the scored answers at step 0 and the last step of all runs below a folder; None without any."""
    tables = []
    for path in sorted(results.rglob("questions.parquet")):
        table = pd.read_parquet(path, columns=[*ANSWER_COLUMNS, "wrong", "chance", "nearest"])
        tables.append(table[table["step"].isin([0, table["step"].max()])])
    return pd.concat(tables, ignore_index=True) if tables else None


def paired_errors(
    judged: pd.DataFrame,
    measured: pd.DataFrame,
    score: Headline,
    *,
    strategy: str,
    against: str,
    share: float,
) -> "pd.Series[float]":
    """Compute by seed the standard error over targets of a score minus `share` times another strategy's.

    `measured` contains the rows of the score. Targets are resampled, the same for both strategies. Seeds
    without answers of either are left out.
    """
    top, bottom = RATIOS.get(score.probe, ("score", "one"))
    kind = KINDS_OF.get(score.probe, "plain")
    judged = judged[(judged["kind"] == kind) & (judged["set"] == score.set)]
    for name in ("task", "model"):
        judged = judged[judged[name] == measured[name].iloc[0]]
    judged = judged.assign(one=1.0)
    if top == "excess":
        judged = judged.assign(excess=judged["copied"] - judged["chance"])
    if not {top, bottom} <= set(judged):  # a reference has not all columns
        return pd.Series(dtype=float)
    found = {}
    for seed, rows in measured.groupby("seed"):
        steps = rows.drop_duplicates("strategy").set_index("strategy")["step"]
        if not {strategy, against} <= set(steps.index):
            continue
        asked = judged[(judged["seed"] == seed) & (judged["grade"] == float(rows["grade"].iloc[0]))]
        sides = []
        for name in (strategy, against):
            side = asked[asked["step"] == steps[name]]
            if name != "base":  # the base is the same model whichever strategy's run asked it
                side = side[side["strategy"] == name]
            side = side.drop_duplicates("target").set_index("target")[[top, bottom]].dropna()
            sides.append(side.set_axis(["top", "bottom"], axis=1))
        if all(map(len, sides)):
            found[seed] = _error(sides[0], sides[1], share)
    return pd.Series(found, dtype=float)


def _error(one: pd.DataFrame, other: pd.DataFrame, share: float) -> float:
    """Compute the standard error of one ratio minus `share` times the other, by resampled targets."""
    both = one.join(other, how="outer", lsuffix="_one", rsuffix="_other").fillna(0).astype(float)
    drawn = target_draws(len(both))
    sums = {name: drawn @ both[name].to_numpy() for name in both}
    with np.errstate(invalid="ignore", divide="ignore"):
        first = sums["top_one"] / sums["bottom_one"]
        second = sums["top_other"] / sums["bottom_other"]
    return float(np.nanstd(first - share * second))
