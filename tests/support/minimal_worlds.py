"""Worlds of the minimal model and values of its parameters, for hypothesis; the definition of its loss."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st

from ccutils.theory.model import SIMILARITIES, Kinds, World

thetas = st.tuples(st.floats(-6, 12), st.floats(-8, 10)).map(np.array)


@st.composite
def worlds(draw: Callable[..., Any], k: int | None = None, counterfactual: float | None = None) -> World:
    p = draw(st.floats(0, 1))
    return World(
        k=draw(st.integers(1, 9)) if k is None else k,
        p=p,
        epsilon=draw(st.floats(0, 1)) * (1 - p),
        noise=draw(st.floats(0, 2)),
        error=draw(st.floats(0, 1)),
        grades=tuple(draw(st.lists(st.floats(0.05, 1), min_size=1, max_size=3))),
        similarity=draw(st.sampled_from(SIMILARITIES)),
        counterfactual=draw(st.floats(0, 1)) if counterfactual is None else counterfactual,
    )


def defined_loss(theta: torch.Tensor, world: World, kinds: Kinds) -> torch.Tensor:
    """The definition, one example at a time: covariances of labels, softmaxes over examples and slot."""
    total = torch.zeros((), dtype=torch.float64)
    for share, counts, s, own in zip(kinds.share, kinds.count.astype(int), kinds.s, kinds.own, strict=True):
        to_target = torch.tensor([*np.repeat(s, counts), 1.0])  # the last place is the target's own
        own_label = torch.tensor(np.repeat(own, counts))
        covariance = torch.outer(to_target, to_target).fill_diagonal_(1.0)
        mean = to_target[:-1].mean() if world.similarity == "relative" else 0.0
        slope = theta[2] if len(theta) == 3 else theta[0]
        logits = torch.cat([slope * to_target[:-1], (theta[1] + slope * mean)[None]])
        slot = torch.softmax(logits, 0)[-1]
        inside = torch.softmax(theta[0] * to_target[:-1], 0) * torch.softmax(logits, 0)[:-1].sum()
        known, unknown = torch.cat([inside, (slot - 1)[None]]), torch.cat([inside, -torch.ones(1)])
        unlearnt = unknown @ covariance @ unknown
        plain = (1 - world.error) * known @ covariance @ known + world.error * unlearnt
        changed = unlearnt + slot**2 * (1 - world.error)  # f(x) says nothing about a changed label
        part = world.counterfactual if counts[:-1].any() else 0.0
        noise = ((inside * (1 - own_label)) ** 2).sum() + ((own_label * inside).sum() - 1) ** 2
        total = total + share * ((1 - part) * plain + part * changed + world.noise * noise)
    return total
