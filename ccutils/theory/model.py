"""A two-parameter model of in-context and in-weights learning: its data, prediction, loss and derivatives.

The question (which contexts teach which mixture) and the idea of two scalar parameters are the paper's
(arXiv:2604.01601); the model, its data and every formula are ours. Everything is exact, in float64.

Data. Labels are g(x) + noise, with g linear, so that labels of inputs at cosine similarity s have
covariance s. The weights know a part f of g. The rest r = g - f, a share `error` of the variance, is new
in every context. An example is random (similarity 0 to all others) or near (similarity s_i to the target, and
s_i s_j to another near one). A paraphrase has similarity 1 and the target's own label, noise included. In a
counterfactual context, the target and its near examples have labels of a new g, of which f predicts nothing.

Prediction. A softmax over k examples and one slot for the weights. Logits are linear in theta: theta_1 s_i
for example i and theta_2 + theta_1 c for the weights, where c is the context's mean similarity if the
model's similarity is `relative` and 0 if it is `absolute`.

A third parameter separates the slope of the gate from the sharpness of the choice: theta_1 then sets each
example's share of the attention, and theta_3 replaces theta_1 in the gate (the weight on all examples
together). Every function of theta accepts (..., 2) or (..., 3); with theta_3 = theta_1 they agree.
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
    """Describe the data. Raises InputError for a value out of range.

    k: examples in a context, at least 1. p, epsilon: as in ccutils.contexts.Strategy. noise: variance of
    the label noise, in units of the labels' variance. error: share of the labels' variance that the weights
    do not know, 0 (perfect) to 1 (useless). grades: similarities of near examples, above 0 to 1, one for
    each context, all equally likely. similarity: one of SIMILARITIES. counterfactual: share of the contexts
    with a near example whose labels are counterfactual.
    """

    k: int = 6
    p: float = 0.5
    epsilon: float = 0.1
    noise: float = 0.05
    error: float = 0.6
    grades: tuple[float, ...] = (0.75, 0.85, 0.95)
    similarity: str = "relative"
    counterfactual: float = 0.0

    def __post_init__(self) -> None:
        check_count("k", self.k)
        for name in ("p", "epsilon", "error", "counterfactual"):
            check_range(name, getattr(self, name), 0, 1)
        if self.p + self.epsilon > 1 + 1e-9:
            raise InputError(f"p + epsilon must be at most 1, got {self.p} + {self.epsilon}.")
        check_range("noise", self.noise, 0, np.inf)
        if not isinstance(self.grades, tuple) or not self.grades:
            raise InputError(f"grades must be a tuple of at least one similarity, got {self.grades!r}.")
        for grade in self.grades:
            check_range("grades", grade, 0, 1, positive=True)
        if self.similarity not in SIMILARITIES:
            raise InputError(f"similarity must be one of {SIMILARITIES}, got {self.similarity!r}.")

    @property
    def wrong(self) -> float:
        """Extra error of the weights where an example is near, from counterfactual labels: r (1 - w)."""
        return self.counterfactual * (1 - self.error)


def check_range(name: str, value: Any, low: float, high: float, *, positive: bool = False) -> None:
    """Raise InputError unless `value` is a finite number in [low, high], and above 0 if `positive`."""
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not (number and np.isfinite(value) and low <= value <= high and (value > 0 or not positive)):
        bounds = f"from {low:g} to {high:g}" + ", above 0" * positive
        raise InputError(f"{name} must be a finite number {bounds}, got {value!r}.")


@dataclass(frozen=True, slots=True)
class Kinds:
    """The kinds of context that a strategy samples, with examples that are alike in one group.

    share, error, wrong, noise (..., kinds): probability, effective error of the weights, the part of it that
    is a wrong answer rather than a missing one, label noise. count, s, own (..., kinds, groups): examples,
    their similarity, 1 for a paraphrase. apart: s - c. size: log count. The last group is random. Leading
    axes index several worlds.
    """

    share: Array
    error: Array
    wrong: Array
    noise: Array
    count: Array
    s: Array
    own: Array
    apart: Array
    size: Array


Groups = list[tuple[int, float, float]]  # (count, similarity, own label) of the near examples of a context


def context_kinds(world: World, strategy: str, spread: float = 0.0) -> Kinds:
    """List the kinds of context of one of CONTEXT_STRATEGIES, those of probability 0 included.

    In a context of k near examples, half are `spread` more similar than their grade and half less (one
    neither, for odd k): no skew, and for even k `spread` is the standard deviation. Raises InputError for an
    unknown strategy, or where a similarity would leave [0, 1].
    """
    p, grades = world.p, world.grades
    one: list[Groups] = [[(1, s, 0.0)] for s in grades]
    every: list[Groups] = [[(world.k, s, 0.0)] for s in grades]
    if spread and world.k > 1:
        half = world.k // 2
        every = [[(half, s - spread, 0.0), (world.k % 2, s, 0.0), (half, s + spread, 0.0)] for s in grades]
    rest, paraphrase = 1 - p, (world.epsilon, [(1, 1.0, 1.0)])
    rows: dict[str, list[tuple[float, Groups]]] = {
        "random": [(1.0, [])],
        "similar": [(1 / len(grades), groups) for groups in every],
        "contrastive": [(p / len(grades), groups) for groups in one]
        + [paraphrase, (rest - world.epsilon, [])],
        "batch_mix": [(p / len(grades), groups) for groups in every] + [(rest, [])],
    }
    if strategy not in rows:
        raise InputError(f"The minimal model has no strategy {strategy!r}; choose from {CONTEXT_STRATEGIES}.")
    kinds = make_kinds(world, rows[strategy])
    if not (np.isfinite(spread) and kinds.s.min() >= 0 and kinds.s.max() <= 1):
        raise InputError(f"spread {spread} moves similarities out of [0, 1] with grades {grades}; lower it.")
    return kinds


def make_kinds(world: World, rows: Sequence[tuple[float, Groups]]) -> Kinds:
    """Build kinds of context from (share, groups of near examples); the other examples are random."""
    most = max(len(groups) for _, groups in rows)
    table = []
    for _, groups in rows:
        random = (world.k - sum(count for count, _, _ in groups), 0.0, 0.0)
        table.append([*groups, *[(0, 0.0, 0.0)] * (max(most, 1) - len(groups)), random])
    count, s, own = np.moveaxis(np.array(table, dtype=np.float64), -1, 0)
    mean = (count * s).sum(-1, keepdims=True) / world.k * (world.similarity == "relative")
    relevant = np.array([bool(groups) for _, groups in rows])
    share, wrong = np.array([share for share, _ in rows]), relevant * world.wrong
    size = np.log(count, out=np.full_like(count, -np.inf), where=count > 0)
    noise = np.full_like(share, world.noise)
    return Kinds(share, world.error + wrong, wrong, noise, count, s, own, s - mean, size)


def one_near(world: World, similarities: ArrayLike) -> Kinds:
    """Build contexts of one near example among random ones, a kind for each similarity."""
    return make_kinds(world, [(1.0, [(1, float(s), 0.0)]) for s in np.ravel(similarities)])


def stack(parts: Sequence[Kinds]) -> Kinds:
    """Stack several worlds' kinds of one strategy along a new leading axis, for theta of (worlds, 2)."""
    return Kinds(*(np.stack([getattr(part, field.name) for part in parts]) for field in fields(Kinds)))


