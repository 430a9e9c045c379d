"""Predict how long a run will take, by training the model's first layer and its first two layers.

Both include the costs that do not depend on layers (data, embeddings, head, loss), and each further layer
costs as much as the second. A few micro-batches are enough, and a model of two layers loads quickly.
"""

import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers import TrainerCallback
from transformers.utils import logging

from ccutils.models.base import config_of
from ccutils.training.plan import Plan
from ccutils.training.prepare import PreparedRun, make_model
from ccutils.training.trainer import Progress, forget_peak, make_trainer, micro_batch_size

MEASURED = 4  # micro-batches, after one in which kernels are chosen and compiled


class Clock(TrainerCallback):
    """Records when each step ended, in seconds."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())


def predict_seconds(plan: Plan, prepared: PreparedRun) -> float:
    """Predict the seconds of the run's training steps on this machine, without loading and checkpoints.

    Takes a few seconds for a small model, up to a minute for one of 8B. Raises InputError if the model cannot
    be loaded.
    """
    layers: int = config_of(prepared.path).get_text_config().num_hidden_layers
    seconds = [rehearse(plan, prepared, n) for n in range(1, min(layers, 2) + 1)]
    whole = seconds[-1] + (layers - len(seconds)) * max(0.0, seconds[-1] - seconds[0])
    settings = plan.settings
    return whole * settings.steps * settings.batch / micro_batch_size(settings)


def rehearse(plan: Plan, prepared: PreparedRun, layers: int) -> float:
    """Measure the median seconds of a micro-batch with the model's first layers."""
    micro = micro_batch_size(plan.settings)
    short = replace(plan.settings, steps=1 + MEASURED, batch=micro, micro_batch=micro, n_checkpoints=1)
    clock = Clock()
    with TemporaryDirectory() as folder:
        shown = logging.get_verbosity()
        logging.set_verbosity_error()  # else it lists the weights of the omitted layers
        try:
            model = make_model(plan, prepared.path, layers)
        finally:
            logging.set_verbosity(shown)
        trainer = make_trainer(
            model, prepared.tokenizer, prepared.prompts, settings=short, micro=micro, folder=Path(folder)
        )
        trainer.remove_callback(Progress)
        trainer.add_callback(clock)
        trainer.train()
    del model, trainer
    forget_peak()
    return median(after - before for before, after in pairwise(clock.ends))
