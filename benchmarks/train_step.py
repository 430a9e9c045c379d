"""How fast a training step is and what memory it needs, by this package and by what one would use instead.

python benchmarks/train_step.py
python benchmarks/train_step.py --layers 16 --width 2048 --prompt 2048 --steps 10 --checkpointing --quantise

All train the same model (a Llama's shape, random weights: speed does not depend on them) on the same prompts:
full          transformers' Trainer, padded, logits of every token
trl           TRL's SFTTrainer, its loss computed at the answers alone
trl_cpu       the same as it is where there is no Triton, as on a CPU: computed at every position
liger         trl with Liger's kernels (a GPU and liger-kernel)
padding_free  trl without padding (a GPU and flash-attn)
liger_padding_free   both, TRL at its best (a GPU and both packages)
ours          ccutils.training.trainer
Each runs in a process of its own, in turns. Steps whose losses or gradients disagree are an error.
Without a GPU, time is the processor's (of all threads), which other work on the machine changes little.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

VARIANTS = ("full", "trl", "trl_cpu", "liger", "padding_free", "liger_padding_free", "ours")
GB = 1e9
PAD, EOS = 0, 1


@dataclass(frozen=True, slots=True)
class Setting:
    """What is trained: the model's shape, the prompts, and for how long."""

    layers: int = 2
    width: int = 256
    vocabulary: int = 128_256
    prompt: int = 512
    answer: int = 16
    k: int = 8
    targets: int = 8
    steps: int = 4
    rounds: int = 2
    seed: int = 0
    checkpointing: bool = False
    quantise: bool = False
    attention: str = "auto"


HELP = {
    "layers": "decoder layers",
    "width": "hidden size; heads of 64, for keys a quarter of them or so; the MLP is four times as wide",
    "vocabulary": "tokens in the vocabulary",
    "prompt": "mean tokens of a prompt with its answer",
    "answer": "tokens of an answer",
    "k": "demonstrations of a prompt",
    "targets": "prompts of a step",
    "steps": "steps that count; one more goes before",
    "rounds": "times each is run, in turns",
    "seed": "of weights and prompts",
    "checkpointing": "compute activations again in the backward pass",
    "quantise": "the base's linear layers in NF4",
    "attention": "kernel by its name; auto: FlashAttention if installed, else sdpa",
}


def made_up_prompts(s: Setting) -> list[dict[str, list[int]]]:
    """Return features of all steps: demonstrations of random tokens, k - 1 of them the same in a step."""
    rng = np.random.default_rng(s.seed)
    mean = s.prompt / (s.k + 1)  # the target is as long as a demonstration

    def demonstration() -> list[int]:
        length = max(s.answer + 2, round(mean * rng.uniform(0.75, 1.25)))
        return rng.integers(2, s.vocabulary, length).tolist()

    features = []
    for _ in range(s.steps + 1):
        shared = [token for _ in range(s.k - 1) for token in demonstration()]
        for _ in range(s.targets):
            ids = [*shared, *demonstration(), *demonstration()[:-1], EOS]
            features.append({"input_ids": ids, "labels": [-100] * (len(ids) - s.answer) + ids[-s.answer :]})
    return features


def save_model(s: Setting, folder: Path) -> None:
    """Write the base with random weights, as any other is read."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from ccutils.models.base import compute_dtype

    torch.manual_seed(s.seed)
    heads = max(1, s.width // 64)
    config = LlamaConfig(
        vocab_size=s.vocabulary,
        hidden_size=s.width,
        intermediate_size=4 * s.width,
        num_hidden_layers=s.layers,
        num_attention_heads=heads,
        num_key_value_heads=next(heads // n for n in (4, 3, 2, 1) if heads % n == 0),
        max_position_embeddings=2 * s.prompt,
        tie_word_embeddings=True,
        pad_token_id=PAD,
        eos_token_id=EOS,
    )
    LlamaForCausalLM(config).to(compute_dtype()).save_pretrained(folder)


def make_tokenizer() -> Any:
    """TRL asks for one; the prompts are token ids already."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({"<pad>": PAD, "<eos>": EOS}, unk_token="<pad>"))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>")


@dataclass(frozen=True, slots=True)
class Prompts:
    """Stands where ccutils.training.trainer expects a TrainingSet."""

    features: list[dict[str, list[int]]]
    seed: int

    def dataset(self, n: int) -> Any:
        from datasets import Dataset

        return Dataset.from_list(self.features[:n])


def make_trainer(variant: str, s: Setting, folder: Path, out: Path) -> Any:
    """One of the variants, ready to train."""
    import torch
    from transformers import set_seed

    from ccutils.models.base import add_lora, compute_dtype, load_base
    from ccutils.models.lora import Lora

    gpu, dtype = torch.cuda.is_available(), compute_dtype()
    attention = "flash_attention_2" if "padding_free" in variant else s.attention
    set_seed(s.seed)
    model = add_lora(
        load_base(str(folder), quantise=s.quantise, attention=attention),
        Lora(),
        checkpointing=s.checkpointing,
    )
    prompts, tokenizer = Prompts(made_up_prompts(s), s.seed), make_tokenizer()
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
        arguments = TrainingArguments(**common)
        return Trainer(model, arguments, train_dataset=dataset, data_collator=collator)
    if variant != "ours":
        from trl import SFTConfig, SFTTrainer
        from trl.trainer import utils

        if variant == "trl":  # as it does by itself on a GPU
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
    """Train in this process: each step's loss and gradient norm, seconds of all but the first, peak bytes."""
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
        before = torch.cuda.memory_allocated() if gpu else forget_peak()
        if gpu:
            torch.cuda.reset_peak_memory_stats()
        trainer.train()
        peak = torch.cuda.max_memory_allocated() if gpu else memory("VmHWM")
    return {
        "steps": [[e["loss"], float(e["grad_norm"])] for e in trainer.state.log_history if "loss" in e],
        "seconds": np.diff(ends).tolist(),
        "peak": peak,
        "added": peak - before,
    }


