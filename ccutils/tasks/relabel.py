"""Changed labels for the ICL-score: whole outputs, labels of parses, names or words in an output."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from ccutils.errors import InputError
from ccutils.tasks.base import ChangeLabels, Example, label_key
from ccutils.tasks.brackets import ANY, labels, parse_form, rename_labels

_key = cache(label_key)  # called on a whole pool for every changed label
INVENTED = ("zorvax", "quimbel", "drathok", "vexlim", "borqua", "yintrop", "gluvash", "pelzorn", "krimvat")
"""Words that no language has, for changed labels."""
Change = Callable[
    [Example, Sequence[Example], Sequence[Example], Sequence[str], np.random.Generator],
    tuple[list[Example], str],
]
"""ChangeLabels, with the labels to draw from as its fourth argument."""


def change_as_familiar(
    known: Sequence[str], new: Sequence[str], change: Change, first: Callable[[Example], str]
) -> ChangeLabels:
    """Draw changed labels that are as frequent and as familiar as the target's own.

    They come from `known`, the pool's labels, if that has the target's `first` label, else from `new`, the
    OOD pool's; a label is drawn as often as it is repeated. Drawn uniformly, the changed label would often be
    the rarest in the context; drawn from the pool for an OOD target, it would be the only familiar one.
    """
    familiar = set(map(label_key, known))

    def change_labels(
        target: Example, relevant: Sequence[Example], irrelevant: Sequence[Example], rng: np.random.Generator
    ) -> tuple[list[Example], str]:
        own = label_key(first(target)) in familiar
        return change(target, relevant, irrelevant, known if own else new, rng)

    return change_labels


def change_outputs(pool: Sequence[Example], ood_pool: Sequence[Example]) -> ChangeLabels:
    """Make Task.change_labels for outputs that are one label."""
    known, new = ([e.output for e in part] for part in (pool, ood_pool))
    return change_as_familiar(known, new, change_output, lambda e: e.output)


def change_parses(pool: Sequence[Example], ood_pool: Sequence[Example]) -> ChangeLabels:
    """Make Task.change_labels for outputs that are parses; the intent decides what is familiar."""
    known, new = ([n for e in part for n in labels(parse_form(e.output))] for part in (pool, ood_pool))
    return change_as_familiar(known, new, change_parse, lambda e: parse_form(e.output).label)


def change_output(
    target: Example,
    relevant: Sequence[Example],
    irrelevant: Sequence[Example],
    outputs: Sequence[str],
    rng: np.random.Generator,
    spare: Sequence[str] = INVENTED,
) -> tuple[list[Example], str]:
    """Give the relevant examples one other output, which neither target nor context has.

    If the context has all `outputs`, as it may with few classes, one of `spare` is drawn. Raises InputError
    if it has those, too.
    """
    taken = {label_key(e.output) for e in (target, *relevant, *irrelevant)}
    free = [output for output in outputs if _key(output) not in taken]
    free = free or [word for word in spare if word not in taken]
    if not free:
        raise InputError(f"all {len(set(outputs))} labels are in the context: use fewer demonstrations (k).")
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
    The answer that follows is the target's parse renamed; labels that no relevant example shows become ANY,
    which matches any label. Raises InputError if too few names are free.
    """
    shown = sorted({label for e in relevant for label in labels(parse_form(e.output))})
    taken = {label for e in (target, *relevant, *irrelevant) for label in labels(parse_form(e.output))}
    new: dict[str, str] = {}
    for prefix in ("IN:", "SL:"):
        old = [label for label in shown if label.startswith(prefix)]
        free = Counter(name for name in names if name.startswith(prefix) and name not in taken)
        if len(free) < len(old):
            raise InputError(
                f"{len(old)} labels of a context must be renamed and only {len(free)} of the pool are free: "
                "use fewer demonstrations or a larger pool."
            )
        if old:
            share = np.array(list(free.values())) / free.total()
            new |= zip(old, map(str, rng.choice(list(free), len(old), replace=False, p=share)), strict=True)
    changed = [replace(e, output=str(rename_labels(parse_form(e.output), new))) for e in relevant]
    goal = parse_form(target.output)
    hidden = {label: ANY for label in labels(goal) if label not in new}
    return changed, str(rename_labels(goal, {**hidden, **new}))


def pick_shared(
    target: Example,
    relevant: Sequence[Example],
    irrelevant: Sequence[Example],
    names: Callable[[Example], Collection[str]],
    rng: np.random.Generator,
) -> str:
    """Pick one of the target's `names` to change: shared by most relevant, then fewest irrelevant examples.

    Raises InputError if no relevant example shares any.
    """
    shares = {
        name: (sum(name in names(e) for e in relevant), -sum(name in names(e) for e in irrelevant))
        for name in names(target)
    }
    best = max(shares.values(), default=(0, 0))
    if not best[0]:
        raise InputError(
            f"no relevant example shares a name or word with {target.input[:60]!r}: none can change."
        )
    return str(rng.choice([name for name, share in shares.items() if share == best]))
