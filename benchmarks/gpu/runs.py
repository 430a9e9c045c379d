"""Runs of a small model: paged AdamW, and a killed run that resumes."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.gpu.isolated import Failed
from benchmarks.gpu.made import Bench
from benchmarks.gpu.rows import SAME_LOSS, Row, at_least, at_most, failed, largest_difference, noted
from ccutils.training.plan import Plan

SAME_ADAPTER = 0.05  # relative, over all weights: the effect of rounding on AdamW in eight steps
PLAIN = "adamw_torch_fused"
RANK = 64  # bitsandbytes pages only the state of matrices of 100,000 parameters or more


def check_paged(bench: Bench) -> Iterator[Row]:
    """Train with paged 8-bit AdamW and with torch's AdamW: losses must be the same.

    The card's memory is not filled until states leave it: managed memory above a card's size can hang it.
    """
    found: dict[str, dict[str, Any]] = {}
    for name in ("paged_adamw_8bit", PLAIN):
        try:
            found[name] = bench.apart.run(train, bench.plan("small", name, optimiser=name, rank=RANK))
        except Failed as error:
            yield failed("paged AdamW", name, str(error))
    paged = found.get("paged_adamw_8bit")
    if paged:
        share = f"bytes of state that are paged, of {paged['bytes']:,} ({paged['kind']})"
        if bench.scale.rehearsal:
            yield noted("paged AdamW", share, paged["paged"])
        else:
            yield at_least("paged AdamW", share, paged["paged"], 1)
    if paged and PLAIN in found:
        off = largest_difference(paged["losses"], found[PLAIN]["losses"])
        yield at_most("paged AdamW", f"largest relative difference of a loss from {PLAIN}'s", off, SAME_LOSS)


def check_resume(bench: Bench) -> Iterator[Row]:
    """Kill a run in the middle and resume it: only the rest is trained, and the results are the same."""
    last = bench.scale.steps
    whole, cut = (
        bench.plan("small", name, rank=RANK, n_checkpoints=last // 2, learning_rate=1e-3)
        for name in ("whole", "cut")
    )
    try:
        expected = bench.apart.run(train, whole)
        try:
            bench.apart.run(train, cut, last // 2 + 1)
            yield failed("resume", "kill", "the run was not killed")
        except Failed as error:
            if error.signal != signal.SIGKILL:
                raise
        found = bench.apart.run(train, cut)
    except Failed as error:
        yield failed("resume", "run", str(error))
        return
    rest = last - last // 2 // 2 * 2  # steps after the last checkpoint (every second step) before the kill
    yield at_most("resume", f"steps that were trained again after a kill, of {last}", found["steps"], rest)
    off = largest_difference(found["losses"], expected["losses"])
    what = "largest relative difference of a loss from an uninterrupted run's"
    yield at_most("resume", what, off, SAME_LOSS)
    apart = adapter_difference(Path(found["adapter"]), Path(expected["adapter"]))
    yield at_most("resume", "relative difference of the adapter from its", apart, SAME_ADAPTER)


def train(plan: Plan, kill_in: int = 0) -> dict[str, Any]:
    """Train or resume a run, and kill this process in step `kill_in` (0: never).

    Returns all losses, the number of steps trained here, the path of the adapter, the optimiser's class
    (`kind`) and the bytes of its state, in total and paged.
    """
    from torch import Tensor

    from ccutils.training.run import ic_train
    from ccutils.training.saved import newest
    from ccutils.training.trainer import ICTrainer

    original, steps, trainers = ICTrainer.training_step, set[int](), list[ICTrainer]()

    def training_step(self: ICTrainer, *rest: Any, **more: Any) -> Any:
        loss = original(self, *rest, **more)
        trainers.append(self)
        steps.add(self.state.global_step)
        if kill_in and self.state.global_step == kill_in:
            os.kill(os.getpid(), signal.SIGKILL)
        return loss

    ICTrainer.training_step = training_step  # type: ignore[assignment, method-assign]
    done = ic_train(plan)
    optimiser: Any = trainers[-1].optimizer
    optimiser = getattr(optimiser, "optimizer", optimiser)  # accelerate wraps it
    states = [v for state in optimiser.state.values() for v in state.values() if isinstance(v, Tensor)]
    return {
        "losses": [entry["loss"] for entry in done["curve"]],
        "steps": len(steps),
        "adapter": newest(plan.run.folder),
        "kind": type(optimiser).__name__,
        "bytes": sum(v.nbytes for v in states),
        "paged": sum(v.nbytes for v in states if getattr(v, "is_paged", False)),
    }


def adapter_difference(one: Path, other: Path) -> float:
    """Return the norm of the difference of two checkpoints' LoRA matrices B by the norm of the second's."""
    from safetensors.torch import load_file

    a, b = (load_file(folder / "adapter_model.safetensors") for folder in (one, other))
    trained = [name for name in b if "lora_B" in name]  # zero before training
    apart = sum(float((a[name] - b[name]).square().sum()) for name in trained)
    return float((apart / sum(float(b[name].square().sum()) for name in trained)) ** 0.5)
