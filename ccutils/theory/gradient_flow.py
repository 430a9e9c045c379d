"""Where training ends in the minimal model: gradient flow, stationary points, losses at infinity, regimes.

Ours, like ccutils.theory.model. Finite stationary points are found numerically, to a gradient below 1e-10.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import solve_ivp  # type: ignore[import-untyped]
from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]

from ccutils.errors import InputError
from ccutils.theory.model import (
    Array,
    Kinds,
    World,
    context_kinds,
    derivatives,
    gradient,
    loss,
    one_near,
    stack,
    weights,
)

FAR = 1e4  # at this distance along a ray, vanishing weights are 0 in float64
REGIMES = ("pure IWL", "mixture", "pure ICL", "copying", "blend")


def flow(kinds: Kinds, starts: ArrayLike, times: ArrayLike, accuracy: float = 1e-8) -> Array:
    """Follow d theta / dt = -gradient from `starts` (n, d) to ascending times > 0: (times, n, d).

    Integrated in log t by LSODA with the exact Hessian, relative tolerance `accuracy`, from t = 1e-3 or half
    the first time if that is sooner. Raises InputError for starts or times that are not finite.
    """
    starts, times = check_starts(starts), np.asarray(times, dtype=np.float64)
    if times.ndim != 1 or not np.all(np.isfinite(times)) or np.any(times <= 0) or np.any(np.diff(times) <= 0):
        raise InputError("times must be finite, above 0 and ascending.")
    d = starts.shape[1]

    def velocity(log_t: float, flat: Array) -> Array:
        return np.asarray(-np.exp(log_t) * gradient(flat.reshape(-1, d), kinds).ravel())

    def jacobian(log_t: float, flat: Array) -> Array:
        """Compute the Jacobian of the velocity in banded form: rows above, on and below the diagonal."""
        h = np.exp(log_t) * derivatives(flat.reshape(-1, d), kinds)[1]
        bands = np.zeros((2 * d - 1, flat.size))
        for i, j in product(range(d), repeat=2):
            bands[d - 1 + i - j, j::d] = -h[:, i, j]
        return bands

    span = (float(np.log(min(1e-3, times[0] / 2))), float(np.log(times[-1])))
    options = {"rtol": accuracy, "atol": accuracy / 10, "jac": jacobian, "lband": d - 1, "uband": d - 1}
    at = np.minimum(np.log(times), span[1])
    solved = solve_ivp(velocity, span, starts.ravel(), method="LSODA", t_eval=at, **options)
    if not solved.success:
        raise ArithmeticError(f"gradient flow could not be integrated: {solved.message}")
    return np.asarray(solved.y.T.reshape(len(times), -1, d))


def check_starts(starts: ArrayLike) -> Array:
    """Convert starts to an array (n, 2 or 3). Raises InputError if they are not, or not finite."""
    array = np.asarray(starts, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] not in (2, 3) or not np.all(np.isfinite(array)):
        raise InputError("starts must be finite numbers (theta_1, theta_2), as an array (n, 2).")
    return array


def descend(kinds: Kinds, starts: ArrayLike, steps: int = 200, longest: float = 0.5) -> Array:
    """Descend by Newton's method alone, from starts (..., 2) for as many worlds at once: (..., 2).

    The Hessian's eigenvalues are taken by size, so that saddles repel, and no step is longer than `longest`.
    Where the loss falls towards infinity, theta grows until the steps or float64's slope of the loss end.
    """
    theta = np.array(starts, dtype=np.float64)
    for _ in range(steps):
        slope, curve = derivatives(theta, kinds)
        values, axes = np.linalg.eigh(curve)
        along = np.einsum("...ij,...i->...j", axes, slope)
        size = np.maximum(np.abs(values), 1e-11 * np.abs(values).max(-1, keepdims=True) + 1e-300)
        step = np.einsum("...ij,...j->...i", axes, along / size)
        length = np.linalg.norm(step, axis=-1, keepdims=True)
        theta = theta - step * np.minimum(1.0, longest / np.maximum(length, 1e-300))
        if length.max() < 1e-14:
            break
    return theta


@dataclass(frozen=True, slots=True)
class Stationary:
    """A stable stationary point: its loss, its gradient's norm and its Hessian's eigenvalues, ascending."""

    theta_1: float
    theta_2: float
    loss: float
    gradient_norm: float
    eigenvalues: tuple[float, float]


def stationary_point(kinds: Kinds, start: ArrayLike = (0.0, 0.0)) -> Stationary | None:
    """Find the stable stationary point that descent reaches; None if it diverges or ends in a flat valley."""
    return examine(descend(kinds, check_starts(np.asarray(start)[None]))[0], kinds)


def examine(theta: Array, kinds: Kinds) -> Stationary | None:
    """Describe theta (2,) as a stationary point; None if the gradient exceeds 1e-10 or the valley is flat."""
    first, second = derivatives(theta, kinds)
    slope, values = float(np.linalg.norm(first)), np.linalg.eigvalsh(second)
    if slope > 1e-10 or np.abs(theta).max() > 60 or values[0] < 1e-9:
        return None
    smallest, largest = map(float, values)
    return Stationary(float(theta[0]), float(theta[1]), float(loss(theta, kinds)), slope, (smallest, largest))


def loss_at_infinity(kinds: Kinds) -> float:
    """Find the least loss at the end of any ray: a finite point of lower loss proves a minimum.

    At the end of a ray only the largest logits have weight. Two of them tie only in the directions tried
    here; what lies between these is the limit of a tie with a large offset. The offset is found numerically.
    """
    gaps = np.unique(kinds.apart[..., :-1])  # theta_2 = gap * theta_1: near and in-weights logits tie
    means = np.unique(-kinds.apart[..., -1])
    rays = [((1.0, float(gap)), (0.0, 1.0)) for gap in gaps]
    rays += [((-1.0, float(-c)), (0.0, 1.0)) for c in [*means, *gaps]]  # random or all near, so too
    rays += [((0.0, sign), (1.0, 0.0)) for sign in (-1.0, 1.0)]  # near against random
    return min(end_of_ray(kinds, *ray) for ray in rays)


def end_of_ray(kinds: Kinds, direction: tuple[float, float], side: tuple[float, float]) -> float:
    """Find the loss at the end of the ray in `direction` with the best offset along `side`."""
    far = FAR * np.array(direction)

    def limit(offset: float) -> float:
        return float(loss(far + offset * np.array(side), kinds))

    offsets = np.linspace(-40, 40, 161)
    start = float(offsets[np.argmin(loss(far + offsets[:, None] * np.array(side), kinds))])
    around = (start - 0.5, start + 0.5)
    found = minimize_scalar(limit, bounds=around, method="bounded", options={"xatol": 1e-9})
    return min(float(found.fun), limit(start))


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The behaviour of a model: arrays of theta's leading shape, from 0 to 1, means over the grades.

    nothing_relevant: gate (weight on the context) with k random examples. relevant: weight on one near
    example among k - 1 random ones. attention: that over the gate there, 1 / k if flat. all_relevant: gate
    with k near examples.
    """

    nothing_relevant: Array
    relevant: Array
    attention: Array
    all_relevant: Array


