"""What is trained on a card: Llamas of known shapes with random weights, and texts of random words."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu.isolated import Isolation, tell
from ccutils.errors import InputError
from ccutils.training.plan import Plan
from ccutils.training.settings import Settings

TEXTS = "made.jsonl"
ANSWERS, ROWS = 24, 480  # different answers, and examples: each answer has 20


@dataclass(frozen=True, slots=True)
class Shape:
    """A Llama in numbers, as its config has them."""

    num_hidden_layers: int
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int
    tie_word_embeddings: bool

    @property
    def body(self) -> int:
        """Count the weights of the layers, norms left out."""
        heads = 2 * (self.num_attention_heads + self.num_key_value_heads) * self.head_dim
        layer = self.hidden_size * (heads + 3 * self.intermediate_size)
        return self.num_hidden_layers * layer

    @property
    def parameters(self) -> int:
        """Count all weights, norms left out."""
        tables = 1 if self.tie_word_embeddings else 2
        return self.body + tables * self.vocab_size * self.hidden_size


LLAMAS = {  # 1B and 3B as Llama 3.2 has them, 8B as Llama 3.1; small is for what does not depend on size
    "small": Shape(4, 1024, 4096, 16, 4, 64, 32_000, True),
    "1B": Shape(16, 2048, 8192, 32, 8, 64, 128_256, True),
    "3B": Shape(28, 3072, 8192, 24, 8, 128, 128_256, True),
    "8B": Shape(32, 4096, 14336, 32, 8, 128, 128_256, False),
}
TINY = {name: Shape(layers, 64, 96, 4, 2, 16, 300, name != "8B")
        for name, layers in (("small", 1), ("1B", 1), ("3B", 2), ("8B", 3))}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scale:
    """How large all is made: on a card as the profiles have it, in a rehearsal as small as it can be."""

    shapes: Mapping[str, Shape]
    window: int  # tokens that a prompt may have; the mean prompt fills most of it
    k: int
    answer: int  # words of an answer
    steps: int  # of a training that is timed or compared
    targets: int  # of each test set that are asked about
    new_tokens: int
    rehearsal: bool = False


FULL = Scale(LLAMAS, window=2048, k=8, answer=15, steps=8, targets=8, new_tokens=16)
REHEARSAL = Scale(TINY, window=96, k=2, answer=2, steps=4, targets=2, new_tokens=4, rehearsal=True)


@dataclass(frozen=True, slots=True)
class Bench:
    """What a check works with: how large all is, where it lies, and how work is run apart."""

    scale: Scale
    folder: Path
    apart: Isolation

    def base(self, name: str) -> Path:
        """Return where the base of a shape is written."""
        return self.folder / name

    def plan(self, shape: str, results: str, *, micro: int = 4, **changes: Any) -> Plan:
        """Describe a run on a base by its shape, in two micro-batches a step.

        `changes` are fields of Settings or of Plan.
        """
        settings: dict[str, Any] = {
            "batch": 2 * micro,
            "micro_batch": micro,
            "steps": self.scale.steps,
            "learning_rate": 2e-4,
            "checkpointing": True,
            "optimiser": "paged_adamw_8bit",  # on a CPU, bitsandbytes' is the same without its pages
            "n_checkpoints": 1,
        }
        own = [name for name in changes if name in Settings.__dataclass_fields__]
        settings |= {name: changes.pop(name) for name in own}
        fixed: dict[str, Any] = {"k": self.scale.k, "window": self.scale.window, **changes}
        return Plan(
            task="jsonl",
            model=str(self.base(shape)),
            results=str(self.folder / "runs" / results),
            task_options={"path": str(self.folder / TEXTS), "n_test": 40},
            settings=Settings(**settings),
            **fixed,
        )


def write_texts(scale: Scale, path: Path) -> None:
    """Write examples of random words: k + 1 of them fill the window, but for a tenth on average."""
    rng = np.random.default_rng(0)
    words = np.array([f"w{i}" for i in range(min(2000, scale.shapes["small"].vocab_size // 2))])
    most = scale.window // (scale.k + 1) - scale.answer - 6  # the template's words and marks
    answers = [" ".join(rng.choice(words, scale.answer)) for _ in range(ANSWERS)]
    with path.open("w", encoding="utf-8") as file:
        for i in range(ROWS):
            text = " ".join(rng.choice(words, rng.integers(max(1, round(0.7 * most)), most + 1)))
            file.write(json.dumps({"input": text, "output": answers[i % ANSWERS]}) + "\n")


def make_bases(shapes: Mapping[str, Shape], window: int, folder: Path) -> dict[str, str]:
    """Make the bases of some shapes in a folder, one after the other; return why some could not be made."""
    failed = {}
    for name, shape in shapes.items():
        try:
            make_base(shape, window, folder / TEXTS, folder / name)
        except Exception as error:  # no room on disk or card: the others may have it
            failed[name] = tell(error)
    return failed


def make_base(shape: Shape, window: int, texts: Path, folder: Path) -> None:
    """Write a Llama with random weights and a tokenizer of the texts' words, made on the device.

    Raises InputError where the disk has no room for it.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from ccutils.models.base import compute_dtype
    from ccutils.models.tiny import word_tokenizer
    from ccutils.tasks import load_task

    dtype = compute_dtype()
    needed, free = dtype.itemsize * shape.parameters, shutil.disk_usage(folder.parent).free
    if free < 1.1 * needed:
        raise InputError(
            f"the base needs {needed / 1e9:.1f} GB of disk and {free / 1e9:.1f} GB are free where temporary "
            "files go: set TMPDIR to a folder with more room."
        )
    tokenizer = word_tokenizer(load_task("jsonl", seed=0, path=str(texts)), shape.vocab_size)
    config = LlamaConfig(
        **asdict(shape),
        max_position_embeddings=4 * window,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
            model = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
