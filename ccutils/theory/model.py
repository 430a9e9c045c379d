"""A two-parameter model of in-context and in-weights learning: its data, prediction, loss and derivatives.

The question (which contexts teach which mixture) and the idea of two scalar parameters are the paper's
(arXiv:2604.01601); the model, its data and every formula are ours. All of it is in closed form, float64.

Data. Labels are g(x) + noise, with g linear, so that labels of inputs at cosine similarity s have
covariance s. The weights know a part f of g: the rest r = g - f, a share `error` of the variance, is new
in every context. An example is random (similarity 0 to all others) or near: similarity s to the target,
and so s * s to another near one. A paraphrase has similarity 1 and the target's own label, noise and all.

Prediction. A softmax over k examples and one slot for the weights; logits are linear in theta:
near theta_1 s, random 0, weights theta_2 + theta_1 c, where c is the context's mean similarity if the
model's similarity is `relative` and 0 if it is `absolute`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ccutils.errors import InputError, check_count
from ccutils.records import CONTEXT_STRATEGIES

Array = NDArray[np.float64]
SIMILARITIES = ("relative", "absolute")


@dataclass(frozen=True, slots=True)
class World:
    """What the data are like. Raises InputError for a value out of its range.

    k: examples in a context, at least 1. p, epsilon: as in ccutils.contexts.Strategy. noise: variance of
    the label noise, in units of the labels' variance. error: share of the labels' variance that the weights
    do not know, 0 (perfect) to 1 (useless). grades: similarities that near examples can have, above 0 to 1,
    one for each context, all equally likely. similarity: one of SIMILARITIES.
    """

    k: int = 6
    p: float = 0.5
    epsilon: float = 0.1
    noise: float = 0.05
    error: float = 0.6
    grades: tuple[float, ...] = (0.75, 0.85, 0.95)
    similarity: str = "relative"

    def __post_init__(self) -> None:
        check_count("k", self.k)
        for name in ("p", "epsilon", "error"):
            check_range(name, getattr(self, name), 0, 1)
        if self.p + self.epsilon > 1 + 1e-9:
            raise InputError(f"p + epsilon is {self.p} + {self.epsilon}: it must be at most 1; lower one.")
        check_range("noise", self.noise, 0, np.inf)
        if not isinstance(self.grades, tuple) or not self.grades:
            raise InputError(f"grades is {self.grades!r}: it must be a tuple of at least one similarity.")
        for grade in self.grades:
            check_range("grades", grade, 0, 1)
            if grade == 0:
                raise InputError("grades holds 0: a near example's similarity must be above 0, at most 1.")
        if self.similarity not in SIMILARITIES:
            raise InputError(f"similarity is {self.similarity!r}: it must be one of {SIMILARITIES}.")


def check_range(name: str, value: Any, low: float, high: float) -> None:
    """Raise InputError unless `value` is a finite number in [low, high]."""
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not (number and np.isfinite(value) and low <= value <= high):
        bound = f"from {low:g} to {high:g}" if np.isfinite(high) else f"finite and at least {low:g}"
        raise InputError(f"{name} is {value!r}: it must be {bound}.")


@dataclass(frozen=True, slots=True)
class Kinds:
    """The kinds of context that a strategy draws. Arrays (..., kinds); leading axes hold several worlds.

    share: probability. near: how many of the k examples are near. s: their similarity. own: 1 where the
    near one is a paraphrase. mean: c in the weights' logit. k, noise, error: of the world.
    """

    share: Array
    near: Array
    s: Array
    own: Array
    mean: Array
    k: Array
    noise: Array
    error: Array


def context_kinds(world: World, strategy: str) -> Kinds:
    """Return the kinds of context of one of CONTEXT_STRATEGIES, those of probability 0 included."""
    grades, count = list(world.grades), len(world.grades)
    random, paraphrase = (0, 0.0, 0.0), (1, 1.0, 1.0)  # near examples, their similarity, own label
    if strategy == "random":
        rows = [(1.0, *random)]
    elif strategy == "similar":
        rows = [(1 / count, world.k, s, 0.0) for s in grades]
    elif strategy == "contrastive":
        rows = [(world.p / count, 1, s, 0.0) for s in grades]
        rows += [(world.epsilon, *paraphrase), (1 - world.p - world.epsilon, *random)]
    elif strategy == "batch_mix":
        rows = [(world.p / count, world.k, s, 0.0) for s in grades] + [(1 - world.p, *random)]
    else:
        raise InputError(
            f"strategy {strategy!r} is not in the minimal model: choose one of {CONTEXT_STRATEGIES}."
        )
    return make_kinds(world, rows)


def make_kinds(world: World, rows: Sequence[tuple[float, int, float, float]]) -> Kinds:
    """Return kinds of rows (share, near examples, similarity, own label)."""
    share, near, s, own = np.array(rows, dtype=np.float64).T
    mean = near * s / world.k if world.similarity == "relative" else np.zeros_like(s)
    constants = (np.full_like(s, value) for value in (world.k, world.noise, world.error))
    return Kinds(share, near, s, own, mean, *constants)


def stack(parts: Sequence[Kinds]) -> Kinds:
    """Return several worlds' kinds of one strategy along a new leading axis, for theta of (worlds, 2)."""
    return Kinds(*(np.stack([getattr(part, field.name) for part in parts]) for field in fields(Kinds)))


