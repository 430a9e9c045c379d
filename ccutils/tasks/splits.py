"""Splits: sets that share no near-duplicate inputs, groups held out for OOD, and a task's final sets."""

import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ccutils.errors import InputError
from ccutils.tasks.base import INVISIBLE, Example, label_key
from ccutils.tasks.files import Report, first_few

SENTENCE_MARKS = r"[.,;:!?…。、।\"“”„«»]"
AT_EDGES = re.compile(
    rf"(?<=[^\W\d_]){SENTENCE_MARKS}+(?=\s|$)"  # behind a word; `3.5`, `f(x)`, `5!`, `.5` stay
    r"|(?<=\d)[.?]+$"  # at the end of a sentence that ends in a number
    rf"|(?<=[^\W\d_])\s+{SENTENCE_MARKS}+$"  # the same, written apart
    r"|(?:(?<=\s)|^)[¿¡\"“”„«»]+(?=[^\W\d_])"
)
"""Sentence marks, which `normalise` removes."""


def normalise(text: str) -> str:
    """Remove case, letter width, sentence marks, repeated spaces and invisible marks from a text.

    Texts equal in this form are near-duplicates. Signs count, since `2 + 3` is not `2 - 3`, nor C++ C#, nor
    one emoji another; so do combining marks, with which Tamil and Hindi write vowels, and raised digits.

    >>> normalise("Call, MY mother!") == normalise("call my mother")
    True
    """
    narrow = "".join(
        unicodedata.normalize("NFKC", c) if unicodedata.decomposition(c)[:6] in ("<wide>", "<narro") else c
        for c in text.translate(INVISIBLE)
    )
    folded = " ".join(unicodedata.normalize("NFC", narrow).casefold().split())
    if re.search(r"[^\W\d_]{2}", folded):  # a sentence may end in `7!`, a sum may not lose it
        folded = re.sub(r"(?<=\d)!+$", "", folded)
    return AT_EDGES.sub("", folded) or folded


def keep_apart(
    sets: Mapping[str, Sequence[Example]], place: Callable[[Example], str] = lambda e: ""
) -> tuple[dict[str, list[Example]], dict[str, int]]:
    """Drop every example whose normalised input came before, in this set or an earlier one.

    Name the test sets first, so that the pools lose the duplicates. `place` distinguishes inputs with equal
    words, such as one question to two databases. Returns the sets, and the counts
    `near_duplicates_dropped_<name>` and `of_them_with_another_output`; the latter are listed in a warning.
    """
    seen: dict[tuple[str, str], Example] = {}
    kept: dict[str, list[Example]] = {}
    others: list[str] = []
    for name, examples in sets.items():
        kept[name] = []
        for example in examples:
            first = seen.setdefault((place(example), normalise(example.input)), example)
            if first is example:
                kept[name].append(example)
            elif label_key(first.output) != label_key(example.output):
                others.append(f"{example.input[:60]!r} ({example.output[:40]}; kept: {first.output[:40]})")
    dropped = {f"near_duplicates_dropped_{n}": len(sets[n]) - len(kept[n]) for n in sets}
    if others:
        dropped["of_them_with_another_output"] = len(others)
        warnings.warn(
            f"{len(others)} rows repeat the input of another row with another output and are left out: "
            f"{first_few(others)}",
            stacklevel=3,
        )
    return kept, dropped


def four_sets(
    train: Sequence[Example],
    test: Sequence[Example],
    held: Collection[str],
    rng: np.random.Generator,
    place: Callable[[Example], str] = lambda e: "",
) -> tuple[dict[str, list[Example]], dict[str, int]]:
    """Split rows into tests and pools, OOD for groups in `held`; see `divide` and `keep_apart`."""

    def tests_and_pool(ood: bool) -> tuple[list[Example], list[Example]]:
        rows, tests = ([e for e in part if (e.group in held) == ood] for part in (train, test))
        return divide(rows, tests, rng)

    (id_test, pool), (ood_test, ood_pool) = tests_and_pool(False), tests_and_pool(True)
    sets = {"id_test": id_test, "ood_test": ood_test, "ood_pool": ood_pool, "pool": pool}
    return keep_apart(sets, place)


def merge_labels(labels: Sequence[str]) -> dict[str, str]:
    """Map each label to the most frequent spelling of its class; labels with the same `label_key` are one.

    If labels repeat (a classification), warns of merged spellings, and of labels that differ only in case.
    """
    spellings: dict[str, list[str]] = {}
    for label, _ in Counter(labels).most_common():
        spellings.setdefault(label_key(label), []).append(label)
    if is_classification(spellings, len(labels)):
        cases: dict[str, list[str]] = {}
        for label in spellings:
            cases.setdefault(label.casefold(), []).append(label)
        warn_of_labels(
            "counted as one class (they differ only in white space, invisible characters or Unicode form)",
            spellings.values(),
            ascii,
        )
        warn_of_labels("kept apart although they differ only in case", cases.values(), repr)
    return {label: alike[0] for alike in spellings.values() for label in alike}


