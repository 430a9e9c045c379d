"""Variants of a strategy by name."""

from dataclasses import replace

from ccutils.contexts.sampler import read_variant, write_variant
from ccutils.training.plan import Plan
from ccutils.training.settings import Settings


def test_a_variant_is_read_and_written_by_name():
    name, changes = read_variant("contrastive,steps=4,similarity=minilm,p=0.3")
    assert (name, changes) == ("contrastive", {"p": 0.3, "similarity": "minilm", "steps": 4})
    assert write_variant(changes) == "p=0.3,similarity=minilm,steps=4"
    spec = "learning_rate=0.0002,quantise=true,steps=500"
    assert write_variant(read_variant(f"random,{spec}")[1]) == spec


def test_a_variant_sets_fields_of_the_plan() -> None:
    plan = Plan(strategy="contrastive,similarity=tfidf,k=4")
    assert (plan.strategy, plan.similarity, plan.k) == ("contrastive", "tfidf", 4)


def test_a_variant_of_the_training_survives_a_copy_of_the_plan() -> None:
    plan = Plan(strategy="random,steps=500,learning_rate=2e-4,quantise=false", settings=Settings(batch=16))
    assert (plan.settings.steps, plan.settings.learning_rate, plan.settings.batch) == (500, 2e-4, 16)
    assert not plan.quantise and plan.variant == "learning_rate=0.0002,quantise=false,steps=500"
    assert replace(plan, seed=1).settings == plan.settings
