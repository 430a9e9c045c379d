"""Answering with the most similar examples at hand: adapting without training, what the paper is for."""

from collections.abc import Sequence

import torch

from ccutils.generation import answer
from ccutils.neighbours import Index
from ccutils.prompts import Prompter
from ccutils.tasks.base import Example


def answer_with_neighbours(
    model: torch.nn.Module,
    prompter: Prompter,
    pool: Sequence[Example],
    question: Example,
    k: int,
    max_new_tokens: int,
    similarity: str = "bm25",
) -> str:
    """The model's answer to one question, with its k nearest pool examples in the prompt, the nearest last.

    Examples added to `pool` count from the next call on. (The pool is searched anew each time: for many
    questions keep an Index.) The question's `output` is not looked at. Raises InputError for an empty pool.
    """
    texts = [e.input for e in pool]
    found = Index(texts, similarity).search([question.input], min(k, len(pool) or 1))
    near = [pool[row] for row in found.rows[0, ::-1].tolist()]
    scores = found.scores[0, ::-1].tolist()
    prompt = prompter.prompt(near, question, max_new_tokens, scores)
    return answer(model, prompter.tokenizer, [prompt.ids], max_new_tokens)[0]