def is_classification(classes: Collection[str], n: int) -> bool:
    """Check whether the outputs of n rows repeat enough to be classes: at least two rows a class."""
    return 2 <= len(classes) <= n / 2


def warn_of_labels(what: str, groups: Iterable[Sequence[str]], show: Callable[[str], str]) -> None:
    """Warn of each group of two or more labels, formatted by `show`."""
    several = [" and ".join(map(show, labels)) for labels in groups if len(labels) > 1]
    if several:
        warnings.warn(f"Labels {what}: {first_few(several, 20)}", stacklevel=4)


def take(examples: Sequence[Example], size: int, rng: np.random.Generator) -> list[Example]:
    """Draw `size` of the examples, or all if there are fewer, in random order."""
    return [examples[i] for i in rng.permutation(len(examples))[:size]]


def divide(
    train: Sequence[Example], test: Sequence[Example], rng: np.random.Generator
) -> tuple[list[Example], list[Example]]:
    """Return test set and pool: as given if both have examples, else a random fifth of all and the rest."""
    if train and test:
        return list(test), list(train)
    every = take([*train, *test], len(train) + len(test), rng)
    n = round(len(every) / 5)
    return every[:n], every[n:]


def common_words(texts: Iterable[str], n: int = 4200) -> list[str]:
    """List the `n` most frequent words, the same for all seeds, so that they share one tiny base."""
    counts = Counter(word for text in texts for word in re.findall(r"\w+(?:[.'’_-]\w+)*|[^\w\s]", text))
    return [word for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:n]]


def hold_out(
    groups: Mapping[str, int], share: float, rng: np.random.Generator, *, cause: str = ""
) -> set[str]:
    """Draw groups until they have `share` of the examples: at least one, never all.

    `groups` maps each group to its number of examples. Raises InputError, with `cause`, if there are fewer
    than two groups.
    """
    if len(groups) < 2:
        why = f"; {cause}" if cause else ""
        raise InputError(
            f"there are {len(groups)} groups: an OOD set needs at least two to hold one out{why}."
        )
    wanted, held, order = share * sum(groups.values()), set[str](), sorted(groups)
    for i in rng.permutation(len(order))[: len(order) - 1]:
        if held and sum(groups[g] for g in held) >= wanted:
            break
        held.add(order[i])
    return held


def check_sizes(**sizes: int) -> None:
    """Raise InputError for a size below 1, naming the parameter."""
    for name, value in sizes.items():
        if value < 1:
            raise InputError(f"{name} is {value}: it must be at least 1.")


def check_share(**shares: float) -> None:
    """Raise InputError for a share outside (0, 1), naming the parameter."""
    for name, value in shares.items():
        if not 0 < value < 1:
            raise InputError(f"{name} is {value}: it must lie between 0 and 1.")


def draw_task(
    name: str,
    sets: Mapping[str, Sequence[Example]],
    dropped: Mapping[str, int],
    report: Report,
    *,
    sizes: Mapping[str, int],
    fixed: np.random.Generator,
    rng: np.random.Generator,
    facts: Mapping[str, str | int],
    advice: str,
    needed: Collection[str] = ("pool", "id_test", "ood_test", "ood_pool"),
    draw: Callable[[Sequence[Example], int, np.random.Generator], list[Example]] = take,
) -> dict[str, Any]:
    """Draw a task's sets of at most `sizes` (without a size: all), as keyword arguments of Task.

    The tests are drawn by `fixed`, which is the same for every seed, the pools by `rng`. Adds what `report`
    and `dropped` (from `keep_apart`) count to the facts. Raises InputError, with `advice`, if a `needed` set
    is empty.
    """
    drawn = {
        part: draw(sets[part], sizes.get(part, len(sets[part])), fixed if part.endswith("test") else rng)
        for part in ("pool", "ood_pool", "id_test", "ood_test")
    }
    n = sum(number for what, number in dropped.items() if what.startswith("near_duplicates"))
    why = f", since {n} rows repeat the input of another and were dropped" if n else ""
    cause = f" ({report.cause()})" if report.cause() else ""
    for part in needed:
        if not drawn[part]:
            raise InputError(f"task {name!r} has no examples left for {part}{why}: {advice}{cause}.")
    return {"name": name, **drawn, "facts": {**facts, **report.facts(), **dropped}}
