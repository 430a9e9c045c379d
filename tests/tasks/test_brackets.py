"""The bracket parser of MTOP's logical forms."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccutils.tasks.brackets import Node, ParseError, blank, labels, parse_form, rename_labels, same, slots

DATA = Path(__file__).parents[3] / "shared" / "data" / "mtop_en"
NESTED = (
    "[IN:CREATE_CALL [SL:CONTACT [IN:GET_CONTACT [SL:CONTACT_RELATED my ] [SL:TYPE_RELATION brother ] ] ] ]"
)

leaf = st.lists(st.sampled_from(["my", "brother", "7", "pm"]), min_size=1, max_size=3)
tree = st.recursive(
    st.builds(lambda w: Node("SL:X", tuple(w)), leaf),
    lambda inner: st.builds(lambda c: Node("SL:Y", (Node("IN:Z", tuple(c)),)), st.lists(inner, max_size=3)),
    max_leaves=8,
).map(lambda node: Node("IN:ROOT", (node,)))


@given(tree)
def test_what_is_written_parses_back(node):
    assert parse_form(str(node)) == node
    assert parse_form(str(node).replace(" ]", "]").replace("[", "  [ ")) == node  # white space aside


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "nothing"),
        ("hello", "before"),
        ("[IN:A", "not closed"),
        ("[IN:A ] ]", "behind"),
        ("[IN:A ] [IN:B ]", "behind"),
        ("] [IN:A ]", "not opened"),
        ("[SL:A x ]", "root is a slot"),
        ("[A x ]", "neither"),
        ("[IN: ]", "neither"),
        ("[IN:A " * 500 + "]" * 500, "deep"),
    ],
)
def test_what_is_no_logical_form_is_refused(text, why):
    with pytest.raises(ParseError, match=why):
        parse_form(text)


def test_labels_and_slots_of_a_nested_parse():
    assert list(labels(parse_form(NESTED))) == [
        "IN:CREATE_CALL", "SL:CONTACT", "IN:GET_CONTACT", "SL:CONTACT_RELATED", "SL:TYPE_RELATION",
    ]  # fmt: skip
    assert set(slots(parse_form(NESTED))) == {
        ("/IN:CREATE_CALL", "SL:CONTACT", "my brother"),
        ("/IN:CREATE_CALL/SL:CONTACT/IN:GET_CONTACT", "SL:CONTACT_RELATED", "my"),
        ("/IN:CREATE_CALL/SL:CONTACT/IN:GET_CONTACT", "SL:TYPE_RELATION", "brother"),
    }


def test_any_stands_for_every_label_but_not_for_other_words():
    wanted = rename_labels(parse_form("[IN:A [SL:B x ] ]"), {"SL:B": "_"})
    assert same(parse_form("[IN:A [SL:C x ] ]"), wanted)
    assert not same(parse_form("[IN:A [SL:C y ] ]"), wanted)
    assert not same(parse_form("[IN:A x ]"), wanted)
    assert not same(parse_form("[IN:B [SL:C x ] ]"), wanted)


@pytest.mark.parametrize(
    ("answer", "wanted", "expected"),
    [
        ("[IN:B [SL:D x ] [SL:T y ] ]", "[IN:B [SL:D x ] [_ y ] ]", "[IN:B [SL:D x ] [_ y ] ]"),
        ("[IN:B [SL:T y ] [SL:D x ] ]", "[IN:B [SL:D x ] [_ y ] ]", "[IN:B [_ y ] [SL:D x ] ]"),  # by words
        ("[IN:B [SL:C x ] [SL:D x ] ]", "[IN:B [SL:D x ] [_ x ] ]", "[IN:B [_ x ] [SL:D x ] ]"),  # and label
        ("[IN:C [SL:D x ] ]", "[_ [SL:D x ] ]", "[_ [SL:D x ] ]"),
        ("[IN:C [SL:D z [IN:E ] ] ]", "[IN:C [_ x [IN:E ] ] ]", "[IN:C [_ z [IN:E ] ] ]"),  # what is left
        ("[IN:C x ]", "[IN:C [_ x ] ]", "[IN:C x ]"),
        ("[IN:C [SL:D x ] ]", "[IN:C x ]", "[IN:C [SL:D x ] ]"),
    ],
)
def test_blanking_by_hand(answer, wanted, expected):
    assert str(blank(parse_form(answer), parse_form(wanted))) == expected


@given(tree, st.integers(0, 9))
def test_blanking_hides_what_is_hidden_of_the_same_tree(node, number):
    every = sorted(set(labels(node)))
    hidden = rename_labels(node, {every[number % len(every)]: "_"})
    assert blank(node, hidden) == hidden and blank(node, node) == node


@pytest.mark.skipif(not DATA.exists(), reason="real data not at ../shared/data")
def test_every_real_logical_form_parses_and_is_written_back_unchanged():
    n = 0
    for split in ("train", "dev", "test"):
        for line in (DATA / f"{split}.jsonl").read_text(encoding="utf-8").splitlines():
            form = json.loads(line)["logical_form"]
            assert str(parse_form(form)) == form
            n += 1
    assert n == 18_902
