"""Paraphrases of the pool's inputs, for contrastive contexts: made once, cached, each with its kind told."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from ccutils.errors import InputError, reason
from ccutils.paraphrase_rules import keeps, needed, rewrite
from ccutils.tasks.base import Example, Task
from ccutils.tasks.files import read_records, require

KINDS = ("none", "rules", "model", "file", "task")
"""none: the input itself. rules: see paraphrase_rules. model: a language model by directory or Hub id. file:
JSON lines with `input` and `paraphrase` (or `paraphrases`, a list). task: what the task itself has."""
INSTRUCTION = "Say the following in other words, in one line. Keep names, numbers and all of its meaning.\n\n"
LONGEST = 3  # a model's paraphrase may be this many times as long as the input
VERSION = 2  # of the cache: raise it when the rules change

Own = Callable[[Example, np.random.Generator], str]


@dataclass(frozen=True, slots=True)
class Paraphraser:
    """How paraphrases are made. `strength` (0 to 1) is that of the rules; `source` the model or the file,
    `frames` whether rules may put "please" and the like around (not for what is to be translated).

    Raises InputError for values that cannot be.
    """

    kind: str = "rules"
    strength: float = 0.5
    source: str = ""
    language: str = "en"
    frames: bool = True
    variants: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"paraphraser {self.kind!r} does not exist: choose one of {', '.join(KINDS)}.")
        if not 0 <= self.strength <= 1:
            raise InputError(f"paraphrase strength is {self.strength}: it must lie between 0 and 1.")
        if self.variants < 1:
            raise InputError(f"paraphrase variants is {self.variants}: it must be at least 1.")
        if self.kind in ("model", "file") and not self.source:
            raise InputError(f"paraphraser {self.kind!r} needs a source: name the {self.kind}.")


@dataclass(frozen=True, slots=True)
class Paraphrases:
    """For each input its paraphrases, and the kind that they came to be of."""

    texts: Mapping[str, tuple[str, ...]]
    kinds: Mapping[str, str]

    def pick(self, example: Example, rng: np.random.Generator) -> str:
        """One paraphrase of an example's input; fits Task.paraphrase."""
        texts = self.texts[example.input]
        return texts[int(rng.integers(len(texts)))]

    def shares(self) -> dict[str, float]:
        """The share of inputs of each kind: what is not of the kind asked for fell back."""
        counts = Counter(self.kinds.values())
        return {kind: n / len(self.kinds) for kind, n in sorted(counts.items())}


def paraphrase(
    examples: Sequence[Example], how: Paraphraser, cache: Path, own: Own | None = None
) -> Paraphrases:
    """Paraphrases of every example's input, from the cache where they were made before.

    A paraphrase that loses a phrase which the label needs is not used. Where a model or a file gives none,
    rules are used, and where these change nothing, the input itself. `own` is Task.paraphrase, for kind
    "task". Raises InputError for an unreadable model or file, or a task without paraphrases of its own.
    """
    check_paraphraser(how, own)
    recipe = {**asdict(how), "version": VERSION, "pairs": [[e.input, e.output] for e in examples]}
    if how.kind == "file":
        recipe["content"] = hashlib.sha256(_bytes(Path(how.source))).hexdigest()
    name = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]
    path = cache / f"paraphrases-{how.kind}-{name}.jsonl"
    if not path.exists():
        write(path, make(examples, how, own))
    rows = read_records(path) if examples else []
    return Paraphrases(
        {str(r.values["input"]): tuple(r.values["paraphrases"]) for r in rows},
        {str(r.values["input"]): str(r.values["kind"]) for r in rows},
    )


def check_paraphraser(how: Paraphraser, own: Own | None) -> None:
    """Raise InputError for a task without paraphrases of its own, or a file that cannot be read."""
    if how.kind == "task" and own is None:
        raise InputError("paraphraser 'task': this task has no paraphrases of its own; choose another.")
    if how.kind == "file":
        _bytes(Path(how.source))


def paraphraser_of(task: Task, kind: str, strength: float, source: str, seed: int) -> Paraphraser:
    """The paraphraser by its kind; "auto" is the task's own where it has one, else rules."""
    own = "task" if task.paraphrase else "rules"
    kind = own if kind == "auto" else kind
    return Paraphraser(kind, strength, source, task.language, task.frames, seed=seed)


def paraphrases_of(
    task: Task, kind: str, strength: float, source: str, seed: int, cache: Path
) -> Paraphrases:
    """Those of a task's pool, by the kind of the paraphraser."""
    return paraphrase(task.pool, paraphraser_of(task, kind, strength, source, seed), cache, task.paraphrase)


