"""The card, and the versions that a table was made with."""

import platform
import re
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ccutils.origin import describe_tree, read_commit

LOCK = Path(__file__).parents[2] / "requirements.lock"
PACKAGES = (
    *("torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate"),
    *("triton", "liger-kernel", "flash-attn"),
)


def describe() -> dict[str, Any]:
    """Describe the card of this process, or that there is none, and its versions."""
    import torch

    gpu = torch.cuda.is_available()
    card = f"no GPU, {platform.machine()}"
    if gpu:
        found = torch.cuda.get_device_properties(0)
        count = torch.cuda.device_count()
        card = f"{count} x {found.name}, {found.total_memory / 1e9:.1f} GB, sm{found.major}{found.minor}"
        card += f", CUDA {torch.version.cuda}"
    return {"gpu": gpu, "card": card, "versions": versions(LOCK.read_text(encoding="utf-8"))}


def describe_code() -> dict[str, str]:
    """Say which code this is, and the date."""
    return {"commit": read_commit(), "tree": describe_tree(), "date": time.strftime("%Y-%m-%d")}


def versions(lock: str) -> str:
    """Name the versions that are installed, and beside each that differs the lock's."""
    locked = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", lock, re.M))
    told = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            found = version(name)
        except PackageNotFoundError:
            continue
        wanted = locked.get(name)
        other = wanted is not None and found.partition("+")[0] != wanted
        told.append(f"{name} {found}" + (f" (lock: {wanted})" if other else ""))
    return ", ".join(told)
