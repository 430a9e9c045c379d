"""Changed labels for the ICL-score: whole outputs, and intents and slots of parses."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ccutils.errors import InputError
from ccutils.tasks.base import Example, label_key
from ccutils.tasks.brackets import ANY, labels, parse_form, rename_labels

INVENTED = ("zorvax", "quimbel", "drathok", "vexlim", "borqua", "yintrop", "gluvash", "pelzorn", "krimvat")
"""Words that no language has, for changed labels."""


def change_output(
    target: Example,
    relevant: Sequence[Example],
    irrelevant: Sequence[Example],
    outputs: Sequence[str],
    rng: np.random.Generator,
) -> tuple[list[Example], str]:
    """Give the relevant examples one other output of the pool, which neither target nor context has.

    Where a context holds all outputs of the pool, as it may with few classes, the new one is invented.
    """
    taken = {label_key(e.output) for e in (target, *relevant, *irrelevant)}
    free = [output for output in outputs if label_key(output) not in taken]
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

    New names occur neither in the target nor in the context. The answer that follows is the target's parse
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


def _fresh(
    old: Sequence[str], taken: set[str], names: Sequence[str], rng: np.random.Generator
) -> dict[str, str]:
    free = [name for name in names if name not in taken]
    if len(free) < len(old):
        raise InputError(
            f"{len(old)} labels of a context must be renamed and only {len(free)} of the pool are free: "
            "use fewer demonstrations or a larger pool."
        )
    return dict(zip(old, map(str, rng.choice(free, len(old), replace=False)), strict=True)) if old else {}
