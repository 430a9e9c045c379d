"""Changed labels and what follows them, worked by hand."""

from collections import Counter

import numpy as np
import pytest

from ccutils.errors import InputError
from ccutils.tasks.base import Example
from ccutils.tasks.brackets import parse_form
from ccutils.tasks.metrics import parse_match
from ccutils.tasks.relabel import INVENTED, change_output, change_outputs, change_parse


def test_a_changed_output_is_new_to_target_and_context():
    target, relevant, other = Example("a", "A"), [Example("b", "A")], [Example("c", "B")]
    changed, follows = change_output(target, relevant, other, ["A", "B", "C"], np.random.default_rng(0))
    assert (changed[0].output, follows) == ("C", "C")
    changed, follows = change_output(target, relevant, other, ["A", "B"], np.random.default_rng(0))
    assert changed[0].output == follows in INVENTED


def test_new_labels_are_as_frequent_and_as_familiar_as_the_targets_own():
    pool = [Example(f"p{i}", label) for i, label in enumerate(["A", "B", "B", "B", "C"])]
    ood_pool = [Example(f"o{i}", label) for i, label in enumerate(["X", "Y", "Z"])]
    change, rng = change_outputs(pool, ood_pool), np.random.default_rng(0)

    def drawn(label):
        target = Example("t", label)
        return Counter(change(target, [target], [], rng)[1] for _ in range(400))

    assert drawn("A")["B"] / 400 == pytest.approx(0.75, abs=0.07) and set(drawn("A")) == {"B", "C"}
    assert set(drawn("X")) == {"Y", "Z"}


def request(form: str) -> Example:
    return Example("words", form, "", {"intent": parse_form(form).label.removeprefix("IN:"), "parse": form})


def test_following_a_renamed_parse_worked_by_hand():
    """The relevant example shows ALARM and TIME but not NAME; DATE is the other one's, so it is taken."""
    target = request("[IN:ALARM [SL:TIME at 7 ] [SL:NAME tea ] ]")
    relevant = [request("[IN:ALARM [SL:TIME at 9 ] ]")]
    irrelevant = [request("[IN:MUSIC [SL:DATE today ] ]")]
    names = ["IN:ALARM", "IN:MUSIC", "IN:NEWS", "SL:TIME", "SL:NAME", "SL:DATE", "SL:PLACE"]
    changed, follows = change_parse(target, relevant, irrelevant, names, np.random.default_rng(0))
    assert [e.output for e in changed] == ["[IN:NEWS [SL:PLACE at 9 ] ]"]
    assert changed[0].input == relevant[0].input
    assert follows == "[IN:NEWS [SL:PLACE at 7 ] [_ tea ] ]"
    answers = [
        "[IN:NEWS [SL:PLACE at 7 ] [SL:NAME tea ] ]",
        target.output,
        "[IN:NEWS [SL:TIME at 7 ] [SL:NAME tea ] ]",
    ]
    assert parse_match(answers, [follows] * 3).tolist() == [1, 0, 0]


def test_too_few_free_names_is_told():
    target, relevant = request("[IN:A ]"), [request("[IN:A [SL:B x ] ]")]
    with pytest.raises(InputError, match=r"1 labels.*only 0"):
        change_parse(target, relevant, [], ["IN:A", "IN:C", "SL:B"], np.random.default_rng(0))


def test_a_changed_label_is_no_other_spelling_of_one_in_the_context():
    target, other = Example("a", "very good"), [Example("b", "caf\u00e9")]
    outputs = ["very\u00a0good", "very  good", "cafe\u0301", "bad"]
    for seed in range(8):
        assert change_output(target, [target], other, outputs, np.random.default_rng(seed))[1] == "bad"
