"""Run Snakemake, which exits with its parent (`python -m ccutils.chain.graph OPTIONS`); list its inputs."""

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ccutils.chain.holding import end_with_parent

PATTERN = re.compile(r"[{}<>]")  # {wildcard} and <pathvar>, which cannot be escaped in Snakemake


def data_files(options: Mapping[str, Any]) -> list[Path]:
    """List the data files of a task's options: files, and files inside folders, without hidden ones.

    Only absolute paths count: `profiles.from_root` makes paths in a profile absolute if they exist.
    """
    found = set()
    for value in options.values():
        path = Path(os.path.expanduser(value)) if isinstance(value, str) else Path()
        if path.is_absolute():
            files = path.rglob("*") if path.is_dir() else [path]
            found |= {file for file in files if file.is_file() and "/." not in str(file)[len(str(path)) :]}
    return sorted(found)


def watchable(path: Path) -> str:
    """Convert a path to an input of Snakemake: a link if Snakemake would read the path as a pattern."""
    if not PATTERN.search(str(path)):
        return str(path)
    link = Path(".snakemake", "paths", hashlib.sha256(str(path).encode()).hexdigest()[:16] + path.suffix)
    if not link.is_symlink():  # created once: a new link would be newer than its outputs
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
    return str(link)


if __name__ == "__main__":
    end_with_parent()
    from snakemake.cli import main

    main()
