"""What one hopes to see at the end of training, each hope as a rule, and what the rows say of it.

The hopes are our reading of the paper's claims, in the project's scores; the thresholds are ours too.
"""

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from ccutils.report.aggregate import CHOICE, COPY, ICL, IWL, KNOWN, Headline, final_rows, half_width

HIGH = 0.5  # a high score is at least this
LOW = 0.25  # a low score is at most this
NEAR_ZERO = 0.1  # near zero, or near another strategy's score, is within this
SHARE_KEPT = 0.5  # most of a score is at least this share of it

CAME_OUT, DID_NOT, OPEN = "came out", "did not come out", "not decided by these seeds"
NOTHING_TO_LOSE = "moot: base has none to keep or lose"
BASE_DOES_TOO = "moot: so it is before training"
VERDICTS = (CAME_OUT, DID_NOT, OPEN, NOTHING_TO_LOSE, BASE_DOES_TOO)


@dataclass(frozen=True, slots=True)
class Claim:
    """A hope about `strategy`, and its rule: its score, minus `share` of that of `against`, kept to `bound`.

    Where base's own score is not above `base_above`, there is nothing to keep or lose and the rule is moot.
    So it is with `unless_base_does` where base keeps the rule too: then training cannot have brought it.
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


CLAIMS = (
    Claim("none", "loses ICL", ICL, "below", 0, "base", base_above=NEAR_ZERO),
    Claim("random", "IWL-score high", IWL, "at least", HIGH),
    Claim("random", "ICL-score near zero", ICL, "at most", NEAR_ZERO, base_above=NEAR_ZERO),
    Claim("similar", "IWL-score near zero", IWL, "at most", NEAR_ZERO),
    Claim("similar", "Copy-score high", COPY, "at least", HIGH, unless_base_does=True),
    Claim(
        "similar",
        "chooses the relevant example worse than base",
        CHOICE,
        "below",
        0,
        "base",
        base_above=NEAR_ZERO,
    ),
    Claim("contrastive", "IWL-score near that of random", IWL, "at least", -NEAR_ZERO, "random"),
    Claim("contrastive", "no worse than random with nothing relevant", IWL, "at least", 0, "random"),
    Claim("contrastive", "better than random with one relevant example", KNOWN, "above", 0, "random"),
    Claim("contrastive", "better than base with one relevant example", KNOWN, "above", 0, "base"),
    Claim(
        "contrastive",
        "keeps most of base's ICL-score",
        ICL,
        "at least",
        0,
        "base",
        SHARE_KEPT,
        base_above=NEAR_ZERO,
    ),
    Claim("contrastive", "keeps more ICL than batch_mix", ICL, "above", 0, "batch_mix", base_above=NEAR_ZERO),
    Claim("contrastive", "Copy-score low", COPY, "at most", LOW, unless_base_does=True),
)


VERDICT_COLUMNS = ["task", "model", "strategy", "hope", "rule", "score", "base", "value"]
VERDICT_COLUMNS += ["measure", "low", "high", "seeds", "verdict"]


def judge_claims(rows: pd.DataFrame, claims: tuple[Claim, ...] = CLAIMS) -> pd.DataFrame:
    """Return a line for each task, model and claim whose strategy was run.

    Columns: task, model, strategy, hope, rule, score, base and value (means over seeds), measure with low and
    high (what the rule bounds: its mean and 95% t interval over seeds, differences taken seed by seed),
    seeds, verdict. With fewer than two seeds nothing is decided.
    """
    final = final_rows(rows)
    lines = []
    for (task, model), part in final.groupby(["task", "model"]):
        for claim in claims:
            if claim.strategy in set(part["strategy"]):
                lines.append({"task": task, "model": model, **_judge(claim, part)})
    return pd.DataFrame(lines, columns=VERDICT_COLUMNS)


def _judge(claim: Claim, part: pd.DataFrame) -> dict[str, object]:
    by_seed = claim.score.of(part).pivot(index="seed", columns="strategy", values="value")
    by_seed = by_seed.reindex(columns=sorted({"base", claim.strategy, claim.against} - {""}))
    measure = by_seed[claim.strategy]
    if claim.against:
        measure = measure - claim.share * by_seed[claim.against]
    measure = measure.dropna()
    low, high = interval(measure)
    base = by_seed["base"].mean()
    verdict = claim.holds(low, high)
    if base <= claim.base_above:
        verdict = NOTHING_TO_LOSE
    elif claim.unless_base_does and verdict == CAME_OUT == claim.holds(*interval(by_seed["base"].dropna())):
        verdict = BASE_DOES_TOO
    return {
        "strategy": claim.strategy,
        "hope": claim.hope,
        "rule": claim.rule,
        "score": claim.score.name,
        "base": base,
        "value": by_seed[claim.strategy].mean(),
        "measure": measure.mean(),
        "low": low,
        "high": high,
        "seeds": len(measure),
        "verdict": verdict,
    }


def interval(values: pd.Series) -> tuple[float, float]:
    """Return the 95% t interval of the mean."""
    half = half_width(list(values))
    return values.mean() - half, values.mean() + half
