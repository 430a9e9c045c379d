"""Train, be killed, resume: `python kill_and_resume.py RESULTS`, in one process tree that imports torch once.

Prints JSON: for each kill the steps of the whole checkpoints found after it, and whether the resumed run
ended with the very weights of the uninterrupted one.
"""

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from small import make_plan

from ccutils.training import trainer as training
from ccutils.training.plan import Plan
from ccutils.training.run import ic_train
from ccutils.training.saved import checkpoints
from ccutils.training.trainer import ICTrainer

STEPS = 12


def in_child(work: Any) -> int:
    """Run `work` in a forked process and return how it ended."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    return os.waitpid(child, 0)[1]


def weights(plan: Plan) -> bytes:
    return (checkpoints(plan.run.folder)[STEPS] / "adapter_model.safetensors").read_bytes()


def killed_at(plan: Plan, step: int) -> None:
    """Be killed in the middle of a step."""
    original = ICTrainer.training_step

    def training_step(self: ICTrainer, *rest: Any) -> Any:
        loss = original(self, *rest)
        if self.state.global_step == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return loss

    ICTrainer.training_step = training_step  # type: ignore[method-assign]
    ic_train(plan)


def killed_while_writing(plan: Plan, step: int) -> None:
    """Be killed when a checkpoint is written but for its mark."""
    original = training.mark_whole

    def mark_whole(folder: Path, at: int, seconds: float) -> None:
        if at == step:
            os.kill(os.getpid(), signal.SIGKILL)
        original(folder, at, seconds)

    training.mark_whole = mark_whole
    ic_train(plan)


def main(results: Path) -> None:
    torch.set_num_threads(1)
    plan = make_plan(results, steps=STEPS, n_checkpoints=4)
    in_child(lambda: ic_train(plan))
    wanted = weights(plan)
    steps = np.random.default_rng(0).choice(STEPS, 5, replace=False).tolist()
    kills = [(killed_at, step) for step in steps] + [(killed_while_writing, 6)]
    found = []
    for kill, step in kills:
        shutil.rmtree(plan.run.folder)
        status = in_child(lambda kill=kill, step=step: kill(plan, step))
        after = list(checkpoints(plan.run.folder))
        in_child(lambda: ic_train(plan))
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        found.append({"kill": kill.__name__, "step": step, "killed": killed, "whole": after,
                      "same": weights(plan) == wanted})  # fmt: skip
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
