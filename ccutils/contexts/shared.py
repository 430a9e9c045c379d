"""Contexts with demonstrations shared by a group of targets, which ccutils.models.packing reads once."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ccutils.contexts.neighbours import Neighbours
from ccutils.contexts.sampler import (
    Contexts,
    ContextSampler,
    SlotKind,
    Strategy,
    draw_bits,
    hash_key,
    target_order,
)
from ccutils.errors import InputError, check_count

SHAREABLE = ("random", "contrastive")


class SharedSampler(ContextSampler):
    """Samples contexts whose first k - 1 demonstrations are random and shared by `group_size` targets.

    The last demonstration is the target's own, of the kind it has with independent contexts: a paraphrase,
    the nearest example or a random one. Targets are consecutive in `target_order`, across the ends of epochs.
    The shared demonstrations contain no target of the group and no duplicate of one, and no row occurs twice
    in a context. `group_size` 1 gives independent contexts with their own demonstration last, to separate
    position from sharing. Raises InputError for a strategy without random demonstrations and for a pool that
    is too small.
    """

    def __init__(
        self,
        strategy: Strategy,
        neighbours: Neighbours | None,
        inputs: Sequence[str],
        seed: int,
        *,
        group_size: int,
    ) -> None:
        if strategy.name not in SHAREABLE:
            raise InputError(
                f"strategy {strategy.name!r} has no random demonstrations to share: choose "
                f"{' or '.join(SHAREABLE)}, or independent contexts."
            )
        check_count("group_size", group_size)
        super().__init__(strategy, neighbours, inputs, seed)
        self.group_size = int(group_size)
        firsts = self.order[np.unique(self.start)]  # a row of each group of duplicates
        barred = int(np.sort(self.size[firsts])[-group_size:].sum()) + group_size * strategy.neighbours
        if len(inputs) - barred < strategy.k - 1:
            raise InputError(
                f"a group of {group_size} targets may leave {max(len(inputs) - barred, 0)} examples of the "
                f"pool of {len(inputs)} to share, and k - 1 is {strategy.k - 1}: lower the group's size or k."
            )

    def sample(self, epoch: int, targets: NDArray[Any]) -> Contexts:
        """Sample one context per target (pool rows, shape (n,)), independent of the other targets passed.

        Raises InputError for a target outside the pool.
        """
        own = super().sample(epoch, targets)  # refuses bad targets
        if not own.rows.size:
            return own
        n = len(self.order)
        place = target_places(self.seed, epoch, n)[np.asarray(targets)] + epoch * n  # (n,) in the run
        groups, which = np.unique(place // self.group_size, return_inverse=True)
        made = [self.group_contexts(int(g)) for g in groups]
        lines = place % self.group_size
        return Contexts(
            np.stack([made[g].rows[line] for g, line in zip(which, lines, strict=True)]),
            np.stack([made[g].kinds[line] for g, line in zip(which, lines, strict=True)]),
        )

    def members(self, group: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Find epochs and pool rows of a group's targets, each of shape (group_size,)."""
        n = len(self.order)
        epochs, within = np.divmod(group * self.group_size + np.arange(self.group_size), n)
        rows = [target_order(self.seed, int(e), n)[i] for e, i in zip(epochs, within, strict=True)]
        return epochs, np.array(rows)

    def group_contexts(self, group: int) -> Contexts:
        """Sample the contexts of a group's targets, (group_size, k): a function of (seed, group) alone."""
        k = self.strategy.k
        epochs, targets = self.members(group)
        # Of one epoch, or of two if a group crosses its end.
        alone = [super(SharedSampler, self).sample(int(e), targets[epochs == e]) for e in np.unique(epochs)]
        rows, kinds = np.concatenate([a.rows for a in alone]), np.concatenate([a.kinds for a in alone])
        shared = self._shared(group, targets, rows[kinds == SlotKind.SIMILAR])
        # Without another kind, its own is the first of its k random ones that is not shared.
        wanted = np.where(
            kinds.max(axis=1, keepdims=True) == SlotKind.RANDOM,
            ~np.isin(rows, shared),
            kinds != SlotKind.RANDOM,
        )
        slot = wanted.argmax(axis=1)[:, None]
        made = np.tile(np.append(shared, 0).astype(np.int32), (len(targets), 1))
        made[:, -1:] = np.take_along_axis(rows, slot, axis=1)
        kind = np.full((len(targets), k), SlotKind.RANDOM, dtype=np.uint8)
        kind[:, -1:] = np.take_along_axis(kinds, slot, axis=1)
        return Contexts(made, kind)

    def _shared(
        self, group: int, targets: NDArray[np.int64], similar: NDArray[np.int32]
    ) -> NDArray[np.int64]:
        """Draw the k - 1 rows that a group shares, without replacement: (k - 1,)."""
        starts = np.unique(self.start[targets])
        places = [np.arange(s, s + self.size[self.order[s]]) for s in starts]
        taken = sorted({*self.order[np.concatenate(places)].tolist(), *similar.tolist()})
        key = hash_key(self.seed, group, np.array([-1]))  # no target is -1
        shared: list[int] = []
        for slot in range(self.strategy.k - 1):
            row = int(draw_bits(key, slot)[0] % np.uint64(len(self.order) - len(taken)))
            for barred in taken:  # ascending: stepping over them makes a number among the free a row
                row += row >= barred
            shared.append(row)
            taken = sorted([*taken, row])
        return np.array(shared, dtype=np.int64)


@lru_cache(maxsize=4)
def target_places(seed: int, epoch: int, n: int) -> NDArray[np.int64]:
    """Invert target_order: the index in an epoch at which each pool row is the target, (n,)."""
    places = np.argsort(target_order(seed, epoch, n))
    places.flags.writeable = False  # it is cached
    return places
