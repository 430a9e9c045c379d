"""The grammar of task `requests`: intents, lines with alternatives, slots and their fillers."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import product

import numpy as np
import yaml

from ccutils.tasks.brackets import Node

SIDES = ("pool", "test")
"""Each line and filler belongs to one side: a test input shares no filler with a pool input."""
CHOICE, SLOT = re.compile(r"\(([^()]*)\)"), re.compile(r"\{(?:(\w+):)?(\w+)\}")
ARTICLE = re.compile(r"\ba(?= [aeioAEIO])")
SLOT_ORDER = "~"  # begins a line that is an order
ASKED = ("please {}", "{} please", "can you {}", "could you {}", "I'd like you to {}", "hey, {}")
SAID = ("hey, {}", "ok, {}", "so, {}")
PLAIN = 0.5
"""Share of requests without a frame; otherwise an order has one of ASKED, any other line one of SAID."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an intent: its wordings, with slots, and whether it is an order."""

    wordings: tuple[str, ...]
    order: bool


@dataclass(frozen=True, slots=True)
class Intent:
    """An intent, its domain, and its lines by side."""

    name: str
    domain: str
    lines: Mapping[str, tuple[Line, ...]]


@dataclass(frozen=True, slots=True)
class Grammar:
    """Fillers of each slot by side, and all intents."""

    slots: Mapping[str, Mapping[str, tuple[str, ...]]]
    intents: tuple[Intent, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """One request: its text, the number of its line on its side, its slots' names and fillers in order."""

    text: str
    line: int
    slots: tuple[tuple[str, str], ...]


@lru_cache(maxsize=1)
def read_grammar() -> Grammar:
    """Read requests.yaml."""
    table = yaml.safe_load((files("ccutils.tasks") / "requests.yaml").read_text(encoding="utf-8"))
    slots = {
        name: {side: tuple(map(str, fillers[side])) for side in SIDES}
        for name, fillers in table["slots"].items()
    }
    intents = [
        Intent(name, domain, {side: tuple(map(read_line, lines[side])) for side in SIDES})
        for domain, group in table["domains"].items()
        for name, lines in group.items()
    ]
    return Grammar(slots, tuple(intents))


def read_line(text: str) -> Line:
    """Read a line of the table.

    >>> read_line("~(set|make) an alarm( now|)").wordings
    ('set an alarm now', 'set an alarm', 'make an alarm now', 'make an alarm')
    """
    return Line(tuple(dict.fromkeys(expand(text.removeprefix(SLOT_ORDER)))), text.startswith(SLOT_ORDER))


def expand(text: str) -> Iterator[str]:
    """Yield every wording of a text with choices; the last choice varies fastest."""
    parts = CHOICE.split(text)  # text and choices by turns
    for chosen in product(*(part.split("|") if i % 2 else [part] for i, part in enumerate(parts))):
        yield " ".join("".join(chosen).split())


def slots_of(wording: str) -> list[tuple[str, str]]:
    """List a wording's slots in order: the name of each, and the slot whose fillers it has."""
    return [(name or kind, kind) for name, kind in SLOT.findall(wording)]


def draw_request(
    grammar: Grammar, intent: Intent, side: str, rng: np.random.Generator, *, lines: str = ""
) -> Request:
    """Draw a request of an intent: a line, a wording, different fillers, and a frame.

    Fillers are of `side`; so is the line, unless `lines` names the other.
    """
    among = intent.lines[lines or side]
    at = int(rng.integers(len(among)))
    line = among[at]
    wording = pick(line.wordings, rng)
    given: dict[str, str] = {}
    for name, kind in slots_of(wording):
        free = [filler for filler in grammar.slots[kind][side] if filler not in given.values()]
        given[name] = pick(free, rng)
    text = put_frame(fill(wording, given), line, rng)
    return Request(text, at, tuple((name, given[name]) for name, _ in slots_of(wording)))


def fill(wording: str, given: Mapping[str, str]) -> str:
    """Fill the slots of a wording by name; "a" becomes "an" before a vowel."""
    return ARTICLE.sub("an", SLOT.sub(lambda match: given[match[1] or match[2]], wording))


def put_frame(text: str, line: Line, rng: np.random.Generator) -> str:
    """Put a frame of politeness or speech around a text, or none."""
    if rng.random() < PLAIN:
        return text
    return pick(ASKED if line.order else SAID, rng).format(text)


def pick(texts: Sequence[str], rng: np.random.Generator) -> str:
    """Pick a text uniformly; faster than `rng.choice`, which builds an array."""
    return texts[int(rng.integers(len(texts)))]


def other_wording(intent: Intent, given: Mapping[str, str], text: str, rng: np.random.Generator) -> str:
    """Reword a request of the pool's side: a wording of any line with the same slots, in any frame.

    Returns the text itself if twenty tries give no other.
    """
    same = [
        (line, wording)
        for line in intent.lines["pool"]
        for wording in line.wordings
        if sorted(name for name, _ in slots_of(wording)) == sorted(given)
    ]
    for _ in range(20 if same else 0):
        line, wording = same[int(rng.integers(len(same)))]
        new = put_frame(fill(wording, given), line, rng)
        if new != text:
            return new
    return text


def short_parse(intent: str, slots: tuple[tuple[str, str], ...]) -> Node:
    """Make a request's logical form in MTOP's notation: the intent, then its slots with their words."""
    inner = (Node(f"SL:{name.upper()}", tuple(words.split())) for name, words in slots)
    return Node(f"IN:{intent.upper()}", tuple(inner))
