"""Replace an unusable home folder or folder for temporary files, and set UTF-8 for child processes."""

import os
import pwd
import shutil
import tempfile
from pathlib import Path

from ccutils.records import check_results_folder

ROOM = 20 * 2**20  # bytes; in a run, libraries write less than this to a home or temporary folder
CACHES = {"HF_HOME": ".cache/huggingface", "CCUTILS_CACHE": ".cache/ccutils"}
"""Model caches in a home folder; they are used even if the folder is read-only."""


def settle(results: Path) -> list[str]:
    """Replace an unusable home or temporary folder, for this process and its children.

    Folders in the results folder replace them; returns one sentence for each. Raises InputError if the
    results folder is not writable either.
    """
    os.environ["PYTHONUTF8"] = "1"  # for children: paths and texts are UTF-8 in any language setting
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
        notes.append(f"The home folder {home} is full or not writable; using {own}.")
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:  # a container may run as a user without an entry in passwd
        os.environ.setdefault("LOGNAME", "somebody")
    try:  # Python ignores a full TMPDIR, other programs do not
        usable = has_room(Path(os.environ.get("TMPDIR") or tempfile.gettempdir()))
    except FileNotFoundError:  # no folder is writable
        usable = False
    if not usable:
        os.environ["TMPDIR"] = tempfile.tempdir = str(make_folder(results, "tmp"))
        notes.append(f"The folder for temporary files is full or not writable; using {tempfile.tempdir}.")
    return notes


def has_room(folder: Path) -> bool:
    """Check that a folder is writable and has ROOM bytes free."""
    try:
        return os.access(folder, os.W_OK | os.X_OK) and shutil.disk_usage(folder).free >= ROOM
    except OSError:
        return False


def make_folder(results: Path, name: str) -> Path:
    check_results_folder(results)
    own = results / ".snakemake" / name
    own.mkdir(parents=True, exist_ok=True)
    return own
