"""Measure the speed and peak memory of a training step: this package, TRL and the plain Trainer.

python benchmarks/train_step.py
python benchmarks/train_step.py --layers 16 --width 2048 --prompt 2048 --steps 10 --checkpointing --quantise

All variants train the same Llama (random weights, which do not affect speed) on the same prompts:
full          transformers' Trainer, padded, logits of every token
trl           TRL's SFTTrainer, loss computed at the answers only
trl_cpu       TRL as it runs without Triton, for example on a CPU: loss computed at every position
liger         trl with Liger's kernels (needs a GPU and liger-kernel)
padding_free  trl without padding (needs a GPU and flash-attn)
liger_padding_free   both, TRL's fastest configuration (needs a GPU and both packages)
ours          ccutils.training.trainer
Each run has a process of its own, and the variants alternate. The script fails if losses or gradients
disagree. Without a GPU, times are processor times of all threads, which other work changes little.
"""

import math
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.common import find_version, machine, make_parser, print_table, write_llama
from benchmarks.gpu.isolated import Failed, Isolation

VARIANTS = ("full", "trl", "trl_cpu", "liger", "padding_free", "liger_padding_free", "ours")
GB = 1e9
PAD, EOS = 0, 1
DAY = 86_400.0  # seconds


def option(default: Any, text: str) -> Any:
    """Define a field of Setting with its default and its text in --help."""
    return field(default=default, metadata={"help": f"{text} ({default})"})


@dataclass(frozen=True, slots=True)
class Setting:
    """What is trained: the model's shape, the prompts and the number of steps."""

    layers: int = option(2, "decoder layers")
    width: int = option(
        256, "hidden size; heads of 64, a quarter as many for keys; the MLP is 4 times as wide"
    )
    vocabulary: int = option(128_256, "tokens in the vocabulary")
    prompt: int = option(512, "mean tokens of a prompt with its answer")
    answer: int = option(16, "tokens of an answer")
    k: int = option(8, "demonstrations in a prompt")
    targets: int = option(8, "prompts in a step")
    steps: int = option(4, "steps that are measured, after one that is not")
    rounds: int = option(2, "runs of each variant")
    seed: int = option(0, "seed of weights and prompts")
    checkpointing: bool = option(False, "recompute activations in the backward pass")
    quantise: bool = option(False, "linear layers of the base in NF4")
    attention: str = option("auto", "attention kernel; auto: FlashAttention if installed, else sdpa")


def synthetic_prompts(s: Setting) -> list[dict[str, list[int]]]:
    """Sample the features of all steps: random tokens, k - 1 demonstrations common to a step."""
    rng = np.random.default_rng(s.seed)
    mean = s.prompt / (s.k + 1)  # the target is as long as a demonstration

    def demonstration() -> list[int]:
        length = max(s.answer + 2, round(mean * rng.uniform(0.75, 1.25)))
        return list(map(int, rng.integers(2, s.vocabulary, length)))

    features = []
    for _ in range(s.steps + 1):
        shared = [token for _ in range(s.k - 1) for token in demonstration()]
        for _ in range(s.targets):
            ids = [*shared, *demonstration(), *demonstration()[:-1], EOS]
            features.append({"input_ids": ids, "labels": [-100] * (len(ids) - s.answer) + ids[-s.answer :]})
    return features


