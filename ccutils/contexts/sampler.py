"""Which demonstrations a target gets in training. Drawing is a pure function of (seed, epoch, target).

The strategies are the paper's by name, but for batch_mix, which its reviewers asked for; their details are
ours where its text is not known to us.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ccutils.contexts.neighbours import Neighbours, duplicate_groups
from ccutils.errors import InputError, check_count
from ccutils.records import STRATEGIES
from ccutils.streams import Stream
from ccutils.tasks.base import Example


class SlotKind(IntEnum):
    """What a slot of a context was made to hold: a random example, a neighbour, the target's paraphrase."""

    RANDOM = 0
    SIMILAR = 1
    PARAPHRASE = 2

    @property
    def label(self) -> str:
        """The kind in words, as tables have it."""
        return self.name.lower()


LABELS = np.array([kind.label for kind in SlotKind])


@dataclass(frozen=True, slots=True)
class Strategy:
    """How contexts are made of the pool.

    none: no demonstration. random: k drawn from the pool. similar: the k nearest. contrastive: one slot is
    a paraphrase of the target with probability `epsilon`, its nearest example with probability `p`, else
    random; the other k - 1 are random. batch_mix: all k nearest with probability `p`, else all random (an
    ablation). The order of the slots is always shuffled. Raises InputError for values out of range.
    """

    name: str
    k: int
    p: float = 0.5
    epsilon: float = 0.1

    def __post_init__(self) -> None:
        if self.name not in STRATEGIES:
            known = ", ".join(STRATEGIES)
            raise InputError(f"strategy {self.name!r} does not exist: choose one of {known}.")
        check_count("k", self.k)
        for name, value in (("p", self.p), ("epsilon", self.epsilon)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise InputError(f"{name} is {value!r}: it must be a probability, from 0 to 1.")
        if self.p + self.epsilon > 1 + 1e-9:
            raise InputError(
                f"p + epsilon is {self.p} + {self.epsilon}, above 1: lower one, both are about what "
                "the same slot holds."
            )

    @property
    def neighbours(self) -> int:
        """How many neighbours of each target it needs."""
        if self.name == "similar" or (self.name == "batch_mix" and self.p > 0):
            return self.k
        return 1 if self.name == "contrastive" and self.p > 0 else 0


def _read_flag(text: str) -> bool:
    """Read true or false. Raises ValueError for all else."""
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
    "targets_per_context": int,
    "counterfactual": float,
    "relabel": str,
    "vary_k": _read_flag,
    "steps": int,
    "learning_rate": float,
    "schedule": str,
    "quantise": _read_flag,
}
"""What a variant of a strategy can change of its contexts and its training, and how it is read; `barred` 1
keeps relevant examples out of random. The questions of probes stay those of the profile."""


def read_variant(spec: str) -> tuple[str, dict[str, Any]]:
    """Split a strategy's name from what its variant changes of the profile's values.

    Raises InputError for a name that nothing has, or a value of another kind.

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
                raise ValueError("its value may hold no '/'; set it for the whole profile")
            changes[what.strip()] = kind(value)
        except ValueError as error:
            raise InputError(
                f"strategy {spec!r}: {part!r} is no change ({error}): write, say, p=0.3."
            ) from error
    return name, changes


def write_variant(changes: Mapping[str, Any]) -> str:
    """Write what a variant changes in the one form that folders and rows carry; '' for no change.

    >>> write_variant({"p": 0.3, "epsilon": 0.0})
    'epsilon=0,p=0.3'
    """
    return ",".join(f"{name}={_write_value(value)}" for name, value in sorted(changes.items()))


def _write_value(value: Any) -> str:
    """Write a value as `VARIES` reads it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, slots=True)
class Contexts:
    """Demonstrations of n targets, in the order of the prompt: pool rows (n, k) and their kinds (n, k).

    Where the kind is PARAPHRASE the row is the target itself, to be shown with a paraphrase as its input.
    """

    rows: NDArray[np.int32]
    kinds: NDArray[np.uint8]


