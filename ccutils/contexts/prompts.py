"""Prompts from a context and a target: text, messages or token ids, plain or in a chat template."""

import re
import warnings
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ccutils.errors import InputError
from ccutils.tasks.base import Example, Task, Template

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TOKENISATION = "whole"
"""How a plain prompt becomes tokens: as one text with its answer. Runs whose plan lacks this value ("parts")
tokenised each part of a prompt separately."""
TODAY = date(2024, 7, 26)
"""The date for chat templates that write today's: a run resumed after midnight trains on the same prompts."""
_WRITTEN = "".join(f".replace('%{c}', '{TODAY.strftime('%' + c)}')" for c in "aAbBdmyYHIMSpj")
FIXED_NOW = f"{{%- macro strftime_now(format) -%}}{{{{ format{_WRITTEN} }}}}{{%- endmacro %}}\n"
"""Put before such a template, it replaces the function that the template calls for today's date."""
THOUGHT = re.compile(
    r"([<\[◁]\|?)(start_|begin_of_)?([\w:]*(?:think\w*|thought|reasoning))(\|?[>\]▷])\s*$", re.I
)
"""A thought that a chat template opens for the answer: `<think>`, `[THINK]`, `<|START_THINKING|>`."""
MARK = "\ue0f5"  # a character for private use, around the number of a special token in the data
IGNORE = -100
"""The label of a token without loss, in torch and in what is built on it."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt's token ids, the number of demonstrations that did not fit, and the ids of the answer, if any.

    `answer` includes the token that ends it; the loss is on `answer` alone.
    """

    ids: list[int]
    dropped: int
    answer: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Prompter:
    """Writes prompts for one template and tokenizer.

    `window` is the maximum number of tokens of prompt and answer together. A plain prompt and its answer are
    tokenised as one text, so that training, probes, servers and other trainers read the same tokens. With
    `chat`, the prompt uses the tokenizer's own chat template: each demonstration is a turn of the user and
    one of the model. The instruction precedes the first question, since not every template has a system
    turn. Thinking is off, a thought that the template opens is closed, and the date is TODAY. A special
    token's name in the data is tokenised as text. Raises InputError for `chat` with a tokenizer that has no
    chat template.
    """

    tokenizer: "PreTrainedTokenizerBase | Any"
    template: Template
    window: int
    chat: bool = False
    _special: re.Pattern[str] | None = None
    _start: list[int] = field(default_factory=list)
    _end: int = 0
    _form: str = ""

    def __post_init__(self) -> None:
        if self.tokenizer is None:  # texts and messages need none
            return
        self._special = special_names(self.tokenizer)
        if not self.chat:
            bos = self.tokenizer.bos_token_id
            adds_bos = bos is not None and self.tokenizer("")["input_ids"][:1] == [bos]
            self._start, self._end = [bos] if adds_bos else [], self.tokenizer.eos_token_id
            return
        if not self.tokenizer.chat_template:
            raise InputError("chat is true, but the model's tokenizer has no chat template: set it to false.")
        self._end = end_of_turn(self.tokenizer)
        template = str(self.tokenizer.get_chat_template())
        self._form = FIXED_NOW * ("strftime_now" in template) + template

    def text(self, demonstrations: Sequence[Example], target: Example) -> str:
        """Write the prompt as a person reads it; in the chat form, as the model reads it."""
        if self.chat:
            return self._write(self.messages(demonstrations, target))
        shown = (self._question(e) + self.answer_text(e) + self.template.separator for e in demonstrations)
        return "".join([self.template.instruction, *shown, self._question(target)])

    def messages(self, demonstrations: Sequence[Example], target: Example) -> list[dict[str, str]]:
        """Write the prompt as turns of a chat (`role` and `content`), the target's question last.

        This needs no tokenizer.
        """
        turns = []
        for e in demonstrations:
            turns += [("user", self._question(e)), ("assistant", self.answer_text(e).strip())]
        turns.append(("user", self._question(target)))
        turns[0] = ("user", self.template.instruction + turns[0][1])
        return [{"role": role, "content": content} for role, content in turns]

    def answer_text(self, e: Example) -> str:
        """Write an example's answer as in the template, with its leading space, if any."""
        return self.template.answer.format(**{**e.extra, "input": e.input, "output": e.output})

    def prompt(
        self,
        demonstrations: Sequence[Example],
        target: Example,
        answer_tokens: int | None = None,
        similarity: Sequence[float] | None = None,
    ) -> Prompt:
        """Tokenise a prompt that leaves room for `answer_tokens` more.

        Without `answer_tokens`, tokenise the target's own answer as well, as for training. A plain answer
        begins where the tokens of the whole text differ from those of the prompt alone, as in TRL.
        Demonstrations that do not fit are dropped whole, the least similar first: pass a lower `similarity`
        for random ones. Without `similarity`, the first ones go. Raises InputError if the target alone does
        not fit.
        """
        # Of equals the last goes first: contexts with a common beginning keep it.
        order = sorted(range(len(demonstrations)), key=lambda i: (similarity[i], -i) if similarity else (i,))
        room = self.window - (answer_tokens or 0)

        @cache
        def ids(dropped: int, with_answer: bool = answer_tokens is None) -> list[int]:
            shown = [demonstrations[i] for i in sorted(order[dropped:])]
            return self._ids(shown, target, with_answer)

        def fits(dropped: int) -> bool:
            return len(ids(dropped)) <= room

        dropped = 0 if fits(0) else bisect_left(range(len(order)), True, lo=1, key=fits)
        whole = ids(dropped)
        if len(whole) > room:
            raise InputError(
                f"the target {shorten(target.input)!r} needs {len(whole) + self.window - room} tokens with "
                f"its answer, more than the window of {self.window}: raise `window` or leave the example out."
            )
        if answer_tokens is not None:
            return Prompt(whole, dropped)
        alone = ids(dropped, False)
        n = len(alone)
        while whole[:n] != alone[:n]:
            n -= 1
        return Prompt(whole[:n], dropped, whole[n:])

    def check_alone(self, name: str, examples: Sequence[Example], answer_tokens: int | None = None) -> None:
        """Raise InputError for the first of the examples, called `name`, that does not fit without context.

        Room is left for `answer_tokens`, by default for the example's own answer. Warns of special tokens.
        """
        for row, e in enumerate(examples):
            try:
                self.prompt([], e, answer_tokens)
            except InputError as error:
                raise InputError(f"{name} example {row}: {error}") from None
        if found := self._special_in(text for e in examples for text in (e.input, e.output)):
            warnings.warn(
                f"the {name} examples contain {', '.join(found)}, a special token of the model: it is read "
                "as plain text; remove it if it is not part of the data.",
                stacklevel=3,
            )

    def _write(self, messages: list[dict[str, str]]) -> str:
        text = str(
            self.tokenizer.apply_chat_template(
                messages,
                chat_template=self._form,
                tokenize=False,
                add_generation_prompt=True,
                enable_thinking=False,
            )
        )
        opened = THOUGHT.search(text)
        if opened is None:
            return text
        end = {"start_": "END_", "begin_of_": "end_of_"}.get((opened[2] or "").lower(), "/")
        return f"{text.rstrip()}\n\n{opened[1]}{end}{opened[3]}{opened[4]}\n\n"

    def _question(self, e: Example) -> str:
        return self.template.question.format(**{**e.extra, "input": e.input})

    def _ids(self, demonstrations: Sequence[Example], target: Example, with_answer: bool) -> list[int]:
        answer = self.answer_text(target) if with_answer else ""
        if self.chat:
            ids = self._tokenise_chat(self.messages(demonstrations, target))
            ids += self._tokenise(answer.strip()) if with_answer else []
        else:
            ids = self._start + self._tokenise(self.text(demonstrations, target) + answer)
        return [*ids, self._end] if with_answer else ids

    def _special_in(self, texts: Iterable[str]) -> list[str]:
        """List the names of special tokens in texts of the data."""
        return sorted(
            {name for text in texts for name in (self._special.findall(text) if self._special else ())}
        )

    def _tokenise(self, text: str) -> list[int]:
        """Tokenise a text of the data, with special tokens' names as text."""
        names = {"split_special_tokens": True} if self._special_in([text]) else {}
        return list(self.tokenizer(text, add_special_tokens=False, **names)["input_ids"])

    def _tokenise_chat(self, messages: list[dict[str, str]]) -> list[int]:
        """Tokenise turns in the chat template, with special tokens' names in the data as text."""
        found = self._special_in(m["content"] for m in messages)
        for i, name in enumerate(found):
            messages = [{**m, "content": m["content"].replace(name, f"{MARK}{i}{MARK}")} for m in messages]
        ids: list[int] = []
        for i, part in enumerate(re.split(f"{MARK}([0-9]+){MARK}", self._write(messages))):
            if i % 2:  # the number of a name
                ids += self._tokenise(found[int(part)])
            elif part:
                ids += self.tokenizer(part, add_special_tokens=False)["input_ids"]
        return ids