def save_model(s: Setting, folder: Path) -> None:
    """Write the base with random weights."""
    heads = max(1, s.width // 64)
    write_llama(
        folder,
        make_tokenizer(),
        seed=s.seed,
        vocab_size=s.vocabulary,
        hidden_size=s.width,
        intermediate_size=4 * s.width,
        num_hidden_layers=s.layers,
        num_attention_heads=heads,
        num_key_value_heads=next(heads // n for n in (4, 3, 2, 1) if heads % n == 0),
        max_position_embeddings=2 * s.prompt,
        tie_word_embeddings=True,
    )


def make_tokenizer() -> Any:
    """Create the tokenizer that TRL requires; the prompts are token ids already."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({"<pad>": PAD, "<eos>": EOS}, unk_token="<pad>"))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>")


@dataclass(frozen=True, slots=True)
class Prompts:
    """The prompts, with the attributes of TrainingSet that ccutils.training.trainer uses."""

    features: list[dict[str, list[int]]]
    seed: int

    def dataset(self, n: int) -> Any:
        from datasets import Dataset

        return Dataset.from_list(self.features[:n])


def make_trainer(variant: str, s: Setting, folder: Path, out: Path) -> Any:
    """Create a variant's trainer."""
    import torch
    from transformers import set_seed

    from ccutils.models.base import add_lora, compute_dtype, load_base
    from ccutils.models.lora import Lora

    gpu, dtype = torch.cuda.is_available(), compute_dtype()
    attention = s.attention
    if "padding_free" in variant:
        attention = "flash_attention_2"
    set_seed(s.seed)
    base = load_base(str(folder), quantise=s.quantise, attention=attention)
    model = add_lora(base, Lora(), checkpointing=s.checkpointing)
    prompts, tokenizer = Prompts(synthetic_prompts(s), s.seed), make_tokenizer()
    dataset = prompts.dataset((s.steps + 1) * s.targets)
    optimiser = "paged_adamw_8bit" if gpu else "adamw_torch"
    common: dict[str, Any] = {
        "output_dir": str(out),
        "max_steps": s.steps + 1,
        "per_device_train_batch_size": s.targets,
        "learning_rate": 1e-3,
        "optim": optimiser,
        "gradient_checkpointing": s.checkpointing,
        "bf16": dtype == torch.bfloat16,
        "fp16": dtype == torch.float16,
        "use_cpu": not gpu,
        "save_strategy": "no",
        "logging_steps": 1,
        "seed": s.seed,
        "train_sampling_strategy": "sequential",
        "remove_unused_columns": False,
        "dataloader_pin_memory": gpu,
        "report_to": "none",
        "disable_tqdm": True,
    }
    if variant == "full":
        from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

        collator = DataCollatorForSeq2Seq(tokenizer)
        return Trainer(model, TrainingArguments(**common), train_dataset=dataset, data_collator=collator)
    if variant != "ours":
        from trl import SFTConfig, SFTTrainer
        from trl.trainer import utils

        if variant == "trl":  # TRL's own choice on a GPU
            utils._use_triton = lambda device: True  # type: ignore[attr-defined]
        arguments = SFTConfig(
            **common,
            max_length=None,
            padding_free="padding_free" in variant,
            use_liger_kernel="liger" in variant,
        )
        return SFTTrainer(model, arguments, train_dataset=dataset, processing_class=tokenizer)
    from ccutils.training.settings import Settings
    from ccutils.training.trainer import make_trainer as ours

    settings = Settings(
        steps=s.steps + 1,
        batch=s.targets,
        micro_batch=s.targets,
        learning_rate=1e-3,
        warmup=0.0,
        checkpointing=s.checkpointing,
        optimiser=optimiser,
        n_checkpoints=1,
    )
    return ours(model, tokenizer, prompts, settings=settings, micro=s.targets, folder=out)  # type: ignore[arg-type]


def measure(variant: str, s: Setting, folder: Path) -> dict[str, Any]:
    """Train in this process.

    Returns each step's loss and gradient norm, the seconds of all steps but the first, the peak in bytes
    and the part of it above the loaded model.
    """
    import torch
    from transformers import TrainerCallback

    gpu = torch.cuda.is_available()
    ends: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            if gpu:
                torch.cuda.synchronize()
            ends.append(time.perf_counter() if gpu else time.process_time())

    with tempfile.TemporaryDirectory() as out:
        trainer = make_trainer(variant, s, folder, Path(out))
        trainer.add_callback(Clock())
        before = torch.cuda.memory_allocated() if gpu else reset_peak()
        if gpu:
            torch.cuda.reset_peak_memory_stats()
        trainer.train()
        peak = torch.cuda.max_memory_allocated() if gpu else read_memory("VmHWM")
    return {
        "steps": [[e["loss"], float(e["grad_norm"])] for e in trainer.state.log_history if "loss" in e],
        "seconds": np.diff(ends).tolist(),
        "peak": peak,
        "added": peak - before,
    }


def read_memory(name: str) -> int:
    """Read a field of this process's memory in bytes: VmRSS is the current value, VmHWM the peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def reset_peak() -> int:
    """Reset the recorded peak to the current memory, and return that."""
    Path("/proc/self/clear_refs").write_text("5")
    return read_memory("VmRSS")


def largest_difference(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Return the largest relative difference between two runs' losses or gradient norms of a step.

    With random weights the loss hardly depends on the context; the gradient does.
    """
    a, b = np.array(one["steps"]), np.array(other["steps"])  # (steps, 2)
    return float(np.max(np.abs(a - b) / b))


def available() -> list[str]:
    """List the variants that this machine can run."""
    import torch

    gpu = torch.cuda.is_available()
    liger, flash = (gpu and bool(find_version(name)) for name in ("liger-kernel", "flash-attn"))
    needs = {"trl_cpu": not gpu, "liger": liger, "padding_free": flash, "liger_padding_free": liger and flash}
    return [variant for variant in VARIANTS if needs.get(variant, True)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, check that the steps agree, and print a table."""
    parser = make_parser(__doc__)
    for f in fields(Setting):
        how: dict[str, Any] = {"action": "store_true"} if f.type is bool else {"type": f.type}
        parser.add_argument(f"--{f.name}", default=f.default, help=f.metadata["help"], **how)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, help="variants to run (all available)")
    given = vars(parser.parse_args(arguments))
    only = given.pop("only")
    s = Setting(**given)
    print(machine(), s, sep="\n", flush=True)
    found: dict[str, list[dict[str, Any]]] = {variant: [] for variant in only or available()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        apart = Isolation(folder / "log", math.inf, most=DAY)
        try:
            apart.run(save_model, s, folder / "base")
            for variant in [*found] * s.rounds:
                found[variant].append(apart.run(measure, variant, s, folder / "base"))
        except Failed as error:
            raise SystemExit(f"error: {error}\n{apart.log.read_text()[-3000:]}") from None
    report(s, found)
    return 0


def report(s: Setting, found: dict[str, list[dict[str, Any]]]) -> None:
    """Check that all runs agree with the first, and print speed and memory. Exits if one disagrees."""
    import torch

    from ccutils.models.base import compute_dtype

    # TRL keeps the adapter of a quantised model in bfloat16
    exact = compute_dtype() == torch.float32 and not s.quantise
    first = next(iter(found.values()))[0]
    worst = {v: max(largest_difference(run, first) for run in runs) for v, runs in found.items()}
    for variant, difference in worst.items():
        if not difference <= (1e-4 if exact else 2e-2):
            raise SystemExit(
                f"{variant} differs from the first variant by {difference:.1e}: {found[variant]}"
            )
    print(f"losses and gradient norms of all {s.steps + 1} steps agree to {max(worst.values()):.0e}")
    speed = {v: s.targets / median(x for r in runs for x in r["seconds"]) for v, runs in found.items()}
    peak, added = (
        {v: median(run[part] for run in runs) / GB for v, runs in found.items()} for part in ("peak", "added")
    )
    print_table(
        {
            "": v,
            "prompts/s": speed[v],
            **{f"x {o}": speed[v] / speed[o] for o in found},
            "peak GB": peak[v],
            "GB above the loaded model": added[v],
            **{f"GB x {o}": added[v] / added[o] for o in found},
        }
        for v in found
    )


if __name__ == "__main__":
    sys.exit(main())
