"""The minimal model as a two-layer attention-only transformer, and samples of its data. Ours.

A context is k pairs and a target, as tokens x_1, y_1, ..., x_k, y_k, x. A token's residual stream is the
concatenation of: input (d), label (1), token type (input, label, target: 3), index of its pair (k + 1), and d
entries for the output of layer 1, initially 0.

Layer 1 binds: a label's token attends to the input of its own pair and copies it to the empty entries. With
`relative` similarity, the target attends to all inputs equally and copies their mean; with `absolute`
similarity, it attends to labels, which have no input, and copies 0. Layer 2 answers: the target attends to
labels and to itself. Its query-key matrix has theta_1 on the diagonal of the block (input x bound input) and
theta_2 in the entry (target, target). Its output-value matrix reads y from labels and f(x), the in-weights
prediction, from x.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ccutils.errors import InputError
from ccutils.theory.model import Kinds, World

MUCH = 1000.0  # a logit: exp(-MUCH) is 0 in float64, so attention is exactly 0 or 1
INPUT, LABEL, TARGET = 0, 1, 2


class Layout:
    """First indices in the residual stream, for inputs of dimension d and k examples; `length` in tokens."""

    def __init__(self, d: int, k: int) -> None:
        self.label, self.kind, self.pair, self.bound = d, d + 1, d + 4, d + 5 + k
        self.width, self.length = self.bound + d, 2 * k + 1


@dataclass(frozen=True, slots=True)
class Attention:
    """Matrices of n two-layer attention-only transformers, one head a layer, all (n, width, width) but `out`.

    query_key: logits are stream @ query_key @ stream'. value: what attention adds to the stream, attended
    stream @ value. `out` (n, width) is the product of the second layer's value and the readout, which reads
    one number: the prediction is attended stream @ out.
    """

    query_key_1: Tensor
    value_1: Tensor
    query_key_2: Tensor
    out: Tensor


def run_layers(attention: Attention, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Compute predictions (n, batch) for tokens (n, batch, length, width), and the target's attention.

    The attention is (n, batch, length). Layer 1 is causal; layer 2 is needed at the last token only.
    """
    n, batch, length, width = tokens.shape
    future = torch.full((length, length), -torch.inf, dtype=tokens.dtype).triu(1)
    query = (tokens.reshape(n, batch * length, width) @ attention.query_key_1).reshape(tokens.shape)
    seen = torch.softmax(query @ tokens.mT + future, dim=-1) @ tokens
    stream = tokens + (seen.reshape(n, batch * length, width) @ attention.value_1).reshape(tokens.shape)
    query = stream[:, :, -1] @ attention.query_key_2  # (n, batch, width)
    answer = torch.softmax((stream @ query[..., None])[..., 0], dim=-1)
    read = (stream @ attention.out[:, None, :, None])[..., 0]  # (n, batch, length)
    return (answer * read).sum(-1), answer


def construct(world: World, theta: ArrayLike, f: Tensor, scale: float = 1.0) -> Attention:
    """Construct the matrices of the minimal model of theta (2,); f (d,) is the weights' part of g.

    `scale` is that of the tokens' inputs (see make_tokens).
    """
    theta_1, theta_2 = (float(value) for value in np.asarray(theta))
    d = len(f)
    at = Layout(d, world.k)
    one, many = (torch.zeros(at.width, at.width, dtype=torch.float64) for _ in range(2))
    pairs, kind = range(at.pair, at.pair + world.k), at.kind
    one[pairs, pairs] = MUCH  # to the token of the same pair
    one[kind + LABEL, kind + INPUT] = MUCH  # which is the input
    one[kind + TARGET, kind + (INPUT if world.similarity == "relative" else LABEL)] = MUCH
    value = torch.zeros_like(one)
    value[range(d), range(at.bound, at.bound + d)] = 1.0
    many[range(d), range(at.bound, at.bound + d)] = theta_1 / scale**2
    many[kind + TARGET, kind + TARGET] = theta_2
    many[kind + TARGET, kind + INPUT] = -MUCH * (1 + abs(theta_1) + abs(theta_2))
    out = torch.zeros(at.width, dtype=torch.float64)
    out[at.label] = 1.0
    out[:d] = f.to(torch.float64) / scale
    return Attention(one[None], value[None], many[None], out[None])


