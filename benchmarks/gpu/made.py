"""Models and texts to train on: Llamas of known shapes with random weights, texts of random words."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import write_llama
from benchmarks.gpu.isolated import Isolation, describe_error
from ccutils.errors import InputError
from ccutils.training.plan import Plan
from ccutils.training.settings import Settings

TEXTS = "made.jsonl"
ANSWERS, ROWS = 24, 480  # distinct answers, and examples: 20 for each answer


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of a Llama, in fields of its config."""

    num_hidden_layers: int
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int
    tie_word_embeddings: bool

    @property
    def parameters(self) -> int:
        """Count the parameters, except those of norms."""
        heads = 2 * (self.num_attention_heads + self.num_key_value_heads) * self.head_dim
        layer = self.hidden_size * (heads + 3 * self.intermediate_size)
        tables = 1 if self.tie_word_embeddings else 2
        return self.num_hidden_layers * layer + tables * self.vocab_size * self.hidden_size


LLAMAS = {  # 1B and 3B as Llama 3.2 has them, 8B as Llama 3.1; small is for checks that do not depend on size
    "small": Shape(4, 1024, 4096, 16, 4, 64, 32_000, True),
    "1B": Shape(16, 2048, 8192, 32, 8, 64, 128_256, True),
    "3B": Shape(28, 3072, 8192, 24, 8, 128, 128_256, True),
    "8B": Shape(32, 4096, 14336, 32, 8, 128, 128_256, False),
}
TINY = {name: Shape(layers, 64, 96, 4, 2, 16, 300, name != "8B")
        for name, layers in (("small", 1), ("1B", 1), ("3B", 2), ("8B", 3))}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scale:
    """Sizes of models, prompts and runs: those of the profiles on a card, the smallest in a rehearsal."""

    shapes: Mapping[str, Shape]
    window: int  # maximum tokens of a prompt; the mean prompt fills most of it
    k: int
    answer: int  # words of an answer
    steps: int  # of a run that is timed or compared
    targets: int  # questions of each test set
    new_tokens: int
    rehearsal: bool = False


FULL = Scale(LLAMAS, window=2048, k=8, answer=15, steps=8, targets=8, new_tokens=16)
REHEARSAL = Scale(TINY, window=96, k=2, answer=2, steps=4, targets=2, new_tokens=4, rehearsal=True)


@dataclass(frozen=True, slots=True)
class Bench:
    """What a check receives: the sizes, the folder of bases and runs, and the runner of processes."""

    scale: Scale
    folder: Path
    apart: Isolation

    def base(self, name: str) -> Path:
        """Return the path of the base of a shape."""
        return self.folder / name

    def plan(self, shape: str, results: str, *, micro: int = 4, **changes: Any) -> Plan:
        """Create the plan of a run on the base of a shape, two micro-batches a step.

        `changes` are fields of Settings or of Plan.
        """
        settings: dict[str, Any] = {
            "batch": 2 * micro,
            "micro_batch": micro,
            "steps": self.scale.steps,
            "learning_rate": 2e-4,
            "checkpointing": True,
            "optimiser": "paged_adamw_8bit",  # on a CPU the same optimiser without pages
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
    """Write examples of random words; k + 1 of them fill about nine tenths of the window."""
    rng = np.random.default_rng(0)
    words = np.array([f"w{i}" for i in range(min(2000, scale.shapes["small"].vocab_size // 2))])
    most = scale.window // (scale.k + 1) - scale.answer - 6  # the template's tokens
    answers = [" ".join(rng.choice(words, scale.answer)) for _ in range(ANSWERS)]
    with path.open("w", encoding="utf-8") as file:
        for i in range(ROWS):
            text = " ".join(rng.choice(words, rng.integers(max(1, round(0.7 * most)), most + 1)))
            file.write(json.dumps({"input": text, "output": answers[i % ANSWERS]}) + "\n")


def make_bases(shapes: Mapping[str, Shape], window: int, folder: Path) -> dict[str, str]:
    """Write the bases of these shapes to a folder; return the error of each that failed."""
    failed = {}
    for name, shape in shapes.items():
        try:
            make_base(shape, window, folder / TEXTS, folder / name)
        except Exception as error:  # for example a full disk: a smaller base may fit
            failed[name] = describe_error(error)
    return failed


def make_base(shape: Shape, window: int, texts: Path, folder: Path) -> None:
    """Write a Llama with random weights and a tokenizer of the texts' words.

    Raises InputError if the disk has not enough free space.
    """
    from ccutils.models.base import compute_dtype
    from ccutils.models.tiny import word_tokenizer
    from ccutils.tasks import load_task

    needed, free = compute_dtype().itemsize * shape.parameters, shutil.disk_usage(folder.parent).free
    if free < 1.1 * needed:
        raise InputError(
            f"the base needs {needed / 1e9:.1f} GB of disk for temporary files, {free / 1e9:.1f} GB are "
            "free: set TMPDIR to a folder with more free space."
        )
    tokenizer = word_tokenizer(load_task("jsonl", seed=0, path=str(texts)), shape.vocab_size)
    write_llama(folder, tokenizer, **asdict(shape), max_position_embeddings=4 * window)
