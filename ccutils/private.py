"""What a notebook or report shall not tell where it is passed on: this machine's folders, and secrets."""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[1]
SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|API_?KEY|CREDENTIAL", re.I)
SECRET = re.compile(r"\bhf_[A-Za-z0-9]{20,}")  # the Hub's tokens, known by their form
NAME_ENDS = r"(?![\w-]|\.\w)"  # what was matched is not the beginning of another name
SHORTEST_SECRET = 8  # a shorter value may be any word
ABSOLUTE = re.compile(r"(?<![\w:/.~<])(?:/[^\s/'\"<>|,;:()\[\]{}\\&]+){2,}")
"""A path from the root folder of at least two names: not the end of a URL, nor of an HTML element."""


def hide_private(known: Mapping[str, str]) -> Callable[[str], str]:
    """Return a function that takes out of a text what is this machine's.

    `known` says what to write for some folders. Of any other path that exists here its last name is left, and
    for the home folder `~` is written. Values of variables of the environment that are secrets by their name
    become `***`.

    >>> hide_private({"/data/ours/run 1": "run 1"})("in /data/ours/run 1/report.html")
    'in run 1/report.html'
    """
    secrets = [value for name, value in os.environ.items() if SECRET_NAME.search(name)]
    secrets = [value for value in secrets if len(value) >= SHORTEST_SECRET]
    words = {folder.rstrip("/"): word for folder, word in known.items() if folder.rstrip("/")}
    folders = _any_of(words, NAME_ENDS)
    home = os.environ.get("HOME", "").rstrip("/")
    at_home, hidden = _any_of([home] if home else [], NAME_ENDS), _any_of(secrets, "")

    def public(text: str) -> str:
        text = folders.sub(lambda found: words[found[0]], text)
        text = at_home.sub("~", ABSOLUTE.sub(_last_name, text))
        return SECRET.sub("***", hidden.sub("***", text))

    return public


def _any_of(texts: Iterable[str], end: str) -> re.Pattern[str]:
    """Return a pattern of any of the texts, the longest first; of none it matches nothing."""
    ordered = sorted(texts, key=len, reverse=True)  # a folder before the one that holds it
    return re.compile(f"(?:{'|'.join(map(re.escape, ordered))}){end}" if ordered else r"(?!)")


def _last_name(found: re.Match[str]) -> str:
    """Return the last name of a path that exists, or whose folder does; else the text as it is."""
    path = Path(found[0].rstrip("."))
    try:
        there = path.exists() or path.parent.exists()
    except OSError:  # a name that is too long for a path is none
        there = False
    return f"…/{path.name}{found[0][len(str(path)) :]}" if there else found[0]


def in_all_texts(value: Any, change: Callable[[str], str]) -> Any:
    """Return JSON-like values with every text in them changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {name: in_all_texts(inner, change) for name, inner in value.items()}
    return [in_all_texts(inner, change) for inner in value] if isinstance(value, list) else value


def folders_in(values: Any, root: str = ".") -> dict[str, str]:
    """Return what to write for the absolute paths among JSON-like values: the last name of each.

    For the repository, and so for paths in it, `root` is written.
    """
    found = {str(CHECKOUT): root}

    def look(value: str) -> str:
        path = Path(value)
        if path.is_absolute() and path.name and not path.is_relative_to(CHECKOUT):
            found[value] = path.name
        return value

    in_all_texts(values, look)
    return found
