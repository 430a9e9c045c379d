"""Shared contexts: prompts that begin alike are one sequence, and what they share is computed once.

M prompts with the same demonstrations in front become [shared | rest 1 | ... | rest M]. Each rest sees the
shared part and itself, at the positions it would have alone: loss and gradients are those of the M prompts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from ccutils.contexts.prompts import IGNORE
from ccutils.errors import InputError
from ccutils.models.packed_attention import IN_PARTS, PADDING, PREFIX, block_mask, parts_of

ATTENTION = ("sdpa", "flex_attention")  # what a model may come with
FLEX_BLOCK = 128  # tokens; lengths that are multiples of it share what FlexAttention compiles

Feature = Mapping[str, Sequence[int]]
"""A prompt with its answer: `input_ids`, and `labels` of the same length, IGNORE before the answer."""


@dataclass(frozen=True, slots=True)
class Branch:
    """What a prompt has behind the shared part: token ids and labels, both of its length."""

    ids: list[int]
    labels: list[int]


@dataclass(frozen=True, slots=True)
class PromptGroup:
    """Prompts that share their first tokens."""

    prefix: list[int]
    branches: list[Branch]


@dataclass(frozen=True, slots=True)
class Packed:
    """A group as one sequence; the four lists have its length."""

    ids: list[int]
    positions: list[int]  # of the token in its prompt
    segments: list[int]  # PREFIX, or the branch, from 1
    labels: list[int]


def group_prompts(features: Sequence[Feature]) -> PromptGroup:
    """Return prompts, and the longest beginning that they share; a label and the token before it are never in
    it.

    Raises InputError for a prompt that has no label, or one for its first token.
    """
    ids = [list(f["input_ids"]) for f in features]
    labels = [list(f["labels"]) for f in features]
    shared = min(_first_label(line, i) for i, line in enumerate(labels)) - 1
    for line in ids[1:]:
        shared = next((i for i in range(shared) if line[i] != ids[0][i]), shared)
    return PromptGroup(
        ids[0][:shared],
        [Branch(i[shared:], j[shared:]) for i, j in zip(ids, labels, strict=True)],
    )


def _first_label(labels: Sequence[int], prompt: int) -> int:
    first = next((i for i, label in enumerate(labels) if label != IGNORE), 0)
    if first == 0:
        raise InputError(
            f"prompt {prompt} of a group has no label behind its first token: give it a question, an answer."
        )
    return first


def pack(group: PromptGroup) -> Packed:
    """Return a group as one sequence: the shared part, then the branches."""
    start = len(group.prefix)
    packed = Packed(list(group.prefix), list(range(start)), [PREFIX] * start, [IGNORE] * start)
    for segment, branch in enumerate(group.branches, start=1):
        packed.ids.extend(branch.ids)
        packed.positions.extend(range(start, start + len(branch.ids)))
        packed.segments.extend([segment] * len(branch.ids))
        packed.labels.extend(branch.labels)
    return packed


@dataclass(frozen=True, slots=True)
class SharedCollator:
    """Makes a batch of prompts in the order of the run, `group_size` consecutive ones to a group.

    Returns input_ids, labels, position_ids, attention_mask (1 but for padding) and segments, all of shape
    (groups, longest), for a model that `share` was called on. `multiple` rounds the length up (128 suits
    FlexAttention, which else compiles anew for many lengths).
    """

    pad_token_id: int
    group_size: int
    multiple: int = 1

    def __call__(self, features: Sequence[Feature]) -> dict[str, Tensor]:
        starts = range(0, len(features), self.group_size)
        rows = [pack(group_prompts(features[start : start + self.group_size])) for start in starts]
        length = max(len(row.ids) for row in rows)
        length = -(-length // self.multiple) * self.multiple

        def padded(lines: list[list[int]], value: int) -> Tensor:  # (groups, longest)
            return torch.tensor([line + [value] * (length - len(line)) for line in lines])

        segments = padded([row.segments for row in rows], PADDING)
        return {
            "input_ids": padded([row.ids for row in rows], self.pad_token_id),
            "labels": padded([row.labels for row in rows], IGNORE),
            "position_ids": padded([row.positions for row in rows], 0),
            "attention_mask": (segments != PADDING).long(),
            "segments": segments,
        }


def share(model: PreTrainedModel | PeftModel) -> RemovableHandle:
    """Let a model read `segments` beside its other inputs; it works as before without them.

    What attention needs is made where the model is, not in the collator: a BlockMask cannot be moved, and
    trainers count tokens by the plain attention mask. Remove the handle to undo it. Raises InputError for a
    model whose attention cannot tell branches apart.
    """
    causal: Any = model.get_base_model() if isinstance(model, PeftModel) else model
    config = causal.config.get_text_config()
    attention = config._attn_implementation
    if attention not in (*ATTENTION, IN_PARTS):
        raise InputError(
            f"shared contexts need a mask that attention {attention!r} cannot take: load the "
            f"model with attn_implementation {' or '.join(map(repr, ATTENTION))}."
        )
    layers = set(getattr(config, "layer_types", None) or ["full_attention"])
    if layers != {"full_attention"} or getattr(config, "sliding_window", None) is not None:
        raise InputError(
            f"shared contexts need full attention in every layer, and {config.model_type} has other kinds: "
            "train it with independent contexts."
        )
    if attention != "flex_attention":
        causal.set_attn_implementation(IN_PARTS)

    def read(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        segments = kwargs.pop("segments", None)
        if segments is not None and attention == "flex_attention":
            kwargs["attention_mask"] = block_mask(segments)
        elif segments is not None:
            # a mask of four dimensions is handed on as it is: here no n by n mask is to be made
            kwargs |= {"parts": parts_of(segments), "attention_mask": segments[:, None, None]}
        return args, kwargs

    handle: RemovableHandle = causal.base_model.register_forward_pre_hook(read, with_kwargs=True)
    return handle
