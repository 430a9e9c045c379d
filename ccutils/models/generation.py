"""Generate greedy answers to many prompts: shared prefixes are computed once, and finished answers leave.

transformers' `generate` keeps finished answers in the batch until the last one ends, hence our own loop.
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
GPU_SHARE = 0.2  # of the free memory, for a batch; the rest is for shared prefixes and copies
CHUNK = 8  # batches of prompts whose shared prefixes are stored at once
LEFT = 0.5  # a batch is reduced to its unfinished answers when at most this share is left


def answer(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    *,
    batch_tokens: int = 0,
) -> list[str]:
    """Answer each prompt greedily, up to the first line break: task answers are one line.

    A batch has at most `batch_tokens` tokens of prompts with answers; 0: chosen by the free memory. It is
    halved if the GPU's memory runs out. Raises InputError if a single prompt does not fit.
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
    """Yield pairs of a prompt's position and its answer as they are finished; `least` is that of `grow`."""
    batch_tokens = batch_tokens or room(model)
    ends = end_tokens(model)
    stop = [*stop_tokens(tokenizer), *ends]
    # Sorted, so that prompts with a common prefix are adjacent.
    left = sorted(range(len(prompts)), key=lambda i: list(prompts[i]))
    while left:
        chunk = left[: count_fitting([len(prompts[i]) + max_new_tokens for i in left], CHUNK * batch_tokens)]
        done = set[int]()
        try:
            tree = grow([prompts[i] for i in chunk], least)
            for places, new in answer_tree(
                model, tree, max_new_tokens=max_new_tokens, stop=stop, batch_tokens=batch_tokens
            ):
                new = new[:-1] if new[-1:] and new[-1] in ends else new  # not all of them are special tokens
                text = first_line(str(tokenizer.decode(new, skip_special_tokens=True)))
                found = [chunk[place] for place in places]
                done.update(found)
                yield from ((i, text) for i in found)
        except torch.OutOfMemoryError as error:
            longest = max(len(prompts[i]) for i in chunk)
            if batch_tokens < longest:
                raise InputError(
                    f"The GPU's memory does not hold a single prompt of {longest} tokens: lower k or window, "
                    "or use a smaller model."
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
    """Yield the positions of equal prompts and their new tokens, for a tree from `grow`.

    Shared segments are computed first, by depth.
    """
    for nodes in depths:
        for batch in batches([node for node in nodes if not node.prompts], 0, batch_tokens):
            keep_spans(batch, read(model, batch)[1])
    leaves = [node for nodes in depths for node in nodes if node.prompts]
    for batch in batches(leaves, max_new_tokens, batch_tokens):
        for node, new in zip(batch, write(model, batch, max_new_tokens, stop), strict=True):
            yield node.prompts, new


def batches(nodes: Sequence[PrefixNode], more: int, batch_tokens: int) -> Iterator[list[PrefixNode]]:
    """Yield nodes of similar length in batches of at most `batch_tokens`, with `more` added per node."""
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
    """Run the model over the nodes' tokens, after the cached ones of their parents.

    Returns the logits after the last token (n, vocabulary), the cache, and a mask of its columns that are
    tokens (n, columns). Both parts of a row are padded on the left.
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
    """Build a cache of `past` columns with the spans of each node's parents, right-aligned."""
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
    """Store in each node its own part of the cache that `read` filled."""
    width = max(len(node.tokens) for node in nodes)
    layers: list[Any] = cache.layers
    parts = [torch.stack([layer.keys[:, :, -width:], layer.values[:, :, -width:]]) for layer in layers]
    new = torch.stack(parts)  # (layers, 2, n, heads, width, size)
    for row, node in enumerate(nodes):
        node.span = new[:, :, row, :, width - len(node.tokens) :]


def write(
    model: Any, nodes: Sequence[PrefixNode], max_new_tokens: int, stop: Sequence[int]
) -> list[list[int]]:
    """Generate the likeliest tokens after each leaf, up to one of `stop` (included) or `max_new_tokens`."""
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
    """Count the first sizes whose sum is at most `most`; at least one."""
    n, total = 1, sizes[0]
    while n < len(sizes) and total + sizes[n] <= most:
        total += sizes[n]
        n += 1
    return n


def room(model: Any) -> int:
    """Choose the tokens of a batch: on a GPU by its free memory and the model's shape."""
    device = next(model.parameters()).device
    if device.type != "cuda":
        return CPU_TOKENS
    return max(1, int(GPU_SHARE * free_bytes(device) / token_bytes(model.config)))


def token_bytes(config: PretrainedConfig) -> int:
    """Count bytes per token in half precision: keys and values, and one layer's activations."""
    c = config.get_text_config()
    heads = getattr(c, "num_key_value_heads", None) or c.num_attention_heads
    size = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    inner = getattr(c, "intermediate_size", None) or 4 * c.hidden_size
    held = 2 * c.num_hidden_layers * heads * size
    passing = 8 * c.hidden_size + 3 * (max(inner) if isinstance(inner, list) else inner)
    return int(2 * (held + passing))


def end_tokens(model: Any) -> list[int]:
    """List the end tokens in the model's generation config: none, one or several."""
    ends = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    return [ends] if isinstance(ends, int) else list(ends or [])


@lru_cache(maxsize=4)
def stop_tokens(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """List the end of sequence, the end of a chat turn, and every token with a line break."""
    ids = list(range(len(tokenizer)))
    breaks = [
        i for i, text in zip(ids, tokenizer.batch_decode([[i] for i in ids]), strict=True) if "\n" in text
    ]
    ends = [end_of_turn(tokenizer)] if tokenizer.chat_template else []
    return [int(tokenizer.eos_token_id), *ends, *breaks]
