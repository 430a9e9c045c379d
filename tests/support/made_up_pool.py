"""Pools with duplicates, for the tests of samplers."""

import numpy as np

from ccutils.contexts import Neighbours


def made_up_pool(groups: list[int]) -> tuple[list[str], Neighbours]:
    """Inputs with duplicates where groups are equal; as neighbours all others, in the order of their rows."""
    inputs = [f"Input  {g}" if row % 2 else f"input {g}" for row, g in enumerate(groups)]
    admissible = [[r for r, other in enumerate(groups) if other != g] for g in groups]
    width = min(map(len, admissible))
    rows = np.array([row[:width] for row in admissible], dtype=np.int32).reshape(len(groups), width)
    return inputs, Neighbours(rows, np.zeros(rows.shape, dtype=np.float32))
