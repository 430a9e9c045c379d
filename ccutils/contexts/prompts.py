"""From a context and a target to token ids, as plain text or in a model's chat template."""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ccutils.errors import InputError
from ccutils.tasks.base import Example, Task, Template

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

HELD = "\ue0f5"  # a character of private use, for what is tokenised apart
IGNORE = -100
"""The label of a token that the loss leaves out, to torch and all that is built on it."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt's token ids, ending where the answer begins, and how many demonstrations did not fit."""

    ids: list[int]
    dropped: int


@dataclass(slots=True)
class Prompter:
    """Writes prompts for one template and tokenizer.

    `window` is the most tokens that prompt and answer may have together. In plain text, each part of a prompt
    is tokenised once and for itself, in training and in probing alike. With `chat`, the prompt is in the
    tokenizer's own chat template: each demonstration a turn of the user and one of the model,
    as such a model was taught conversations; the instruction before the first question, since not every
    template has a system turn; no thinking before the answer, where a template has a switch for it. Raises
    InputError for `chat` with a tokenizer that has no chat template.
    """

    tokenizer: "PreTrainedTokenizerBase | Any"
    template: Template
    window: int
    chat: bool = False
    _parts: dict[str, list[int]] = field(default_factory=dict)
    _special: re.Pattern[str] | None = None

    def __post_init__(self) -> None:
        if self.tokenizer is None:  # texts and messages need none
            return
        self._special = special_names(self.tokenizer)
        if self.chat and not self.tokenizer.chat_template:
            raise InputError("chat is true, but the model's tokenizer has no chat template: set it to false.")

    def text(self, demonstrations: Sequence[Example], target: Example) -> str:
        """Return the prompt as a person reads it; in the chat form, as the model reads it."""
        if self.chat:
            return self._write(self._turns(demonstrations, target))
        parts = [self.template.instruction, *map(self._demonstration, demonstrations), self._question(target)]
        return "".join(parts)

    def prompt(
        self,
        demonstrations: Sequence[Example],
        target: Example,
        answer_tokens: int,
        similarity: Sequence[float] | None = None,
    ) -> Prompt:
        """Make the token ids of a prompt that leaves room for `answer_tokens` more.

        What does not fit is dropped whole, the least similar demonstration first: give random ones less
        `similarity` than any other. Without it, the first ones go. Raises InputError where the target alone
        does not fit.
        """
        # Of equals the last goes first: contexts that share their beginning go on sharing it.
        order = sorted(range(len(demonstrations)), key=lambda i: (similarity[i], -i) if similarity else (i,))
        room = self.window - answer_tokens
        if self.chat:
            prompt = self._fit_chat(demonstrations, target, order, room)
        else:
            prompt = self._fit_plain(demonstrations, target, order, room)
        if len(prompt.ids) > room:
            raise InputError(
                f"the target {shorten(target.input)!r} needs {len(prompt.ids) + answer_tokens} tokens with "
                f"its answer, more than the window of {self.window}: raise `window` or leave the example out."
            )
        return prompt

    def check_alone(self, name: str, examples: Sequence[Example], answer_tokens: int | None = None) -> None:
        """Raise InputError for the first of the examples, called `name`, that does not fit without context.

        Room is left for `answer_tokens`, by default for the example's own answer.
        """
        for row, e in enumerate(examples):
            try:
                self.prompt([], e, len(self.answer(e)) if answer_tokens is None else answer_tokens)
            except InputError as error:
                raise InputError(f"{name} example {row}: {error}") from None

    def answer(self, target: Example) -> list[int]:
        """Return token ids of the target's answer and the token that ends it: what the loss is on."""
        if not self.chat:
            return [*self._ids(self._answer(target)), self.tokenizer.eos_token_id]
        return [*self._ids(self._answer(target).strip()), end_of_turn(self.tokenizer)]

    def _fit_plain(
        self, demonstrations: Sequence[Example], target: Example, order: Sequence[int], room: int
    ) -> Prompt:
        head = self._start() + self._ids(self.template.instruction)
        tail = self._ids(self._question(target))
        parts = [self._ids(self._demonstration(e)) for e in demonstrations]
        left = len(head) + len(tail) + sum(map(len, parts))
        gone: set[int] = set()
        for i in order:
            if left <= room:
                break
            gone.add(i)
            left -= len(parts[i])
        kept = [token for i, part in enumerate(parts) if i not in gone for token in part]
        return Prompt(head + kept + tail, len(gone))

    def _fit_chat(
        self, demonstrations: Sequence[Example], target: Example, order: Sequence[int], room: int
    ) -> Prompt:
        """Write and tokenise the prompt whole, again with one demonstration less until it fits."""
        for gone in range(len(order) + 1):
            kept = [demonstrations[i] for i in sorted(order[gone:])]
            ids = self._tokenise_chat(self._turns(kept, target))
            if len(ids) <= room:
                break
        return Prompt(ids, gone)

    def messages(self, demonstrations: Sequence[Example], target: Example) -> list[dict[str, str]]:
        """Return the prompt as turns of a chat, each with `role` and `content`, the target's question last.

        No tokenizer is needed for it.
        """
        return [{"role": r, "content": text} for r, text in self._turns(demonstrations, target)]

    def answer_text(self, target: Example) -> str:
        """Return the target's answer as the template writes it, with the space that it may begin with."""
        return self._answer(target)

    def _turns(self, demonstrations: Sequence[Example], target: Example) -> list[tuple[str, str]]:
        turns = []
        for e in demonstrations:
            turns += [("user", self._question(e)), ("assistant", self._answer(e).strip())]
        turns.append(("user", self._question(target)))
        turns[0] = ("user", self.template.instruction + turns[0][1])
        return turns

    def _write(self, turns: Sequence[tuple[str, str]]) -> str:
        messages = [{"role": role, "content": content} for role, content in turns]
        return str(
            self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True, enable_thinking=False
            )
        )

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
            self._parts[text] = self._tokenise(text)
        return self._parts[text]

    def _tokenise(self, text: str) -> list[int]:
        """Return token ids of a text of the data: a special token's name in it is text like any other."""
        if self._special and self._special.search(text):
            self._warn(text)
            return plain_ids(self.tokenizer, text)
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _tokenise_chat(self, turns: list[tuple[str, str]]) -> list[int]:
        """Return token ids of turns in the chat template; its special tokens count, the turns' do not."""
        found = sorted(
            {n for _, text in turns for n in (self._special.findall(text) if self._special else ())}
        )
        if not found:
            return list(self.tokenizer(self._write(turns), add_special_tokens=False)["input_ids"])
        self._warn(" ".join(found))
        held = {name: f"{HELD}{i}{HELD}" for i, name in enumerate(found)}
        for name, mark in held.items():
            turns = [(role, text.replace(name, mark)) for role, text in turns]
        ids: list[int] = []
        names = {mark: name for name, mark in held.items()}
        for part in re.split(f"({HELD}[0-9]+{HELD})", self._write(turns)):
            if part in names:
                ids += plain_ids(self.tokenizer, names[part])
            elif part:
                ids += self.tokenizer(part, add_special_tokens=False)["input_ids"]
        return ids

    def _warn(self, text: str) -> None:
        assert self._special is not None
        names = ", ".join(dict.fromkeys(self._special.findall(text)))
        warnings.warn(
            f"the data hold {names}, a special token of the model: it is read as plain text; take it "
            "out of the data if it is no part of them.",
            stacklevel=3,
        )


