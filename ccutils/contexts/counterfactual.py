"""Counterfactual contexts (ours): in some contexts, only the demonstrations determine the target's answer.

With true labels alone the weights learn to answer, and in-context learning is lost. If the relevant examples
and the target share a wrong label, knowledge in the weights does not help.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ccutils.errors import InputError
from ccutils.tasks.base import Example, MapLabels, label_key, whole_label

RELABEL = ("relevant", "target", "also_irrelevant", "all")
"""What to relabel in a counterfactual context. relevant: the labels that the target shares with a
demonstration, in both. The others are controls. target: the same labels, in the target alone (label noise).
also_irrelevant: as relevant, and as many irrelevant demonstrations get wrong labels. all: every label of the
context, one-to-one (symbol tuning)."""


class Counterfactual:
    """Relabel a share of the contexts that contain a relevant example: a RedrawLabels for any strategy.

    New labels are drawn with the pool's frequencies from those absent from the context. If too few are
    absent, all labels of the context are permuted without fixed points (with `relabel` "target", the context
    keeps its labels). Contexts without a label of the target never change. `share` is in [0, 1], `relabel` in
    RELABEL. Raises InputError for other values and for a pool whose outputs are not labels.

    >>> pool = [Example(f"{what} {n}", what.upper()) for what in ("rain", "song") for n in range(2)]
    >>> made = Counterfactual(pool, share=1.0)
    >>> [e.output for e in made(pool[:2], np.random.default_rng(0))]
    ['SONG', 'SONG']
    """

    def __init__(
        self,
        pool: Sequence[Example],
        share: float,
        relabel: str = "relevant",
        map_labels: MapLabels | None = whole_label,
    ) -> None:
        check_counterfactual(share, relabel)
        if map_labels is None:
            raise InputError(f"counterfactual is {share}: this task's outputs are not labels. Set it to 0.")
        self.share, self.relabel, self.map_labels = share, relabel, map_labels
        found = [label for e in pool for label in self._read(e)]
        self.spelling = {label_key(label): label for label in reversed(found)}  # the first spelling
        self.counts = Counter(map(label_key, found))
        if not 2 <= len(self.counts) <= len(found) / 2:
            raise InputError(
                f"counterfactual is {share}, and the pool's {len(found)} outputs have {len(self.counts)} "
                "different labels: it needs at least 2 that occur twice on average. Set it to 0."
            )

    def __call__(self, shown: Sequence[Example], rng: np.random.Generator) -> list[Example]:
        """Relabel a context with probability `share`; its last example is the target."""
        labels = [[label_key(label) for label in self._read(e)] for e in shown]
        every, demonstrated = {x for found in labels for x in found}, {x for f in labels[:-1] for x in f}
        shared = [label for label in labels[-1] if label in demonstrated]
        if not shared or rng.random() >= self.share:
            return list(shown)
        new = self._draw(sorted(every) if self.relabel == "all" else shared, every, rng)
        if self.relabel == "target":
            return [*shown[:-1], self._rename(shown[-1], new)]
        if not new:
            cycle = rng.permutation(sorted(every)).tolist()
            new = dict(zip(cycle, [*cycle[1:], cycle[0]], strict=True))
        made = [self._rename(e, new) for e in shown]
        if self.relabel == "also_irrelevant":
            kept = [i for i, found in enumerate(labels) if new.keys().isdisjoint(found)]
            count = min(len(kept), len(shown) - 1 - len(kept))
            for i in rng.permutation(kept)[:count].tolist():
                made[i] = self._rename(made[i], self._draw(labels[i], {*every, *new.values()}, rng))
        return made

    def _read(self, example: Example) -> list[str]:
        """List the labels of an example as written."""
        found: list[str] = []

        def note(label: str) -> str:
            found.append(label)
            return label

        self.map_labels(example.output, note)
        return found

    def _draw(self, old: Sequence[str], taken: set[str], rng: np.random.Generator) -> dict[str, str]:
        """Draw a new label, not in `taken`, for each old one; {} if there are too few."""
        free = [label for label in self.counts if label not in taken]
        if len(free) < len(old):
            return {}
        weights = np.array([self.counts[label] for label in free], dtype=np.float64)
        new = rng.choice(len(free), len(old), replace=False, p=weights / weights.sum())
        return {label: free[i] for label, i in zip(old, new.tolist(), strict=True)}

    def _rename(self, example: Example, new: Mapping[str, str]) -> Example:
        def change(label: str) -> str:
            other = new.get(label_key(label))
            return label if other is None else self.spelling[other]

        return replace(example, output=self.map_labels(example.output, change))


def check_counterfactual(share: float, relabel: str = "relevant") -> None:
    """Raise InputError for a share outside [0, 1], an unknown `relabel`, or a control of no contexts."""
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise InputError(f"counterfactual is {share!r}: it must be a share of the contexts, from 0 to 1.")
    if relabel not in RELABEL:
        raise InputError(f"relabel {relabel!r} does not exist: choose one of {', '.join(RELABEL)}.")
    if relabel != "relevant" and not share:
        raise InputError(f"relabel is {relabel!r} and counterfactual 0: set counterfactual above 0.")
