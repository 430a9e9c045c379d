"""Paraphrases without a model: synonyms, frames and spellings that keep the phrases the label needs."""

import math
import re
from collections.abc import Callable
from itertools import pairwise

import numpy as np

SYNONYMS: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {
        "what is": ("what's",),
        "what's": ("what is",),
        "what are": ("tell me",),
        "give me": ("show me", "list"),
        "show me": ("give me", "list"),
        "tell me": ("let me know", "say"),
        "how many": ("what number of",),
        "number of": ("count of",),
        "which": ("what",),
        "largest": ("biggest",),
        "biggest": ("largest",),
        "big": ("large",),
        "start": ("begin",),
        "delete": ("remove", "erase"),
        "remove": ("delete",),
        "create": ("make",),
        "set up": ("create",),
        "want": ("would like",),
        "need": ("require",),
        "can you": ("could you", "would you"),
        "said": ("stated",),
        "about": ("regarding",),
        "also": ("as well",),
        "however": ("but",),
    },
    "de": {"gib mir": ("zeig mir",), "zeig mir": ("gib mir",), "kannst du": ("könntest du",)},
    "es": {"dame": ("muéstrame",), "muéstrame": ("dame",), "puedes": ("podrías",)},
    "fr": {"donne-moi": ("montre-moi",), "montre-moi": ("donne-moi",), "peux-tu": ("pourrais-tu",)},
}
"""Phrases and their replacements, by language."""
FRAMES: dict[str, tuple[str, ...]] = {
    "en": ("please {}", "{} please", "well, {}", "ok, {}"),
    "de": ("bitte {}", "{} bitte", "also {}"),
    "es": ("por favor {}", "{} por favor", "a ver, {}"),
    "fr": ("s'il te plaît {}", "{} s'il te plaît", "alors {}"),
    "hi": ("कृपया {}",),
    "lt": ("prašau {}",),
    "ta": ("தயவுசெய்து {}",),
}
DROPPED: dict[str, frozenset[str]] = {
    "en": frozenset({"the", "a", "an", "please"}),
    "de": frozenset({"der", "die", "das", "bitte"}),
    "es": frozenset({"el", "la", "los", "las"}),
    "fr": frozenset({"le", "la", "les"}),
}
"""Words that a sentence can lose without a change of meaning."""

Edit = Callable[[list[str]], None]


def bare_word(word: str) -> str:
    """Lower-case a word and strip the punctuation around it."""
    return re.sub(r"^\W+|\W+$", "", word.lower())


def needed(text: str, label: str) -> list[str]:
    """Find phrases of `text` that a paraphrase must keep word for word.

    These are the words that also occur in the label (a slot's value, a literal, a name), runs of them if they
    are adjacent in the label, and words with a digit. In lower case, without punctuation.

    >>> needed("call Ann Lee at noon", "[IN:CREATE_CALL [SL:CONTACT Ann Lee ] ]")
    ['ann lee']
    """
    there = [bare_word(w) for w in re.findall(r"[^\s\[\]()'\"=;,<>]+", label.lower())]
    pairs, known = set(pairwise(there)), set(there)
    phrases: list[list[str]] = []
    linked = False
    for word in map(bare_word, text.split()):
        keep = bool(word) and (word in known or any(c.isdigit() for c in word))
        if keep and linked and (phrases[-1][-1], word) in pairs:
            phrases[-1].append(word)
        elif keep:
            phrases.append([word])
        linked = keep
    return [" ".join(phrase) for phrase in phrases]


def keeps(text: str, phrases: list[str]) -> bool:
    """Check that a text contains every phrase, word for word.

    >>> keeps("please ring Ann Lee", ["ann lee"]), keeps("please ring Lee", ["ann lee"])
    (True, False)
    """
    padded = f" {' '.join(w for w in map(bare_word, text.split()) if w)} "
    return all(f" {phrase} " in padded for phrase in phrases)


def rewrite(
    text: str, label: str, strength: float, language: str, rng: np.random.Generator, frames: bool = True
) -> str:
    """Reword a text, keeping the phrases that the label needs.

    `strength` 0 returns the text itself; up to 0.5 a growing share of the mild edits is applied (synonyms,
    dropped articles, the last punctuation, a frame if `frames`); beyond it all of those and a growing share
    of misspellings.
    """
    words = text.split()
    kept = {w for phrase in needed(text, label) for w in phrase.split()}
    free = [bool(bare_word(w)) and bare_word(w) not in kept for w in words]
    mild = mild_edits(words, free, language=language, rng=rng, frames=frames)
    chosen = some(mild, min(1.0, 2 * strength), rng)
    if strength > 0.5:
        typos = [
            misspell(i, rng)
            for i, w in enumerate(words)
            if free[i] and w.isalpha() and w.isascii() and len(w) > 3
        ]
        chosen = some(typos, 2 * strength - 1, rng) + chosen
    for edit in chosen:
        edit(words)
    return " ".join(" ".join(words).split())


def some(edits: list[Edit], share: float, rng: np.random.Generator) -> list[Edit]:
    """Choose a share of the edits at random, rounded up, in their own order, since frames come last."""
    n = math.ceil(share * len(edits))
    return [edits[i] for i in sorted(rng.permutation(len(edits))[:n])]


def mild_edits(
    words: list[str], free: list[bool], *, language: str, rng: np.random.Generator, frames: bool
) -> list[Edit]:
    """List every mild edit that the text allows; except for the frame, no two touch the same word."""
    edits: list[Edit] = []
    i = 0
    while i < len(words):
        for length in (2, 1):
            phrase = " ".join(bare_word(w) for w in words[i : i + length])
            others = SYNONYMS.get(language, {}).get(phrase, ())
            if others and i + length <= len(words) and all(free[i : i + length]):
                edits.append(make_edit(i, length, str(rng.choice(others))))
                i += length
                break
        else:
            if free[i] and bare_word(words[i]) in DROPPED.get(language, ()) and len(words) > 2:
                edits.append(make_edit(i, 1, ""))
            i += 1
    if words and words[-1][-1] in ".?!।":
        edits.append(lambda w: w.__setitem__(-1, w[-1].rstrip(".?!।")))
    if words and frames and language in FRAMES:
        frame = str(rng.choice(FRAMES[language]))
        edits.append(lambda w: around(w, frame))
    return edits


def make_edit(start: int, length: int, new: str) -> Edit:
    """Replace some words by others, keeping their indices and the punctuation around them."""

    def edit(words: list[str]) -> None:
        before = re.match(r"^\W*", words[start])
        after = re.search(r"\W*$", words[start + length - 1])
        head, tail = (before[0] if before else ""), (after[0] if after else "")
        capital = words[start][len(head) :][:1].isupper()
        words[start : start + length] = [""] * length
        words[start] = f"{head}{new[:1].upper() + new[1:] if capital else new}{tail}"

    return edit


def misspell(at: int, rng: np.random.Generator) -> Edit:
    """Swap two neighbouring letters inside a word."""

    def edit(words: list[str]) -> None:
        word = words[at]
        i = int(rng.integers(1, len(word) - 2))
        words[at] = word[:i] + word[i + 1] + word[i] + word[i + 2 :]

    return edit


def around(words: list[str], frame: str) -> None:
    """Put a frame around all the words, as one text at the index of the first."""
    text = frame.format(" ".join(w for w in words if w))
    words[:] = [text]
