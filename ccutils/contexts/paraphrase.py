"""Paraphrases of the pool's inputs, for contrastive contexts: made once, cached, each with its kind told."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ccutils.contexts.paraphrase_rules import keeps, needed, rewrite
from ccutils.errors import InputError
from ccutils.records import write_whole
from ccutils.streams import Stream
from ccutils.tasks.base import Example, Paraphrase, Task
from ccutils.tasks.files import here, read_records, require, unusable

PARAPHRASERS = ("none", "rules", "noise", "model", "file", "task")
"""none: the input itself. rules: see paraphrase_rules. noise: a weak one, words give way to words of other
inputs. model: a language model: "smollm2", "gemma3-270m", a directory or a Hub id. file: JSON lines
with `input` and `paraphrase` (or `paraphrases`, a list). task: what the task itself has."""
LONGEST_RATIO = 3  # a model's paraphrase may be this many times as long as the input
RULES_VERSION = 2  # of the cache: raise it when the rules change


class Writer(Protocol):
    """What asks a language model for paraphrases: ccutils.models.write_paraphrases, for kind "model"."""

    def __call__(self, examples: Sequence[Example], how: "Paraphraser") -> Mapping[str, Sequence[str]]:
        """Ask for paraphrases; return them by input."""


@dataclass(frozen=True, slots=True)
class Paraphraser:
    """How paraphrases are made. `strength` (0 to 1) is that of rules, noise and task; `source` the model or
    the file, `frames` whether rules may put "please" and the like around (not for what is to be translated).

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
        if self.kind not in PARAPHRASERS:
            raise InputError(
                f"paraphraser {self.kind!r} does not exist: choose one of {', '.join(PARAPHRASERS)}."
            )
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
        """Return one paraphrase of an example's input; fits Task.paraphrase."""
        texts = self.texts[example.input]
        return texts[int(rng.integers(len(texts)))]

    def shares(self) -> dict[str, float]:
        """Return the share of inputs of each kind: what is not of the kind asked for fell back."""
        counts = Counter(self.kinds.values())
        return {kind: n / len(self.kinds) for kind, n in sorted(counts.items())}


def paraphrase(
    examples: Sequence[Example],
    how: Paraphraser,
    cache: Path,
    *,
    own: Paraphrase | None = None,
    write: Writer | None = None,
) -> Paraphrases:
    """Paraphrase every example's input, from the cache where they were made before.

    A paraphrase that loses a phrase which the label needs is not used. Where a model or a file gives none,
    rules are used, and where these change nothing, the input itself. `own` is Task.paraphrase, for kind
    "task"; `write` asks a model, for kind "model". Raises InputError for an unreadable model or file, or a
    task without paraphrases of its own.
    """
    check_paraphraser(how, own)
    recipe = {**asdict(how), "version": RULES_VERSION, "pairs": [[e.input, e.output] for e in examples]}
    if how.kind == "file":
        recipe["content"] = hashlib.sha256(_bytes(Path(how.source))).hexdigest()
    name = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]
    path = cache / f"paraphrases-{how.kind}-{name}.jsonl"
    if not path.exists():
        rows = make_rows(examples, how, own, write)
        write_whole(path, "".join(json.dumps(row) + "\n" for row in rows))
    records = read_records(path) if examples else []
    return Paraphrases(
        {str(r.values["input"]): tuple(r.values["paraphrases"]) for r in records},
        {str(r.values["input"]): str(r.values["kind"]) for r in records},
    )


def check_paraphraser(how: Paraphraser, own: Paraphrase | None) -> None:
    """Raise InputError for a task without paraphrases of its own, or a file that cannot be read."""
    if how.kind == "task" and own is None:
        raise InputError("paraphraser 'task': this task has no paraphrases of its own; choose another.")
    if how.kind == "file":
        _bytes(Path(how.source))


def choose_paraphraser(
    task: Task, *, kind: str = "auto", strength: float = 0.5, source: str = "", seed: int = 0
) -> Paraphraser:
    """Choose the paraphraser by its kind; "auto" is the task's own where it has one, else rules.

    Raises InputError for values that cannot be, and for what this task does not have.
    """
    own = "task" if task.paraphrase else "rules"
    kind = own if kind == "auto" else kind
    how = Paraphraser(kind, strength, source, task.language, task.frames, seed=seed)
    check_paraphraser(how, task.paraphrase)
    return how


def paraphrase_pool(task: Task, how: Paraphraser, cache: Path, write: Writer | None = None) -> Paraphrases:
    """Paraphrase the inputs of a task's pool, as `paraphrase` does."""
    return paraphrase(task.pool, how, cache, own=task.paraphrase, write=write)


def make_rows(
    examples: Sequence[Example], how: Paraphraser, own: Paraphrase | None, write: Writer | None
) -> list[dict[str, Any]]:
    """Return one row for each different input: input, paraphrases, kind."""
    distinct = list({e.input: e for e in examples}.values())
    offered: Mapping[str, Sequence[str]] = {}
    if how.kind == "file":
        offered = from_file(Path(how.source))
    elif how.kind == "model":
        if write is None:
            raise InputError("paraphraser 'model' needs what asks it: pass ccutils.models.write_paraphrases.")
        offered = write(distinct, how)
    rng = np.random.default_rng([how.seed, Stream.PARAPHRASES])
    rows = []
    for e in distinct:
        phrases = needed(e.input, e.output)
        texts = [t for t in dict.fromkeys(offered.get(e.input, ())) if usable(t, e.input, phrases)]
        kind = how.kind
        if how.kind == "task" and own is not None:
            texts = [own(e, how.strength, rng) for _ in range(how.variants)]
        elif how.kind == "noise":
            texts = [disturb(e.input, how.strength, distinct, rng) for _ in range(how.variants)]
        elif not texts and how.kind != "none":
            made = (
                rewrite(
                    e.input,
                    e.output,
                    strength=how.strength,
                    language=how.language,
                    rng=rng,
                    frames=how.frames,
                )
                for _ in range(how.variants)
            )
            texts = [t for t in dict.fromkeys(made) if t.split() != e.input.split() and keeps(t, phrases)]
            kind = "rules"
        if not texts:
            texts, kind = [e.input], "none"
        rows.append({"input": e.input, "paraphrases": texts[: how.variants], "kind": kind})
    return rows


def disturb(text: str, strength: float, among: Sequence[Example], rng: np.random.Generator) -> str:
    """Put random words of other inputs in the place of a share `strength` of a text's words: the weak
    paraphraser, to be set against a strong one.
    """
    words = text.split()
    for place in rng.permutation(len(words))[: round(strength * len(words))]:
        words[place] = str(rng.choice(among[int(rng.integers(len(among)))].input.split() or [""]))
    return " ".join(words)


def usable(text: str, original: str, phrases: list[str]) -> bool:
    """Tell whether an offered text is one line, not the input itself, not too long, and keeps the phrases."""
    return (
        bool(text.encode("utf-8", "ignore").strip())
        and not unusable(text)
        and len(text.splitlines()) == 1
        and text.split() != original.split()
        and len(text) <= LONGEST_RATIO * len(original) + 20
        and keeps(text, phrases)
    )


def from_file(path: Path) -> dict[str, list[str]]:
    """Read paraphrases by input from JSON lines prepared elsewhere."""
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


def _bytes(path: Path) -> bytes:
    try:
        return here(path).read_bytes()
    except OSError as error:
        raise InputError(
            f"paraphrase file {path} cannot be read ({error.strerror}): check the path."
        ) from None
