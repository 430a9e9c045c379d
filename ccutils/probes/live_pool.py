"""Answering with the most similar examples in the prompt: adapting without training, the paper's use case."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ccutils.contexts.neighbours import Index
from ccutils.contexts.prompts import Prompt, Prompter
from ccutils.errors import InputError, reason
from ccutils.records import write_whole
from ccutils.tasks.base import Example

POOL_VERSION = 1


@dataclass(frozen=True, slots=True)
class LivePool:
    """An indexed pool, and the examples added since.

    An addition costs nothing; each question is compared with the added examples one by one
    (benchmarks/README.md has the seconds), with the word statistics of the indexed pool ("tfidf" ignores
    words that it lacks). After many additions, make a new pool.

    >>> from ccutils.tasks import Example
    >>> pool = LivePool.make([Example("rain in Oslo", "weather"), Example("play a song", "music")])
    >>> pool.plus(Example("book a bed", "hotel")).nearest(Example("a bed in Lima", ""), k=1)[0][0].output
    'hotel'
    """

    examples: Sequence[Example]
    index: Index
    added: tuple[Example, ...] = ()
    similarity: str = "bm25"

    @classmethod
    def make(cls, examples: Sequence[Example], similarity: str = "bm25") -> "LivePool":
        """Index the examples. Raises InputError for an empty list and for an unknown similarity."""
        return cls(examples, Index([e.input for e in examples], similarity), similarity=similarity)

    def plus(self, *examples: Example) -> "LivePool":
        """Add examples: a new pool with the same index."""
        return replace(self, added=(*self.added, *examples))

    def save(self, path: Path) -> None:
        """Write the indexed and the added examples as JSON lines, atomically, without the index."""
        head = {"version": POOL_VERSION, "similarity": self.similarity, "indexed": len(self.examples)}
        lines = [head, *({**asdict(e), "extra": dict(e.extra)} for e in (*self.examples, *self.added))]
        write_whole(path, "".join(json.dumps(line) + "\n" for line in lines))

    @classmethod
    def load(cls, path: Path) -> "LivePool":
        """Load what `save` wrote and index it again, so that answers are the same as before.

        Raises InputError for a file that is missing, broken, or of another version.
        """
        try:
            text = path.read_text(encoding="utf-8").rstrip("\n")
            head, *lines = map(json.loads, text.split("\n"))  # not splitlines: U+2028 and the like are text
            if head["version"] != POOL_VERSION:
                raise ValueError(f"version {head['version']}, this code reads {POOL_VERSION}")
            examples = [Example(**line) for line in lines]
            n, similarity = int(head["indexed"]), str(head["similarity"])
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(f"{path} is not a saved pool ({reason(error)}): check the path.") from error
        return cls.make(examples[:n], similarity).plus(*examples[n:])

    def nearest(self, question: Example, k: int) -> list[tuple[Example, float]]:
        """Find up to k examples and their similarity to the question, in [0, 1], the most similar last."""
        found = self.index.search([question.input], min(k, len(self.examples)))
        ranked = zip(found.rows[0], found.scores[0], strict=True)
        pairs = [(self.examples[row], float(score)) for row, score in ranked]
        if self.added:
            scores = self.index.between([question.input] * len(self.added), [e.input for e in self.added])
            pairs += zip(self.added, scores.tolist(), strict=True)
        return sorted(pairs, key=lambda pair: pair[1])[-k:]


Answer = Callable[[Sequence[Sequence[int]], int], list[str]]
"""(prompts as token ids, maximum number of new tokens) -> one answer per prompt, by any model."""


def answer_with_neighbours(
    answer: Answer, prompter: Prompter, pool: LivePool, question: Example, *, k: int, max_new_tokens: int
) -> str:
    """Answer one question with its k nearest pool examples in the prompt, the nearest last.

    The question's `output` is not used.
    """
    _, prompt = prompt_with_neighbours(prompter, pool, question, k=k, max_new_tokens=max_new_tokens)
    return answer([prompt.ids], max_new_tokens)[0]


def prompt_with_neighbours(
    prompter: Prompter, pool: LivePool, question: Example, *, k: int, max_new_tokens: int
) -> tuple[list[Example], Prompt]:
    """Find the k nearest pool examples of a question, the nearest last, and write its prompt with them."""
    near = pool.nearest(question, k)
    examples, scores = [e for e, _ in near], [s for _, s in near]
    return examples, prompter.prompt(examples, question, max_new_tokens, scores)
