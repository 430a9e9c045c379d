"""From a context and a target to token ids."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from transformers import PreTrainedTokenizerBase

from ccutils.errors import InputError
from ccutils.tasks.base import Example, Template


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt's token ids, ending where the answer begins, and how many demonstrations did not fit."""

    ids: list[int]
    dropped: int


@dataclass(slots=True)
class Prompter:
    """Writes prompts for one template and tokenizer.

    `window` is the most tokens that prompt and answer may have together. Each part of a prompt is tokenised
    once and for itself, in training and in probing alike.
    """

    tokenizer: PreTrainedTokenizerBase
    template: Template
    window: int
    _parts: dict[str, list[int]] = field(default_factory=dict)

    def text(self, demonstrations: Sequence[Example], target: Example) -> str:
        """The prompt as a person reads it."""
        parts = [self.template.instruction, *map(self._demonstration, demonstrations), self._question(target)]
        return "".join(parts)

    def prompt(
        self,
        demonstrations: Sequence[Example],
        target: Example,
        answer_tokens: int,
        similarity: Sequence[float] | None = None,
    ) -> Prompt:
        """Token ids of a prompt that leaves room for `answer_tokens` more.

        What does not fit is dropped whole, the least similar demonstration first: give random ones less
        `similarity` than any other. Without it, the first ones go. Raises InputError where the target alone
        does not fit.
        """
        head = self._start() + self._ids(self.template.instruction)
        tail = self._ids(self._question(target))
        parts = [self._ids(self._demonstration(e)) for e in demonstrations]
        room = self.window - len(head) - len(tail) - answer_tokens
        if room < 0:
            raise InputError(
                f"the target {shorten(target.input)!r} needs {self.window - room} tokens with its answer, "
                f"more than the window of {self.window}: raise `window` or leave the example out."
            )
        order = sorted(range(len(parts)), key=lambda i: similarity[i] if similarity is not None else i)
        left = sum(map(len, parts))
        gone: set[int] = set()
        for i in order:
            if left <= room:
                break
            gone.add(i)
            left -= len(parts[i])
        kept = [token for i, part in enumerate(parts) if i not in gone for token in part]
        return Prompt(head + kept + tail, len(gone))

    def answer(self, target: Example) -> list[int]:
        """Token ids of the target's answer and the end-of-sequence token: what the loss is on."""
        return [*self._ids(self._answer(target)), self.tokenizer.eos_token_id]

    def _demonstration(self, e: Example) -> str:
        return self._question(e) + self._answer(e) + self.template.separator

    def _question(self, e: Example) -> str:
        return self.template.question.format(**{**e.extra, "input": e.input})

    def _answer(self, e: Example) -> str:
        return self.template.answer.format(**{**e.extra, "input": e.input, "output": e.output})

    def _start(self) -> list[int]:
        bos = self.tokenizer.bos_token_id
        return [bos] if bos is not None and self.tokenizer("")["input_ids"][:1] == [bos] else []

    def _ids(self, text: str) -> list[int]:
        if text not in self._parts:
            self._parts[text] = list(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        return self._parts[text]


def shorten(text: str, length: int = 60) -> str:
    """The text's first `length` characters, for messages."""
    return text if len(text) <= length else text[: length - 3] + "..."
