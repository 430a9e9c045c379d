"""Where training goes in the minimal model: gradient flow, stationary points, losses at infinity, regimes.

Ours, as ccutils.theory.model is. Finite stationary points are found numerically, to a gradient below 1e-10.
"""

from dataclasses import dataclass

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
    gradient,
    hessian,
    loss,
    make_kinds,
    stack,
    weights,
)

FAR = 1e4  # so far out on a ray that every weight that vanishes there is 0 in float64
REGIMES = ("pure IWL", "mixture", "pure ICL", "copying", "blend")


def flow(kinds: Kinds, starts: ArrayLike, times: ArrayLike, accuracy: float = 1e-8) -> Array:
    """Follow d theta / dt = -gradient from `starts` (n, 2) to ascending times > 0: (times, n, 2).

    Integrated in log t by LSODA with the exact Hessian, relative tolerance `accuracy`, from t = 1e-3 or half
    the first time if that is sooner. Raises InputError for starts or times that are not finite.
    """
    starts, times = check_starts(starts), np.asarray(times, dtype=np.float64)
    if times.ndim != 1 or not np.all(np.isfinite(times)) or np.any(times <= 0) or np.any(np.diff(times) <= 0):
        raise InputError("times must be finite, above 0 and ascending.")

    def velocity(log_t: float, flat: Array) -> Array:
        return np.asarray(-np.exp(log_t) * gradient(flat.reshape(-1, 2), kinds).ravel())

    def jacobian(log_t: float, flat: Array) -> Array:
        """Of the velocity, in the banded form: rows above, on and below the diagonal."""
        h = np.exp(log_t) * hessian(flat.reshape(-1, 2), kinds)
        bands = np.zeros((3, flat.size))
        bands[1, ::2], bands[1, 1::2] = -h[:, 0, 0], -h[:, 1, 1]
        bands[0, 1::2], bands[2, ::2] = -h[:, 0, 1], -h[:, 1, 0]
        return bands

    span = (float(np.log(min(1e-3, times[0] / 2))), float(np.log(times[-1])))
    solved = solve_ivp(
        velocity,
        span,
        starts.ravel(),
        method="LSODA",
        t_eval=np.minimum(np.log(times), span[1]),
        jac=jacobian,
        lband=1,
        uband=1,
        rtol=accuracy,
        atol=accuracy / 10,
    )
    if not solved.success:
        raise ArithmeticError(f"gradient flow could not be integrated: {solved.message}")
    return np.asarray(solved.y.T.reshape(len(times), -1, 2))


