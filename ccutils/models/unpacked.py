"""What a small model on a CPU can afford: its 4-bit weights unpacked once, not at every use."""

from functools import partial
from typing import Any

import torch
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn.modules import Linear4bit
from transformers import PreTrainedModel

SMALL = 50_000_000
"""Parameters of a small model: up to here a copy in float32 costs at most 200 MB."""


def is_small(model: PreTrainedModel) -> bool:
    """Tell whether the model is to compute on a CPU, and copies of its weights are cheap."""
    return not torch.cuda.is_available() and model.num_parameters() <= SMALL


def unpack(model: PreTrainedModel) -> None:
    """Let the NF4 layers of a model on a CPU compute with weights that are unpacked now, once.

    The layers, what they store and what they answer stay the same, to the last bit: bitsandbytes unpacks all
    of a layer's weights for every use, forwards and backwards, which takes a quarter of the tiny model's
    training steps. Call it before an adapter is put on.
    """
    for module in model.modules():
        if isinstance(module, Linear4bit):
            weight: Any = module.weight
            whole = dequantize_4bit(weight.data, weight.quant_state)
            compute = partial(torch.nn.functional.linear, weight=whole, bias=module.bias)
            module.forward = compute  # type: ignore[method-assign]
