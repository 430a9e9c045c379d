"""Three findings of a run in a sentence each: what the contrastive strategy costs and what it brings."""

import pandas as pd

from ccutils.report.aggregate import ALL_RELEVANT, IWL, NOVEL, final_rows, usual_rows, with_noun
from ccutils.report.paired import paired_difference

COMPARED = (
    ("all k examples relevant", ALL_RELEVANT, "base"),
    ("one relevant example", NOVEL, "random"),
    ("no relevant example (knowledge)", IWL, "random"),
)
"""The costs of contrastive contexts first: what they are compared in, by which score, and with what."""


def list_findings(rows: pd.DataFrame, judged: pd.DataFrame | None = None) -> list[str]:
    """Write a sentence for each task, model and comparison of `contrastive` that was measured.

    Differences are paired by seed and, with `judged` (`find_judged`), by target.
    """
    final = final_rows(usual_rows(rows))
    judged = None if judged is None else usual_rows(judged)
    found = []
    for (task, model), part in final.groupby(["task", "model"]):
        if "contrastive" not in set(part["strategy"]):
            continue
        for what, score, against in COMPARED:
            difference = paired_difference(part, score, "contrastive", against, judged=judged)
            if not difference.seeds:
                continue
            low, high = difference.interval()
            between = "" if pd.isna(low) else f" (95% interval {low:+.2f} to {high:+.2f})"
            answers = int(score.of(part[part["strategy"] == "contrastive"])["n"].sum())
            found.append(
                f"{task}, {model}, {what}: contrastive minus {against} is {difference.mean:+.2f}{between}; "
                f"{with_noun(difference.seeds, 'seed')}, {answers} answers each."
            )
    return found
