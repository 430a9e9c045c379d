"""The hopes, their rules and verdicts as HTML, grouped by task, and how many may be wrong by accident."""

from collections.abc import Iterator

import pandas as pd

from ccutils.report.aggregate import IWL, KNOWN, with_noun
from ccutils.report.claims import AGREES, CAME_OUT, DID_NOT, DIFFERS, LEVEL, VERDICTS
from ccutils.report.page import heading, paragraph, table_html

VERDICT_MARKS = dict(zip(VERDICTS, "✓✗?––=≠–", strict=True))
OF_SEVERAL = {AGREES: "agree with the reference", DIFFERS: "differ from the reference"}
NOT_MEASURED = "not measured"
FEWEST_STEPS = 50  # of the tiny model: in fewer it learns next to nothing
RULES = (
    "Each hope is a rule; its bound is ours and was set beforehand, as were the four primary hopes. From six "
    "seeds on these four are tested by flipping the signs of the seeds' differences, p corrected by Holm; "
    "all others describe: they came out if the whole 95% interval keeps the rule, they did not if none of it "
    "does. Of fewer seeds nothing is decided here: the report says whether they agree with the reference. "
    "Intervals are a bootstrap over seeds and, within them, targets; where a rule compares two strategies, "
    "they are compared seed by seed and target by target. OOD: groups of examples that training never saw."
)


def hopes_html(table: pd.DataFrame) -> list[str]:
    """Return what the verdicts are, what chance may have done, and a table for each task and model."""
    if table.empty:
        return [paragraph("None of the strategies that the hopes are about was run.")]
    parts = [paragraph(f"Of {len(table)} hopes: {count_verdicts(table)}."), paragraph(tell_accidents(table))]
    for (task, model), part in table.groupby(["task", "model"], sort=False):
        parts += [heading(f"{task}, {model}: {count_verdicts(part)}", level=3), table_html(hope_lines(part))]
    return parts


def count_verdicts(table: pd.DataFrame) -> str:
    """Return how many hopes had each verdict, as words."""
    counts = table["verdict"].value_counts()
    return "; ".join(
        f"{counts[name]} {name if counts[name] == 1 else OF_SEVERAL.get(name, name)}"
        for name in VERDICTS
        if name in counts
    )


def tell_accidents(table: pd.DataFrame) -> str:
    """Return a sentence on the chance that some of the verdicts are wrong by accident."""
    decided = table[table["verdict"].isin([CAME_OUT, DID_NOT])]
    if decided.empty:
        return "Nothing is decided, so nothing is decided wrongly: more seeds are needed for verdicts."
    groups = decided[decided["primary"]].groupby(["task", "model"]).ngroups
    by_interval = int((~decided["primary"]).sum())
    chance = 1 - (1 - LEVEL) ** (groups + by_interval)
    return (
        "By accident some may be wrong: the primary verdicts of a task and model, taken together, with a "
        f"chance of at most {LEVEL:.0%}; each of the {by_interval} that describe with about {LEVEL:.0%}, "
        f"which makes {LEVEL * by_interval:.1f} of them on average. That at least one verdict of this report "
        f"is wrong has a chance of up to about {chance:.0%}, if they were independent; those of one task are "
        "not."
    )


def hope_lines(table: pd.DataFrame) -> pd.DataFrame:
    """Return the hopes of one task as texts to be read, primary ones first."""
    table = table.sort_values("primary", ascending=False, kind="stable")
    changes = zip(table["score"], table["base"], table["value"], strict=True)
    shown = pd.DataFrame(
        {
            "verdict": table["verdict"].map(lambda verdict: f"{VERDICT_MARKS[verdict]} {verdict}"),
            "hope": table["strategy"] + ": " + table["hope"],
            "kind": table["primary"].map({True: "primary", False: "descriptive"}),
            "base → strategy": [f"{score}: {base:.2f} → {value:.2f}" for score, base, value in changes],
            "rule": table["rule"],
            "what the rule bounds (95% interval)": [
                measure_text(*line)
                for line in zip(table["measure"], table["low"], table["high"], strict=True)
            ],
            "p": table["p"].map(lambda p: "" if pd.isna(p) else f"{p:.3f}"),
        }
    )
    shown["base → strategy"] = shown["base → strategy"].str.replace("nan", NOT_MEASURED)
    return shown


def measure_text(mean: float, low: float, high: float) -> str:
    """Return a measure with its interval, alone where one seed gives none.

    >>> measure_text(0.1, 0.05, 0.2), measure_text(0.1, float("nan"), float("nan"))
    ('0.100 (0.050 to 0.200)', '0.100')
    """
    if pd.isna(mean):
        return NOT_MEASURED
    return f"{mean:.3f}" if pd.isna(low) or pd.isna(high) else f"{mean:.3f} ({low:.3f} to {high:.3f})"


def opening(rows: pd.DataFrame, scores: pd.DataFrame, hopes: pd.DataFrame) -> list[str]:
    """Return the sentences that a report opens with: what was run, what came out, what it decides.

    Where the tiny model was trained for next to no steps, a sentence says that its numbers mean nothing.

    `scores` is the table of `ccutils.report.scores_table`, `hopes` that of `judge_claims`.
    """
    names = {
        column: ", ".join(map(str, sorted(set(rows[column])))) for column in ("task", "model", "strategy")
    }
    run = (
        f"{names['model']} was fine-tuned on {names['task']} with its contexts drawn by {names['strategy']}, "
        f"{with_noun(rows['seed'].nunique(), 'seed')} each, and asked before, on the way and after."
    )
    verdicts = (
        f"Of {len(hopes)} hopes, each a rule set beforehand: {count_verdicts(hopes)}." if len(hopes) else ""
    )
    sentences = (run, tell_shortness(rows), " ".join(compare(scores)), verdicts)
    return [sentence for sentence in sentences if sentence]


def tell_shortness(rows: pd.DataFrame) -> str:
    """Return a sentence that so few steps of the tiny model mean nothing; '' where there were enough."""
    steps = rows.loc[rows["model"] == "tiny", "step"].max()
    if pd.isna(steps) or steps >= FEWEST_STEPS:
        return ""
    return f"Only {with_noun(int(steps), 'optimiser step')}: the numbers of so short a run mean nothing."


def compare(scores: pd.DataFrame) -> Iterator[str]:
    """Yield, for each task and model, the share of right answers with one relevant example and with none."""
    for (task, model), part in scores.groupby(["task", "model"], sort=False):
        where = task if scores["model"].nunique() == 1 else f"{task} ({model})"
        told = [
            f"{words} {shares}"
            for score, words in ((KNOWN, "with one relevant example at hand"), (IWL, "with nothing relevant"))
            if (shares := shares_of(part[part["score"] == score.name]))
        ]
        if told:
            yield f"Share of right answers on {where} {'; '.join(told)}."


def shares_of(part: pd.DataFrame) -> str:
    """Return the values of one score, a strategy each, the highest first."""
    ranked = part.sort_values("value", ascending=False)
    pairs = zip(ranked["strategy"], ranked["value"], strict=True)
    return ", ".join(f"{strategy} {value:.2f}" for strategy, value in pairs)