def check_starts(starts: ArrayLike) -> Array:
    """Return the starts as an array (n, 2). Raises InputError if it is not that, or not finite."""
    array = np.asarray(starts, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != 2 or not np.all(np.isfinite(array)):
        raise InputError("start must be pairs (theta_1, theta_2) of finite numbers, as an array (n, 2).")
    return array


def descend(kinds: Kinds, starts: ArrayLike, steps: int = 200, longest: float = 0.5) -> Array:
    """Descend by Newton's method alone, from starts (..., 2) for as many worlds at once: (..., 2).

    The Hessian's eigenvalues are taken by size, so that saddles repel, and no step is longer than `longest`.
    Where the loss falls towards infinity theta grows until the steps, or the loss's slope in float64, end.
    """
    theta = np.array(starts, dtype=np.float64)
    for _ in range(steps):
        slope = gradient(theta, kinds)
        values, axes = np.linalg.eigh(hessian(theta, kinds))
        along = np.einsum("...ij,...i->...j", axes, slope)
        size = np.maximum(np.abs(values), 1e-11 * np.abs(values).max(-1, keepdims=True) + 1e-300)
        step = np.einsum("...ij,...j->...i", axes, along / size)
        length = np.linalg.norm(step, axis=-1, keepdims=True)
        theta = theta - step * np.minimum(1.0, longest / np.maximum(length, 1e-300))
        if length.max() < 1e-14:  # all are where they end
            break
    return theta


@dataclass(frozen=True, slots=True)
class Stationary:
    """Where the gradient vanishes: the loss, the gradient norm, the Hessian eigenvalues, ascending."""

    theta_1: float
    theta_2: float
    loss: float
    gradient_norm: float
    eigenvalues: tuple[float, float]

    @property
    def stable(self) -> bool:
        """Whether both eigenvalues are positive."""
        return self.eigenvalues[0] > 0


def stationary_point(kinds: Kinds, start: ArrayLike = (0.0, 0.0)) -> Stationary | None:
    """Return the stable stationary point that descent reaches; None if it runs away or ends in a valley."""
    return examine(descend(kinds, check_starts(np.asarray(start)[None]))[0], kinds)


def examine(theta: Array, kinds: Kinds) -> Stationary | None:
    """Return theta (2,) as a stationary point; None if the gradient is above 1e-10 or the valley endless."""
    slope, values = np.linalg.norm(gradient(theta, kinds)), np.linalg.eigvalsh(hessian(theta, kinds))
    if slope > 1e-10 or np.abs(theta).max() > 60 or values[0] < 1e-9:
        return None
    smallest, largest = map(float, values)
    return Stationary(
        float(theta[0]), float(theta[1]), float(loss(theta, kinds)), float(slope), (smallest, largest)
    )


@dataclass(frozen=True, slots=True)
class Ray:
    """A way to infinity, theta = offset + t * direction for large t, and the loss's limit on it."""

    direction: tuple[float, float]
    offset: tuple[float, float]
    loss: float


def best_ray(kinds: Kinds) -> Ray:
    """Return the ray of the least loss at its end: a finite point of lower loss proves a minimum.

    At the end of a ray only the largest logits have weight. Two of them tie only in the directions tried
    here; what lies between these is the limit of a tie with a large offset. The offset is found numerically.
    """
    gaps = np.unique(kinds.s - kinds.mean)  # theta_2 = gap * theta_1 is where near and in-weights logits tie
    rays = [((1.0, float(gap)), (0.0, 1.0)) for gap in gaps]  # near against weights
    rays += [((-1.0, float(-c)), (0.0, 1.0)) for c in np.unique(kinds.mean)]  # random against weights
    rays += [((-1.0, float(-gap)), (0.0, 1.0)) for gap in gaps]  # the same where all are near
    rays += [((0.0, sign), (1.0, 0.0)) for sign in (-1.0, 1.0)]  # near against random
    return min((end_of_ray(kinds, *ray) for ray in rays), key=lambda ray: ray.loss)


def end_of_ray(kinds: Kinds, direction: tuple[float, float], side: tuple[float, float]) -> Ray:
    """Return the ray in `direction` with the best offset along `side`."""
    far = FAR * np.array(direction)

    def limit(offset: float) -> float:
        return float(loss(far + offset * np.array(side), kinds))

    offsets = np.linspace(-40, 40, 161)
    start = float(offsets[np.argmin(loss(far + offsets[:, None] * np.array(side), kinds))])
    found = minimize_scalar(
        limit, bounds=(start - 0.5, start + 0.5), method="bounded", options={"xatol": 1e-9}
    )
    offset = float(found.x) if found.fun < limit(start) else start
    return Ray(direction, (offset * side[0], offset * side[1]), limit(offset))


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What theta does: arrays of theta's leading shape, each from 0 to 1.

    nothing_relevant: gate (weight on the context) with k random examples. relevant: weight on one near
    example among k - 1 random ones. chosen: that over the gate there, 1 / k for flat attention. all_relevant:
    gate with k near examples. Means over the world's grades.
    """

    nothing_relevant: Array
    relevant: Array
    chosen: Array
    all_relevant: Array


def behaviour(theta: ArrayLike, world: World) -> Behaviour:
    alone = weights(theta, context_kinds(world, "random"))[2]
    one = make_kinds(world, [(1.0, 1, s, 0.0) for s in world.grades])
    near, _, slot = weights(theta, one)
    every = weights(theta, context_kinds(world, "similar"))[2]
    gate = 1 - slot
    share = near / np.where(gate > 0, gate, 1.0)
    return Behaviour(1 - alone[..., 0], near.mean(-1), share.mean(-1), 1 - every.mean(-1))


def regime(theta: ArrayLike, world: World) -> Array:
    """Return the index into REGIMES as an integer array of theta's leading shape.

    The choosy give one relevant example at least half of the attention that the context gets: pure ICL if the
    gate is at least half open with nothing relevant too, else a mixture. The others copy if that gate is at
    least half open, and blend (a gate ajar whatever is there) below. Weight under 0.1 on the context, with
    nothing relevant and on a relevant example alike: pure IWL.
    """
    seen = behaviour(theta, world)
    choosy, copies = seen.chosen >= 0.5, seen.nothing_relevant >= 0.5
    some = np.where(choosy, np.where(copies, 2, 1), np.where(copies, 3, 4))
    return np.where((seen.nothing_relevant < 0.1) & (seen.relevant < 0.1), 0, some)


def end_states(worlds: list[World], strategy: str, start: ArrayLike = (0.0, 0.0)) -> Array:
    """Return where descent from `start` ends in each world, (worlds, 2); far out if the loss only falls."""
    every = stack([context_kinds(world, strategy) for world in worlds])
    return descend(every, np.broadcast_to(check_starts(np.asarray(start)[None]), (len(worlds), 2)))
