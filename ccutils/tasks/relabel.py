"""Changed labels for the ICL-score: whole outputs, and intents and slots of parses."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from ccutils.errors import InputError
from ccutils.tasks.base import ChangeLabels, Example, label_key
from ccutils.tasks.brackets import ANY, labels, parse_form, rename_labels

_key = cache(label_key)  # asked of a whole pool for every changed label
INVENTED = ("zorvax", "quimbel", "drathok", "vexlim", "borqua", "yintrop", "gluvash", "pelzorn", "krimvat")
"""Words that no language has, for changed labels."""


def change_as_familiar(
    pool: Sequence[Example],
    ood_pool: Sequence[Example],
    change: Callable[..., tuple[list[Example], str]],
    names: Callable[[Example], Iterable[str]] = lambda e: [e.output],
) -> ChangeLabels:
    """Make `change`, one of the functions below, draw labels as frequent and as familiar as the target's own.

    They are drawn with their frequencies in the pool where that has the target's label, else in the OOD pool.
    Drawn uniformly, the changed label would often be the rarest one in the context; drawn from the pool for
    an OOD target, it would be the only familiar one. `names` lists the labels of an example, the first of
    which decides whether the pool has it.
    """
    known, new = ([name for e in part for name in names(e)] for part in (pool, ood_pool))
    familiar = {label_key(name) for name in known}

    def change_labels(
        target: Example, relevant: Sequence[Example], irrelevant: Sequence[Example], rng: np.random.Generator
    ) -> tuple[list[Example], str]:
        own = label_key(next(iter(names(target)))) in familiar
        return change(target, relevant, irrelevant, known if own else new, rng)

    return change_labels


def change_output(
    target: Example,
    relevant: Sequence[Example],
    irrelevant: Sequence[Example],
    outputs: Sequence[str],
    rng: np.random.Generator,
) -> tuple[list[Example], str]:
    """Give the relevant examples one other of the `outputs`, which neither target nor context has.

    An output is drawn as often as it is repeated. Where a context holds all of them, as it may with few
    classes, the new one is invented.
    """
    taken = {label_key(e.output) for e in (target, *relevant, *irrelevant)}
    free = [output for output in outputs if _key(output) not in taken]
    free = free or [word for word in INVENTED if word not in taken]
    new = str(rng.choice(free))
    return [replace(e, output=new) for e in relevant], new


def change_parse(
    target: Example,
    relevant: Sequence[Example],
    irrelevant: Sequence[Example],
    names: Sequence[str],
    rng: np.random.Generator,
) -> tuple[list[Example], str]:
    """Rename every intent and slot of the relevant examples one-to-one, intents to intents, slots to slots.

    New names occur neither in the target nor in the context, and are drawn as often as `names` repeats them.
    The answer that follows is the target's parse
    renamed; labels that no relevant example shows become ANY and are not judged.
    """
    shown = sorted({label for e in relevant for label in labels(parse_form(e.output))})
    taken = {label for e in (target, *relevant, *irrelevant) for label in labels(parse_form(e.output))}
    new: dict[str, str] = {}
    for prefix in ("IN:", "SL:"):
        of_kind = [label for label in shown if label.startswith(prefix)]
        new |= _fresh(of_kind, taken, [name for name in names if name.startswith(prefix)], rng)
    changed = [replace(e, output=str(rename_labels(parse_form(e.output), new))) for e in relevant]
    goal = parse_form(target.output)
    hidden = {label: ANY for label in labels(goal) if label not in new}
    return changed, str(rename_labels(goal, {**hidden, **new}))


def parse_labels(e: Example) -> list[str]:
    """List the labels of an example's parse, its intent first."""
    return list(labels(parse_form(e.extra["parse"])))


def _fresh(
    old: Sequence[str], taken: set[str], names: Sequence[str], rng: np.random.Generator
) -> dict[str, str]:
    free = Counter(name for name in names if name not in taken)
    if len(free) < len(old):
        raise InputError(
            f"{len(old)} labels of a context must be renamed and only {len(free)} of the pool are free: "
            "use fewer demonstrations or a larger pool."
        )
    counts = np.array(list(free.values()))
    if not old:
        return {}
    drawn = rng.choice(list(free), len(old), replace=False, p=counts / counts.sum())
    return dict(zip(old, map(str, drawn), strict=True))
