"""The opening of a report and its verdicts, from made-up verdicts and fabricated rows."""

import pandas as pd
import pytest
from made_up import fabricate

from ccutils.report.aggregate import scores_table
from ccutils.report.claims import AGREES, CAME_OUT, DID_NOT, DIFFERS, OPEN, VERDICT_COLUMNS, judge_claims
from ccutils.report.hopes import count_verdicts, hope_lines, hopes_html, opening, tell_accidents


def verdicts(*of_tasks: tuple[str, bool, str]) -> pd.DataFrame:
    """A table of verdicts: task, primary or not, verdict; its numbers mean nothing."""
    rest = dict.fromkeys(VERDICT_COLUMNS, 0.5) | {"model": "toy", "strategy": "random"}
    rest |= {"hope": "hope", "rule": "rule", "score": "score", "p": float("nan")}
    return pd.DataFrame([{**rest, "task": task, "primary": p, "verdict": v} for task, p, v in of_tasks])


def test_a_report_opens_with_what_was_run_what_came_out_and_what_it_decides() -> None:
    rows = fabricate(tasks=("one", "two"))
    run, shares, decided = opening(rows, scores_table(rows), judge_claims(rows))
    assert run.startswith(
        "toy was fine-tuned on one, two with its contexts drawn by contrastive, random, similar, "
    )
    assert "3 seeds each" in run
    assert shares.startswith("Share of right answers on one with one relevant example at hand ")
    assert "base 0.50" in shares and "; with nothing relevant " in shares and " on two " in shares
    assert decided.startswith(
        "Of 26 hopes, each a rule set beforehand: 26 without a verdict (too few seeds, and no "
    )


@pytest.mark.parametrize(
    ("model", "steps", "said"), [("tiny", 49, True), ("tiny", 50, False), ("toy", 1, False)]
)
def test_a_report_of_next_to_no_training_says_that_it_means_nothing(
    model: str, steps: int, said: bool
) -> None:
    rows = fabricate(models=(model,), steps=(0, steps))
    sentences = opening(rows, scores_table(rows), judge_claims(rows))
    warning = f"Only {steps} optimiser steps: the numbers of so short a run mean nothing."
    assert (sentences[1] == warning) == said == (warning in sentences)


def test_several_verdicts_are_counted_in_the_plural() -> None:
    table = verdicts(("one", False, AGREES), ("one", False, AGREES), ("one", False, DIFFERS))
    assert count_verdicts(table) == "2 agree with the reference; 1 differs from the reference"


def test_of_one_seed_a_measure_stands_without_an_interval() -> None:
    rows = fabricate(seeds=(0,))
    table = judge_claims(rows[rows["probe"] != "iwl"])
    shown = hope_lines(table)["what the rule bounds (95% interval)"]
    assert shown.str.fullmatch(r"-?\d\.\d{3}|not measured").all()
    assert (shown == "not measured").tolist() == table["measure"].isna().tolist() and table[
        "measure"
    ].isna().any()


def test_verdicts_are_grouped_by_task_primary_ones_first() -> None:
    table = verdicts(("one", False, CAME_OUT), ("one", True, DID_NOT), ("two", False, OPEN))
    text = "".join(hopes_html(table))
    assert text.startswith("<p>Of 3 hopes: 1 came out; 1 did not come out; 1 not decided by these seeds.</p>")
    one, two = text.index("<h3>one, toy: 1 came out; 1 did not"), text.index("<h3>two, toy: 1 not decided")
    assert one < text.index("<td>primary</td>") < text.index("<td>descriptive</td>") < two


def test_the_chance_of_a_wrong_verdict_counts_a_tasks_primary_ones_once() -> None:
    primary = [("one", True, CAME_OUT)] * 4
    assert "has a chance of up to about 5%" in tell_accidents(verdicts(*primary))
    both = tell_accidents(verdicts(*primary, *[("one", False, CAME_OUT)] * 10, ("one", False, OPEN)))
    assert "each of the 10 that describe" in both and "0.5 of them on average" in both
    assert f"about {1 - 0.95**11:.0%}" in both


@pytest.mark.parametrize("table", [verdicts(("one", False, OPEN)), verdicts()])
def test_where_nothing_is_decided_nothing_is_decided_wrongly(table: pd.DataFrame) -> None:
    if len(table):
        assert tell_accidents(table).startswith("Nothing is decided")
    else:
        assert hopes_html(table) == ["<p>None of the strategies that the hopes are about was run.</p>"]
