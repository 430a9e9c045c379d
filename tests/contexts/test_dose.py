"""The dose: by chance in random contexts, by design in the others."""

import pytest

from ccutils.contexts.dose import measure_dose
from ccutils.contexts.neighbours import pool_neighbours
from ccutils.contexts.sampler import ContextSampler, Strategy
from ccutils.tasks import load_task


@pytest.mark.parametrize(
    ("strategy", "low", "high"),
    [
        (Strategy("none", 6), 0, 0),
        (Strategy("random", 6), 0.15, 0.35),  # a quarter by chance: the tail is long
        (Strategy("contrastive", 6, p=0, epsilon=1.0), 1, 1),
        (Strategy("contrastive", 6, p=0.5, epsilon=0.1), 0.6, 0.75),  # 0.6 by design, and chance
        (Strategy("batch_mix", 6, p=0.5), 0.5, 0.7),
        (Strategy("similar", 6), 0.85, 1),
    ],
)
def test_the_dose_of_topics(strategy: Strategy, low: float, high: float) -> None:
    task = load_task("topics", seed=0)
    inputs = [e.input for e in task.pool]
    near = pool_neighbours(inputs, 6, "bm25") if strategy.neighbours else None
    assert low <= measure_dose(ContextSampler(strategy, near, inputs, 0), task) <= high
