"""What one hopes to see at the end of training, each hope as a rule, and what the rows say of it.

The hopes are our reading of the paper's claims, in the project's scores.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pandas as pd

from ccutils.report.aggregate import (
    BLIND,
    EXCESS,
    IWL,
    KNOWN,
    NOVEL,
    OVERRIDE,
    Headline,
    final_rows,
    usual_rows,
)
from ccutils.report.intervals import (
    difference_interval,
    errors_of,
    holm,
    interval_over_seeds,
    sign_flip_p,
)
from ccutils.report.paired import paired_errors

HIGH = 0.5  # a high score is at least this
LOW = 0.1  # of a score above chance: a low one is at most this
NEAR_ZERO = 0.1  # near zero, or near another strategy's score, is within this
MARGIN = 0.03  # no worse than another is at most this much worse
SHARE_KEPT = 0.5  # most of a score is at least this share of it
FEWEST_SEEDS = 6  # of fewer no sign-flip test can decide four claims: the least p of six is 0.03
LEVEL = 0.05  # of all primary claims of a task and model together

CAME_OUT, DID_NOT, OPEN = "came out", "did not come out", "not decided by these seeds"
NOTHING_TO_LOSE = "moot: base has none to keep or lose"
BASE_DOES_TOO = "moot: so it is before training"
AGREES, DIFFERS = "agrees with the reference", "differs from the reference"
NO_VERDICT = "without a verdict (too few seeds, and no reference rows to compare with)"
VERDICTS = (CAME_OUT, DID_NOT, OPEN, NOTHING_TO_LOSE, BASE_DOES_TOO, AGREES, DIFFERS, NO_VERDICT)


@dataclass(frozen=True, slots=True)
class Claim:
    """A hope about `strategy`, and its rule: its score, minus `share` of that of `against`, kept to `bound`.

    Where base's own score is not above `base_above`, there is nothing to keep or lose and the rule is moot.
    So it is with `unless_base_does` where base keeps the rule too: then training cannot have brought it.
    The `primary` claims were named before anything was measured, and are tested; the others only describe.
    """

    strategy: str
    hope: str
    score: Headline
    sign: Literal["at least", "at most", "above", "below"]
    bound: float
    against: str = ""
    share: float = 1.0
    base_above: float = -1.0
    unless_base_does: bool = False
    primary: bool = False

    @property
    def rule(self) -> str:
        """The rule as a sentence."""
        if not self.against:
            return f"{self.score.name} is {self.sign} {self.bound:g}"
        share = "" if self.share == 1 else f"{self.share:g} × "
        return f"{self.score.name} minus {share}that of {self.against} is {self.sign} {self.bound:g}"

    def holds(self, low: float, high: float) -> str:
        """Return the verdict on an interval: all of it on one side of the bound, or not decided."""
        if pd.isna(low) or pd.isna(high):
            return OPEN
        kept = {
            "at least": (low >= self.bound, high < self.bound),
            "at most": (high <= self.bound, low > self.bound),
            "above": (low > self.bound, high <= self.bound),
            "below": (high < self.bound, low >= self.bound),
        }
        inside, outside = kept[self.sign]
        return CAME_OUT if inside else DID_NOT if outside else OPEN


BETTER = Claim("contrastive", "better than random with one relevant example", KNOWN, "above", 0, "random")
NO_WORSE = Claim("contrastive", "no worse than random with nothing relevant", IWL, "above", -MARGIN, "random")
PRIMARY = (
    Claim("random", "loses ICL", NOVEL, "below", 0, "base", base_above=NEAR_ZERO, primary=True),
    Claim("similar", "copies blindly more than base", BLIND, "above", 0, "base", primary=True),
    Claim(
        "contrastive",
        "better than random with one relevant example",
        KNOWN,
        "above",
        0,
        "random",
        primary=True,
    ),
    Claim(
        "contrastive",
        "no worse than random with nothing relevant",
        IWL,
        "above",
        -MARGIN,
        "random",
        primary=True,
    ),
)
"""Four, since eight seeds can decide four: the least p by sign flips, 0.008, times four is below LEVEL."""
CLAIMS = (
    *PRIMARY,
    Claim("none", "loses ICL", NOVEL, "below", 0, "base", base_above=NEAR_ZERO),
    Claim("random", "IWL-score high", IWL, "at least", HIGH),
    Claim("random", "does not follow changed labels", OVERRIDE, "at most", NEAR_ZERO, base_above=NEAR_ZERO),
    Claim("similar", "IWL-score near zero", IWL, "at most", NEAR_ZERO),
    Claim("similar", "Copy-score high", EXCESS, "at least", HIGH, unless_base_does=True),
    Claim("similar", "chooses worse than base", NOVEL, "below", 0, "base", base_above=NEAR_ZERO),
    Claim("contrastive", "better than base with one relevant example", KNOWN, "above", 0, "base"),
    Claim("contrastive", "keeps most of ICL", NOVEL, "at least", 0, "base", SHARE_KEPT, base_above=NEAR_ZERO),
    Claim("contrastive", "more ICL than batch_mix", NOVEL, "above", 0, "batch_mix", base_above=NEAR_ZERO),
    Claim("contrastive", "Copy-score low", EXCESS, "at most", LOW, unless_base_does=True),
)


VERDICT_COLUMNS = ["task", "model", "strategy", "hope", "primary", "rule", "score", "base", "value"]
VERDICT_COLUMNS += ["measure", "low", "high", "seeds", "p", "verdict"]


def judge_claims(
    rows: pd.DataFrame,
    claims: Sequence[Claim] = CLAIMS,
    judged: pd.DataFrame | None = None,
    reference: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Judge each claim whose strategy was run: a line for each task, model and claim.

    Columns: task, model, strategy, hope, primary, rule, score, base and value (means over seeds), measure
    with low and high (what the rule bounds: its mean and 95% bootstrap interval over seeds and targets,
    differences taken seed by seed and, with `judged` of ccutils.report.paired, target by target), seeds, p,
    verdict. From FEWEST_SEEDS on, primary claims are tested by sign flips of the seeds, p corrected by Holm
    for the primary claims of a task and model; the others go by their interval and have no p. Below, the
    verdict is whether the measure agrees with that of `reference`, the rows of a reference.
    """
    final = final_rows(usual_rows(rows))
    known = None if reference is None else final_rows(usual_rows(reference))
    lines = []
    for (task, model), part in final.groupby(["task", "model"]):
        seen = set(part["strategy"])
        chosen = [claim for claim in claims if claim.strategy in seen]
        measures = [_measure(claim, part, judged) for claim in chosen]
        p_values = _p_values(chosen, measures)
        for claim, measure, p in zip(chosen, measures, p_values, strict=True):
            other = None
            if known is not None and measure.seeds < FEWEST_SEEDS:
                same = known[(known["task"] == task) & (known["model"] == model)]
                other = _measure(claim, same, None) if claim.strategy in set(same["strategy"]) else None
            lines.append({"task": task, "model": model, **_line(claim, measure, p, other)})
    return pd.DataFrame(lines, columns=VERDICT_COLUMNS)


