"""Greedy answers to many prompts: what they share is computed once, and an answer stops at its end.

The loop over new tokens is our own, since in it answers that have ended leave their batch; transformers'
generate carries them along until the last one ends.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PretrainedConfig, PreTrainedTokenizerBase

from ccutils.contexts.prompts import end_of_turn, first_line
from ccutils.errors import InputError
from ccutils.models.base import free_bytes
from ccutils.models.prefixes import LEAST, PrefixNode, grow

CPU_TOKENS = 8192  # in a batch; with more the tiny model is no faster
GPU_SHARE = 0.2  # of the free memory, for a batch; the rest is for what is shared, and for copies
CHUNK = 8  # batches' worth of prompts whose shared parts are held at once
LEFT = 0.5  # a batch is cut down to its unfinished answers when no more than this share of it is left


def answer(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    *,
    batch_tokens: int = 0,
) -> list[str]:
    """Answer each prompt greedily, up to the first line break: task answers are one line.

    `batch_tokens` is the most tokens, of prompts with their answers, in a batch; 0: what the device has room
    for. If the GPU's memory runs out, it is halved. Raises InputError where even a single prompt does not
    fit.
    """
    answers = [""] * len(prompts)
    for i, text in answer_each(
        model, tokenizer, prompts, max_new_tokens=max_new_tokens, batch_tokens=batch_tokens
    ):
        answers[i] = text
    return answers


def answer_each(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    batch_tokens: int = 0,
    least: int = LEAST,
) -> Iterator[tuple[int, str]]:
    """Yield pairs of a prompt's place and its answer, as they are found; `least` is that of `grow`."""
    batch_tokens = batch_tokens or room(model)
    stop = [*stop_tokens(tokenizer), *end_tokens(model)]
    left = sorted(range(len(prompts)), key=lambda i: list(prompts[i]))  # what begins alike lies together
    while left:
        chunk = left[: count_fitting([len(prompts[i]) + max_new_tokens for i in left], CHUNK * batch_tokens)]
        done = set[int]()
        try:
            tree = grow([prompts[i] for i in chunk], least)
            for places, new in answer_tree(
                model, tree, max_new_tokens=max_new_tokens, stop=stop, batch_tokens=batch_tokens
            ):
                text = first_line(str(tokenizer.decode(new, skip_special_tokens=True)))
                found = [chunk[place] for place in places]
                done.update(found)
                yield from ((i, text) for i in found)
        except torch.OutOfMemoryError as error:
            longest = max(len(prompts[i]) for i in chunk)
            if batch_tokens < longest:
                raise InputError(
                    f"the GPU's memory does not hold a single prompt of {longest} tokens: lower k or window, "
                    "or take a smaller model."
                ) from error
            torch.cuda.empty_cache()
            batch_tokens //= 2
        left = [i for i in left if i not in done]


@torch.inference_mode()
def answer_tree(
    model: Any,
    depths: Sequence[Sequence[PrefixNode]],
    *,
    max_new_tokens: int,
    stop: Sequence[int],
    batch_tokens: int,
) -> Iterator[tuple[Sequence[int], list[int]]]:
    """Yield the places of equal prompts and their new tokens, of a tree from `grow`: shared stretches first,
    by depth.
    """
    for nodes in depths:
        for batch in batches([node for node in nodes if not node.prompts], 0, batch_tokens):
            keep_spans(batch, read(model, batch)[1])
    leaves = [node for nodes in depths for node in nodes if node.prompts]
    for batch in batches(leaves, max_new_tokens, batch_tokens):
        for node, new in zip(batch, write(model, batch, max_new_tokens, stop), strict=True):
            yield node.prompts, new


def batches(nodes: Sequence[PrefixNode], more: int, batch_tokens: int) -> Iterator[list[PrefixNode]]:
    """Yield nodes of like length together, in batches of at most `batch_tokens` with `more` for each node."""
    batch, longest = list[PrefixNode](), 0
    for node in sorted(nodes, key=lambda node: (len(node.tokens), node.start)):
        longest = max(longest, node.end)
        if batch and (len(batch) + 1) * (longest + more) > batch_tokens:
            yield batch
            batch, longest = [], node.end
        batch.append(node)
    if batch:
        yield batch