def weights(theta: ArrayLike, kinds: Kinds) -> tuple[Array, Array, Array]:
    """Return softmax weights of a near example, a random one and the in-weights slot: (..., kinds) each.

    `theta` is (..., 2). Where a kind has no near (random) example, that weight is 0.
    """
    theta = np.asarray(theta, dtype=np.float64)
    near = np.where(kinds.near > 0, theta[..., :1] * kinds.s, -np.inf)
    random = np.where(kinds.near < kinds.k, 0.0, -np.inf)
    slot = theta[..., 1:] + theta[..., :1] * kinds.mean
    top = np.maximum(np.maximum(near, random), slot)  # so that nothing overflows
    near, random, slot = np.exp(near - top), np.exp(random - top), np.exp(slot - top)
    total = kinds.near * near + (kinds.k - kinds.near) * random + slot
    return near / total, random / total, slot / total


def loss_of_kinds(theta: ArrayLike, kinds: Kinds) -> Array:
    """Return the expected squared error of each kind of context: (..., kinds).

    With near weight a, random weight r, A = n a + (k - n) r the gate, and 1 - A on the weights' f:
    error = f (1 - error) part + r (error) part + noise part, each a quadratic form in (a, r).
    """
    a, r, _ = weights(theta, kinds)
    n, m, s = kinds.near, kinds.k - kinds.near, kinds.s
    gate, shared = n * a + m * r, n * a * s  # weight on the context; its covariance with the target's label
    own = kinds.own * kinds.noise * a  # a paraphrase shares the target's noise
    spread = n * a**2 * (1 + (n - 1) * s**2) + m * r**2
    known = spread - 2 * gate * shared + gate**2
    unknown = spread - 2 * shared + 1
    noise = kinds.noise * (n * a**2 + m * r**2 + 1) - 2 * own
    return np.asarray((1 - kinds.error) * known + kinds.error * unknown + noise)


def loss(theta: ArrayLike, kinds: Kinds) -> Array:
    """Return the expected squared error over all contexts: (...)."""
    return np.asarray((kinds.share * loss_of_kinds(theta, kinds)).sum(-1))


@dataclass(frozen=True, slots=True)
class Slopes:
    """What all derivatives are made of, (..., kinds) each: weights, and the loss's slope along a and r.

    mean: the attention's mean of the logits' derivatives by theta_1. stand: a near example's s less that.
    """

    a: Array
    r: Array
    b: Array
    along_a: Array
    along_r: Array
    stand: Array
    mean: Array


def slopes(theta: ArrayLike, kinds: Kinds) -> Slopes:
    a, r, b = weights(theta, kinds)
    n, m, s, known = kinds.near, kinds.k - kinds.near, kinds.s, 1 - kinds.error
    gate, shared = n * a + m * r, n * a * s
    along_a = a * (1 + (n - 1) * s**2 + kinds.noise) - s * (known * gate + kinds.error)
    along_a = 2 * n * (along_a + known * (gate - shared)) - 2 * kinds.own * kinds.noise
    along_r = 2 * m * (r * (1 + kinds.noise) + known * (gate - shared))
    # Written so that it is exactly 0 where all logits move alike: no difference of like numbers.
    stand = m * r * s + b * (s - kinds.mean)
    return Slopes(a, r, b, along_a, along_r, stand, n * a * s + b * kinds.mean)


def gradient_of_kinds(theta: ArrayLike, kinds: Kinds) -> Array:
    """Return the derivatives of loss_of_kinds by theta: (..., kinds, 2)."""
    d = slopes(theta, kinds)
    first = d.along_a * d.a * d.stand - d.along_r * d.r * d.mean
    second = -d.b * (d.along_a * d.a + d.along_r * d.r)
    return np.stack([first, second], axis=-1)


