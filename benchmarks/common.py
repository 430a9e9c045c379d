"""Parts that several benchmarks share: arguments, clock, machine, tables, synthetic texts and models."""

import argparse
import json
import os
import platform
import re
import time
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from ccutils.origin import describe_processor
from ccutils.tasks import Task, load_task

T = TypeVar("T")
ROOT = Path(__file__).parents[1]
PACKAGES = (
    *("numpy", "scipy", "bm25s", "faiss-cpu", "torch", "transformers", "trl", "peft", "bitsandbytes"),
    *("accelerate", "triton", "liger-kernel", "flash-attn"),
)


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """Create a parser whose help shows the script's docstring as it is written."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def add_task(parser: argparse.ArgumentParser, task: str) -> None:
    """Add the arguments that choose a task."""
    parser.add_argument("--task", default=task)
    parser.add_argument("--options", type=json.loads, default={}, help="the task's options, as JSON")


def load_chosen(given: argparse.Namespace, seed: int = 0, **defaults: Any) -> Task:
    """Load the task that the arguments of `add_task` name; `defaults` are options that they may replace."""
    return load_task(given.task, seed=seed, **{**defaults, **given.options})


def timed(
    work: Callable[[], T], repeats: int = 1, clock: Callable[[], float] = time.perf_counter
) -> tuple[float, T]:
    """Run the work `repeats` times; return the seconds of the fastest run and the last result."""
    seconds = []
    for _ in range(repeats):
        start = clock()
        result = work()
        seconds.append(clock() - start)
    return min(seconds), result


def find_version(package: str) -> str:
    """Return a package's installed version, or "" if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def describe_versions(lock: str) -> str:
    """List the installed versions; each that differs from the lock's is followed by the lock's."""
    locked = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", lock, re.M))
    cells = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        if found := find_version(name):
            wanted = locked.get(name, "")
            differs = wanted and found.partition("+")[0] != wanted
            cells.append(f"{name} {found}" + (f" (lock: {wanted})" if differs else ""))
    return ", ".join(cells)


def describe_card() -> str:
    """Describe the GPUs of this machine, or return "" if there is none."""
    import torch  # here, since only some benchmarks need it in their main process

    if not torch.cuda.is_available():
        return ""
    found, count = torch.cuda.get_device_properties(0), torch.cuda.device_count()
    card = f"{count} x {found.name}, {found.total_memory / 1e9:.1f} GB, sm{found.major}{found.minor}"
    return f"{card}, CUDA {torch.version.cuda}"


def machine() -> str:
    """Describe the date, the device and the versions of a measurement."""
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    cpu = f"{describe_processor()}, {os.cpu_count()} cores, {threads} thread(s), no GPU"
    versions = describe_versions((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    return f"{time.strftime('%Y-%m-%d')}; {describe_card() or cpu}; {versions}"


def print_table(rows: Iterable[Mapping[str, object]], digits: str = ".2f") -> None:
    """Print rows as a Markdown table, floating-point numbers in this format."""
    print("\n" + pd.DataFrame(list(rows), dtype=object).to_markdown(index=False, floatfmt=digits), flush=True)


def synthetic_texts(n: int, seed: int = 0) -> list[str]:
    """Sample n texts of 3 to 12 of 8,000 words under Zipf's law, similar to utterances to an assistant."""
    rng = np.random.default_rng(seed)
    weights = 1.0 / np.arange(1, 8001)
    lengths = rng.integers(3, 13, size=n)
    drawn = rng.choice(8000, size=lengths.sum(), p=weights / weights.sum())
    return [" ".join(f"w{i}" for i in part) for part in np.split(drawn, np.cumsum(lengths)[:-1])]


def write_llama(folder: Path, tokenizer: Any, *, seed: int = 0, **shape: Any) -> None:
    """Write a Llama with random weights in the dtype of training, created on the device, and its tokenizer.

    `shape` holds fields of transformers' LlamaConfig.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from ccutils.models.base import compute_dtype

    config = LlamaConfig(**shape, pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id)
    torch.manual_seed(seed)
    before = torch.get_default_dtype()
    torch.set_default_dtype(compute_dtype())
    try:
        with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
            model = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