def softmax(logits: Any) -> tuple[Any, Any]:
    """Compute softmax weights (..., n) and the log of their normaliser (..., 1), also for complex logits."""
    top = logits.real.max(-1, keepdims=True)
    parts = np.exp(logits - top)
    total = add(parts)
    return parts / total, np.log(total) + top


def add(parts: Any) -> Any:
    """Sum over the last axis, with keepdims; for the few groups of a context, much faster than `sum`."""
    return np.einsum("...i->...", parts)[..., None]


def attention(theta: Any, kinds: Kinds) -> tuple[Any, Any, Any, Any]:
    """Compute the attention, the gate and its slope, for theta (..., 2 or 3), real or complex.

    Each group's share of the attention (..., kinds, groups), the gate and the weights' slot, 1 - gate,
    (..., kinds, 1), and the derivative of the gate's logit by theta_3 (..., kinds, 1).
    """
    choice, pull = theta[..., 0, None, None], theta[..., 1, None, None]
    shares, total = softmax(choice * kinds.apart + kinds.size)
    inside = shares
    if theta.shape[-1] == 3:
        inside, total = softmax(theta[..., 2, None, None] * kinds.apart + kinds.size)
    gate, _ = softmax(np.concatenate([total - pull, np.zeros_like(total)], -1))
    return shares, gate[..., :1], gate[..., 1:], add(inside * kinds.apart)


