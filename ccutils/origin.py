"""Where a number comes from: code, machine, versions, date. Kept beside every run."""

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

COMMAND = "CCUTILS_COMMAND"
"""The variable of the environment in which the chain tells its processes the command that started it."""
PACKAGES = ("torch", "transformers", "trl", "peft", "bitsandbytes", "numpy", "pandas", "altair")
SWITCHES = ("ATEN_CPU_CAPABILITY", "MKL_CBWR", "OMP_NUM_THREADS")
"""Variables that change the last bits of a CPU's sums, and so where a chaotic training ends."""


def describe_origin() -> dict[str, str]:
    """Say where what is computed now comes from: commit, whether its files were changed, command, processor,
    versions, date, each as text.
    """
    versions = [f"python {sys.version.split()[0]}", *map(describe_version, PACKAGES)]
    return {
        "commit": read_commit(),
        "tree": describe_tree(),
        "command": os.environ.get(COMMAND, "none: a notebook or script by hand"),
        "processor": ", ".join([describe_processor(), *describe_cards()]),
        "versions": ", ".join(versions),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def describe_version(name: str) -> str:
    """Return a package's name and version, or that it is not there: a GPU's machine may draw no charts."""
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return f"{name} absent"


def read_commit() -> str:
    """Return the git commit of this code, or that it is no checkout."""
    found = ask_git("describe", "--always", "--dirty", "--abbrev=12")
    return "not a git checkout" if found is None else found


def describe_tree() -> str:
    """Say whether files differ from the commit's, new ones that git does not ignore included."""
    found = ask_git("status", "--porcelain")
    if found is None:
        return "not a git checkout"
    return f"{len(found.splitlines())} file(s) changed" if found else "unchanged"


def ask_git(*command: str) -> str | None:
    """Return what git says of this code; None where it is no checkout or there is no git."""
    root = Path(__file__).resolve().parents[1]
    try:
        done = subprocess.run(["git", "-C", str(root), *command], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_file(path: Path) -> str:
    """Return the first half of a file's checksum."""
    return checksum(path)[:32]


def hash_texts(texts: Iterable[Any]) -> str:
    """Return the same of JSON-like values."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(json.dumps(text).encode() + b"\n")
    return digest.hexdigest()[:32]


def describe_processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's name, its widest vectors, and what the environment forces upon it."""
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.exists() else ""
    name = re.search(r"^model name\s*: (.+)$", text, re.M)
    flags = next((flag for flag in ("avx512f", "avx2") if re.search(rf"\b{flag}\b", text)), "")
    forced = [f"{switch}={os.environ[switch]}" for switch in SWITCHES if switch in os.environ]
    return ", ".join(
        [name[1] if name else platform.processor() or platform.machine(), *filter(None, [flags]), *forced]
    )


def describe_cards() -> list[str]:
    """Return the GPU that this process computes on, if it has loaded torch and sees one."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name()]
