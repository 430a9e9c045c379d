"""Coverage of the 95% interval over seeds, simulated: `python benchmarks/coverage.py`.

A seed's score is a share of TARGETS right answers; its probability is CENTRE plus normal noise between seeds.
Printed is the share of simulations whose interval (ccutils.report.intervals.interval_over_seeds) contains
CENTRE.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from contexts import machine

from ccutils.report.intervals import interval_over_seeds

TARGETS = 100
CENTRE = 0.5
SIMULATIONS = 2000
SPREADS = (0.0, 0.05, 0.1, 0.2)
SEEDS = (3, 6, 8)


def coverage(spread: float, seeds: int) -> float:
    """Simulate the share of intervals that contain the mean, for a standard deviation between seeds."""
    rng, hits = np.random.default_rng(0), 0
    for _ in range(SIMULATIONS):
        chance = np.clip(CENTRE + spread * rng.standard_normal(seeds), 0, 1)
        share = rng.binomial(TARGETS, chance) / TARGETS
        low, high = interval_over_seeds(share, np.sqrt(share * (1 - share) / TARGETS))
        hits += low <= CENTRE <= high
    return hits / SIMULATIONS


def coverage_table() -> pd.DataFrame:
    """Lay out coverage: a line for each spread, a column for each number of seeds."""
    lines = [{"sd between seeds": sd} | {f"{n} seeds": coverage(sd, n) for n in SEEDS} for sd in SPREADS]
    return pd.DataFrame(lines)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    print(machine())
    print(coverage_table().to_string(index=False, float_format="{:.2f}".format))
