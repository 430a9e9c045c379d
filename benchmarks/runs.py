"""What many runs would take on GPUs, by arithmetic: hours, and bytes kept. No GPU has measured it.

python benchmarks/runs.py
python benchmarks/runs.py --examples 100000000 --epochs 1 --runs 1

A LoRA step with checkpointing computes 6 operations a weight and token: 2 forward, 2 forward again, 2
backward (none for the frozen weights). Embeddings are left out, since a look-up computes nothing, and so
are attention's own products. A card sustains `--share` of `--tflops`, its dense bfloat16 rate (an H100's:
989, an RTX 4090's: 165). Kept of a run are the adapter of each checkpoint and the last one's optimiser
state; the adapter's weights are counted by `ccutils.training.memory`.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd
from transformers import LlamaConfig

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.gpu.made import LLAMAS, Shape
from ccutils.models.lora import Lora
from ccutils.training.memory import GB, OPTIMISER, adapter_parameters, shape_of

OPERATIONS = 6  # a weight and token
FLOAT = 4  # bytes of a weight of the adapter


def adapter_weights(shape: Shape, rank: int) -> int:
    """Count the weights of LoRA on all linear layers of a Llama.

    >>> adapter_weights(LLAMAS["1B"], 16)  # 7 matrices in each of 16 layers
    11272192
    """
    return adapter_parameters(shape_of(LlamaConfig(**asdict(shape))), Lora(rank=rank))


def hours(shape: Shape, tokens: float, rate: float) -> float:
    """Return the hours that training on some tokens takes at a rate in operations a second.

    >>> round(hours(LLAMAS["8B"], 1e9, 4e14), 1)
    29.1
    """
    return OPERATIONS * shape.body * tokens / rate / 3600


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table, its rows the models of 1B to 8B."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--examples", type=int, default=1000, help="in the pool")
    parser.add_argument("--epochs", type=float, default=8.0)
    parser.add_argument("--tokens", type=int, default=2048, help="of a prompt")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--checkpoints", type=int, default=5, help="of a run, as profile paper has them")
    parser.add_argument("--tflops", type=float, default=989.0, help="of a card, dense, in bfloat16")
    parser.add_argument("--share", type=float, default=0.3, help="of it that training sustains: assumed")
    given = parser.parse_args(arguments)
    tokens, rate = given.examples * given.epochs * given.tokens, given.tflops * 1e12 * given.share
    print(
        f"{given.examples:,} examples x {given.epochs:g} epochs x {given.tokens:,} tokens; "
        f"{given.runs:,} runs; {given.tflops:g} TFLOPS x {given.share:g}\n"
    )
    rows = []
    for name in ("1B", "3B", "8B"):
        weights, each = adapter_weights(LLAMAS[name], given.rank), hours(LLAMAS[name], tokens, rate)
        state = OPTIMISER["paged_adamw_8bit"] * weights
        rows.append(
            {
                "model": name,
                "GPU hours a run": each,
                "GPU hours": each * given.runs,
                "adapter GB": FLOAT * weights / GB,
                "GB kept": (given.checkpoints * FLOAT * weights + state) * given.runs / GB,
            }
        )
    print(pd.DataFrame(rows).to_markdown(index=False, floatfmt=".3g"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
