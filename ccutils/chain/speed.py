"""How fast this machine is: seconds of a fixed piece of training, `python -m ccutils.chain.speed THREADS`.

A process of its own, so that the command line needs no torch. What it times is of the size that the tiny base
is trained with, where calls cost as much as arithmetic.
"""

import sys
import time
from statistics import median

ROUNDS, STEPS = 5, 10


def time_training(threads: int) -> float:
    """Return the median seconds of a round of STEPS steps of a small network on `threads` threads."""
    import torch

    torch.set_num_threads(threads)
    layers = torch.nn.Sequential(
        torch.nn.Linear(64, 256), torch.nn.GELU(), torch.nn.Linear(256, 64), torch.nn.Linear(64, 500)
    )
    optimiser = torch.optim.AdamW(layers.parameters(), fused=True)
    batch = torch.randn(2000, 64)
    seconds = []
    for _ in range(1 + ROUNDS):  # the first is not counted
        start = time.perf_counter()
        for _ in range(STEPS):
            layers(batch).logsumexp(-1).mean().backward()
            optimiser.step()
            optimiser.zero_grad()
        seconds.append(time.perf_counter() - start)
    return median(seconds[1:])


if __name__ == "__main__":
    print(time_training(int(sys.argv[1])))
