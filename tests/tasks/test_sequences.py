"""What counts as copying, worked by hand."""

import pytest

from ccutils.tasks import metrics
from ccutils.tasks.base import Example
from ccutils.tasks.sequences import near, plain_wrong, wrong_by

TEN = "one two three four five six seven eight nine ten"


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (TEN, True),
        (TEN.replace("ten", "zehn"), True),  # 2 * 9 / 20 = 0.9
        (TEN.replace("nine ten", "neun zehn"), False),  # 0.8
        (TEN + " eleven", True),  # 2 * 10 / 21
        ("ten nine eight seven six five four three two one", False),  # order counts
        ("", False),
    ],
)
def test_near(other, expected):
    assert near(TEN, other) is near(other, TEN) is expected


def test_a_copy_is_wrong_and_near_an_irrelevant_label():
    wrong = wrong_by(lambda a, e: metrics.text_match(a, [x.output for x in e]))
    target, others = Example("q", "the answer"), [Example("r", TEN), Example("s", "no")]
    assert wrong("the answer", target, others) == (0, 0)
    assert wrong(TEN.replace("ten", "zehn"), target, others) == (1, 1)
    assert wrong("no", target, others) == (1, 1)
    assert wrong("something else", target, others) == (1, 0)
    assert wrong("the answer", target, [Example("t", "the answer")]) == (0, 0)  # right, whoever else says it


def test_a_nearly_right_answer_is_no_copy_of_its_like():
    """Wrong in one word, and as near to the target's own answer as to the demonstration's."""
    wrong = wrong_by(lambda a, e: metrics.text_match(a, [x.output for x in e]))
    target, other = Example("q", TEN), Example("r", TEN.replace("one", "uno"))
    assert wrong(TEN.replace("ten", "zehn"), target, [other]) == (1, 0)


def test_graded_scores_are_wrong_by_degrees():
    wrong = wrong_by(lambda a, e: metrics.chrf(a, [x.output for x in e]))
    share, copied = wrong("ab", Example("q", "ac"), [Example("r", "ab")])
    assert share == copied == pytest.approx(5 / 6)


def test_a_copy_in_another_spelling_is_a_copy():
    target, shown = Example("", "bad"), [Example("", "tr\u00e8s bon")]
    assert plain_wrong("tre\u0300s\u00a0bon", target, shown) == (1, 1)
    assert plain_wrong("tre\u0300s\u00a0bon", shown[0], shown) == (0, 0)
    assert near("tre\u0300s\u00a0bon", "tr\u00e8s bon")
