"""Where the time of a training step of SmolLM2-135M goes, by kind of operation; the size of a checkpoint.

python benchmarks/where.py                  prompts as long as those of `requests`; fetches the model once
python benchmarks/where.py --prompt 512     longer ones

The step is this package's own (train_step.py's `ours`) on made-up tokens; the time is by torch's profiler, an
operation's own without those that it calls. Which matrix a product is with is told by its shapes.
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.train_step import Setting, machine, make_trainer
from ccutils.models.lora import Lora

PRODUCTS = ("aten::mm", "aten::addmm")
ANSWER, TARGETS = 5, 8  # tokens of an answer, prompts of a step


def main(arguments: Sequence[str] | None = None) -> int:
    """Train three steps, profile the last, and print two tables."""
    from ccutils.packaged import find_model

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prompt", type=int, default=96, help="mean tokens of a prompt (96)")
    prompt, folder = parser.parse_args(arguments).prompt, find_model("smollm2")
    # Tokens are drawn from the first of the model's vocabulary; its other sizes are its own.
    setting = Setting(vocabulary=40_000, prompt=prompt, answer=ANSWER, k=4, targets=TARGETS, steps=2)
    with tempfile.TemporaryDirectory() as out:
        trainer = make_trainer("ours", setting, folder, Path(out))
        shares = profile_last_step(trainer)
        sizes = {p.name: p.stat().st_size for p in sorted(Path(out).glob("checkpoint-*/*"))}
    print(f"{machine()}\n{TARGETS} prompts of {prompt} tokens, answers of {ANSWER}\n")
    print_shares(shares)
    weights = sum(p.stat().st_size for p in folder.glob("*.safetensors"))
    print(f"\nA checkpoint: {sum(sizes.values()) / 1e6:.0f} MB, of which")
    print(", ".join(f"{name} {size / 1e6:.1f}" for name, size in sizes.items() if size > 1e5), end="")
    print(f"; the base's weights, which are not written again: {weights / 1e6:.0f} MB.")
    return 0


def profile_last_step(trainer: Any) -> Counter[str]:
    """Return the seconds of the last step by part."""
    from torch.profiler import ProfilerActivity, profile
    from transformers import TrainerCallback

    profiler = profile(activities=[ProfilerActivity.CPU], record_shapes=True)
    vocabulary = trainer.model.config.vocab_size

    class Last(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == state.max_steps - 1:
                profiler.start()

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == state.max_steps:
                profiler.stop()

    trainer.add_callback(Last())
    trainer.train()
    shares: Counter[str] = Counter()
    for event in profiler.key_averages(group_by_input_shape=True):
        shares[part_of(event.key, event.input_shapes, vocabulary)] += event.self_cpu_time_total / 1e6
    return shares


def part_of(operation: str, shapes: Sequence[Sequence[int]], vocabulary: int) -> str:
    """Name the part of a step that an operation on tensors of these shapes belongs to."""
    sizes = {size for shape in shapes for size in shape or [] if isinstance(size, int)}
    if max(sizes, default=0) > vocabulary // 4:  # the loss takes the vocabulary in tiles
        return "the head, at answers alone, and the loss"
    if "scaled_dot_product" in operation:
        return "attention"
    if operation in PRODUCTS:
        return (
            "products with LoRA's matrices" if Lora().rank in sizes else "products with the base's matrices"
        )
    if "adam" in operation.lower() or "Optimizer" in operation:
        return "optimiser"
    return "all else: norms, activations, sums, copies"


def print_shares(shares: Counter[str]) -> None:
    """Print each part's seconds and share, the largest first."""
    whole = sum(shares.values())
    print("| part of a step | s | share |", "|---|---|---|", sep="\n")
    for part, seconds in shares.most_common():
        print(f"| {part} | {seconds:.2f} | {seconds / whole:.0%} |")
    print(f"| all | {whole:.2f} | |")


if __name__ == "__main__":
    sys.exit(main())
