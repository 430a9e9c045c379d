"""Variants of a strategy by name: what they may change, and what is told of those that may not."""

from dataclasses import replace

import pytest

from ccutils.contexts.sampler import read_variant, write_variant
from ccutils.errors import InputError
from ccutils.training.plan import Plan
from ccutils.training.settings import Settings


def test_a_variant_changes_contexts_and_training_by_name():
    name, changes = read_variant("contrastive,targets_per_context=4,similarity=minilm,p=0.3")
    assert (name, changes) == ("contrastive", {"p": 0.3, "similarity": "minilm", "targets_per_context": 4})
    assert write_variant(changes) == "p=0.3,similarity=minilm,targets_per_context=4"
    spec = "learning_rate=0.0002,quantise=true,steps=500"
    assert write_variant(read_variant(f"random,{spec}")[1]) == spec


@pytest.mark.parametrize(
    "spec, why",
    [
        ("contrastive,rank=3", "known are k, p, epsilon"),
        ("contrastive,quantise=1", "'1' is neither true nor false"),
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


def test_a_variant_of_the_training_is_the_plan_s_own_and_stays_when_the_plan_is_made_again() -> None:
    plan = Plan(strategy="random,steps=500,learning_rate=2e-4,quantise=false", settings=Settings(batch=16))
    assert (plan.settings.steps, plan.settings.learning_rate, plan.settings.batch) == (500, 2e-4, 16)
    assert not plan.quantise and plan.variant == "learning_rate=0.0002,quantise=false,steps=500"
    assert replace(plan, seed=1).settings == plan.settings