def weights(theta: ArrayLike, kinds: Kinds) -> tuple[Array, Array]:
    """Compute the weight of each group (..., kinds, groups) and of the weights' slot (..., kinds)."""
    shares, gate, slot, _ = attention(np.asarray(theta, dtype=np.float64), kinds)
    return shares * gate, slot[..., 0]


def loss_of_kinds(theta: ArrayLike, kinds: Kinds) -> Array:
    """Compute the expected squared error of each kind of context: (..., kinds).

    With weights t of the groups, gate A and effective error e:
    f (1 - e) part + r (e) part + noise part + the weights' wrong answer, each a quadratic form in t.
    """
    t, slot = weights(theta, kinds)
    gate, shared = t.sum(-1), (t * kinds.s).sum(-1)  # weight on the context; its covariance with the label
    squares = t**2 / np.maximum(kinds.count, 1)
    spread = (squares * (1 - kinds.s**2)).sum(-1) + shared**2
    known, unknown = spread - 2 * gate * shared + gate**2, spread - 2 * shared + 1
    noise = squares.sum(-1) + 1 - 2 * (kinds.own * t).sum(-1)  # a paraphrase shares the target's noise
    label = (1 - kinds.error) * known + kinds.error * unknown + kinds.wrong * slot**2
    return np.asarray(label + kinds.noise * noise)


def loss(theta: ArrayLike, kinds: Kinds) -> Array:
    """Compute the expected squared error over all contexts: (...)."""
    return np.asarray((kinds.share * loss_of_kinds(theta, kinds)).sum(-1))


def gradient(theta: Any, kinds: Kinds) -> Any:
    """Compute the derivatives of the loss by theta: of theta's shape (..., 2 or 3), real or complex.

    Written by hand: automatic differentiation gives the same result in ten times the time (see the tests).
    """
    theta = np.asarray(theta)
    shares, gate, slot, mean = attention(theta, kinds)
    t, s, apart = shares * gate, kinds.s, kinds.apart
    error, wrong, noise = (part[..., None] for part in (kinds.error, kinds.wrong, kinds.noise))
    shared = add(t * s)
    # Half the loss's derivative by t, then the derivatives of log t by theta.
    along = t * (1 - s**2 + noise) / np.maximum(kinds.count, 1) + s * shared - error * s - noise * kinds.own
    along = 2 * t * (along - (1 - error) * (gate * s + shared - gate) - wrong * slot)
    moved = slot * add(along)
    choice, pull, slope = add(along * (apart - add(shares * apart))), -moved, mean * moved
    parts = [choice + slope, pull] if theta.shape[-1] == 2 else [choice, pull, slope]
    return np.concatenate([add(kinds.share * part[..., 0]) for part in parts], -1)


def derivatives(theta: ArrayLike, kinds: Kinds) -> tuple[Array, Array]:
    """Compute the gradient (..., d) and the Hessian (..., d, d) of the loss for theta (..., d), d 2 or 3.

    The Hessian is the gradient's complex-step derivative: without differences, so exact to rounding.
    """
    theta, step = np.asarray(theta, dtype=np.float64), 1e-30
    moved = [gradient(theta + 1j * step * axis, kinds) for axis in np.eye(theta.shape[-1])]
    return moved[0].real, np.stack([part.imag / step for part in moved], -1)


def signals(theta: ArrayLike, kinds: Kinds) -> Array:
    """Split the loss's derivative by theta_1 into contrast and gate, (..., 2), for theta (..., 2).

    contrast: moves attention among the examples at a fixed gate. gate: opens or closes the gate.
    """
    three = np.asarray(theta, dtype=np.float64)[..., [0, 1, 0]]
    return np.asarray(gradient(three, kinds)[..., [0, 2]])


