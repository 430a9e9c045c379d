"""Generate and save the answers of a base and its checkpoints to the probes' questions."""

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

ANSWERS_VERSION = 2  # of how answers are generated; part of the key of saved answers
UNJUDGED = re.compile(
    rf"(?<!\S)\[?{re.escape(ANY)}(?!\S)"
)  # a gloss or a label that an answer may have in any form


@dataclass(slots=True)
class Responder:
    """A base model that answers questions, by its path; it is loaded when the first question is asked.

    `window` is the maximum number of tokens of a prompt with its answer (0: the model's own). `cache` is the
    folder for answers of the base without an adapter, which all strategies of a seed share.
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
        """Write the prompt of each question. As in training, demonstrations that do not fit are dropped.

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
        """Generate the answers of the base (saved in the cache), or with an adapter (saved in `folder`).

        The file's name contains a hash of everything but the prompt that answers depend on; the file maps the
        hash of a prompt to its answer. Other weights therefore use another file, and only new questions are
        asked. Answers of an interrupted call are reused.
        """
        keys = [hash_prompt(prompt.ids) for prompt in prompts]
        key = self._key(max_new_tokens, adapter)
        path = (self.cache if adapter is None else folder) / f"answers-{name}-{key}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):  # runs of several strategies may use the base at once
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
                file.write("\n" * bool(file.tell()))  # a kill may have truncated the last line
                for i, text in answer_each(model, self.tokenizer, ids, max_new_tokens=max_new_tokens):
                    file.write(json.dumps([keys[i], text]) + "\n")
                    file.flush()
                    bar.update()
        finally:  # after an interruption, the responder can be used again
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
    """Find the responder of a base among `known`, or create it: a base is loaded once for all its runs."""
    made = (r for r in known if r.path == path)
    return next(made, None) or Responder(path, cache, quantise, window, chat)


def check_written(tokenizer: PreTrainedTokenizerBase, questions: QuestionSet, path: str) -> None:
    """Raise InputError for expected answers with words that the tokenizer lacks."""
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
            f"{path!r} cannot write, such as {next(words, lost[0])!r}: choose another model, or for the tiny "
            "base add the words to the task's `vocabulary`."
        )


def importance(question: Question) -> list[float]:
    """Score demonstrations by importance: if not all fit, those with the lowest scores are dropped first."""
    return [near + needed for near, needed in zip(question.similarity, question.needed, strict=True)]
