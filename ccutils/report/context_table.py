"""Contexts of several strategies side by side, as a table for a notebook."""

import html
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ccutils.contexts.sampler import ContextSampler, SlotKind, show_demonstrations
from ccutils.style import COLOURS
from ccutils.tasks.base import Example

TINTS = {
    SlotKind.RANDOM: "none",
    SlotKind.SIMILAR: COLOURS["similar"] + "44",
    SlotKind.PARAPHRASE: COLOURS["contrastive"] + "44",
}
"""Background of a demonstration by its kind."""


def context_tables(
    pool: Sequence[Example],
    samplers: Mapping[str, ContextSampler],
    paraphrase: Callable[[int], str],
    epoch: int = 0,
) -> str:
    """Write contexts as HTML: of one target for each kind of example in the contrastive slot of an epoch.

    `samplers` are by strategy, with "contrastive"; `paraphrase` maps a target's row to its paraphrase.
    """
    drawn = samplers["contrastive"].sample(epoch, np.arange(len(pool))).kinds.max(axis=1)
    head = "".join(f'<th style="text-align:left;color:{COLOURS[name]}">{name}</th>' for name in samplers)
    tables = []
    for target in sorted(np.unique(drawn, return_index=True)[1].tolist()):
        columns = "".join(_column(pool, sampler, paraphrase, epoch, target) for sampler in samplers.values())
        asked = html.escape(f"{pool[target].input[:200]} → {pool[target].output[:200]}")
        tables.append(f"<b>Target: {asked}</b><table><tr>{head}</tr><tr>{columns}</tr></table>")
    return "".join(tables)


def _column(
    pool: Sequence[Example],
    sampler: ContextSampler,
    paraphrase: Callable[[int], str],
    epoch: int,
    target: int,
) -> str:
    """Write one context, a demonstration a line, its colour by its kind."""
    drawn = sampler.sample(epoch, np.array([target]))
    kinds = drawn.kinds[0].tolist()
    lines = [
        f'<div style="background:{TINTS[SlotKind(kind)]};padding:2px 4px;text-align:left">'
        f"{html.escape(f'{e.input[:70]} → {e.output[:70]}')}</div>"
        for e, kind in zip(
            show_demonstrations(pool, drawn.rows[0].tolist(), kinds, paraphrase), kinds, strict=True
        )
    ]
    return f'<td style="vertical-align:top;text-align:left">{"".join(lines) or "(empty)"}</td>'