def make(examples: Sequence[Example], how: Paraphraser, own: Own | None) -> list[dict[str, Any]]:
    """One row for each different input: input, paraphrases, kind."""
    distinct = list({e.input: e for e in examples}.values())
    offered: Mapping[str, Sequence[str]] = {}
    if how.kind == "file":
        offered = from_file(Path(how.source))
    elif how.kind == "model":
        offered = from_model(distinct, how)
    rng = np.random.default_rng([how.seed, 7])
    rows = []
    for e in distinct:
        phrases = needed(e.input, e.output)
        texts = [t for t in dict.fromkeys(offered.get(e.input, ())) if usable(t, e.input, phrases)]
        kind = how.kind
        if how.kind == "task" and own is not None:
            texts = [own(e, rng) for _ in range(how.variants)]
        elif not texts and how.kind != "none":
            made = (
                rewrite(e.input, e.output, how.strength, how.language, rng, how.frames)
                for _ in range(how.variants)
            )
            texts = [t for t in dict.fromkeys(made) if t.split() != e.input.split() and keeps(t, phrases)]
            kind = "rules"
        if not texts:
            texts, kind = [e.input], "none"
        rows.append({"input": e.input, "paraphrases": texts[: how.variants], "kind": kind})
    return rows


def usable(text: str, original: str, phrases: list[str]) -> bool:
    """Whether an offered text is one line, not the input itself, not too long, and keeps the phrases."""
    return (
        bool(text.strip())
        and "\n" not in text
        and text.split() != original.split()
        and len(text) <= LONGEST * len(original) + 20
        and keeps(text, phrases)
    )


def from_file(path: Path) -> dict[str, list[str]]:
    """Paraphrases by input from JSON lines prepared elsewhere."""
    records = read_records(path)
    require(records, ["input"], str(path))
    offered: dict[str, list[str]] = {}
    for record in records:
        many = record.values.get("paraphrases", record.values.get("paraphrase"))
        texts = many if isinstance(many, list) else [many]
        if not record.text("input") or not all(isinstance(t, str) for t in texts):
            raise InputError(f"{record.place}: it must have text in `input` and `paraphrase`; mend the line.")
        offered.setdefault(record.text("input"), []).extend(t.strip() for t in texts)
    return offered


def from_model(examples: Sequence[Example], how: Paraphraser, batch: int = 16) -> dict[str, list[str]]:
    """Paraphrases by input from a causal language model, sampled; the first line of each answer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(how.source, padding_side="left")
        model = AutoModelForCausalLM.from_pretrained(how.source, dtype="auto").eval()
    except (OSError, ValueError, KeyError) as error:
        why = reason(error)
        raise InputError(
            f"paraphrase model {how.source!r} could not be loaded ({why}): check its name and the network."
        ) from None
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    offered: dict[str, list[str]] = {e.input: [] for e in examples}
    torch.manual_seed(how.seed)
    for start in tqdm(range(0, len(examples), batch), desc="paraphrases", delay=2):
        part = [e.input for e in examples[start : start + batch]]
        encoded = tokenizer(
            [ask(tokenizer, text) for text in part],
            return_tensors="pt",
            padding=True,
            add_special_tokens=not tokenizer.chat_template,  # the chat form has its own
        )
        encoded.pop("token_type_ids", None)  # some tokenizers make them, causal models take none
        room = 2 * max(len(tokenizer(text)["input_ids"]) for text in part) + 8
        with torch.inference_mode():
            tokens = model.generate(
                **encoded.to(model.device),
                do_sample=True,
                temperature=0.9,
                top_p=0.95,
                max_new_tokens=room,
                num_return_sequences=how.variants,
                pad_token_id=tokenizer.pad_token_id,
            )
        answers = tokenizer.batch_decode(tokens[:, encoded["input_ids"].shape[1] :], skip_special_tokens=True)
        for i, answer in enumerate(answers):
            lines = answer.strip().splitlines()
            offered[part[i // how.variants]].append(lines[0].strip() if lines else "")
    return offered


def ask(tokenizer: Any, text: str) -> str:
    """The request to the model, in its own chat form where it has one."""
    if tokenizer.chat_template:
        messages = [{"role": "user", "content": INSTRUCTION + text}]
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    return f"{INSTRUCTION}Text: {text}\nIn other words:"


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write JSON lines whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    os.replace(part, path)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"paraphrase file {path} cannot be read ({error.strerror}): check the path."
        ) from None
