"""From a context and a target to token ids, as plain text or in a model's chat template."""

import re
import warnings
from bisect import bisect_left
from collections.abc import Sequence
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
"""How a plain prompt becomes tokens: with its answer, as one text. Runs whose plan lacks it ("parts")
tokenised each part of a prompt for itself."""
TODAY = date(2024, 7, 26)
"""The date in chat templates that write today's: a run resumed after midnight trains on the same prompts."""
NOW = re.compile(r"""strftime_now\(\s*(["'])(.*?)\1\s*\)""")
THOUGHT = re.compile(r"<([\w:]*think\w*|thought)>\s*$")  # opened by a chat template for the answer
HELD = "\ue0f5"  # a character of private use, for what is tokenised apart
IGNORE = -100
"""The label of a token that the loss leaves out, to torch and all that is built on it."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt's token ids, how many demonstrations did not fit, and the ids of the answer, if requested.

    `answer` ends with the token that ends it; the loss is on `answer` alone.
    """

    ids: list[int]
    dropped: int
    answer: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Prompter:
    """Writes prompts for one template and tokenizer.

    `window` is the maximum number of tokens of prompt and answer together. A plain prompt and its answer are
    tokenised as one text, so that training, probes, servers and other trainers read the same tokens. With
    `chat`, the prompt is in the tokenizer's own chat template: each demonstration is a turn of the user and
    one of the model, as in the conversations such a model was trained on. The instruction goes before the
    first question, since not every template has a system turn. Thinking is off, a thought that the template
    opens is closed, and the date is TODAY. Raises InputError for `chat` with a tokenizer that has no chat
    template.
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
        self._form = NOW.sub(lambda m: repr(TODAY.strftime(m[2])), self.tokenizer.get_chat_template())

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
        answer_tokens: int | None = None,
        similarity: Sequence[float] | None = None,
    ) -> Prompt:
        """Make the token ids of a prompt that leaves room for `answer_tokens` more.

        Without `answer_tokens`, make those of the target's own answer, too, as for training. A plain answer
        begins where the tokens of the whole text differ from those of the prompt alone, as in TRL.
        Demonstrations that do not fit are dropped whole, the least similar first: pass a lower `similarity`
        for random ones. Without `similarity`, the first ones go. Raises InputError where the target alone
        does not fit.
        """
        # Of equals the last goes first: contexts that share their beginning go on sharing it.
        order = sorted(range(len(demonstrations)), key=lambda i: (similarity[i], -i) if similarity else (i,))
        with_answer = answer_tokens is None
        room = self.window - (answer_tokens or 0)

        def kept(gone: int) -> list[Example]:
            return [demonstrations[i] for i in sorted(order[gone:])]

        @cache
        def ids(gone: int) -> list[int]:
            return self._ids(kept(gone), target, with_answer)

        def fits(gone: int) -> bool:
            return len(ids(gone)) <= room

        gone = 0 if fits(0) else bisect_left(range(len(order)), True, lo=1, key=fits)
        whole = ids(gone)
        if len(whole) > room:
            raise InputError(
                f"the target {shorten(target.input)!r} needs {len(whole) + self.window - room} tokens with "
                f"its answer, more than the window of {self.window}: raise `window` or leave the example out."
            )
        if not with_answer:
            return Prompt(whole, gone)
        alone = self._ids(kept(gone), target, with_answer=False)
        n = len(alone)
        while whole[:n] != alone[:n]:
            n -= 1
        return Prompt(whole[:n], gone, whole[n:])

    def check_alone(self, name: str, examples: Sequence[Example], answer_tokens: int | None = None) -> None:
        """Raise InputError for the first of the examples, called `name`, that does not fit without context.

        Room is left for `answer_tokens`, by default for the example's own answer.
        """
        for row, e in enumerate(examples):
            try:
                self.prompt([], e, answer_tokens)
            except InputError as error:
                raise InputError(f"{name} example {row}: {error}") from None

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
        return f"{text.rstrip()}\n\n</{opened[1]}>\n\n" if opened else text

    def _demonstration(self, e: Example) -> str:
        return self._question(e) + self._answer(e) + self.template.separator

    def _question(self, e: Example) -> str:
        return self.template.question.format(**{**e.extra, "input": e.input})

    def _answer(self, e: Example) -> str:
        return self.template.answer.format(**{**e.extra, "input": e.input, "output": e.output})

    def _ids(self, demonstrations: Sequence[Example], target: Example, with_answer: bool) -> list[int]:
        answer = self._answer(target) if with_answer else ""
        if self.chat:
            ids = self._tokenise_chat(self._turns(demonstrations, target))
            ids += self._tokenise(answer.strip()) if with_answer else []
        else:
            ids = self._start + self._tokenise(self.text(demonstrations, target) + answer)
        return [*ids, self._end] if with_answer else ids

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
    if all(prompter.prompt([e], target).dropped for e, target in pairs):
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
