"""What a machine may lack that libraries take for granted: a home folder, room for temporary files, UTF-8."""

import os
import pwd
import shutil
import tempfile
from pathlib import Path

from ccutils.records import check_results_folder

ROOM = 20 * 2**20  # bytes; what libraries write to a home and a temporary folder in a run is less
CACHES = {"HF_HOME": ".cache/huggingface", "CCUTILS_CACHE": ".cache/ccutils"}
"""Where models are kept below a home folder: they can be read where nothing can be written."""


def settle(results: Path) -> list[str]:
    """Let this process, and those it starts, do without a home and a temporary folder that can be used.

    Then folders of the results folder are taken in their place; a sentence says so for each. Raises
    InputError where that cannot be written to either.
    """
    os.environ["PYTHONUTF8"] = "1"  # for what it starts: paths and texts are UTF-8 in any language setting
    notes = []
    home = Path(os.path.expanduser("~"))
    if has_room(home):
        os.environ.setdefault("HOME", str(home))
    else:
        own = make_folder(results, "home")
        for name, below in CACHES.items():
            if (home / below).is_dir():
                os.environ.setdefault(name, str(home / below))
        os.environ["HOME"] = str(own)
        if not has_room(Path(os.environ.get("XDG_CACHE_HOME", ""))):
            os.environ["XDG_CACHE_HOME"] = str(own / ".cache")
        notes.append(f"The home folder {home} cannot be written to: {own} is taken in its place.")
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:  # a container may run as a user that it does not know
        os.environ.setdefault("LOGNAME", "somebody")
    if not temporary_has_room():
        own = make_folder(results, "tmp")
        os.environ["TMPDIR"] = tempfile.tempdir = str(own)
        notes.append(
            f"The folder for temporary files is full or cannot be used: {own} is taken in its place."
        )
    return notes


def temporary_has_room() -> bool:
    """Tell whether there is room in the folder for temporary files; Python passes over a full one itself."""
    given = os.environ.get("TMPDIR")
    try:
        return has_room(Path(given or tempfile.gettempdir()))
    except FileNotFoundError:  # none can be written to at all
        return False


def has_room(folder: Path) -> bool:
    try:
        return os.access(folder, os.W_OK | os.X_OK) and shutil.disk_usage(folder).free >= ROOM
    except OSError:
        return False


def make_folder(results: Path, name: str) -> Path:
    check_results_folder(results)
    own = results / ".snakemake" / name
    own.mkdir(parents=True, exist_ok=True)
    return own