@dataclass(frozen=True, slots=True)
class Draws:
    """Random numbers of n contexts; strategies can share them (common random numbers).

    frames (n, k + 1, d): orthonormal, in a uniformly random direction. kind (n,): uniform. rest (n, d) and
    noise (n, k + 1): standard normal. order (n, k): of the examples.
    """

    frames: Tensor
    kind: Tensor
    rest: Tensor
    noise: Tensor
    order: Tensor


def draw_points(
    n: int, k: int, d: int, *, generator: torch.Generator, dtype: torch.dtype = torch.float32
) -> Draws:
    """Draw the random numbers of n contexts. Raises InputError unless d is above k."""
    if d <= k:
        raise InputError(f"d is {d}: it must be above k = {k}, so that random examples are orthogonal.")
    q, r = torch.linalg.qr(torch.randn(n, d, k + 1, generator=generator, dtype=dtype))
    frames = (q * torch.sign(torch.diagonal(r, dim1=-2, dim2=-1))[:, None]).mT  # the sign makes it uniform
    return Draws(
        frames,
        torch.rand(n, generator=generator, dtype=dtype),
        torch.randn(n, d, generator=generator, dtype=dtype),
        torch.randn(n, k + 1, generator=generator, dtype=dtype),
        torch.rand(n, k, generator=generator).argsort(dim=1),
    )


@dataclass(frozen=True, slots=True)
class Episodes:
    """n contexts: x (n, k, d), y (n, k), near (n, k), and the target's x (n, d), y (n,) and s (n,).

    near: whether the example is near the target; s: how similar those are.
    """

    x: Tensor
    y: Tensor
    near: Tensor
    target_x: Tensor
    target_y: Tensor
    s: Tensor


def make_episodes(draws: Draws, kinds: Kinds, f: Tensor) -> Episodes:
    """Build contexts of the given kinds: labels are (f + rest) x + noise, `f` (d,) fixed, `rest` new.

    For a variance of 1 - error, f's squared length must be d (1 - error); see scale_f.
    """
    dtype = draws.frames.dtype
    if kinds.wrong.any():
        raise InputError("Sampled contexts cannot be counterfactual: set counterfactual to 0.")
    table = torch.tensor(np.stack([kinds.count, kinds.s, kinds.own])[..., 0], dtype=dtype)
    bounds = torch.tensor(np.cumsum(kinds.share / kinds.share.sum())[:-1], dtype=dtype)
    near_count, s, own = table[:, torch.bucketize(draws.kind, bounds, right=True)]
    error, noise = float(kinds.error[0]), float(kinds.noise[0])
    target, others = draws.frames[:, 0], draws.frames[:, 1:]
    k = others.shape[1]
    near = torch.arange(k) < near_count[:, None]
    similarity = s[:, None] * near
    x = similarity[..., None] * target[:, None] + torch.sqrt(1 - similarity**2)[..., None] * others
    g = f + error**0.5 * draws.rest
    target_y = (target * g).sum(-1) + noise**0.5 * draws.noise[:, 0]
    y = (x * g[:, None]).sum(-1) + noise**0.5 * draws.noise[:, 1:]
    y = torch.where(near & (own[:, None] > 0), target_y[:, None], y)
    x = x.gather(1, draws.order[..., None].expand_as(x))
    return Episodes(x, y.gather(1, draws.order), near.gather(1, draws.order), target, target_y, s)


def scale_f(f: Tensor, error: float) -> Tensor:
    """Scale `f` (d,) to give f(x) the variance 1 - error over uniformly random unit x."""
    return f.mul((len(f) * (1 - error)) ** 0.5 / float(f.norm()))


def make_tokens(batch: Episodes, scale: float = 1.0) -> Tensor:
    """Build the tokens (n, length, width) of contexts, with inputs times `scale`."""
    n, k, d = batch.x.shape
    at = Layout(d, k)
    tokens = torch.zeros(n, at.length, at.width, dtype=batch.x.dtype)
    tokens[:, 0:-1:2, :d] = batch.x * scale
    tokens[:, -1, :d] = batch.target_x * scale
    tokens[:, 1::2, at.label] = batch.y
    tokens[:, 0:-1:2, at.kind + INPUT] = 1
    tokens[:, 1::2, at.kind + LABEL] = 1
    tokens[:, -1, at.kind + TARGET] = 1
    places = torch.arange(at.length)
    tokens[:, places, at.pair + places // 2] = 1
    return tokens
