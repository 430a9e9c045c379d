"""The minimal model where examples of one context differ in similarity: loss, gradient, contrast signal.

`model` has near examples that are all equally similar. Here example i of a context has any similarity s_i to
the target, and s_i s_j to example j; the data and the prediction are the same otherwise.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import solve_ivp  # type: ignore[import-untyped]

from ccutils.errors import InputError
from ccutils.theory.model import Array, World, context_kinds


@dataclass(frozen=True, slots=True)
class SpreadContexts:
    """Contexts by their examples' similarities: share (contexts,), s and own (contexts, k).

    own: 1 where the example is a paraphrase, which has the target's own label.
    """

    share: Array
    s: Array
    own: Array


def spread_contexts(world: World, strategy: str, spread: float = 0.0) -> SpreadContexts:
    """List a strategy's contexts, in which k near examples differ by `spread` around their grade.

    Half of them are `spread` more similar than the grade, half less, and one neither if k is odd: no skew,
    and for even k `spread` is their standard deviation. A lone near example has its grade. Raises
    InputError where a similarity would leave [0, 1].

    >>> spread_contexts(World(k=2, grades=(0.8,)), "similar", 0.1).s.round(1).tolist()
    [[0.7, 0.9]]
    """
    kinds = context_kinds(world, strategy)
    place = np.arange(world.k)
    near = place < kinds.near[:, None]
    sides = np.sign(place - (world.k - 1) / 2)  # -1, 0 if in the middle, 1
    whole = (kinds.near == world.k) & (world.k > 1)
    s = np.where(near, kinds.s[:, None], 0.0) + spread * np.outer(whole, sides)
    if not np.isfinite(spread) or s.min() < 0 or s.max() > 1:
        raise InputError(
            f"spread is {spread}: it takes similarities out of [0, 1] with grades {world.grades}; lower it."
        )
    return SpreadContexts(kinds.share, s, near * kinds.own[:, None])


def spread_loss(theta: ArrayLike, contexts: SpreadContexts, world: World) -> float:
    """Return the expected squared error at theta (2,), exactly."""
    a, b, _ = attention(theta, contexts.s, world)
    known, gate = 1 - world.error, 1 - b
    shared = (a * contexts.s).sum(-1)
    variance = (a**2 * (1 - contexts.s**2)).sum(-1) + shared**2
    label = known * (variance - 2 * gate * shared + gate**2) + world.error * (variance - 2 * shared + 1)
    noise = (a**2).sum(-1) + 1 - 2 * (contexts.own * a).sum(-1)
    return float((contexts.share * (label + world.noise * noise)).sum())


def spread_gradient(theta: ArrayLike, contexts: SpreadContexts, world: World) -> Array:
    """Return the derivatives of spread_loss by theta: (2,)."""
    a, b, mean = attention(theta, contexts.s, world)
    s, known, gate = contexts.s, 1 - world.error, (1 - b)[:, None]
    shared = (a * s).sum(-1, keepdims=True)
    along = 2 * a * (1 - s**2 + world.noise) + 2 * s * (shared - known * gate - world.error)
    along += 2 * known * (gate - shared) - 2 * world.noise * contexts.own
    centre = shared + (b * mean)[:, None]  # the attention's mean of the logits' derivatives by theta_1
    first = (along * a * (s - centre)).sum(-1)
    second = -b * (along * a).sum(-1)
    return np.array([(contexts.share * part).sum() for part in (first, second)])


def attention(theta: ArrayLike, s: Array, world: World) -> tuple[Array, Array, Array]:
    """Return weights of the examples (contexts, k) and of the weights' slot (contexts,), and the slot's c."""
    theta_1, theta_2 = np.asarray(theta, dtype=np.float64)
    mean = s.mean(-1) if world.similarity == "relative" else np.zeros(len(s))
    logits = np.column_stack([theta_1 * s, theta_2 + theta_1 * mean])
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    return shares[:, :-1], shares[:, -1], mean


def spread_end(
    contexts: SpreadContexts, world: World, start: ArrayLike = (0.0, 0.0), time: float = 1e5
) -> Array:
    """Follow gradient flow from `start` to `time`, above 1e-3: theta (2,). Integrated in log t by LSODA."""

    def velocity(log_t: float, theta: Array) -> Array:
        return np.asarray(-np.exp(log_t) * spread_gradient(theta, contexts, world))

    span = (float(np.log(1e-3)), float(np.log(time)))
    solved = solve_ivp(velocity, span, np.asarray(start, dtype=float), method="LSODA", rtol=1e-7, atol=1e-8)
    if not solved.success:
        raise ArithmeticError(f"gradient flow could not be integrated: {solved.message}")
    return np.asarray(solved.y[:, -1])


def contrast_signal(s: ArrayLike, gate: ArrayLike, error: float) -> Array:
    """Return the contrast part of the loss's derivative by theta_1 at flat attention: (...), never above 0.

    `s` is (..., k), similarities from 0 to 1 of a context's examples; `gate`, A, the weight on all together;
    `error`, w, the weights'. With mean m, variance v and third central moment u of s in the context it is
    -2 A v [w + (1 - w) A - A m (1 - 2 / k)] - 2 A^2 u / k: nothing where all are equally similar. With
    relative similarity it is the whole derivative. It does not depend on the label noise, paraphrases apart.

    >>> contrast_signal([[0.5, 0.5], [0.0, 1.0]], 1.0, 0.5).tolist()
    [-0.0, -0.5]
    """
    s, gate = np.asarray(s, dtype=np.float64), np.asarray(gate, dtype=np.float64)
    k, mean = s.shape[-1], s.mean(-1)
    apart = s - mean[..., None]
    variance, skew = (apart**2).mean(-1), (apart**3).mean(-1)
    pull = error + (1 - error) * gate - gate * mean * (1 - 2 / k)
    return np.asarray(-2 * gate * variance * pull - 2 * gate**2 * skew / k)