def gradient(theta: ArrayLike, kinds: Kinds) -> Array:
    """Return the derivatives of the loss by theta: (..., 2)."""
    return np.asarray((kinds.share[..., None] * gradient_of_kinds(theta, kinds)).sum(-2))


def signals(theta: ArrayLike, kinds: Kinds) -> Array:
    """Return the two parts of the loss's derivative by theta_1: contrast and gate, (..., 2).

    contrast: what moves attention among the examples while their sum, the gate, stays. gate: what opens or
    shuts the gate; for each kind of context it is -(attended - c) times the derivative by theta_2, where
    `attended` is the mean similarity under attention.
    """
    d = slopes(theta, kinds)
    gate = kinds.near * d.a + (kinds.k - kinds.near) * d.r
    attended = kinds.near * d.a * kinds.s / gate
    stand = (kinds.k - kinds.near) * d.r * kinds.s / gate  # s - attended
    contrast = d.along_a * d.a * stand - d.along_r * d.r * attended
    opening = (attended - kinds.mean) * d.b * (d.along_a * d.a + d.along_r * d.r)
    return np.stack([(kinds.share * part).sum(-1) for part in (contrast, opening)], axis=-1)


def hessian(theta: ArrayLike, kinds: Kinds) -> Array:
    """Return the second derivatives of the loss by theta: (..., 2, 2)."""
    d = slopes(theta, kinds)
    n, m, s, known = kinds.near, kinds.k - kinds.near, kinds.s, 1 - kinds.error
    curve_aa = 2 * n * (1 + (n - 1) * s**2 + kinds.noise + known * n * (1 - 2 * s))
    curve_ar = 2 * known * n * m * (1 - s)
    curve_rr = 2 * m * (1 + kinds.noise + known * m)
    # Each weight's logit slope less the attention's mean of it: (..., kinds, 2)
    zero = np.zeros_like(d.a)
    near = np.stack([d.stand, zero - d.b], -1)
    random = np.stack([-d.mean, zero - d.b], -1)
    slot = np.stack([kinds.mean - d.mean, 1 - d.b], -1)
    spread = n * d.a * outer(near, near) + m * d.r * outer(random, random) + d.b * outer(slot, slot)
    da, dr = d.a[..., None] * near, d.r[..., None] * random
    cross = outer(da, dr)
    total = curve_aa * outer(da, da) + curve_rr * outer(dr, dr) + curve_ar * (cross + cross.swapaxes(0, 1))
    total = total + d.along_a * d.a * (outer(near, near) - spread)
    total = total + d.along_r * d.r * (outer(random, random) - spread)
    return np.asarray(np.moveaxis((kinds.share * total).sum(-1), (0, 1), (-2, -1)))


def outer(left: Array, right: Array) -> Array:
    """Return the outer products of (..., kinds, 2) arrays: (2, 2, ..., kinds)."""
    return np.asarray(np.einsum("...i,...j->ij...", left, right))


def best_weight(world: World, s: ArrayLike) -> Array:
    """Return the best weight on a lone near example of similarity s, the rest on f: 0 to 1."""
    s, known = np.asarray(s, dtype=np.float64), 1 - world.error
    return ratio_to_one(world.error * s, 1 + world.noise + known * (1 - 2 * s))


def best_gate(world: World, strategy: str) -> float:
    """Return the best gate of contexts whose examples are alike: 0 to 1, in closed form.

    For random, similar and, with relative similarity, batch_mix.
    """
    near = {"random": 0.0, "similar": 1.0, "batch_mix": world.p}[strategy]
    s, known, k = np.array(world.grades), 1 - world.error, world.k
    curve_near = (1 + (k - 1) * s**2 + world.noise) / k + known * (1 - 2 * s)
    curve_random = (1 + world.noise) / k + known
    curve = near * curve_near.mean() + (1 - near) * curve_random
    return float(ratio_to_one(near * world.error * s.mean(), curve))


def ratio_to_one(pull: ArrayLike, curve: ArrayLike) -> Array:
    """Return the A from 0 to 1 at which curve A^2 - 2 pull A is least; 0 where there is no pull."""
    pull, curve = np.broadcast_arrays(np.asarray(pull, dtype=np.float64), np.asarray(curve))
    safe = np.where(curve > 0, curve, 1.0)
    return np.asarray(np.where(pull <= 0, 0.0, np.where(pull >= curve, 1.0, pull / safe)))


def copying_threshold(world: World, s: float) -> float:
    """Return the weights' error from which contexts of k examples of similarity s < 1 open the gate fully.

    >>> round(copying_threshold(World(k=6, noise=0.05), s=0.85), 3)
    0.514
    """
    return (1 - s) + (1 + s) / world.k + world.noise / (world.k * (1 - s))