def special_names(tokenizer: "PreTrainedTokenizerBase") -> re.Pattern[str] | None:
    """Compile a pattern of the special tokens' names; None if there are none."""
    added = (t.content for t in tokenizer.added_tokens_decoder.values() if t.special)
    names = sorted({*added, *tokenizer.all_special_tokens} - {""}, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, names))) if names else None


def feature(prompt: list[int], answer: list[int]) -> dict[str, list[int]]:
    """Join a prompt and its answer as a trainer takes them, with labels for the answer alone.

    >>> feature([5, 6], [7])
    {'input_ids': [5, 6, 7], 'labels': [-100, -100, 7]}
    """
    return {"input_ids": prompt + answer, "labels": [IGNORE] * len(prompt) + answer}


def first_line(text: str) -> str:
    """Extract the answer, one line, from a model's output.

    >>> first_line(" rain\\nInput: snow")
    'rain'
    """
    return text.lstrip().split("\n")[0].strip()


def check_window(task: Task, prompter: Prompter) -> None:
    """Raise InputError for the first example of the pool or a test set that is too long without context.

    Probes would find it as well, but only after training.
    """
    prompter.check_alone("pool", task.pool)
    for name in ("id_test", "ood_test"):
        prompter.check_alone(name, getattr(task, name), task.max_new_tokens)


def check_demonstrations(task: Task, prompter: Prompter) -> None:
    """Raise InputError if no target of the pool fits the window with even one demonstration."""
    pairs = pairwise(task.pool)
    if all(prompter.prompt([e], target).dropped for e, target in pairs):
        raise InputError(
            f"window is {prompter.window}: no demonstration fits beside a target, raise it or set it to 0."
        )


def end_of_turn(tokenizer: "PreTrainedTokenizerBase") -> int:
    """Find the special token that the chat template puts after an answer, else the end of the sequence."""
    messages = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]
    text = str(tokenizer.apply_chat_template(messages, tokenize=False, enable_thinking=False))
    behind = tokenizer(text[text.rindex("!") + 1 :].lstrip(), add_special_tokens=False)["input_ids"]
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    return int(behind[0]) if behind and behind[0] in special else int(tokenizer.eos_token_id)


def shorten(text: str, length: int = 60) -> str:
    """Cut a text to `length` characters, for messages.

    >>> shorten("a long question", 9)
    'a long...'
    """
    return text if len(text) <= length else text[: length - 3] + "..."
