"""The dose of a strategy: how many of its contexts hold an example that is relevant to the target.

Random contexts hold one now and then by chance, so that strategies differ in dose as well as in contrast:
compare them at equal dose.
"""

from collections.abc import Sequence

import numpy as np

from ccutils.contexts.epochs import EpochContexts
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


def count_targets(contexts: EpochContexts, task: Task, ends: Sequence[int]) -> list[dict[str, int]]:
    """Count the targets of a run before each index in `ends`, by their contexts.

    Keys: `targets`; `relevant`, those with a relevant example or a paraphrase; `relabelled`, those with a
    label that is not the pool's; `true_label`, the others; `true_label_no_relevant`, those among them without
    a relevant example.
    """
    n, at_once = max(ends, default=0), 1024
    relevant, true_label = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    for first in range(0, n, at_once):
        places = range(first, min(first + at_once, n))
        _, rows = contexts.targets(np.array(places))
        for i, row, made in zip(places, rows.tolist(), contexts.contexts(places), strict=True):
            target, demonstrations, nearness = made
            original = task.pool[row]
            true_label[i] = target.output == original.output
            relevant[i] = max(nearness, default=0.0) > 1 or any(  # above 1: a paraphrase
                task.relevant(original, e) or task.relevant(target, e) for e in demonstrations
            )
    return [
        {
            "targets": end,
            "relevant": int(relevant[:end].sum()),
            "true_label": int(true_label[:end].sum()),
            "true_label_no_relevant": int((true_label & ~relevant)[:end].sum()),
            "relabelled": int((~true_label)[:end].sum()),
        }
        for end in ends
    ]