def parabola(world: World, count: int, s: ArrayLike) -> tuple[Array, Array]:
    """Compute (pull, curve) of the loss curve A^2 - 2 pull A + constant, for `count` equal examples.

    They share the weight A equally, and f has 1 - A; s (...) is their similarity to the target.
    """
    s, error = np.asarray(s, dtype=np.float64), world.error + world.wrong
    curve = (1 + (count - 1) * s**2 + world.noise) / count + (1 - error) * (1 - 2 * s) + world.wrong
    return error * s + world.wrong, curve


def lowest(pull: ArrayLike, curve: ArrayLike) -> Array:
    """Find the A from 0 to 1 at which curve A^2 - 2 pull A is least; 0 where there is no pull."""
    pull, curve = np.asarray(pull, dtype=np.float64), np.asarray(curve)
    safe = np.where(curve > 0, curve, 1.0)
    return np.asarray(np.where(pull <= 0, 0.0, np.where(pull >= curve, 1.0, pull / safe)))


def best_weight(world: World, s: ArrayLike) -> Array:
    """Compute the best weight, 0 to 1, on a single near example of similarity s, with the rest on f."""
    return lowest(*parabola(world, 1, s))


def stationary_weights(world: World, s: float) -> tuple[float, float]:
    """Solve for the weights (near, random) of each example if every context has one near example.

    With error w and counterfactual share r, let e = (1 - r) w + r be the effective error and A the gate.
    Where both derivatives vanish, near - random = s (e + (1 - e) A) / (1 + noise): at least
    s r / (1 + noise), however small w is. Random examples have weight because they are better than a wrong
    answer of the weights; for r = 0 they have none.

    >>> [round(stationary_weights(World(error=0.0, counterfactual=r), 0.85)[0], 2) for r in (0, 0.25, 1)]
    [0.0, 0.58, 0.84]
    """
    wrong, many, own = world.wrong, world.k - 1, 1 + world.noise
    known, error = 1 - world.error - wrong, world.error + wrong
    half = known * (1 - s) + wrong  # of the curve across near and random
    curves = [[own + half - known * s, many * half], [half, own + many * (known + wrong)]]
    near, random = np.linalg.solve(curves, [error * s + wrong, wrong])
    return (float(near), float(random)) if random > 0 else (float(best_weight(world, s)), 0.0)


def best_gate(world: World, strategy: str) -> float:
    """Compute the best gate of contexts whose examples are alike: 0 to 1, in closed form.

    For random, similar and, with relative similarity, batch_mix.
    """
    near = {"random": 0.0, "similar": 1.0, "batch_mix": world.p}[strategy]
    pull, curve = parabola(world, world.k, world.grades)
    random = (1 + world.noise) / world.k + 1 - world.error
    return float(lowest(near * pull.mean(), near * curve.mean() + (1 - near) * random))


def copying_threshold(world: World, s: float) -> float:
    """Compute the error of the weights from which k examples of similarity s < 1 open the gate fully.

    >>> round(copying_threshold(World(k=6, noise=0.05), s=0.85), 3)
    0.514
    """
    return (1 - s) + (1 + s) / world.k + world.noise / (world.k * (1 - s))


def contrast_signal(s: ArrayLike, gate: ArrayLike, error: float) -> Array:
    """Compute the contrast part of the loss's derivative by theta_1 at flat attention: (...), at most 0.

    `s` is (..., k), similarities from 0 to 1 of a context's examples; `gate`, A, the weight on all together;
    `error`, w, the weights'. With mean m, variance v and third central moment u of s in the context it is
    -2 A v [w + (1 - w) A - A m (1 - 2 / k)] - 2 A^2 u / k: 0 where all are equally similar. With
    relative similarity it is the whole derivative. Label noise has no effect, except by paraphrases.

    >>> contrast_signal([[0.5, 0.5], [0.0, 1.0]], 1.0, 0.5).tolist()
    [-0.0, -0.5]
    """
    s, gate = np.asarray(s, dtype=np.float64), np.asarray(gate, dtype=np.float64)
    k, mean = s.shape[-1], s.mean(-1)
    apart = s - mean[..., None]
    variance, skew = (apart**2).mean(-1), (apart**3).mean(-1)
    pull = error + (1 - error) * gate - gate * mean * (1 - 2 / k)
    return np.asarray(-2 * gate * variance * pull - 2 * gate**2 * skew / k)
