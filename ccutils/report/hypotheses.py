"""Hypotheses about the end of training, each a rule with a bound, and what the rows say about them.

The hypotheses are our reading of the paper's claims, in this package's scores; their bounds are ours.
`written` says when each rule was written: the first primary ones were written after results of other seeds
had been seen."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pandas as pd

from ccutils.report.aggregate import (
    ALL_RELEVANT,
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
from ccutils.report.intervals import holm, sign_flip_p, t_test_p
from ccutils.report.paired import Difference, compare_differences, paired_difference

HIGH = 0.5  # a high score is at least this
LOW = 0.1  # a low Copy-score above chance is at most this
NEAR_ZERO = 0.1  # a score near zero is at most this
MARGIN = 0.03  # "no worse" allows this much
SHARE_KEPT = 0.5  # "most of" a score is at least this share of it
FEWEST_SEEDS = 6  # fewer cannot decide a sign-flip test: the least p of six is 0.03
LEVEL = 0.05  # of all primary hypotheses of a task and model together

SUPPORTED, NOT_SUPPORTED, UNDECIDED = "supported", "not supported", "undecided"
TOO_FEW = "undecided (too few seeds)"
NOTHING_TO_LOSE = "not applicable: base has none to lose"
BASE_DOES_TOO = "not applicable: base does so too"
VERDICTS = (SUPPORTED, NOT_SUPPORTED, UNDECIDED, TOO_FEW, NOTHING_TO_LOSE, BASE_DOES_TOO)
SAME, DIFFERS = "same", "differs"
WRITTEN = "2026-11-24"


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A statement about `strategy`, and its rule: a score, minus `share` times that of `against`, has a
    bound.

    The rule does not apply where base's own score is not above `base_above` (nothing to lose), or, with
    `unless_base_does`, where base fulfils it too. `primary` ones are tested, the others only describe.
    `written` is the date of the rule.
    """

    strategy: str
    statement: str
    score: Headline
    sign: Literal["at least", "at most", "above", "below"]
    bound: float
    against: str = ""
    share: float = 1.0
    base_above: float = -1.0
    unless_base_does: bool = False
    primary: bool = False
    written: str = WRITTEN

    @property
    def rule(self) -> str:
        """The rule as a sentence."""
        share = "" if self.share == 1 else f"{self.share:g} × "
        minus = f" minus {share}that of {self.against}" if self.against else ""
        return f"{self.score.name}{minus} is {self.sign} {self.bound:g}"

    def verdict(self, low: float, high: float) -> str:
        """Decide by an interval: supported or not if all of it is on one side of the bound."""
        if pd.isna(low) or pd.isna(high):
            return UNDECIDED
        inside, outside = {
            "at least": (low >= self.bound, high < self.bound),
            "at most": (high <= self.bound, low > self.bound),
            "above": (low > self.bound, high <= self.bound),
            "below": (high < self.bound, low >= self.bound),
        }[self.sign]
        return SUPPORTED if inside else NOT_SUPPORTED if outside else UNDECIDED


BETTER = Hypothesis(
    "contrastive", "better than random with one relevant example", KNOWN, "above", 0, "random"
)
NO_WORSE = Hypothesis(
    "contrastive", "no worse than random with nothing relevant", IWL, "above", -MARGIN, "random"
)
PRIMARY = tuple(
    replace(hypothesis, primary=True, written="2026-11-25, after seeds 0 to 2 of the tiny model")
    for hypothesis in (
        Hypothesis("random", "loses ICL", NOVEL, "below", 0, "base", base_above=NEAR_ZERO),
        Hypothesis("similar", "copies irrelevant labels more than base", BLIND, "above", 0, "base"),
        BETTER,
        NO_WORSE,
    )
)
"""Those of the tiny model: four, since eight seeds can decide four (the least p by sign flips is 0.008)."""
REAL_PRIMARY = tuple(
    replace(hypothesis, primary=True, written="2026-11-30, before seeds 3 and up of the real models")
    for hypothesis in (
        NO_WORSE,
        *(
            Hypothesis("contrastive", f"{what} than {against}", score, "above", 0, against)
            for what, score in (
                ("more ICL, novel,", NOVEL),
                ("more ICL, override,", OVERRIDE),
                ("better with all relevant", ALL_RELEVANT),
            )
            for against in ("base", "batch_mix")
        ),
    )
)
"""Those of every other model: seven, which t-tests of six seeds can decide and sign flips cannot."""
HYPOTHESES = (
    *PRIMARY,
    Hypothesis("none", "loses ICL", NOVEL, "below", 0, "base", base_above=NEAR_ZERO),
    Hypothesis("random", "knowledge is high", IWL, "at least", HIGH),
    Hypothesis(
        "random", "does not follow changed labels", OVERRIDE, "at most", NEAR_ZERO, base_above=NEAR_ZERO
    ),
    Hypothesis("similar", "knowledge is near zero", IWL, "at most", NEAR_ZERO),
    Hypothesis("similar", "Copy-score is high", EXCESS, "at least", HIGH, unless_base_does=True),
    Hypothesis("similar", "chooses worse than base", NOVEL, "below", 0, "base", base_above=NEAR_ZERO),
    Hypothesis("contrastive", "better than base with one relevant example", KNOWN, "above", 0, "base"),
    Hypothesis(
        "contrastive", "keeps most of ICL", NOVEL, "at least", 0, "base", SHARE_KEPT, base_above=NEAR_ZERO
    ),
    Hypothesis(
        "contrastive", "more ICL than batch_mix", NOVEL, "above", 0, "batch_mix", base_above=NEAR_ZERO
    ),
    Hypothesis("contrastive", "Copy-score is low", EXCESS, "at most", LOW, unless_base_does=True),
)
_REAL_RULES = {(h.strategy, h.rule) for h in REAL_PRIMARY}
REAL_HYPOTHESES = (
    *REAL_PRIMARY,
    *(replace(h, primary=False) for h in HYPOTHESES if (h.strategy, h.rule) not in _REAL_RULES),
)
COLUMNS = ["task", "model", "strategy", "hypothesis", "primary", "written", "rule", "score", "base", "value"]
COLUMNS += ["difference", "low", "high", "seeds", "p", "verdict", "reference"]


