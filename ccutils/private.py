"""Remove from notebooks and reports what must not be passed on: this machine's folders, and access tokens."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|API_?KEY|CREDENTIAL", re.I)
SECRET = re.compile(r"\bhf_[A-Za-z0-9]{20,}")  # access tokens of the Hub have this form
SHORTEST_SECRET = 8  # a shorter value may be any word
ABSOLUTE = re.compile(r"(?<![\w:/.~<])(?:/[^\s/'\"<>|,;:()\[\]{}\\&]+){2,}")
"""A path from the root folder of at least two names: not the end of a URL, nor of an HTML element."""


def hide_private(value: Any) -> Any:
    """Shorten paths of this machine to their last name in every text of JSON-like values, and mask secrets.

    >>> hide_private({"https://arxiv.org/abs/2604.01601": ["steps/second", 3]})
    {'https://arxiv.org/abs/2604.01601': ['steps/second', 3]}
    """
    named = [value for name, value in os.environ.items() if SECRET_NAME.search(name)]
    secrets = [secret for secret in named if len(secret) >= SHORTEST_SECRET]

    def hide(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: hide(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [hide(inner) for inner in value]
        if not isinstance(value, str):
            return value
        text = ABSOLUTE.sub(_last_name, value)
        for secret in secrets:
            text = text.replace(secret, "***")
        return SECRET.sub("***", text)

    return hide(value)


def _last_name(found: re.Match[str]) -> str:
    """Shorten a path that exists, or whose folder does, or that is at home; leave any other text."""
    path = Path(found[0].rstrip("."))
    try:
        there = path.exists() or path.parent.exists() or path.is_relative_to(Path.home())
    except OSError:  # a name that is too long for a path
        there = False
    return f"…/{path.name}{found[0][len(str(path)) :]}" if there else found[0]
