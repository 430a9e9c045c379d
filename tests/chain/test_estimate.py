"""What jobs are estimated to cost, and the timing behind it."""

from dataclasses import replace
from pathlib import Path

import pytest

from ccutils.chain import estimate
from ccutils.chain.profiles import read_profile


def test_more_steps_or_seeds_or_bases_to_be_trained_cost_more(tmp_path: Path) -> None:
    profile = read_profile(estimate.ROOT / "profiles" / "cpu.yaml")
    cost = estimate.estimate_job(profile, "ic_train_0", 1.0)
    more = replace(profile, overrides={"steps": 2000})
    anew = replace(profile, overrides={"recipe": {"kept": False}})
    assert cost is not None and cost > 0
    for other, rule in ((more, "ic_train_0"), (anew, "ic_train_0"), (profile, "ic_train_0_1")):
        dearer = estimate.estimate_job(other, rule, 1.0)
        assert dearer is not None and dearer > cost
    assert estimate.estimate_job(profile, "ic_train_0", 2.0) == pytest.approx(2 * cost)


def test_every_rule_of_the_graph_has_a_cost(tmp_path: Path) -> None:
    text = (estimate.ROOT / "Snakefile").read_text()
    rules = {"start", "minimal_model", "phase_diagrams", "contexts", "ic_train_0", "probes_0", "figures"}
    for rule in rules:
        kind, _ = estimate.split_rule(rule)
        assert kind in estimate.COSTS and f"{estimate.NOTEBOOKS[kind]}" in text
        assert estimate.estimate_megabytes({rule: 2}) > 0
    assert set(estimate.COSTS) == set(estimate.NOTEBOOKS) == {estimate.split_rule(rule)[0] for rule in rules}


def test_the_speed_is_timed_once_for_a_results_folder(tmp_path: Path) -> None:
    seconds = estimate.find_speed(tmp_path, 1)
    assert seconds is not None and seconds > 0
    assert estimate.find_speed(tmp_path, 1) == seconds  # to the last digit: not timed again
