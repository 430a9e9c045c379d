"""Greedy answers to many prompts."""

from collections.abc import Iterator, Sequence

import torch
from transformers import PreTrainedTokenizerBase


def answer(
    model: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    batch_tokens: int = 4096,
) -> list[str]:
    """One answer a prompt, greedily, up to the first line break: task answers are one line.

    `batch_tokens` bounds the tokens of prompts and answers that are in memory at once.
    """
    answers = [""] * len(prompts)
    for i, text in answer_each(model, tokenizer, prompts, max_new_tokens, batch_tokens):
        answers[i] = text
    return answers


@torch.inference_mode()
def answer_each(
    model: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    batch_tokens: int = 4096,
) -> Iterator[tuple[int, str]]:
    """The same as pairs of a prompt's place and its answer, as batches are done.

    Prompts of like length go together, and a batch ends as soon as all its answers have.
    """
    stop = stop_tokens(tokenizer)
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    device = next(model.parameters()).device
    start = 0
    while start < len(order):
        end = start + 1
        while end < len(order) and (end + 1 - start) * len(prompts[order[end]]) <= batch_tokens:
            end += 1
        batch = order[start:end]
        width = len(prompts[batch[-1]])
        ids = torch.full(
            (len(batch), width), int(tokenizer.pad_token_id)
        )  # (batch, width), padded on the left
        mask = torch.zeros_like(ids)
        for row, i in enumerate(batch):
            ids[row, width - len(prompts[i]) :] = torch.tensor(prompts[i])
            mask[row, width - len(prompts[i]) :] = 1
        output = model.generate(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            eos_token_id=stop,
            pad_token_id=tokenizer.pad_token_id,
        )
        texts = tokenizer.batch_decode(output[:, width:], skip_special_tokens=True)
        yield from zip(batch, (first_line(text) for text in texts), strict=True)
        start = end


def first_line(text: str) -> str:
    """The answer in what a model wrote."""
    return text.lstrip().split("\n")[0].strip()


def stop_tokens(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The end of sequence, and every token with a line break in it."""
    ids = list(range(len(tokenizer)))
    breaks = [
        i for i, text in zip(ids, tokenizer.batch_decode([[i] for i in ids]), strict=True) if "\n" in text
    ]
    return [int(tokenizer.eos_token_id), *breaks]