def read(model: Any, nodes: Sequence[PrefixNode]) -> tuple[Tensor, DynamicCache, Tensor]:
    """Run the model over the nodes' tokens, behind what is kept of their parents.

    Returns the logits after the last token (n, vocabulary), the cache, and which of its columns hold tokens
    (n, columns). Both parts of a row are padded on the left.
    """
    past, width = max(node.start for node in nodes), max(len(node.tokens) for node in nodes)
    ids = torch.zeros(len(nodes), width, dtype=torch.long)
    positions = torch.zeros_like(ids)
    mask = torch.zeros(len(nodes), past + width, dtype=torch.long)
    for row, node in enumerate(nodes):
        pad = width - len(node.tokens)
        ids[row, pad:] = torch.tensor(node.tokens)
        positions[row, pad:] = torch.arange(node.start, node.end)
        mask[row, past - node.start : past] = 1
        mask[row, past + pad :] = 1
    device = next(model.parameters()).device
    cache, mask = remembered(nodes, past), mask.to(device)
    output = model(
        input_ids=ids.to(device),
        attention_mask=mask,
        position_ids=positions.to(device),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    return output.logits[:, -1], cache, mask


def remembered(nodes: Sequence[PrefixNode], past: int) -> DynamicCache:
    """Return a cache of `past` columns with the spans of each node's parents, on the right."""
    cache = DynamicCache()
    if past:
        kept = next(node.parent.kept() for node in nodes if node.parent)
        layers, two, heads, _, size = kept.shape
        columns = kept.new_zeros(layers, two, len(nodes), heads, past, size)
        for row, node in enumerate(nodes):
            for parent in node.before():
                at = past - node.start + parent.start
                columns[:, :, row, :, at : at + len(parent.tokens)] = parent.kept()
        for layer, (keys, values) in enumerate(columns):
            cache.update(keys, values, layer)
    return cache


def keep_spans(nodes: Sequence[PrefixNode], cache: DynamicCache) -> None:
    """Give each node its own part of the cache that `read` has filled."""
    width = max(len(node.tokens) for node in nodes)
    layers: list[Any] = cache.layers
    parts = [torch.stack([layer.keys[:, :, -width:], layer.values[:, :, -width:]]) for layer in layers]
    new = torch.stack(parts)  # (layers, 2, n, heads, width, size)
    for row, node in enumerate(nodes):
        node.span = new[:, :, row, :, width - len(node.tokens) :]


def write(
    model: Any, nodes: Sequence[PrefixNode], max_new_tokens: int, stop: Sequence[int]
) -> list[list[int]]:
    """Write the likeliest tokens behind each leaf, up to one of `stop` (included) or `max_new_tokens`."""
    logits, cache, mask = read(model, nodes)
    ends = torch.tensor(stop, device=mask.device)
    rows = torch.arange(len(nodes), device=mask.device)  # the node of each row of the batch
    places = torch.tensor([node.end for node in nodes], device=mask.device)  # of the next token
    alive = torch.ones_like(rows, dtype=torch.bool)
    new: list[list[int]] = [[] for _ in nodes]
    for step in range(max_new_tokens):
        tokens = logits.argmax(dim=-1)
        for row, token in zip(rows[alive].tolist(), tokens[alive].tolist(), strict=True):
            new[row].append(token)
        alive &= ~torch.isin(tokens, ends)
        n_alive = int(alive.sum())
        if n_alive == 0 or step == max_new_tokens - 1:
            break
        if n_alive <= LEFT * len(alive):
            cache.batch_select_indices(alive.nonzero()[:, 0])
            rows, places, tokens, mask = rows[alive], places[alive], tokens[alive], mask[alive]
            alive = alive[alive]
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        output = model(
            input_ids=tokens[:, None],
            attention_mask=mask,
            position_ids=places[:, None],
            past_key_values=cache,
            use_cache=True,
        )
        logits, places = output.logits[:, -1], places + 1
    return new


def count_fitting(sizes: Sequence[int], most: int) -> int:
    """Return how many of the first sizes come to at most `most` together; at least one."""
    n, total = 1, sizes[0]
    while n < len(sizes) and total + sizes[n] <= most:
        total += sizes[n]
        n += 1
    return n


def room(model: Any) -> int:
    """Return how many tokens a batch may hold: on a GPU by its free memory and the model's shape."""
    device = next(model.parameters()).device
    if device.type != "cuda":
        return CPU_TOKENS
    return max(1, int(GPU_SHARE * free_bytes(device) / token_bytes(model.config)))


def token_bytes(config: PretrainedConfig) -> int:
    """Return bytes in half precision that a token takes: keys and values, and what passes through a layer."""
    c = config.get_text_config()
    heads = getattr(c, "num_key_value_heads", None) or c.num_attention_heads
    size = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    inner = getattr(c, "intermediate_size", None) or 4 * c.hidden_size
    held = 2 * c.num_hidden_layers * heads * size
    passing = 8 * c.hidden_size + 3 * (max(inner) if isinstance(inner, list) else inner)
    return int(2 * (held + passing))


def end_tokens(model: Any) -> list[int]:
    """Return the tokens that end an answer by the model's own generation config: none, one or several."""
    ends = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    return [ends] if isinstance(ends, int) else list(ends or [])


@lru_cache(maxsize=4)
def stop_tokens(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the end of sequence, that of a turn in a chat template, and every token with a line break."""
    ids = list(range(len(tokenizer)))
    breaks = [
        i for i, text in zip(ids, tokenizer.batch_decode([[i] for i in ids]), strict=True) if "\n" in text
    ]
    ends = [end_of_turn(tokenizer)] if tokenizer.chat_template else []
    return [int(tokenizer.eos_token_id), *ends, *breaks]
