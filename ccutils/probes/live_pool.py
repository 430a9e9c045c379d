"""Answering with the most similar examples at hand: adapting without training, what the paper is for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ccutils.contexts.neighbours import Index
from ccutils.contexts.prompts import Prompter
from ccutils.tasks.base import Example


@dataclass(frozen=True, slots=True)
class LivePool:
    """A pool made searchable once, and what was added to it since.

    What was added is compared one by one, with the word statistics of the pool that was indexed (of a word
    that it lacks "tfidf" knows nothing): after many additions make a new one.

    >>> from ccutils.tasks import Example
    >>> pool = LivePool.make([Example("rain in Oslo", "weather"), Example("play a song", "music")])
    >>> pool.plus(Example("book a bed", "hotel")).nearest(Example("a bed in Lima", ""), k=1)[0][0].output
    'hotel'
    """

    examples: Sequence[Example]
    index: Index
    added: tuple[Example, ...] = ()

    @classmethod
    def make(cls, examples: Sequence[Example], similarity: str = "bm25") -> "LivePool":
        """Index the examples. Raises InputError for none, and for a similarity that does not exist."""
        return cls(examples, Index([e.input for e in examples], similarity))

    def plus(self, *examples: Example) -> "LivePool":
        """The pool with more examples, which count from the next question on."""
        return replace(self, added=(*self.added, *examples))

    def nearest(self, question: Example, k: int) -> list[tuple[Example, float]]:
        """Up to k examples and their similarity to the question, in [0, 1], the most similar last."""
        found = self.index.search([question.input], min(k, len(self.examples)))
        ranked = zip(found.rows[0], found.scores[0], strict=True)
        pairs = [(self.examples[row], float(score)) for row, score in ranked]
        if self.added:
            scores = self.index.between([question.input] * len(self.added), [e.input for e in self.added])
            pairs += zip(self.added, scores.tolist(), strict=True)
        return sorted(pairs, key=lambda pair: pair[1])[-k:]


Answer = Callable[[Sequence[Sequence[int]], int], list[str]]
"""(prompts as token ids, most new tokens) -> one answer a prompt: who answers is nothing to this room."""


def answer_with_neighbours(
    answer: Answer, prompter: Prompter, pool: LivePool, question: Example, k: int, max_new_tokens: int
) -> str:
    """Answer one question with its k nearest pool examples in the prompt, the nearest last.

    The question's `output` is not looked at.
    """
    near = pool.nearest(question, k)
    examples, scores = [e for e, _ in near], [s for _, s in near]
    prompt = prompter.prompt(examples, question, max_new_tokens, scores)
    return answer([prompt.ids], max_new_tokens)[0]
