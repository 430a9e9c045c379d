"""What the Copy-score counts as wrong and as copied: `plain_wrong` for labels, `wrong_by` for sequences."""

from collections.abc import Sequence
from difflib import SequenceMatcher

from ccutils.tasks.base import Example, Score, Wrong, label_key

NEAR_COPY = 0.9
"""Minimum share of equal words of two nearly equal answers."""


def near(one: str, other: str) -> bool:
    """Check whether twice the matching words (in order) are at least NEAR_COPY of both texts' words."""
    matcher = SequenceMatcher(None, label_key(one).split(), label_key(other).split(), autojunk=False)
    return (
        matcher.real_quick_ratio() >= NEAR_COPY
        and matcher.quick_ratio() >= NEAR_COPY
        and matcher.ratio() >= NEAR_COPY
    )


def wrong_by(score: Score) -> Wrong:
    """Make Task.wrong from the task's own score.

    An answer is wrong by 1 minus its score. All of that counts as copied if the answer nearly equals the
    label of an irrelevant demonstration, unless it is as near to the target's own answer.
    """

    def wrong(answer: str, target: Example, irrelevant: Sequence[Example]) -> tuple[float, float]:
        share = 1.0 - float(score([answer], [target])[0])
        copied = any(near(answer, e.output) for e in irrelevant) and not near(answer, target.output)
        return share, share if copied else 0.0

    return wrong


def plain_wrong(answer: str, target: Example, irrelevant: Sequence[Example]) -> tuple[float, float]:
    """Score an answer as wrong or right, and as a copy if it is a demonstration's label (see `label_key`)."""
    given = label_key(answer)
    wrong = given != label_key(target.output)
    return float(wrong), float(wrong and any(given == label_key(e.output) for e in irrelevant))
