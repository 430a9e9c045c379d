"""Worlds of the minimal model and places of its two parameters, for hypothesis."""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from ccutils.theory.model import SIMILARITIES, World

thetas = st.tuples(st.floats(-6, 12), st.floats(-8, 10)).map(np.array)


@st.composite
def worlds(draw: Callable[..., Any]) -> World:
    p = draw(st.floats(0, 1))
    return World(
        k=draw(st.integers(1, 9)),
        p=p,
        epsilon=draw(st.floats(0, 1)) * (1 - p),
        noise=draw(st.floats(0, 2)),
        error=draw(st.floats(0, 1)),
        grades=tuple(draw(st.lists(st.floats(0.05, 1), min_size=1, max_size=3))),
        similarity=draw(st.sampled_from(SIMILARITIES)),
    )
