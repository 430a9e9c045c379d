"""Unpack the 4-bit weights of a small model on a CPU once, instead of at every use."""

from functools import partial
from typing import Any

import torch
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn.modules import Linear4bit
from transformers import PreTrainedModel

SMALL = 50_000_000
"""Most parameters of a small model: a copy in float32 takes at most 200 MB."""


def is_small(model: PreTrainedModel) -> bool:
    """Check whether the model runs on a CPU and copies of its weights are cheap."""
    return not torch.cuda.is_available() and model.num_parameters() <= SMALL


def unpack(model: PreTrainedModel) -> None:
    """Make the NF4 layers of a model on a CPU compute with weights that are unpacked once, now.

    Stored weights and outputs stay bitwise the same. bitsandbytes unpacks all weights of a layer at every
    use, forward and backward, which takes a quarter of the tiny model's training time. Call it before adding
    an adapter.
    """
    for module in model.modules():
        if isinstance(module, Linear4bit):
            weight: Any = module.weight
            whole = dequantize_4bit(weight.data, weight.quant_state)
            compute = partial(torch.nn.functional.linear, weight=whole, bias=module.bias)
            module.forward = compute  # type: ignore[method-assign]