def memory(field: str) -> int:
    """A line of this process's memory in bytes: VmRSS is held now, VmHWM its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def forget_peak() -> int:
    """Let the peak start from what is held now, and return that."""
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


def run(variant: str, s: Setting, folder: Path) -> dict[str, Any]:
    """Measure in a process of its own."""
    job = json.dumps({"variant": variant, "setting": asdict(s), "folder": str(folder)})
    command = [sys.executable, "-W", "ignore", __file__, "--job", job]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{variant} failed:\n{done.stderr[-3000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def largest_difference(found: dict[str, list[dict[str, Any]]]) -> float:
    """The largest relative difference of a step's loss, or of its gradient's norm, from the first variant's.

    Random weights guess, so it is the gradient that tells of the context.
    """
    steps = np.array([run["steps"] for runs in found.values() for run in runs])  # (runs, steps, 2)
    return float(np.max(np.abs(steps - steps[0]) / steps[0]))


def check_steps(found: dict[str, list[dict[str, Any]]], tolerance: float) -> float:
    """The largest difference of all variants; exits, naming it, where one's is too large."""
    first = next(iter(found))
    off = {v: largest_difference({first: found[first][:1], v: runs}) for v, runs in found.items()}
    for variant, difference in off.items():
        if not difference <= tolerance:
            raise SystemExit(f"{variant} is off by {difference:.1e}: {found[variant]} and {found[first][0]}")
    return max(off.values())


def can_run() -> list[str]:
    """The variants that this machine has what it takes for."""
    import torch

    gpu = torch.cuda.is_available()
    needs = {
        "trl_cpu": not gpu,
        "liger": gpu and has("liger-kernel"),
        "padding_free": gpu and has("flash-attn"),
        "liger_padding_free": gpu and has("liger-kernel") and has("flash-attn"),
    }
    return [variant for variant in VARIANTS if needs.get(variant, True)]


def has(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def machine() -> str:
    """The device, and the versions that matter."""
    import torch

    cores = f"{os.cpu_count()} CPU cores, {torch.get_num_threads()} used, no GPU"
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else cores
    names = ("torch", "transformers", "trl", "peft", "bitsandbytes", "liger-kernel", "flash-attn")
    libraries = ", ".join(f"{name} {version(name)}" for name in names if has(name))
    return f"{time.strftime('%Y-%m-%d')}; {device}; Python {platform.python_version()}, {libraries}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, check that the steps agree, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--job", help=argparse.SUPPRESS)
    for f in fields(Setting):
        how: dict[str, Any] = {"action": "store_true"} if f.type is bool else {"type": f.type}
        parser.add_argument(f"--{f.name}", default=f.default, help=f"{HELP[f.name]} ({f.default})", **how)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, help="which to run (all that can)")
    given = vars(parser.parse_args(arguments))
    job, only = given.pop("job"), given.pop("only")
    if job:
        job = json.loads(job)
        print(json.dumps(measure(job["variant"], Setting(**job["setting"]), Path(job["folder"]))))
        return 0
    s = Setting(**given)
    print(machine(), s, sep="\n", flush=True)
    found: dict[str, list[dict[str, Any]]] = {variant: [] for variant in only or can_run()}
    with tempfile.TemporaryDirectory() as folder:
        save_model(s, Path(folder))
        for _ in range(s.rounds):
            for variant, runs in found.items():
                runs.append(run(variant, s, Path(folder)))
    report(s, found)
    return 0


def report(s: Setting, found: dict[str, list[dict[str, Any]]]) -> None:
    import torch

    from ccutils.models.base import compute_dtype

    # TRL keeps the adapter of a quantised model in bfloat16
    exact = compute_dtype() == torch.float32 and not s.quantise
    worst = check_steps(found, 1e-4 if exact else 2e-2)
    print(f"losses and gradient norms of all {s.steps + 1} steps agree to {worst:.0e}")
    speed = {v: s.targets / median(x for r in runs for x in r["seconds"]) for v, runs in found.items()}
    peak = {v: median(r["peak"] for r in runs) / GB for v, runs in found.items()}
    added = {v: median(r["added"] for r in runs) / GB for v, runs in found.items()}
    heads = ["", "prompts/s", *(f"x {v}" for v in found), "peak GB", "GB above the loaded model"]
    heads += [f"x {v}" for v in found]
    print(f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", sep="\n")
    for v in found:
        cells = [speed[v], *(speed[v] / speed[o] for o in found)]
        cells += [peak[v], added[v], *(added[v] / added[o] for o in found)]
        print(f"| {v} | {' | '.join(f'{x:.2f}' for x in cells)} |")


if __name__ == "__main__":
    sys.exit(main())
