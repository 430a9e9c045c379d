"""Verdicts on fabricated rows whose answers are known."""

import pandas as pd
import pytest
from scipy.stats import ttest_1samp  # type: ignore[import-untyped]

from ccutils.report.aggregate import IWL, NOVEL
from ccutils.report.hypotheses import (
    BASE_DOES_TOO,
    DIFFERS,
    HYPOTHESES,
    NOT_SUPPORTED,
    NOTHING_TO_LOSE,
    PRIMARY,
    REAL_HYPOTHESES,
    SAME,
    SUPPORTED,
    TOO_FEW,
    UNDECIDED,
    Hypothesis,
    check_hypotheses,
)

EIGHT = (0.0, 0.01, -0.01, 0.02, -0.02, 0.0, 0.01, -0.01)


HIGH = Hypothesis("random", "IWL-score high", IWL, "at least", 0.5)
BETTER = Hypothesis("contrastive", "better", IWL, "above", 0, "random", primary=True)


@pytest.mark.parametrize(("centre", "verdict"), [(0.9, SUPPORTED), (0.1, NOT_SUPPORTED), (0.5, UNDECIDED)])
def test_a_descriptive_bound_is_decided_by_the_whole_interval(centre: float, verdict: str) -> None:
    table = check_hypotheses(made_up({"random": around(centre)[0]}), (HIGH,))
    assert table["verdict"].tolist() == [verdict] and table["p"].isna().all()


def test_a_primary_claim_is_tested_by_sign_flips() -> None:
    rows = made_up({"random": (0.5,) * 8, "contrastive": (0.52, 0.53, 0.51, 0.55, 0.52, 0.56, 0.51, 0.54)})
    line = check_hypotheses(rows, (BETTER,)).iloc[0]
    assert line["p"] == pytest.approx(2 / 256) and line["verdict"] == SUPPORTED
    worse = made_up({"random": (0.6,) * 8, "contrastive": around(0.5)[0]})
    assert check_hypotheses(worse, (BETTER,))["verdict"].tolist() == [NOT_SUPPORTED]
    mixed = made_up({"random": (0.5,) * 8, "contrastive": (0.52, 0.53, 0.47, 0.55, 0.49, 0.56, 0.5, 0.46)})
    assert check_hypotheses(mixed, (BETTER,))["verdict"].tolist() == [UNDECIDED]


def test_holm_counts_the_primary_hypotheses_of_a_task() -> None:
    rows = made_up({"random": (0.5,) * 8, "contrastive": around(0.6)[0]})
    four = [
        Hypothesis("contrastive", f"statement {i}", IWL, "above", i / 100, "random", primary=True)
        for i in range(4)
    ]
    assert check_hypotheses(rows, four)["p"].tolist() == pytest.approx([4 * 2 / 256] * 4)


def test_a_margin_is_not_superiority() -> None:
    """A little worse, by less than the margin, is no worse."""
    no_worse = next(h for h in PRIMARY if h.score == IWL)
    rows = made_up({"random": (0.7,) * 8, "contrastive": (0.69, 0.685, 0.695, 0.69, 0.69, 0.68, 0.69, 0.695)})
    assert check_hypotheses(rows, (no_worse,))["verdict"].tolist() == [SUPPORTED]


def test_few_seeds_have_no_verdict_but_may_agree_with_a_reference() -> None:
    rows = made_up({"random": (0.9, 0.92, 0.91)})
    assert check_hypotheses(rows, (HIGH,))["verdict"].tolist() == [TOO_FEW]
    near, far = made_up({"random": around(0.92)[0]}), made_up({"random": around(0.3)[0]})
    assert check_hypotheses(rows, (HIGH,))["reference"].tolist() == [""]
    assert check_hypotheses(rows, (HIGH,), reference=near)["reference"].tolist() == [SAME]
    assert check_hypotheses(rows, (HIGH,), reference=far)["reference"].tolist() == [DIFFERS]


def test_differences_are_taken_seed_by_seed() -> None:
    # The seeds differ far more than the strategies do: only the paired difference, 0.05 each, can decide.
    random = tuple(0.1 * seed for seed in range(1, 9))
    rows = made_up({"random": random, "contrastive": tuple(value - 0.05 for value in random)})
    near = Hypothesis("contrastive", "near random", IWL, "at least", -0.1, "random")
    line = check_hypotheses(rows, (near,)).iloc[0]
    assert line["verdict"] == SUPPORTED and line["difference"] == pytest.approx(-0.05)
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
    fixed = {"task": "made-up", "model": "tiny", "variant": "", "step": 100, "set": "id", "kind": "plain"}
    judged = pd.DataFrame(lines).assign(**fixed, grade=0, wrong=0.0, copied=0.0, chance=0.0)
    near = Hypothesis("contrastive", "near", IWL, "at least", -0.1, "random")
    apart, paired = (check_hypotheses(rows, (near,), table).iloc[0] for table in (None, judged))
    assert apart["high"] - apart["low"] > 0.05 and paired["high"] == paired["low"] == 0


def test_a_share_of_the_base() -> None:
    most = Hypothesis("contrastive", "most of base", NOVEL, "at least", 0, "base", 0.5)
    for kept, verdict in ((0.5, SUPPORTED), (0.3, NOT_SUPPORTED)):
        rows = made_up({"base": (0.8,) * 8, "contrastive": (kept + 0.05, *(kept + 0.04,) * 7)}, "novel")
        assert check_hypotheses(rows, (most,))["verdict"].tolist() == [verdict]
    assert most.rule == "ICL-score, novel minus 0.5 × that of base is at least 0"


