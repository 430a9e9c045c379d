"""Runs of a small model: paged AdamW, a run that is killed and goes on, and two processes on two cards."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.gpu.isolated import Failed
from benchmarks.gpu.made import Bench
from benchmarks.gpu.rows import SAME_LOSS, Row, at_least, at_most, failed, largest_difference, noted
from ccutils.training.plan import Plan

ROOT = Path(__file__).parents[2]
SAME_ADAPTER = 0.05  # relative, of all its weights: what AdamW makes of rounding in eight steps
PLAIN = "adamw_torch_fused"
RANK = 64  # bitsandbytes pages the state of matrices of 100,000 numbers or more


def check_paged(bench: Bench) -> Iterator[Row]:
    """Train with paged 8-bit AdamW and with torch's own: losses must be the same.

    Its states are not driven off the card: to ask for more managed memory than a card has can hang it.
    """
    found: dict[str, dict[str, Any]] = {}
    for name in ("paged_adamw_8bit", PLAIN):
        plan = bench.plan("small", name, optimiser=name, rank=RANK)
        try:
            found[name] = bench.apart.run(train_once, plan)
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


def train_once(plan: Plan) -> dict[str, Any]:
    """Train as ic_train does, and return the losses and the optimiser's bytes of state, paged and all."""
    from torch import Tensor

    from ccutils.models.base import load_tokenizer
    from ccutils.training.prepare import make_model, prepare_run
    from ccutils.training.trainer import make_trainer, micro_batch_size

    prepared = prepare_run(plan)
    trainer = make_trainer(
        make_model(plan, prepared.path),
        load_tokenizer(prepared.path),
        prepared.prompts,
        settings=plan.settings,
        micro=micro_batch_size(plan.settings),
        folder=plan.run.folder,
    )
    trainer.train()
    optimiser: Any = trainer.optimizer
    optimiser = getattr(optimiser, "optimizer", optimiser)  # accelerate's wrapping
    states = [v for state in optimiser.state.values() for v in state.values() if isinstance(v, Tensor)]
    return {
        "losses": [entry["loss"] for entry in trainer.state.log_history if "loss" in entry],
        "kind": type(optimiser).__name__,
        "bytes": sum(v.nbytes for v in states),
        "paged": sum(v.nbytes for v in states if getattr(v, "is_paged", False)),
    }


def check_resume(bench: Bench) -> Iterator[Row]:
    """Kill a run in the middle and start it again: the rest alone is trained, and the end is the same."""
    last = bench.scale.steps
    whole, cut = (
        bench.plan("small", name, rank=RANK, n_checkpoints=last // 2, learning_rate=1e-3)
        for name in ("whole", "cut")
    )
    try:
        expected = bench.apart.run(train_on, whole)
        try:
            bench.apart.run(train_on, cut, last // 2 + 1)
            yield failed("resume", "kill", "the run was not killed")
        except Failed as error:
            if error.signal != signal.SIGKILL:
                raise
        found = bench.apart.run(train_on, cut)
    except Failed as error:
        yield failed("resume", "run", str(error))
        return
    rest = last - last // 2 // 2 * 2  # from the last checkpoint, each second step, before the kill
    yield at_most("resume", f"steps that were trained again after a kill, of {last}", found["steps"], rest)
    off = largest_difference(found["losses"], expected["losses"])
    yield at_most(
        "resume", "largest relative difference of a loss from an uninterrupted run's", off, SAME_LOSS
    )
    apart = difference(Path(found["adapter"]), Path(expected["adapter"]))
    yield at_most("resume", "relative difference of the adapter from its", apart, SAME_ADAPTER)


def train_on(plan: Plan, kill_in: int = 0) -> dict[str, Any]:
    """Train, or go on, and be killed in step `kill_in` (0: never); return losses and steps trained here."""
    from ccutils.training.run import ic_train
    from ccutils.training.saved import newest
    from ccutils.training.trainer import ICTrainer

    original, steps = ICTrainer.training_step, set[int]()

    def training_step(self: ICTrainer, *rest: Any, **more: Any) -> Any:
        loss = original(self, *rest, **more)
        steps.add(self.state.global_step)
        if kill_in and self.state.global_step == kill_in:
            os.kill(os.getpid(), signal.SIGKILL)
        return loss

    ICTrainer.training_step = training_step  # type: ignore[assignment, method-assign]
    done = ic_train(plan)
    losses = [entry["loss"] for entry in done["curve"]]
    return {"losses": losses, "steps": len(steps), "adapter": newest(plan.run.folder)}


def difference(one: Path, other: Path) -> float:
    """Return the norm of the difference of two checkpoints' adapters by the norm of what training has put
    into the second.
    """
    from safetensors.torch import load_file

    a, b = (load_file(folder / "adapter_model.safetensors") for folder in (one, other))
    learnt = [name for name in b if "lora_B" in name]  # zero before training
    apart = sum(float((a[name] - b[name]).square().sum()) for name in learnt)
    return float((apart / sum(float(b[name].square().sum()) for name in learnt)) ** 0.5)


def check_two(bench: Bench) -> Iterator[Row]:
    """Train by two processes, each on a card of its own, as docs/gpu.md tells: the end must be the same."""
    import torch

    cards = torch.cuda.device_count()
    if cards < 2 and not bench.scale.rehearsal:
        yield noted("two processes", "accelerate launch", f"not run: {cards} card is here")
        return
    alone, together = (bench.plan("small", name, learning_rate=1e-3) for name in ("alone", "together"))
    try:
        expected = bench.apart.run(train_on, alone)
        found = bench.apart.run(launch, together, not bench.scale.rehearsal)
    except Failed as error:
        yield failed("two processes", "accelerate launch", str(error))
        return
    yield at_least("two processes", "processes that trained", found["processes"], 2)
    off = largest_difference(found["losses"], expected["losses"])
    yield at_most("two processes", "largest relative difference of a loss from one process's", off, SAME_LOSS)
    apart = difference(Path(found["adapter"]), Path(expected["adapter"]))
    yield at_most("two processes", "relative difference of the adapter from its", apart, SAME_ADAPTER)


def launch(plan: Plan, gpu: bool) -> dict[str, Any]:
    """Start two processes as docs/gpu.md tells; without a GPU they talk by gloo."""
    from ccutils.training.saved import newest

    config = str(ROOT / "workflow" / "launch" / "data_parallel.yaml")
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", config]
    command += ["--num_processes", "2", "--main_process_port", "0", "-m", "ccutils.training.launch"]
    hidden = {} if gpu else {"CUDA_VISIBLE_DEVICES": ""}
    shutil.rmtree(plan.run.folder, ignore_errors=True)
    subprocess.run(
        [*command, json.dumps(asdict(plan))],
        env=os.environ | hidden | {"PYTHONPATH": str(ROOT)},
        check=True,
    )
    done = json.loads((plan.run.folder / "done.json").read_text())
    last = Path(newest(plan.run.folder) or "")
    states = len(list(last.glob("rng_state_*.pth")))  # each process leaves its own
    return {"losses": [entry["loss"] for entry in done["curve"]], "adapter": str(last), "processes": states}
