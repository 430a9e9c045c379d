"""Verdicts on made-up rows whose answers are known."""

import pandas as pd
import pytest

from ccutils.report.aggregate import COPY, ICL, IWL
from ccutils.report.claims import (
    BASE_DOES_TOO,
    CAME_OUT,
    CLAIMS,
    DID_NOT,
    NOTHING_TO_LOSE,
    OPEN,
    Claim,
    judge_claims,
)


def made_up(values: dict[str, tuple[float, ...]], probe: str = "iwl", grade: float = 0) -> pd.DataFrame:
    """Fabricated rows: for each strategy a value per seed; `base` is written as step 0 of `random`."""
    lines = []
    for strategy, by_seed in values.items():
        for seed, value in enumerate(by_seed):
            name, step = ("random", 0) if strategy == "base" else (strategy, 100)
            key = {"task": "made-up", "model": "none", "strategy": name, "seed": seed, "step": step}
            lines.append({**key, "set": "id", "probe": probe, "grade": grade, "value": value, "n": 10})
    return pd.DataFrame(lines).assign(low=0.0, high=1.0)


HIGH = Claim("random", "IWL-score high", IWL, "at least", 0.5)


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ((0.9, 0.92, 0.91), CAME_OUT),
        ((0.1, 0.12, 0.11), DID_NOT),
        ((0.3, 0.9, 0.6), OPEN),  # the mean is above the bound, the interval is not
        ((0.5, 0.5, 0.5), CAME_OUT),  # no spread: the bound itself is "at least"
        ((0.9,), OPEN),  # one seed has no interval
    ],
)
def test_a_bound_is_decided_by_the_whole_interval(values: tuple[float, ...], verdict: str) -> None:
    table = judge_claims(made_up({"random": values}), (HIGH,))
    assert table["verdict"].tolist() == [verdict]


def test_the_interval_is_the_t_interval_worked_by_hand() -> None:
    # mean 0.6, standard deviation 0.1, t(0.975, 2) = 4.302653: half = 4.302653 * 0.1 / sqrt(3) = 0.248414
    line = judge_claims(made_up({"base": (0.0, 0.1, 0.2), "random": (0.5, 0.6, 0.7)}), (HIGH,)).iloc[0]
    assert (line["low"], line["high"]) == pytest.approx((0.351586, 0.848414), abs=1e-6)
    assert (line["base"], line["value"], line["seeds"]) == pytest.approx((0.1, 0.6, 3))


def test_differences_are_taken_seed_by_seed() -> None:
    # The seeds differ far more than the strategies do: only the paired difference, 0.05 each, can decide.
    rows = made_up({"random": (0.2, 0.5, 0.8), "contrastive": (0.15, 0.45, 0.75)})
    near = Claim("contrastive", "near random", IWL, "at least", -0.1, "random")
    line = judge_claims(rows, (near,)).iloc[0]
    assert line["verdict"] == CAME_OUT and line["measure"] == pytest.approx(-0.05)
    assert line["rule"] == "IWL-score minus that of random is at least -0.1"


def test_a_share_of_the_base() -> None:
    most = Claim("contrastive", "most of base", ICL, "at least", 0, "base", 0.5)
    for kept, verdict in ((0.5, CAME_OUT), (0.3, DID_NOT)):
        values = {"base": (0.8, 0.8, 0.8), "contrastive": (kept, kept + 0.01, kept - 0.01)}
        line = judge_claims(made_up(values, "icl", 1), (most,)).iloc[0]
        assert line["verdict"] == verdict and line["measure"] == pytest.approx(kept - 0.4)
    assert most.rule == "ICL-score minus 0.5 × that of base is at least 0"


def test_what_was_not_run_is_not_judged_and_what_was_not_measured_is_not_decided() -> None:
    table = judge_claims(made_up({"random": (0.9, 0.9, 0.9)}))
    assert set(table["strategy"]) == {"random"}  # nothing is said of similar and contrastive
    assert dict(zip(table["score"], table["verdict"], strict=True)) == {
        "IWL-score": CAME_OUT,
        "ICL-score": OPEN,
    }
    alone = judge_claims(
        made_up({"contrastive": (0.9, 0.9, 0.9)})
    )  # random, which it is compared with, was not run
    assert alone.set_index("hope").loc["IWL-score near that of random", "verdict"] == OPEN


def test_what_base_does_already_is_no_news() -> None:
    """Behind nothing relevant a base that can only look into its context copies, too."""
    copies = next(claim for claim in CLAIMS if claim.strategy == "similar" and claim.score == COPY)
    for base, similar, verdict in ((0.9, 0.9, BASE_DOES_TOO), (0.1, 0.9, CAME_OUT), (0.9, 0.1, DID_NOT)):
        rows = made_up({"base": (base,) * 3, "similar": (similar,) * 3}, "copy")
        assert judge_claims(rows, (copies,))["verdict"].tolist() == [verdict]


def test_better_is_strict() -> None:
    better = next(claim for claim in CLAIMS if claim.sign == "above" and claim.against == "base")
    for contrastive, verdict in ((0.7, DID_NOT), (0.71, CAME_OUT)):
        rows = made_up({"base": (0.7,) * 3, "contrastive": (contrastive,) * 3}, "quality", 1)
        assert judge_claims(rows, (better,))["verdict"].tolist() == [verdict]


def test_worse_than_base_is_strict_and_moot_where_base_has_nothing() -> None:
    worse = next(claim for claim in CLAIMS if claim.sign == "below" and claim.strategy == "similar")
    for base, similar, verdict in ((0.7, 0.7, DID_NOT), (0.7, 0.69, CAME_OUT), (0.05, 0.0, NOTHING_TO_LOSE)):
        rows = made_up({"base": (base,) * 3, "similar": (similar,) * 3}, "quality", 1).assign(set="ood")
        assert judge_claims(rows, (worse,))["verdict"].tolist() == [verdict]


def test_the_hopes_cover_the_strategies_and_state_their_rules() -> None:
    assert {claim.strategy for claim in CLAIMS} == {"none", "random", "similar", "contrastive"}
    assert len({(claim.strategy, claim.rule) for claim in CLAIMS}) == len(CLAIMS)