def check_hypotheses(
    rows: pd.DataFrame,
    hypotheses: Sequence[Hypothesis] = (),
    judged: pd.DataFrame | None = None,
    reference: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Check each hypothesis whose strategy was run: a line for each task, model and hypothesis.

    Without `hypotheses` those are HYPOTHESES for the tiny model and REAL_HYPOTHESES for all others. Columns:
    `base` and `value` are means over seeds of the score; `difference`, `low`, `high` what the rule bounds,
    its mean and 95% interval over seeds and targets (differences are taken seed by seed and, with `judged`,
    see `find_judged`, target by target). From FEWEST_SEEDS seeds on, primary hypotheses are tested, the tiny
    model's by sign flips, others by a paired t-test over seeds; `p` is corrected by Holm for those of a task
    and model. The others are decided by their interval. `reference`: whether reference rows of the same
    seeds (or, if no seed is common, of all) give the same number ("" without them)."""
    final = final_rows(usual_rows(rows))
    judged = None if judged is None else usual_rows(judged)
    known = final.iloc[:0] if reference is None else final_rows(usual_rows(reference))
    lines = []
    for (task, model), part in final.groupby(["task", "model"]):
        usual = HYPOTHESES if model == "tiny" else REAL_HYPOTHESES
        chosen = [h for h in hypotheses or usual if h.strategy in set(part["strategy"])]
        found = [_difference(h, part, judged) for h in chosen]
        same = known[(known["task"] == task) & (known["model"] == model)]
        for h, difference, p in zip(chosen, found, _p_values(chosen, found, str(model)), strict=True):
            low, high = difference.interval()
            base = h.score.of(part[part["strategy"] == "base"])["value"]
            lines.append(
                {
                    **{"task": task, "model": model, "strategy": h.strategy, "hypothesis": h.statement},
                    **{"primary": h.primary, "written": h.written, "rule": h.rule, "score": h.score.name},
                    "base": base.mean(),
                    "value": h.score.of(part[part["strategy"] == h.strategy])["value"].mean(),
                    **{"difference": difference.mean, "low": low, "high": high, "seeds": difference.seeds},
                    "p": p,
                    "verdict": _verdict(h, difference, p, base),
                    "reference": _agreement(difference, _difference(h, same, None)),
                }
            )
    return pd.DataFrame(lines, columns=COLUMNS)


def _difference(h: Hypothesis, part: pd.DataFrame, judged: pd.DataFrame | None) -> Difference:
    return paired_difference(part, h.score, h.strategy, h.against, share=h.share, judged=judged)


def _p_values(hypotheses: Sequence[Hypothesis], found: Sequence[Difference], model: str) -> list[float]:
    """Test each primary hypothesis that has enough seeds, p corrected by Holm; NaN for the others."""
    p = [float("nan")] * len(hypotheses)
    tested = [i for i, h in enumerate(hypotheses) if h.primary and found[i].seeds >= FEWEST_SEEDS]
    test = sign_flip_p if model == "tiny" else t_test_p
    raw = [test(list(found[i].by_seed - hypotheses[i].bound)) for i in tested]
    for i, corrected in zip(tested, holm(raw), strict=True):
        p[i] = corrected
    return p


def _verdict(h: Hypothesis, found: Difference, p: float, base: "pd.Series[float]") -> str:
    if found.seeds < FEWEST_SEEDS:
        return TOO_FEW
    if base.mean() <= h.base_above:
        return NOTHING_TO_LOSE
    if h.primary:
        return h.verdict(found.mean, found.mean) if p < LEVEL else UNDECIDED
    verdict = h.verdict(*found.interval())
    of_base = Difference(base, base * 0)
    if h.unless_base_does and verdict == SUPPORTED == h.verdict(*of_base.interval()):
        return BASE_DOES_TOO
    return verdict


def _agreement(found: Difference, other: Difference) -> str:
    """Compare with the reference: the same if the interval of the difference of both contains 0."""
    if not other.seeds or not found.seeds:
        return ""
    low, high = compare_differences(found, other)[1:]
    return SAME if low <= 0 <= high else DIFFERS


def count_verdicts(table: pd.DataFrame) -> str:
    """Count the verdicts of `check_hypotheses`, and how many the reference shares, as one sentence."""
    counts = table["verdict"].value_counts()
    verdicts = ", ".join(f"{counts[name]} {name}" for name in VERDICTS if name in counts)
    compared = table[table["reference"] != ""]
    same = int((compared["reference"] == SAME).sum())
    more = f" The reference says the same for {same} of {len(compared)}." if len(compared) else ""
    return f"{len(table)} hypotheses: {verdicts}.{more}"


def chance_of_error(table: pd.DataFrame) -> str:
    """Describe how many verdicts may be wrong by chance, as one sentence; "" where nothing is decided."""
    decided = table[table["verdict"].isin([SUPPORTED, NOT_SUPPORTED])]
    if decided.empty:
        return ""
    others = int((~decided["primary"]).sum())
    return (
        f"The primary verdicts of one task and model are all right with a probability of at least "
        f"{1 - LEVEL:.0%}. Each of the {others} other verdicts is wrong with a probability of about "
        f"{LEVEL:.0%}, so {LEVEL * others:.1f} wrong ones are expected."
    )
