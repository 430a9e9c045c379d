"""Predicted and measured memory on cards of 16 and 24 GB, and training as on a T4."""

import json
import math
import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gpu.isolated import Failed
from benchmarks.gpu.made import Bench
from benchmarks.gpu.rows import SAME_LOSS, Row, at_least, at_most, failed, largest_difference, noted
from ccutils.training.plan import Plan

CARDS = {16: 15_800_000_000, 24: 25_300_000_000}
"""Bytes that torch reports for a T4 and for cards of 24 GB."""
WITHIN = 0.15  # largest relative error of a prediction
CONTEXT_GB = 0.6  # what ccutils.training.memory adds for a process to its tensors


@dataclass(frozen=True, slots=True)
class Case:
    """A run on a card of `card` GB, `micro` prompts at a time.

    `turing`: as on a T4, in float16 without FlashAttention. `plain`: with the attention kernel that stores
    all scores, which torch uses when no other kernel supports the shapes.
    """

    shape: str
    card: int
    micro: int
    turing: bool = False
    plain: bool = False

    @property
    def name(self) -> str:
        """Return the name in the table."""
        how = "fp16, plain attention" if self.plain else "fp16, as on a T4" if self.turing else "bf16"
        return f"{self.shape} in {self.card} GB, {how}"


CASES = (
    Case("1B", 16, 8),
    Case("3B", 24, 8),
    Case("8B", 24, 4),
)
T4_CASES = (
    Case("1B", 16, 8, turing=True),
    Case("1B", 16, 2, turing=True, plain=True),  # scores in float32: 1 GB for each prompt and layer
    Case("8B", 16, 1, turing=True),
)


def check_memory(bench: Bench) -> Iterator[Row]:
    """Train each case within its card's memory, and compare the peak with the prediction."""
    outside: list[float] = []
    for case in CASES:
        found = yield from run_case(bench, "memory", case)
        outside += [found["outside_gb"]] if found and "outside_gb" in found else []
    if outside:
        what = "most that a process held beside torch's memory, where nothing else uses the card"
        yield at_most("memory", what, max(outside), CONTEXT_GB, "GB")


def check_fp16(bench: Bench) -> Iterator[Row]:
    """Train as on a T4, and once with the plain attention kernel: losses must be the same."""
    curves: dict[bool, list[float]] = {}
    for case in T4_CASES:
        found = yield from run_case(bench, "fp16", case)
        if found and case.shape == "1B":
            curves[case.plain] = found["losses"]
    if len(curves) == 2:
        what = "largest relative difference of a loss, plain attention kernel"
        yield at_most("fp16", what, largest_difference(curves[True], curves[False]), SAME_LOSS)


def run_case(bench: Bench, check: str, case: Case) -> Generator[Row, None, dict[str, Any]]:
    """Yield the rows of a case; return its measurements, or {} if it failed."""
    results = f"{check}-{case.shape}-{case.plain}"
    steps = min(bench.scale.steps, 6 if case.turing else 3)  # float16 skips the first steps to find its scale
    batch = 16 if case.shape == "1B" else 2 * case.micro  # equal for cases whose losses are compared
    plan = bench.plan(
        case.shape,
        results,
        micro=case.micro,
        steps=steps,
        batch=batch,
        strategy="contrastive",
    )
    try:
        found: dict[str, Any] = bench.apart.run(train_within, plan, case)
    except Failed as error:
        yield failed(check, case.name, str(error))
        return {}
    yield from case_rows(check, case, found)
    return found


def case_rows(check: str, case: Case, found: dict[str, Any]) -> Iterator[Row]:
    """Yield the rows of what `train_within` returned."""
    if "ratio" in found and not case.plain:  # predictions do not include that kernel's scores
        predicted, measured, ratio = (found[name] for name in ("predicted_gb", "measured_gb", "ratio"))
        text = f"{predicted:.2f} by {measured:.2f} GB: {ratio:.3f}"
        what = f"{case.name}: tensors, predicted by measured"
        yield Row(check, what, text, f"1 ± {WITHIN}", abs(ratio - 1) <= WITHIN)
    else:
        yield noted(check, f"{case.name}: predicted, with nothing to compare", found["predicted_gb"], "GB")
    yield at_least(check, f"{case.name}: prompts at a time, never out of memory", found["micro"], case.micro)
    finite = all(map(math.isfinite, found["losses"]))
    text = f"{'yes' if finite else 'no'}, by {found['moved']:.1e}"
    what = f"{case.name}: losses finite, adapter changed"
    yield Row(check, what, text, "both", finite and found["moved"] > 0)


def train_within(plan: Plan, case: Case) -> dict[str, Any]:
    """Train in this process with the memory of the case's card, and return the measurements.

    Raises InputError for a plan that is predicted not to fit the card.
    """
    import torch

    from ccutils.training.memory import CONTEXT, GB, check_fits
    from ccutils.training.prepare import predict_memory, prepare_run
    from ccutils.training.run import ic_train
    from ccutils.training.saved import newest

    if case.turing:
        pretend_turing(case.plain)
    gpu, card = torch.cuda.is_available(), CARDS[case.card]
    if gpu:
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, (card - CONTEXT) / total))
    prepared = prepare_run(plan)
    survey = prepared.prompts.survey(plan.settings.steps * plan.settings.batch)
    check_fits(predict_memory(plan, prepared.path, survey), card)
    done = ic_train(plan, prepared)
    checkpoint = Path(newest(plan.run.folder) or "")
    found = {
        **done["memory"],
        "losses": [entry["loss"] for entry in done["curve"]],
        "micro": json.loads((checkpoint / "trainer_state.json").read_text())["train_batch_size"],
        "moved": most_changed(checkpoint),
    }
    if gpu:
        free, total = torch.cuda.mem_get_info()
        found["outside_gb"] = (total - free - torch.cuda.memory_reserved()) / GB
    return found


def pretend_turing(plain: bool) -> None:
    """Make this process treat its card as a T4: no bfloat16, no attention kernel that needs sm80."""
    import torch

    torch.cuda.is_bf16_supported = lambda including_emulation=True: False  # type: ignore[assignment]
    # Not torch's own capability, by which kernels would be compiled for a card that is not here.
    for name, module in list(sys.modules.items()):
        if name.startswith("ccutils.") and "repeats_kv_heads" in vars(module):
            module.repeats_kv_heads = lambda: True  # type: ignore[attr-defined]
    torch.backends.cuda.enable_flash_sdp(False)
    torch.backends.cuda.enable_cudnn_sdp(False)
    torch.backends.cuda.enable_mem_efficient_sdp(not plain)


def most_changed(checkpoint: Path) -> float:
    """Return the largest absolute weight of LoRA's matrices B, which are zero before training."""
    from safetensors.torch import load_file

    weights = load_file(checkpoint / "adapter_model.safetensors")
    return max(float(value.abs().max()) for name, value in weights.items() if "lora_B" in name)
