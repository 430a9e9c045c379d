"""The dose of a strategy: how many of its contexts hold an example that is relevant to the target.

Random contexts hold one now and then by chance, so that strategies differ in dose as well as in contrast:
compare them at equal dose.
"""

import numpy as np

from ccutils.contexts.sampler import ContextSampler, SlotKind
from ccutils.tasks.base import Task


def measure_dose(sampler: ContextSampler, task: Task, epochs: int = 1) -> float:
    """Return the share of the drawn contexts that hold a relevant example or a paraphrase, in [0, 1].

    `sampler` is over the task's pool; each pool example is a target once an epoch.
    """
    held = 0
    for epoch in range(epochs):
        drawn = sampler.sample(epoch, np.arange(len(task.pool)))
        for target, rows, kinds in zip(task.pool, drawn.rows.tolist(), drawn.kinds.tolist(), strict=True):
            held += any(
                kind == SlotKind.PARAPHRASE or task.relevant(target, task.pool[row])
                for row, kind in zip(rows, kinds, strict=True)
            )
    return held / (epochs * len(task.pool))
