"""Where a number comes from: code, machine, versions, date. Kept beside every run."""

import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("torch", "transformers", "trl", "peft", "bitsandbytes", "numpy", "pandas", "altair")
SWITCHES = ("ATEN_CPU_CAPABILITY", "MKL_CBWR", "OMP_NUM_THREADS")
"""Variables that change the last bits of a CPU's sums, and so where a chaotic training ends."""


def describe_origin() -> dict[str, str]:
    """Say where what is computed now comes from: commit, processor, versions, date, each as text."""
    versions = [f"python {sys.version.split()[0]}", *(f"{name} {version(name)}" for name in PACKAGES)]
    return {
        "commit": read_commit(),
        "processor": describe_processor(),
        "versions": ", ".join(versions),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def read_commit() -> str:
    """Return the git commit of this code, or that it is no checkout."""
    root = Path(__file__).resolve().parents[1]
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "not a git checkout"


def describe_processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's name, its widest vectors, and what the environment forces upon it."""
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.exists() else ""
    name = re.search(r"^model name\s*: (.+)$", text, re.M)
    flags = next((flag for flag in ("avx512f", "avx2") if re.search(rf"\b{flag}\b", text)), "")
    forced = [f"{switch}={os.environ[switch]}" for switch in SWITCHES if switch in os.environ]
    return ", ".join(
        [name[1] if name else platform.processor() or platform.machine(), *filter(None, [flags]), *forced]
    )
