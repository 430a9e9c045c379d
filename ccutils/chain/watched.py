"""What Snakemake watches: the data files of a task, and paths in a form that it takes as they are."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ccutils.tasks.files import here

LINKS = Path(".snakemake") / "paths"
"""In a results folder: links to paths that Snakemake would read as patterns."""
PATTERN = re.compile(r"[{}<>]")  # {wildcard} and <pathvar>, which it lets nobody escape


def data_files(options: Mapping[str, Any]) -> list[Path]:
    """Return the files that the options of a task name, and those in the folders that they name, in order.

    A profile's paths that exist are absolute (`profiles.from_root`); no other text is taken for one. Hidden
    files are left out.
    """
    found = set()
    for value in options.values():
        path = here(value) if isinstance(value, str) else Path()
        if not path.is_absolute():
            continue
        inside = path.rglob("*") if path.is_dir() else [path]
        found |= {file for file in inside if file.is_file() and not hidden(file.relative_to(path))}
    return sorted(found)


def hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def watchable(path: Path) -> str:
    """Return a path for Snakemake's inputs: itself, or a link from the working folder where it has braces."""
    if not PATTERN.search(str(path)):
        return str(path)
    link = LINKS / (hashlib.sha256(str(path).encode()).hexdigest()[:16] + path.suffix)
    if not link.is_symlink():  # made once: a new one would be newer than what was made of it
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
    return str(link)
