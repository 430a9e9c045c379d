"""Answers of a base and its checkpoints to the probes' questions, each kept as soon as it is there."""

import copy
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase

from ccutils.contexts.prompts import Prompt, Prompter
from ccutils.errors import InputError
from ccutils.models.base import context_length, hash_base, load_adapter, load_base, load_tokenizer
from ccutils.models.generation import answer_each
from ccutils.models.unpacked import is_small
from ccutils.probes.questions import Question, QuestionSet
from ccutils.records import hash_prompt, read_answers, read_json
from ccutils.tasks.brackets import ANY

ANSWERS_VERSION = 2  # of how answers are made; part of the key of kept ones
UNJUDGED = re.compile(rf"(?<!\S)\[?{re.escape(ANY)}(?!\S)")  # a gloss or a label that any answer may have


@dataclass(slots=True)
class Responder:
    """A base model by its path, and what is needed to put questions to it; it is loaded when first asked.

    `window` is the most tokens of a prompt with its answer (0: the model's own). `cache` is a folder for the
    answers of the base itself, which all strategies of a seed share.
    """

    path: str
    cache: Path
    quantise: bool = True
    window: int = 0
    chat: bool = False
    tokenizer: PreTrainedTokenizerBase = field(init=False)
    base: Any = field(init=False, default=None)
    small: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.tokenizer = load_tokenizer(self.path)

    def prompts(self, questions: QuestionSet) -> list[Prompt]:
        """Return the prompt of each question. What does not fit the window is dropped and counted, as in
        training.

        Raises InputError for expected answers that the tokenizer cannot write.
        """
        task = questions.task
        check_written(self.tokenizer, questions, self.path)
        window = self.window or context_length(self.path)
        prompter = Prompter(self.tokenizer, task.template, window, self.chat)
        room = task.max_new_tokens
        return [prompter.prompt(i.context, i.target, room, importance(i)) for i in questions.questions]

    def answers(
        self, prompts: Sequence[Prompt], *, max_new_tokens: int, adapter: Path | None, folder: Path, name: str
    ) -> list[str]:
        """Return answers of the base, or of the base with an adapter, kept in files of `folder` or the cache.

        A file is named by a hash of what answers depend on beside the prompt, and maps the hash of a prompt
        to its answer. So other weights share no file, and of questions that are added or reordered only the
        new ones are asked. What an interrupted call has written is not computed again.
        """
        keys = [hash_prompt(prompt.ids) for prompt in prompts]
        key = self._key(max_new_tokens, adapter)
        path = (self.cache if adapter is None else folder) / f"answers-{name}-{key}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):  # runs of several strategies may ask the base at once
            known = read_answers(path)
            missing = {key: prompt.ids for key, prompt in zip(keys, prompts, strict=True) if key not in known}
            if missing:
                self._ask(
                    missing,
                    max_new_tokens=max_new_tokens,
                    adapter=adapter,
                    path=path,
                    name=name,
                )
                known = read_answers(path)
        return [known[key] for key in keys]

    def _ask(
        self,
        missing: Mapping[str, list[int]],
        *,
        max_new_tokens: int,
        adapter: Path | None,
        path: Path,
        name: str,
    ) -> None:
        """Append the answers to the missing prompts to the file, a JSON line [key, answer] each."""
        if self.base is None:
            self.base = load_base(self.path, quantise=self.quantise)
            self.small = is_small(self.base)  # adapters are merged into copies of such a base
            if self.small and self.quantise:
                self.base = self.base.dequantize()
        model: Any = self.base
        if adapter is not None:
            model = load_adapter(copy.deepcopy(model) if self.small else model, adapter)
            model = model.merge_and_unload() if self.small else model
        keys, ids = list(missing), list(missing.values())
        try:
            with (
                path.open("a", encoding="utf-8") as file,
                tqdm(total=len(ids), desc=name, mininterval=2) as bar,
            ):
                file.write("\n" * bool(file.tell()))  # a kill may have cut the last line off
                for i, text in answer_each(model, self.tokenizer, ids, max_new_tokens=max_new_tokens):
                    file.write(json.dumps([keys[i], text]) + "\n")
                    file.flush()
                    bar.update()
        finally:  # stopped half-way, the same responder can be asked again
            if adapter is not None and not self.small:
                self.base = model.unload()

    def _key(self, max_new_tokens: int, adapter: Path | None) -> str:
        facts = [ANSWERS_VERSION, hash_base(self.path), self.quantise, max_new_tokens]
        digest = hashlib.sha256(json.dumps(facts).encode())
        if adapter is not None:
            config = read_json(adapter / "adapter_config.json")
            config.pop("base_model_name_or_path", None)  # a path, which does not matter
            digest.update(json.dumps(config, sort_keys=True).encode())
            digest.update((adapter / "adapter_model.safetensors").read_bytes())
        return digest.hexdigest()[:16]


def find_responder(
    known: Iterable[Responder], path: str, cache: Path, *, quantise: bool, window: int, chat: bool
) -> Responder:
    """Find the responder of a base among those at hand, or make it: a base is loaded once for its runs."""
    made = (r for r in known if r.path == path)
    return next(made, None) or Responder(path, cache, quantise, window, chat)


def check_written(tokenizer: PreTrainedTokenizerBase, questions: QuestionSet, path: str) -> None:
    """Raise InputError for expected answers with words that the tokenizer lacks: no answer could be right."""
    expected = list(
        dict.fromkeys(UNJUDGED.sub("", question.expected.output) for question in questions.questions)
    )
    unknown = tokenizer.unk_token_id
    if unknown is None or not expected:
        return
    ids = tokenizer(expected, add_special_tokens=False)["input_ids"]
    lost = [text for text, row in zip(expected, ids, strict=True) if unknown in row]
    if lost:
        words = (w for w in lost[0].split() if unknown in tokenizer.encode(w, add_special_tokens=False))
        raise InputError(
            f"{len(lost)} of {len(expected)} expected answers have words that the tokenizer of model "
            f"{path!r} cannot write, such as {next(words, lost[0])!r}: take another model, or for the tiny "
            "base add them to the task's `vocabulary`."
        )


def importance(question: Question) -> list[float]:
    """Return the order in which demonstrations are dropped where not all fit: what the question is about goes
    last.
    """
    return [near + needed for near, needed in zip(question.similarity, question.needed, strict=True)]