def behaviour(theta: ArrayLike, world: World) -> Behaviour:
    """Compute the behaviour of theta (..., 2 or 3) in a world."""
    alone = weights(theta, context_kinds(world, "random"))[1]
    near, slot = weights(theta, one_near(world, world.grades))
    every = weights(theta, context_kinds(world, "similar"))[1]
    gate = 1 - slot
    share = near[..., 0] / np.where(gate > 0, gate, 1.0)
    return Behaviour(1 - alone[..., 0], near[..., 0].mean(-1), share.mean(-1), 1 - every.mean(-1))


def regime(theta: ArrayLike, world: World) -> Array:
    """Classify theta: indices into REGIMES, an integer array of theta's leading shape.

    With at least half of the context's attention on one relevant example: pure ICL if the gate is at least
    half open without a relevant example, else a mixture. With less: copying if that gate is at least half
    open, else a blend. Pure IWL if the weights on a context without a relevant example and on a relevant
    example are both under 0.1.
    """
    seen = behaviour(theta, world)
    chooses, copies = seen.attention >= 0.5, seen.nothing_relevant >= 0.5
    some = np.where(chooses, np.where(copies, 2, 1), np.where(copies, 3, 4))
    return np.where((seen.nothing_relevant < 0.1) & (seen.relevant < 0.1), 0, some)


def end_states(worlds: Sequence[World], strategy: str) -> Array:
    """Descend from theta = (0, 0) in each world: (worlds, 2); very large if there is no minimum."""
    every = stack([context_kinds(world, strategy) for world in worlds])
    return descend(every, np.zeros((len(worlds), 2)))