def test_what_was_not_run_is_not_judged_and_what_was_not_measured_is_not_decided() -> None:
    table = check_hypotheses(made_up({"random": (0.9,) * 8}))
    assert set(table["strategy"]) == {"random"}  # nothing is said of similar and contrastive
    decided = dict(zip(table["hypothesis"], table["verdict"], strict=True))
    assert decided["knowledge is high"] == SUPPORTED and decided["loses ICL"] == TOO_FEW
    alone = check_hypotheses(
        made_up({"contrastive": (0.9,) * 8})
    )  # random, which it is compared with, was not run
    statement = "no worse than random with nothing relevant"
    assert alone.set_index("hypothesis").loc[statement, "verdict"] == TOO_FEW


@pytest.mark.parametrize(
    ("base", "similar", "verdict"),
    [(0.9, 0.9, BASE_DOES_TOO), (0.1, 0.9, SUPPORTED), (0.9, 0.1, NOT_SUPPORTED)],
)
def test_what_base_does_already_is_no_news(base: float, similar: float, verdict: str) -> None:
    copies = next(h for h in HYPOTHESES if h.strategy == "similar" and h.unless_base_does)
    rows = made_up({"base": (base,) * 8, "similar": (similar,) * 8}, "copy_excess")
    assert check_hypotheses(rows, (copies,))["verdict"].tolist() == [verdict]


@pytest.mark.parametrize(
    ("base", "similar", "verdict"),
    [(0.7, 0.8, NOT_SUPPORTED), (0.7, 0.5, SUPPORTED), (0.05, 0.0, NOTHING_TO_LOSE)],
)
def test_a_loss_is_moot_where_base_has_nothing(base: float, similar: float, verdict: str) -> None:
    worse = next(h for h in HYPOTHESES if h.statement == "chooses worse than base")
    rows = made_up({"base": (base,) * 8, "similar": (similar,) * 8}, "novel")
    assert check_hypotheses(rows, (worse,))["verdict"].tolist() == [verdict]


@pytest.mark.parametrize(("family", "primary"), [(HYPOTHESES, 4), (REAL_HYPOTHESES, 7)])
def test_each_family_has_its_primary_hypotheses_and_no_rule_twice(
    family: tuple[Hypothesis, ...], primary: int
) -> None:
    assert sum(hypothesis.primary for hypothesis in family) == primary
    assert {hypothesis.strategy for hypothesis in family} == {"none", "random", "similar", "contrastive"}
    assert len({(hypothesis.strategy, hypothesis.rule) for hypothesis in family}) == len(family)


def test_real_models_have_a_family_of_their_own_decided_by_t_tests() -> None:
    """Six seeds cannot decide seven tests by sign flips (least p 0.03 times 7), t-tests can."""
    rows = made_up({"random": (0.5,) * 6, "contrastive": (0.61, 0.6, 0.59, 0.6, 0.62, 0.58)})
    table = check_hypotheses(rows.assign(model="smollm2"))
    (line,) = table[table["primary"] & table["p"].notna()].to_dict("records")
    expected = ttest_1samp([0.14, 0.13, 0.12, 0.13, 0.15, 0.11], 0).pvalue
    assert line["verdict"] == SUPPORTED and line["p"] == pytest.approx(expected)
    assert line["rule"] == "IWL-score minus that of random is above -0.03"
    assert check_hypotheses(rows)["p"].dropna().tolist() == pytest.approx([2 / 64])
    same = made_up({"random": (0.5,) * 6, "contrastive": (0.5,) * 6})
    assert check_hypotheses(same.assign(model="smollm2"), (BETTER,))["p"].tolist() == [1]


def test_a_reference_of_the_same_seeds_is_compared_seed_by_seed() -> None:
    """The seeds differ by far more than this run from the reference."""
    values = tuple(0.1 * seed for seed in range(8))
    rows, known = made_up({"random": tuple(v + 0.1 for v in values)}), made_up({"random": values})
    assert check_hypotheses(rows, (HIGH,), reference=known)["reference"].tolist() == [DIFFERS]
    others = known.assign(seed=known["seed"] + 8)
    assert check_hypotheses(rows, (HIGH,), reference=others)["reference"].tolist() == [SAME]


def made_up(values: dict[str, tuple[float, ...]], score: str = "iwl") -> pd.DataFrame:
    """Fabricated rows: for each strategy a value per seed; `base` is written as step 0 of `random`."""
    place, probe, grade = {"iwl": ("id", "iwl", 0), "novel": ("ood", "quality", 1)}.get(
        score, ("id", score, 0)
    )
    lines = []
    for strategy, by_seed in values.items():
        for seed, value in enumerate(by_seed):
            name, step = ("random", 0) if strategy == "base" else (strategy, 100)
            key = {"task": "made-up", "model": "tiny", "strategy": name, "seed": seed, "step": step}
            lines.append({**key, "set": place, "probe": probe, "grade": grade, "value": value, "n": 1000})
    rows = pd.DataFrame(lines).assign(variant="", base="")
    return rows.assign(low=rows["value"], high=rows["value"])


def around(*centres: float) -> list[tuple[float, ...]]:
    """Eight seeds about each centre."""
    return [tuple(centre + spread for spread in EIGHT) for centre in centres]
