"""The dose: the number of targets of a run whose context contains a relevant example.

Random contexts contain one by chance, so strategies differ in dose as well as in contrast: compare them at
equal dose.
"""

from collections.abc import Sequence

import numpy as np

from ccutils.contexts.epochs import EpochContexts
from ccutils.tasks.base import Task


def count_targets(contexts: EpochContexts, task: Task, ends: Sequence[int]) -> list[dict[str, int]]:
    """Count the targets of a run before each index in `ends`, by their contexts.

    Keys: `targets`; `relevant`, those with a relevant example or a paraphrase; `relabelled`, those with a
    label that is not the pool's; `true_label`, the others; `true_label_no_relevant`, those of `true_label`
    without a relevant example.
    """
    n, at_once = max(ends, default=0), 1024
    relevant, true_label = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    for first in range(0, n, at_once):
        indices = range(first, min(first + at_once, n))
        _, rows = contexts.targets(np.array(indices))
        drawn = contexts.contexts(indices)
        for i, row, (target, demonstrations, nearness) in zip(indices, rows.tolist(), drawn, strict=True):
            original = task.pool[row]
            true_label[i] = target.output == original.output
            relevant[i] = max(nearness, default=0.0) > 1 or any(  # above 1: a paraphrase
                task.relevant(original, e) or task.relevant(target, e) for e in demonstrations
            )
    masks = {"relevant": relevant, "true_label": true_label, "relabelled": ~true_label}
    masks["true_label_no_relevant"] = true_label & ~relevant
    return [{"targets": end, **{name: int(mask[:end].sum()) for name, mask in masks.items()}} for end in ends]
