"""Attention of packed groups: each branch sees the shared prefix and itself, causally.

Two ways: FlexAttention with a block mask, or sdpa part by part, which any device has. sdpa with a dense mask
would give the same, and compute what a branch must not see: three times the work at k = 8 and 8 targets.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

PADDING, PREFIX = -1, 0  # segments; the branches are 1 to M
IN_PARTS = "sdpa_in_parts"
"""The name of `forward` among transformers' kernels."""

PackedParts = list[list[tuple[int, int]]]
"""For each row of a batch its runs of one segment: (segment, tokens)."""


def block_mask(segments: Tensor) -> BlockMask:
    """Return which tokens see which, for FlexAttention, from segments of shape (batch, n). Padding sees
    padding.
    """

    def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        of_query, of_key = segments[batch, query], segments[batch, key]
        return (query >= key) & ((of_query == of_key) | ((of_key == PREFIX) & (of_query > PREFIX)))

    batch, n = segments.shape
    # Compiled it need not hold all n by n; lengths share what is compiled, so that this happens a few times.
    make = torch.compile(create_block_mask) if segments.device.type == "cuda" else create_block_mask
    made: BlockMask = make(sees, batch, None, n, n, device=segments.device)
    return made


def parts_of(segments: Tensor) -> PackedParts:
    """Return the runs of each row of segments (batch, n)."""
    found = [torch.unique_consecutive(row, return_counts=True) for row in segments.cpu()]
    return [list(zip(values.tolist(), counts.tolist(), strict=True)) for values, counts in found]


def forward(
    module: Any,
    query: Tensor,  # (batch, heads, n, size)
    key: Tensor,  # (batch, key heads, n, size)
    value: Tensor,
    attention_mask: Tensor | None,
    parts: PackedParts | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Return transformers' sdpa, and where a batch comes with `parts`, sdpa of one part after the other."""
    if parts is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    rows = []
    for i, runs in enumerate(parts):
        row = slice(i, i + 1)
        rows.append(_attend_row(query[row], key[row], value[row], runs, module.num_key_value_groups, kwargs))
    return torch.cat(rows).transpose(1, 2).contiguous(), None  # (batch, n, heads, size)


def _attend_row(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    runs: list[tuple[int, int]],
    groups: int,
    kwargs: dict[str, Any],
) -> Tensor:
    """Return one row's attention, (1, heads, n, size)."""
    prefix = runs[0][1] if runs[0][0] == PREFIX else 0
    done, start = [], 0
    for segment, length in runs:
        own = slice(start, start + length)
        shared = prefix if segment > PREFIX else 0  # keys that it sees beside its own
        keys, values = (
            repeat_kv(torch.cat([x[:, :, :shared], x[:, :, own]], dim=2), groups) for x in (key, value)
        )
        ones = torch.ones(length, shared + length, dtype=torch.bool, device=query.device)
        done.append(
            scaled_dot_product_attention(
                query[:, :, own],
                keys,
                values,
                attn_mask=ones.tril(shared) if shared else None,
                is_causal=not shared,
                dropout_p=kwargs.get("dropout", 0.0),
                scale=kwargs.get("scaling"),
            )
        )
        start += length
    return torch.cat(done, dim=2)


AttentionInterface.register(IN_PARTS, forward)
AttentionMaskInterface.register(IN_PARTS, sdpa_mask)