def special_names(tokenizer: "PreTrainedTokenizerBase") -> re.Pattern[str] | None:
    """Return a pattern of the special tokens as they are written; None where there are none."""
    added = (t.content for t in tokenizer.added_tokens_decoder.values() if t.special)
    names = sorted({*added, *tokenizer.all_special_tokens} - {""}, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, names))) if names else None


def plain_ids(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    """Return token ids of a text in which special tokens are text like any other."""
    return list(tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])


def feature(prompt: list[int], answer: list[int]) -> dict[str, list[int]]:
    """Return a prompt with its answer as a trainer takes it: only the answer's labels count.

    >>> feature([5, 6], [7])
    {'input_ids': [5, 6, 7], 'labels': [-100, -100, 7]}
    """
    return {"input_ids": prompt + answer, "labels": [IGNORE] * len(prompt) + answer}


def first_line(text: str) -> str:
    """Return the answer in what a model wrote: task answers are one line.

    >>> first_line(" rain\\nInput: snow")
    'rain'
    """
    return text.lstrip().split("\n")[0].strip()


def check_window(task: Task, prompter: Prompter) -> None:
    """Raise InputError for the first example of the pool or a test set that is too long even without context.

    Training and probes would find it, too, but the probes only after the training.
    """
    prompter.check_alone("pool", task.pool)
    for name in ("id_test", "ood_test"):
        prompter.check_alone(name, getattr(task, name), task.max_new_tokens)


def check_demonstrations(task: Task, prompter: Prompter) -> None:
    """Raise InputError for a window that holds no target of the pool with even one demonstration."""
    pairs = pairwise(task.pool)
    if all(prompter.prompt([e], target, len(prompter.answer(target))).dropped for e, target in pairs):
        raise InputError(
            f"window is {prompter.window}: no demonstration fits beside a target, raise it or set it to 0."
        )


def end_of_turn(tokenizer: "PreTrainedTokenizerBase") -> int:
    """Return the special token that the chat template puts behind an answer, else the end of the sequence."""
    messages = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]
    text = str(tokenizer.apply_chat_template(messages, tokenize=False, enable_thinking=False))
    behind = tokenizer(text[text.rindex("!") + 1 :].lstrip(), add_special_tokens=False)["input_ids"]
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    return int(behind[0]) if behind and behind[0] in special else int(tokenizer.eos_token_id)


def shorten(text: str, length: int = 60) -> str:
    """Return the text's first `length` characters, for messages.

    >>> shorten("a long question", 9)
    'a long...'
    """
    return text if len(text) <= length else text[: length - 3] + "..."
