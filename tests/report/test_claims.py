"""Verdicts on made-up rows whose answers are known."""

import pandas as pd
import pytest

from ccutils.report.aggregate import IWL, NOVEL
from ccutils.report.claims import (
    AGREES,
    BASE_DOES_TOO,
    CAME_OUT,
    CLAIMS,
    DID_NOT,
    DIFFERS,
    NO_VERDICT,
    NOTHING_TO_LOSE,
    OPEN,
    PRIMARY,
    Claim,
    judge_claims,
)

EIGHT = (0.0, 0.01, -0.01, 0.02, -0.02, 0.0, 0.01, -0.01)


HIGH = Claim("random", "IWL-score high", IWL, "at least", 0.5)
BETTER = Claim("contrastive", "better", IWL, "above", 0, "random", primary=True)


@pytest.mark.parametrize(("centre", "verdict"), [(0.9, CAME_OUT), (0.1, DID_NOT), (0.5, OPEN)])
def test_a_descriptive_bound_is_decided_by_the_whole_interval(centre: float, verdict: str) -> None:
    table = judge_claims(made_up({"random": around(centre)[0]}), (HIGH,))
    assert table["verdict"].tolist() == [verdict] and table["p"].isna().all()


def test_a_primary_claim_is_tested_by_sign_flips() -> None:
    rows = made_up({"random": (0.5,) * 8, "contrastive": (0.52, 0.53, 0.51, 0.55, 0.52, 0.56, 0.51, 0.54)})
    line = judge_claims(rows, (BETTER,)).iloc[0]
    assert line["p"] == pytest.approx(2 / 256) and line["verdict"] == CAME_OUT
    worse = made_up({"random": (0.6,) * 8, "contrastive": around(0.5)[0]})
    assert judge_claims(worse, (BETTER,))["verdict"].tolist() == [DID_NOT]
    mixed = made_up({"random": (0.5,) * 8, "contrastive": (0.52, 0.53, 0.47, 0.55, 0.49, 0.56, 0.5, 0.46)})
    assert judge_claims(mixed, (BETTER,))["verdict"].tolist() == [OPEN]


def test_holm_counts_the_primary_claims_of_a_task() -> None:
    rows = made_up({"random": (0.5,) * 8, "contrastive": around(0.6)[0]})
    four = [
        Claim("contrastive", f"hope {i}", IWL, "above", i / 100, "random", primary=True) for i in range(4)
    ]
    assert judge_claims(rows, four)["p"].tolist() == pytest.approx([4 * 2 / 256] * 4)


def test_a_margin_is_not_superiority() -> None:
    """A little worse, by less than the margin, is no worse."""
    no_worse = next(c for c in PRIMARY if c.score == IWL)
    rows = made_up({"random": (0.7,) * 8, "contrastive": (0.69, 0.685, 0.695, 0.69, 0.69, 0.68, 0.69, 0.695)})
    assert judge_claims(rows, (no_worse,))["verdict"].tolist() == [CAME_OUT]


def test_few_seeds_have_no_verdict_but_may_agree_with_a_reference() -> None:
    rows = made_up({"random": (0.9, 0.92, 0.91)})
    assert judge_claims(rows, (HIGH,))["verdict"].tolist() == [NO_VERDICT]
    near, far = made_up({"random": around(0.92)[0]}), made_up({"random": around(0.3)[0]})
    assert judge_claims(rows, (HIGH,), reference=near)["verdict"].tolist() == [AGREES]
    assert judge_claims(rows, (HIGH,), reference=far)["verdict"].tolist() == [DIFFERS]


def test_differences_are_taken_seed_by_seed() -> None:
    # The seeds differ far more than the strategies do: only the paired difference, 0.05 each, can decide.
    random = tuple(0.1 * seed for seed in range(1, 9))
    rows = made_up({"random": random, "contrastive": tuple(value - 0.05 for value in random)})
    near = Claim("contrastive", "near random", IWL, "at least", -0.1, "random")
    line = judge_claims(rows, (near,)).iloc[0]
    assert line["verdict"] == CAME_OUT and line["measure"] == pytest.approx(-0.05)
    assert line["rule"] == "IWL-score minus that of random is at least -0.1"


