"""Contexts of training targets by a strategy. Sampling is a pure function of (seed, epoch, target).

The strategies are the paper's by name, except batch_mix, which its reviewers asked for; their details are
ours where its text is not known to us. A new strategy is a name in `ccutils.records`, its rules in Strategy,
and its looks in `ccutils.style`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ccutils.contexts.neighbours import Neighbours, duplicate_groups
from ccutils.errors import InputError, check_choices, check_count
from ccutils.records import STRATEGIES
from ccutils.streams import Stream
from ccutils.tasks.base import Example


class SlotKind(IntEnum):
    """The purpose of a slot: a random example, a neighbour, or the target's paraphrase."""

    RANDOM = 0
    SIMILAR = 1
    PARAPHRASE = 2

    @property
    def label(self) -> str:
        """The kind in words, as in tables."""
        return self.name.lower()


LABELS = np.array([kind.label for kind in SlotKind])


@dataclass(frozen=True, slots=True)
class Strategy:
    """How contexts are sampled from the pool.

    none: no demonstration. random: k drawn from the pool. similar: the k nearest. contrastive: one slot is
    a paraphrase of the target with probability `epsilon`, its nearest example with probability `p`, else
    random; the other k - 1 are random. batch_mix: all k nearest with probability `p`, else all random (an
    ablation). The slots are always shuffled. Raises InputError for values out of range.
    """

    name: str
    k: int
    p: float = 0.5
    epsilon: float = 0.1

    def __post_init__(self) -> None:
        check_choices(strategy=(self.name, STRATEGIES))
        check_count("k", self.k)
        for name, value in (("p", self.p), ("epsilon", self.epsilon)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise InputError(f"{name} is {value!r}: it must be a probability, from 0 to 1.")
        if self.p + self.epsilon > 1 + 1e-9:
            raise InputError(
                f"p + epsilon is {self.p} + {self.epsilon}, above 1: they share a slot, lower one."
            )

    @property
    def neighbours(self) -> int:
        """The number of neighbours of each target that the strategy needs."""
        if self.name == "similar" or (self.name == "batch_mix" and self.p > 0):
            return self.k
        return 1 if self.name == "contrastive" and self.p > 0 else 0

    def kinds(self, u: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Choose the kinds of the slots, (n, k), before shuffling, by one uniform draw for each target."""
        kinds = np.full((len(u), 0 if self.name == "none" else self.k), SlotKind.RANDOM, dtype=np.uint8)
        if self.name == "similar":
            kinds[:] = SlotKind.SIMILAR
        elif self.name == "batch_mix":
            kinds[u < self.p] = SlotKind.SIMILAR
        elif self.name == "contrastive":
            kinds[u < self.p + self.epsilon, 0] = SlotKind.SIMILAR
            kinds[u < self.epsilon, 0] = SlotKind.PARAPHRASE
        return kinds


def _read_flag(text: str) -> bool:
    """Read true or false. Raises ValueError for anything else."""
    if text not in ("true", "false"):
        raise ValueError(f"{text!r} is neither true nor false")
    return text == "true"


VARIES: dict[str, Callable[[str], Any]] = {
    "k": int,
    "p": float,
    "epsilon": float,
    "similarity": str,
    "paraphraser": str,
    "paraphrase_source": str,
    "strength": float,
    "barred": int,
    "counterfactual": float,
    "relabel": str,
    "vary_k": _read_flag,
    "steps": int,
    "learning_rate": float,
    "schedule": str,
    "quantise": _read_flag,
}
"""The parameters that a variant of a strategy can set, and how each is read; `barred` 1 excludes relevant
examples from random contexts. The probes' questions stay those of the profile."""


def read_variant(spec: str) -> tuple[str, dict[str, Any]]:
    """Split a strategy's name from the parameters that its variant sets.

    Raises InputError for an unknown parameter or a value of the wrong kind.

    >>> read_variant("contrastive,p=0.3,epsilon=0")
    ('contrastive', {'epsilon': 0.0, 'p': 0.3})
    """
    name, *parts = spec.split(",")
    changes: dict[str, Any] = {}
    for part in sorted(parts):
        what, equals, value = part.partition("=")
        kind = VARIES.get(what.strip())
        try:
            if kind is None or not equals:
                raise ValueError(f"known are {', '.join(VARIES)}")
            if "/" in value:  # a variant is part of its run's folder
                raise ValueError("a value cannot contain '/'; set it for the whole profile")
            changes[what.strip()] = kind(value)
        except ValueError as error:
            raise InputError(
                f"strategy {spec!r}: cannot read {part!r} ({error}): write, for example, p=0.3."
            ) from error
    return name, changes


def write_variant(changes: Mapping[str, Any]) -> str:
    """Write the parameters of a variant in the form used by folders and rows; '' for none.

    >>> write_variant({"p": 0.3, "epsilon": 0.0})
    'epsilon=0,p=0.3'
    """
    return ",".join(f"{name}={_write_value(value)}" for name, value in sorted(changes.items()))


def _write_value(value: Any) -> str:
    """Write a value so that `VARIES` can read it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, slots=True)
class Contexts:
    """Demonstrations of n targets, in the order of the prompt: pool rows (n, k) and their kinds (n, k).

    The row of a PARAPHRASE is the target itself, to be shown with a paraphrase as its input.
    """

    rows: NDArray[np.int32]
    kinds: NDArray[np.uint8]


class ContextSampler:
    """Samples contexts for targets of the pool.

    `inputs` are the pool's inputs, `neighbours` those of the pool within itself (None if the strategy needs
    none). A context never contains its target or a duplicate of it (same input up to case and spaces), except
    as PARAPHRASE: it would give the label away or contradict it. No row occurs twice. Raises InputError if a
    target has too few examples left.

    >>> inputs = ["rain in Oslo", "rain in Lima", "call my sister", "play a song"]
    >>> sampler = ContextSampler(Strategy("random", k=2), None, inputs, seed=0)
    >>> drawn = sampler.sample(epoch=0, targets=np.array([3]))
    >>> drawn.rows.shape, 3 in drawn.rows
    ((1, 2), False)
    """

    def __init__(
        self, strategy: Strategy, neighbours: Neighbours | None, inputs: Sequence[str], seed: int
    ) -> None:
        self.strategy = strategy
        self.seed = seed
        groups = duplicate_groups(inputs)
        # With duplicates side by side, "not the target's group" is one gap in a row of numbers.
        self.order = np.argsort(groups, kind="stable")  # place -> pool row
        self.place = np.argsort(self.order, kind="stable")  # pool row -> place
        sizes = np.bincount(groups)
        self.size = sizes[groups]  # (pool,) of the row's group
        self.start = (np.cumsum(sizes) - sizes)[groups]  # (pool,) first place of the row's group
        self.nearest = self._check(neighbours, groups, inputs)

    def _check(
        self, neighbours: Neighbours | None, groups: NDArray[np.int64], inputs: Sequence[str]
    ) -> NDArray[np.int32]:
        """Check pool and neighbours and return the neighbours that the strategy needs: (pool, needed)."""
        n, k, needed = len(inputs), self.strategy.k, self.strategy.neighbours
        if self.strategy.name != "none" and n:
            worst = int(np.argmax(self.size))
            if n - self.size[worst] < k:
                raise InputError(
                    f"pool example {worst} ({inputs[worst][:40]!r}) has {n - self.size[worst]} examples in "
                    f"the pool of {n} besides itself and its duplicates, and k is {k}: lower k or enlarge it."
                )
        if needed == 0:
            return np.empty((n, 0), dtype=np.int32)
        if neighbours is None or neighbours.rows.shape[1] < needed:
            found = 0 if neighbours is None else neighbours.rows.shape[1]
            raise InputError(
                f"strategy {self.strategy.name!r} with k = {k} needs {needed} neighbours of each example, "
                f"got {found}: find more."
            )
        rows = neighbours.rows[:, :needed]
        if len(rows) != n or (n and not 0 <= rows.min() <= rows.max() < n):
            raise InputError(f"the neighbours are not those of this pool of {n} examples: find them again.")
        if np.any(groups[rows] == groups[:, None]):
            raise InputError(
                "the neighbours contain the target or a duplicate of it: find them with pool_neighbours."
            )
        return rows

    def sample(self, epoch: int, targets: NDArray[Any]) -> Contexts:
        """Sample one context per target (pool rows, shape (n,)), independent of the other targets passed.

        Raises InputError for a target outside the pool.
        """
        targets = np.asarray(targets).astype(np.int64)
        if targets.size and not 0 <= targets.min() <= targets.max() < len(self.order):
            raise InputError(f"a target lies outside the pool of {len(self.order)} examples.")
        key = hash_key(self.seed, epoch, targets)  # (n,)
        kinds = self.strategy.kinds(uniform(key, 0))  # (n, k)
        rows = self._draw(key, targets, kinds)
        bits = [draw_bits(key, 1 + slot) for slot in range(kinds.shape[1])]
        order = np.argsort(np.array(bits, dtype=np.uint64).reshape(kinds.shape[::-1]).T, axis=1)
        return Contexts(np.take_along_axis(rows, order, axis=1), np.take_along_axis(kinds, order, axis=1))

    def _draw(
        self, key: NDArray[np.uint64], targets: NDArray[np.int64], kinds: NDArray[np.uint8]
    ) -> NDArray[np.int32]:
        """Draw the rows (n, k) of slots of these kinds, similar ones first, random ones without replacement.

        Places are counted without the target's group. A draw is a number among the places not yet taken;
        stepping over the taken ones, from the lowest, turns it into a place, so no draw is rejected.
        """
        n, k = kinds.shape
        start, size = self.start[targets], self.size[targets]
        free = len(self.order) - size  # (n,) admissible examples
        rows = np.empty((n, k), dtype=np.int32)
        taken = np.empty((n, 0), dtype=np.int64)  # (n, slots so far), sorted; `free` stands for none
        for slot in range(k):
            similar, alike = kinds[:, slot] == SlotKind.SIMILAR, kinds[:, slot] == SlotKind.PARAPHRASE
            left = free - np.count_nonzero(taken < free[:, None], axis=1)
            place = (draw_bits(key, 1 + k + slot) % left.astype(np.uint64)).astype(np.int64)
            for column in taken.T:
                place += place >= column
            if similar.any():
                near = self.place[self.nearest[targets, slot][similar]]
                place[similar] = near - np.where(near >= start[similar], size[similar], 0)
            rows[:, slot] = self.order[place + np.where(place >= start, size, 0)]
            rows[alike, slot] = targets[alike]
            place[alike] = free[alike]
            taken = np.sort(np.column_stack([taken, place]), axis=1)
        return rows


def show_demonstrations(
    pool: Sequence[Example],
    rows: Sequence[int],
    kinds: Sequence[int],
    paraphrase: Callable[[int], str],
) -> list[Example]:
    """Turn one sampled context, rows and kinds of shape (k,), into the examples of the prompt.

    `paraphrase` maps a target's pool row to its paraphrase.
    """
    return [
        replace(pool[row], input=paraphrase(row)) if kind == SlotKind.PARAPHRASE else pool[row]
        for row, kind in zip(rows, kinds, strict=True)
    ]


@lru_cache(maxsize=4)
def target_order(seed: int, epoch: int, n: int) -> NDArray[np.int64]:
    """Shuffle the pool's targets for an epoch: pool rows, shape (n,).

    >>> sorted(target_order(seed=0, epoch=1, n=4).tolist())
    [0, 1, 2, 3]
    """
    order = np.random.default_rng([seed, Stream.TARGET_ORDER, epoch]).permutation(n)
    order.flags.writeable = False  # it is cached
    return order


def mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64 bits by splitmix64's output function (Steele, Lea and Flood 2014): a bijection."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


GOLDEN = 0x9E3779B97F4A7C15  # splitmix64's step


def hash_key(seed: int, epoch: int, targets: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Hash to one 64-bit key for each target, a function of the three numbers alone: (n,)."""
    key = np.zeros(len(targets), dtype=np.uint64)
    for number in (np.full(len(targets), seed), np.full(len(targets), epoch), targets):
        key = mix((key ^ number.astype(np.uint64)) + np.uint64(GOLDEN))
    return key


def draw_bits(key: NDArray[np.uint64], counter: int) -> NDArray[np.uint64]:
    """Draw the counter-th 64 random bits of each key."""
    return mix(key + np.uint64((counter + 1) * GOLDEN % 2**64))


def uniform(key: NDArray[np.uint64], counter: int) -> NDArray[np.float64]:
    """Draw the counter-th number in [0, 1) of each key."""
    return (draw_bits(key, counter) >> np.uint64(11)).astype(np.float64) * 2.0**-53
