"""Paraphrases of the pool's inputs, for contrastive contexts: written once, cached, each with its kind."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ccutils.contexts.paraphrase_rules import keeps, needed, rewrite
from ccutils.errors import InputError, check_choices
from ccutils.records import write_whole
from ccutils.streams import Stream
from ccutils.tasks.base import Example, Paraphrase, Task
from ccutils.tasks.files import here, read_records, require, unusable

PARAPHRASERS = ("none", "rules", "noise", "model", "file", "task")
"""none: the input itself. rules: see paraphrase_rules. noise: a weak one, with random words of other
inputs. model: a language model: "smollm2", "gemma3-270m", a folder or a Hub id. file: JSON lines with
`input` and `paraphrase` (or `paraphrases`, a list). task: the task's own."""
LONGEST_RATIO = 3  # a model's paraphrase may be this many times as long as the input
RULES_VERSION = 2  # of the cache: raise it when the rules change


class Writer(Protocol):
    """Asks a language model for paraphrases, for kind "model": ccutils.models.write_paraphrases."""

    def __call__(self, examples: Sequence[Example], how: "Paraphraser") -> Mapping[str, Sequence[str]]:
        """Ask for paraphrases; return them by input."""


@dataclass(frozen=True, slots=True)
class Paraphraser:
    """How to paraphrase. `strength` (0 to 1) applies to rules, noise and task; `source` is the model or the
    file, `frames` whether rules may add "please" and the like (not for text to be translated).

    Raises InputError for values out of range.
    """

    kind: str = "rules"
    strength: float = 0.5
    source: str = ""
    language: str = "en"
    frames: bool = True
    variants: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        check_choices(paraphraser=(self.kind, PARAPHRASERS))
        if not 0 <= self.strength <= 1:
            raise InputError(f"paraphrase strength is {self.strength}: it must lie between 0 and 1.")
        if self.variants < 1:
            raise InputError(f"paraphrase variants is {self.variants}: it must be at least 1.")
        if self.kind in ("model", "file") and not self.source:
            raise InputError(f"paraphraser {self.kind!r} needs a source: name the {self.kind}.")


@dataclass(frozen=True, slots=True)
class Paraphrases:
    """The paraphrases of each input, and their kind."""

    texts: Mapping[str, tuple[str, ...]]
    kinds: Mapping[str, str]

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> "Paraphrases":
        """Collect the rows of `make_rows`."""
        rows = list(rows)
        texts = {str(row["input"]): tuple(row["paraphrases"]) for row in rows}
        return cls(texts, {str(row["input"]): str(row["kind"]) for row in rows})

    def pick(self, example: Example, rng: np.random.Generator) -> str:
        """Choose one paraphrase of an example's input; fits Task.paraphrase."""
        texts = self.texts[example.input]
        return texts[int(rng.integers(len(texts)))]

    def shares(self) -> dict[str, float]:
        """Compute the share of inputs by kind; kinds other than the requested one are fallbacks."""
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
    """Paraphrase every example's input, or load the paraphrases from the cache.

    A paraphrase that loses a phrase which the label needs is not used. If a model or a file offers none,
    rules are used, and if these change nothing, the input itself. `own` is Task.paraphrase, for kind "task";
    `write` asks a model, for kind "model". Raises InputError for an unreadable model or file, or a task
    without paraphrases of its own.
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
    return Paraphrases.of(record.values for record in (read_records(path) if examples else []))


def check_paraphraser(how: Paraphraser, own: Paraphrase | None) -> None:
    """Raise InputError for a task without paraphrases of its own, or a file that cannot be read."""
    if how.kind == "task" and own is None:
        raise InputError("paraphraser 'task': this task has no paraphrases of its own; choose another.")
    if how.kind == "file":
        _bytes(Path(how.source))


def choose_paraphraser(
    task: Task, *, kind: str = "auto", strength: float = 0.5, source: str = "", seed: int = 0
) -> Paraphraser:
    """Choose the paraphraser by its kind; "auto" is the task's own if it has one, else rules.

    Raises InputError for values out of range, and for a kind that this task does not have.
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
    examples: Sequence[Example], how: Paraphraser, own: Paraphrase | None = None, write: Writer | None = None
) -> list[dict[str, Any]]:
    """Paraphrase each different input: one row with input, paraphrases and kind."""
    distinct = list({e.input: e for e in examples}.values())
    offered: Mapping[str, Sequence[str]] = {}
    if how.kind == "file":
        offered = from_file(Path(how.source))
    elif how.kind == "model":
        if write is None:
            raise InputError(
                "paraphraser 'model' needs a writer: pass write=ccutils.models.write_paraphrases."
            )
        offered = write(distinct, how)
    rng = np.random.default_rng([how.seed, Stream.PARAPHRASES])
    rows = []
    for e in distinct:
        kind, phrases, variants = how.kind, needed(e.input, e.output), range(how.variants)
        texts = [t for t in dict.fromkeys(offered.get(e.input, ())) if usable(t, e.input, phrases)]
        if kind == "task" and own is not None:
            texts = [own(e, how.strength, rng) for _ in variants]
        elif kind == "noise":
            texts = [disturb(e.input, how.strength, distinct, rng) for _ in variants]
        elif not texts and kind != "none":
            kind = "rules"
            made = dict.fromkeys(
                rewrite(e.input, e.output, how.strength, how.language, rng, frames=how.frames)
                for _ in variants
            )
            texts = [t for t in made if t.split() != e.input.split() and keeps(t, phrases)]
        if not texts:
            texts, kind = [e.input], "none"
        rows.append({"input": e.input, "paraphrases": texts[: how.variants], "kind": kind})
    return rows


def disturb(text: str, strength: float, among: Sequence[Example], rng: np.random.Generator) -> str:
    """Replace a share `strength` of a text's words by random words of other inputs: a weak paraphraser."""
    words = text.split()
    for place in rng.permutation(len(words))[: round(strength * len(words))]:
        words[place] = str(rng.choice(among[int(rng.integers(len(among)))].input.split() or [""]))
    return " ".join(words)


def usable(text: str, original: str, phrases: list[str]) -> bool:
    """Check that an offered text is one line, not the input itself, not too long, and keeps the phrases."""
    return (
        bool(text.encode("utf-8", "ignore").strip())
        and not unusable(text)
        and len(text.splitlines()) == 1
        and text.split() != original.split()
        and len(text) <= LONGEST_RATIO * len(original) + 20
        and keeps(text, phrases)
    )


def from_file(path: Path) -> dict[str, list[str]]:
    """Read paraphrases by input from a file of JSON lines."""
    records = read_records(path)
    require(records, ["input"], str(path))
    offered: dict[str, list[str]] = {}
    for record in records:
        many = record.values.get("paraphrases", record.values.get("paraphrase"))
        texts = many if isinstance(many, list) else [many]
        if not record.text("input") or not all(isinstance(t, str) for t in texts):
            raise InputError(f"{record.place}: `input` and `paraphrase` must be text; correct the line.")
        offered.setdefault(record.text("input"), []).extend(t.strip() for t in texts)
    return offered


def _bytes(path: Path) -> bytes:
    try:
        return here(path).read_bytes()
    except OSError as error:
        raise InputError(
            f"paraphrase file {path} cannot be read ({error.strerror}): check the path."
        ) from None