@dataclass(frozen=True, slots=True)
class Measure:
    """What a claim's rule bounds, by seed, with standard errors over targets; base and strategy beside it."""

    by_seed: "pd.Series[float]"
    errors: "pd.Series[float]"
    base: "pd.Series[float]"
    value: float

    @property
    def seeds(self) -> int:
        """Return how many seeds there are."""
        return len(self.by_seed)

    def interval(self) -> tuple[float, float]:
        """Return the 95% interval of the mean; NaN of one seed, which says nothing of another."""
        if self.seeds < 2:
            return float("nan"), float("nan")
        return interval_over_seeds(self.by_seed, self.errors)


def _measure(claim: Claim, part: pd.DataFrame, judged: pd.DataFrame | None) -> Measure:
    chosen = claim.score.of(part)
    chosen = chosen.assign(error=errors_of(chosen))
    names = sorted({"base", claim.strategy, claim.against} - {""})
    value, error = (
        chosen.pivot(index="seed", columns="strategy", values=what).reindex(columns=names)
        for what in ("value", "error")
    )
    measure, errors = value[claim.strategy], error[claim.strategy]
    if claim.against:
        measure = measure - claim.share * value[claim.against]
        errors = (errors**2 + (claim.share * error[claim.against]) ** 2) ** 0.5
        if judged is not None:
            found = paired_errors(
                judged, part, claim.score, strategy=claim.strategy, against=claim.against, share=claim.share
            )
            errors = found.reindex(errors.index).fillna(errors)
    measure = measure.dropna()
    base = value["base"].dropna()
    return Measure(measure, errors.reindex(measure.index), base, float(value[claim.strategy].mean()))


def _p_values(claims: Sequence[Claim], measures: Sequence[Measure]) -> list[float]:
    """Return p of each primary claim that has enough seeds, corrected by Holm; NaN for the others."""
    p = [float("nan")] * len(claims)
    tested = [i for i, c in enumerate(claims) if c.primary and measures[i].seeds >= FEWEST_SEEDS]
    found = holm([sign_flip_p(list(measures[i].by_seed - claims[i].bound)) for i in tested]) if tested else []
    for i, corrected in zip(tested, found, strict=True):
        p[i] = corrected
    return p


def _line(claim: Claim, measure: Measure, p: float, other: Measure | None) -> dict[str, object]:
    low, high = measure.interval()
    return {
        "strategy": claim.strategy,
        "hope": claim.hope,
        "primary": claim.primary,
        "rule": claim.rule,
        "score": claim.score.name,
        "base": measure.base.mean(),
        "value": measure.value,
        "measure": measure.by_seed.mean(),
        "low": low,
        "high": high,
        "seeds": measure.seeds,
        "p": p,
        "verdict": _verdict(claim, measure, p, other),
    }


def _verdict(claim: Claim, measure: Measure, p: float, other: Measure | None) -> str:
    if measure.seeds < FEWEST_SEEDS:
        return _agreement(measure, other)
    if measure.base.mean() <= claim.base_above:
        return NOTHING_TO_LOSE
    mean = float(measure.by_seed.mean())
    if claim.primary:
        return claim.holds(mean, mean) if p < LEVEL else OPEN
    verdict = claim.holds(*measure.interval())
    of_base = replace(measure, by_seed=measure.base, errors=measure.base * 0)
    if claim.unless_base_does and verdict == CAME_OUT == claim.holds(*of_base.interval()):
        return BASE_DOES_TOO
    return verdict


def _agreement(measure: Measure, other: Measure | None) -> str:
    """Say whether few seeds' measure agrees with the reference's, by the interval of the difference."""
    if other is None or not other.seeds or not measure.seeds:
        return NO_VERDICT
    sides = (measure.by_seed, measure.errors, other.by_seed, other.errors)
    _, low, high = difference_interval(*map(list, sides))
    return AGREES if low <= 0 <= high else DIFFERS