class ContextSampler:
    """Draws contexts for targets of the pool.

    `inputs` are the pool's inputs, `neighbours` those of the pool within itself (None where the strategy
    needs none). A context never holds its target nor a duplicate of it (same input but for case and
    spaces), except as PARAPHRASE: it would give the label away or contradict it. It never holds the same
    row twice. Raises InputError where some target has too few examples left.

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
        """Return the neighbours that the strategy needs: (pool, needed)."""
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
                f"strategy {self.strategy.name!r} with k = {k} needs {needed} neighbours of each example and "
                f"has {found}: find more."
            )
        rows = neighbours.rows[:, :needed]
        if len(rows) != n or (n and not 0 <= rows.min() <= rows.max() < n):
            raise InputError(f"the neighbours are not those of this pool of {n} examples: find them again.")
        if np.any(groups[rows] == groups[:, None]):
            raise InputError(
                "the neighbours hold the target itself or a duplicate of it: find them with pool_neighbours."
            )
        return rows

    def sample(self, epoch: int, targets: NDArray[Any]) -> Contexts:
        """Draw contexts of the targets (pool rows, shape (n,)) in this epoch, whatever else is asked.

        Raises InputError for a target outside the pool.
        """
        targets = np.asarray(targets).astype(np.int64)
        if targets.size and not 0 <= targets.min() <= targets.max() < len(self.order):
            raise InputError(f"a target lies outside the pool of {len(self.order)} examples.")
        n, k, s = len(targets), self.strategy.k, self.strategy
        if s.name == "none":
            return Contexts(np.empty((n, 0), dtype=np.int32), np.empty((n, 0), dtype=np.uint8))
        key = hash_key(self.seed, epoch, targets)  # (n,)
        kinds = np.full((n, k), SlotKind.RANDOM, dtype=np.uint8)
        if s.name == "similar":
            kinds[:] = SlotKind.SIMILAR
        elif s.name == "batch_mix":
            kinds[uniform(key, 0) < s.p] = SlotKind.SIMILAR
        elif s.name == "contrastive":
            u = uniform(key, 0)
            kinds[u < s.p + s.epsilon, 0] = SlotKind.SIMILAR
            kinds[u < s.epsilon, 0] = SlotKind.PARAPHRASE
        rows = self._draw(key, targets, kinds)
        order = np.argsort(np.stack([draw_bits(key, 1 + j) for j in range(k)], axis=1), axis=1)
        return Contexts(np.take_along_axis(rows, order, axis=1), np.take_along_axis(kinds, order, axis=1))

    def _draw(
        self, key: NDArray[np.uint64], targets: NDArray[np.int64], kinds: NDArray[np.uint8]
    ) -> NDArray[np.int32]:
        """Return rows (n, k) of slots of these kinds, similar ones first, random ones without replacement.

        Places are counted without the target's group. A draw is a number among the places not yet taken;
        stepping over the taken ones, from the lowest, turns it into a place: exact, and nothing is rejected.
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
    """Turn one drawn context, rows and kinds of shape (k,), into the examples of the prompt.

    `paraphrase` gives a target's paraphrase by its pool row.
    """
    return [
        replace(pool[row], input=paraphrase(row)) if kind == SlotKind.PARAPHRASE else pool[row]
        for row, kind in zip(rows, kinds, strict=True)
    ]


@lru_cache(maxsize=4)
def target_order(seed: int, epoch: int, n: int) -> NDArray[np.int64]:
    """Return the order of the pool's targets in an epoch: pool rows, shape (n,).

    >>> sorted(target_order(seed=0, epoch=1, n=4).tolist())
    [0, 1, 2, 3]
    """
    order = np.random.default_rng([seed, Stream.TARGET_ORDER, epoch]).permutation(n)
    order.flags.writeable = False  # it is handed out again
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
    """Return the counter-th 64 random bits of each key."""
    return mix(key + np.uint64((counter + 1) * GOLDEN % 2**64))


def uniform(key: NDArray[np.uint64], counter: int) -> NDArray[np.float64]:
    """Draw the same as a number in [0, 1)."""
    return (draw_bits(key, counter) >> np.uint64(11)).astype(np.float64) * 2.0**-53