def test_differences_are_taken_target_by_target() -> None:
    """Both strategies fail the same targets: of the difference a resample of targets shows no spread."""
    rows = made_up({"random": (0.5,) * 8, "contrastive": (0.5,) * 8}).assign(n=100)
    lines = [
        {"strategy": strategy, "seed": seed, "target": target, "score": float(target % 2)}
        for strategy in ("random", "contrastive")
        for seed in range(8)
        for target in range(100)
    ]
    fixed = {"task": "made-up", "model": "none", "variant": "", "step": 100, "set": "id", "kind": "plain"}
    judged = pd.DataFrame(lines).assign(**fixed, grade=0, wrong=0.0, copied=0.0, chance=0.0)
    near = Claim("contrastive", "near", IWL, "at least", -0.1, "random")
    apart, paired = (judge_claims(rows, (near,), table).iloc[0] for table in (None, judged))
    assert apart["high"] - apart["low"] > 0.05 and paired["high"] == paired["low"] == 0


def test_a_share_of_the_base() -> None:
    most = Claim("contrastive", "most of base", NOVEL, "at least", 0, "base", 0.5)
    for kept, verdict in ((0.5, CAME_OUT), (0.3, DID_NOT)):
        rows = made_up({"base": (0.8,) * 8, "contrastive": (kept + 0.05, *(kept + 0.04,) * 7)}, "novel")
        assert judge_claims(rows, (most,))["verdict"].tolist() == [verdict]
    assert most.rule == "ICL-score, novel minus 0.5 × that of base is at least 0"


def test_what_was_not_run_is_not_judged_and_what_was_not_measured_is_not_decided() -> None:
    table = judge_claims(made_up({"random": (0.9,) * 8}))
    assert set(table["strategy"]) == {"random"}  # nothing is said of similar and contrastive
    decided = dict(zip(table["hope"], table["verdict"], strict=True))
    assert decided["IWL-score high"] == CAME_OUT and decided["loses ICL"] == NO_VERDICT
    alone = judge_claims(
        made_up({"contrastive": (0.9,) * 8})
    )  # random, which it is compared with, was not run
    hope = "no worse than random with nothing relevant"
    assert alone.set_index("hope").loc[hope, "verdict"] == NO_VERDICT


def test_what_base_does_already_is_no_news() -> None:
    copies = next(claim for claim in CLAIMS if claim.strategy == "similar" and claim.unless_base_does)
    for base, similar, verdict in ((0.9, 0.9, BASE_DOES_TOO), (0.1, 0.9, CAME_OUT), (0.9, 0.1, DID_NOT)):
        rows = made_up({"base": (base,) * 8, "similar": (similar,) * 8}, "copy_excess")
        assert judge_claims(rows, (copies,))["verdict"].tolist() == [verdict]


def test_a_loss_is_moot_where_base_has_nothing() -> None:
    worse = next(claim for claim in CLAIMS if claim.hope == "chooses worse than base")
    for base, similar, verdict in ((0.7, 0.8, DID_NOT), (0.7, 0.5, CAME_OUT), (0.05, 0.0, NOTHING_TO_LOSE)):
        rows = made_up({"base": (base,) * 8, "similar": (similar,) * 8}, "novel")
        assert judge_claims(rows, (worse,))["verdict"].tolist() == [verdict]


def test_four_hopes_are_primary_and_all_state_their_rules() -> None:
    assert len(PRIMARY) == 4 == sum(claim.primary for claim in CLAIMS)
    assert {claim.strategy for claim in CLAIMS} == {"none", "random", "similar", "contrastive"}
    assert len({(claim.strategy, claim.rule) for claim in CLAIMS}) == len(CLAIMS)


def made_up(values: dict[str, tuple[float, ...]], score: str = "iwl") -> pd.DataFrame:
    """Fabricated rows: for each strategy a value per seed; `base` is written as step 0 of `random`."""
    place, probe, grade = {"iwl": ("id", "iwl", 0), "novel": ("ood", "quality", 1)}.get(
        score, ("id", score, 0)
    )
    lines = []
    for strategy, by_seed in values.items():
        for seed, value in enumerate(by_seed):
            name, step = ("random", 0) if strategy == "base" else (strategy, 100)
            key = {"task": "made-up", "model": "none", "strategy": name, "seed": seed, "step": step}
            lines.append({**key, "set": place, "probe": probe, "grade": grade, "value": value, "n": 1000})
    rows = pd.DataFrame(lines).assign(variant="", base="")
    return rows.assign(low=rows["value"], high=rows["value"])


def around(*centres: float) -> list[tuple[float, ...]]:
    """Eight seeds about each centre."""
    return [tuple(centre + spread for spread in EIGHT) for centre in centres]
