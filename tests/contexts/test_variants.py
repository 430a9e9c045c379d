"""Variants of a strategy by name: what they may change, and what is told of those that may not."""

import pytest

from ccutils.contexts.sampler import read_variant, write_variant
from ccutils.errors import InputError
from ccutils.training.plan import Plan


def test_a_variant_changes_the_contexts_by_name():
    name, changes = read_variant("contrastive,targets_per_context=4,similarity=minilm,p=0.3")
    assert (name, changes) == ("contrastive", {"p": 0.3, "similarity": "minilm", "targets_per_context": 4})
    assert write_variant(changes) == "p=0.3,similarity=minilm,targets_per_context=4"


@pytest.mark.parametrize(
    "spec, why",
    [
        ("contrastive,steps=3", "known are k, p, epsilon"),
        ("contrastive,p", "known are"),
        ("contrastive,k=many", "invalid literal"),
        ("contrastive,similarity=st:org/name", "no '/'; set it for the whole profile"),
    ],
)
def test_what_is_no_variant_is_told(spec, why):
    with pytest.raises(InputError, match=why):
        read_variant(spec)


def test_a_variant_reaches_the_plan_and_is_checked_there() -> None:
    plan = Plan(strategy="contrastive,similarity=tfidf,targets_per_context=4")
    assert (plan.strategy, plan.similarity, plan.targets_per_context) == ("contrastive", "tfidf", 4)
    with pytest.raises(InputError, match="targets_per_context is -1"):
        Plan(strategy="contrastive,targets_per_context=-1")
