"""Train an adapter with TRL's SFTTrainer: loss only on the target's answer, checkpoints, resuming."""

import gc
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from tqdm import tqdm  # the plain one: it reads the same in Jupyter and in papermill's log
from transformers import PreTrainedTokenizerBase, PrinterCallback, TrainerCallback, set_seed
from transformers.training_args import OptimizerNames
from trl.trainer import utils as trl_utils
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from ccutils.errors import InputError, nearest
from ccutils.models.base import compute_dtype, uses_fsdp
from ccutils.training.dataset import TrainingSet
from ccutils.training.saved import checkpoints, mark_whole, newest, remove_cut_off, spent, strip_older
from ccutils.training.settings import SCHEDULES, Settings

# Without Triton, TRL scores every position, so that shapes stay constant for devices that compile. A CPU does
# not compile, and scoring only the answers halves the time of the tiny model's steps.
trl_utils._use_triton = lambda device: device.type in ("cuda", "cpu")  # type: ignore[attr-defined]
# Exclude what the libraries allocated at import from garbage collection, which accelerate runs at the start
# of every training: a quarter of a second.
gc.freeze()


class ICTrainer(SFTTrainer):
    """SFTTrainer with a float32 adapter, whose checkpoints are marked when they are complete."""

    def __init__(self, *, keep: int, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.keep = keep
        self.folder = Path(str(self.args.output_dir))
        self.start = time.monotonic() - spent(self.folder)
        # TRL casts the adapter of a quantised model to bfloat16, which a T4 lacks and which loses small
        # updates.
        for parameter in arguments["model"].parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()

    def floating_point_ops(self, inputs: Any) -> int:
        """Skip the count, which visits all modules at every step and is used nowhere."""
        return 0

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write no model card, as TRL would beside every checkpoint."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)  # type: ignore[no-untyped-call]
        self.accelerator.wait_for_everyone()  # each process writes the state of its random numbers
        if self.args.should_save:
            step = self.state.global_step
            mark_whole(self.folder / f"checkpoint-{step}", step, time.monotonic() - self.start)
            strip_older(self.folder, self.keep)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            page_states(self.optimizer)

    def save_now(self) -> None:
        """Write a checkpoint of the last finished step, unless there is one."""
        if self.state.global_step and self.state.global_step not in checkpoints(self.folder):
            self._save_checkpoint(self.model, None)


def page_states(optimizer: Any) -> None:
    """Move the states of a paged optimiser that were loaded from a file back to pages.

    bitsandbytes leaves them on the device. If they were loaded there directly, as with several GPUs, they are
    still marked as paged, at which CUDA ends the process. Shards of FSDP are not changed.
    """
    inner = getattr(optimizer, "optimizer", optimizer)  # accelerate's wrapper
    if not getattr(inner, "is_paged", False):
        return
    for parameter, state in inner.state.items():
        for name in ("state1", "state2"):
            if type(state.get(name)) is torch.Tensor:
                page = inner.get_state_buffer(parameter, dtype=state[name].dtype)
                state[name] = page.copy_(state[name])


def train(
    make_model: Callable[[], PeftModel],
    tokenizer: PreTrainedTokenizerBase,
    prompts: TrainingSet,
    *,
    settings: Settings,
    folder: Path,
) -> list[dict[str, float]]:
    """Train an adapter, or resume from the folder's last complete checkpoint; return the learning curve.

    `make_model` loads the base with a fresh adapter. The curve has step, loss and learning_rate of each
    logged step. If memory runs out, the micro-batch is reduced and training continues from the same step.
    Raises InputError if not even one prompt at a time fits, or if other processes are waiting.
    """
    micro = micro_batch_size(settings)
    remove_cut_off(folder)
    while True:
        set_seed(prompts.seed)
        try:
            model = make_model()
        except torch.OutOfMemoryError as error:
            raise InputError(
                "The memory does not hold the model: end other programs on the GPU, or use a smaller model."
            ) from error
        trainer = make_trainer(model, tokenizer, prompts, settings=settings, micro=micro, folder=folder)
        del model  # else a second attempt would find it in memory
        try:
            trainer.train(resume_from_checkpoint=newest(folder))
            remove_unplanned(folder, settings)
            return [entry for entry in trainer.state.log_history if "loss" in entry]
        except torch.OutOfMemoryError as error:
            if micro == 1:
                raise InputError(
                    "The memory does not hold one prompt at a time: lower window or k, set checkpointing to "
                    "true, or use a smaller model."
                ) from error
            if processes() > 1:
                raise InputError(
                    f"micro_batch {micro} does not fit the memory: halve it and run the same command again."
                ) from error
            trainer.save_now()
        micro = max(m for m in range(1, micro // 2 + 1) if settings.batch % m == 0)
        print(f"Out of memory: continuing with micro_batch = {micro}.", flush=True)
        del trainer
        forget_peak()


def forget_peak() -> None:
    """Free unused memory (a trainer and its model refer to each other) and reset the recorded peak."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def make_trainer(
    model: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: TrainingSet,
    *,
    settings: Settings,
    micro: int,
    folder: Path,
) -> ICTrainer:
    """Build the trainer of one run, with its data and its progress bar."""
    arguments = SFTConfig(
        output_dir=str(folder),
        max_steps=settings.steps,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=accumulation(settings.batch, micro),
        learning_rate=settings.learning_rate,
        warmup_steps=round(settings.warmup * settings.steps),
        lr_scheduler_type=SCHEDULES[settings.schedule],
        optim=optimiser(settings.optimiser),
        gradient_checkpointing=settings.checkpointing,
        bf16=compute_dtype() == torch.bfloat16,
        fp16=compute_dtype() == torch.float16,
        use_cpu=not torch.cuda.is_available(),  # else each of several processes on a CPU trains alone
        save_strategy="steps",
        save_steps=save_steps(settings),
        logging_steps=max(1, settings.steps // 100),
        seed=prompts.seed,
        train_sampling_strategy="sequential",  # the training set is shuffled already
        dataset_kwargs={"skip_prepare_dataset": True},  # it tokenises itself, anew in every epoch
        remove_unused_columns=False,
        ddp_find_unused_parameters=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        max_length=None,
        # without padding the prompts of a batch are one sequence, which only FlashAttention keeps apart
        padding_free=model.config._attn_implementation == "flash_attention_2",
        report_to="none",
        disable_tqdm=True,
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # one process trains on one GPU, even if it sees several
    trainer = ICTrainer(
        keep=settings.keep,
        model=model,
        args=arguments,
        processing_class=tokenizer,
        train_dataset=prompts.dataset(settings.steps * settings.batch),
        callbacks=[Progress()],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def accumulation(batch: int, micro: int) -> int:
    """Count the micro-batches in a step of one process. Raises InputError if they do not divide the batch."""
    if batch % (micro * processes()):
        raise InputError(
            f"batch must be a multiple of micro_batch, {micro}, times {processes()} processes, got {batch}."
        )
    return batch // (micro * processes())


def save_steps(settings: Settings) -> int:
    """Return the number of steps between checkpoints."""
    return -(-settings.steps // settings.n_checkpoints)


def micro_batch_size(settings: Settings) -> int:
    """Return the micro-batch of one process."""
    return settings.micro_batch or max(1, settings.batch // processes())


def processes() -> int:
    """Count the processes that `accelerate launch` started for this run."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def optimiser(name: str) -> str:
    """Choose the optimiser, by transformers' name. Raises InputError for an unknown name."""
    known = ["auto", *OptimizerNames]
    if name not in known:
        raise InputError(f"optimiser {name!r} does not exist{nearest(name, known)}")
    if name != "auto":
        return name
    # bitsandbytes' optimisers do not support sharded parameters
    return "paged_adamw_8bit" if torch.cuda.is_available() and not uses_fsdp() else "adamw_torch_fused"


class Progress(TrainerCallback):
    """Shows a progress bar with loss, tokens per second and memory.

    At the end it reports how many steps were skipped: with float16, steps whose gradients overflow change
    nothing, but count as steps of the run.
    """

    skipped = 0

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.skipped += bool(getattr(kwargs.get("optimizer"), "step_was_skipped", False))

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_local_process_zero:
            self.bar = tqdm(
                total=state.max_steps, initial=state.global_step, desc="IC-Train", unit="step", mininterval=2,
                file=sys.stdout,
            )  # fmt: skip

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_local_process_zero:
            self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        logs = kwargs["logs"]
        if not state.is_local_process_zero or "loss" not in logs:
            return
        seconds = max(self.bar.format_dict["elapsed"], 1e-9)
        shown = {"loss": f"{float(logs['loss']):.3f}", "tokens/s": f"{logs['num_tokens'] / seconds:.0f}"}
        if torch.cuda.is_available():
            shown["GB"] = f"{torch.cuda.max_memory_allocated() / 1e9:.1f}"
        self.bar.set_postfix(shown, refresh=False)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_local_process_zero:
            self.bar.close()
            if self.skipped:
                print(f"float16: {self.skipped} steps skipped, their gradients overflowed.", flush=True)


def remove_unplanned(folder: Path, settings: Settings) -> None:
    """Delete checkpoints written because memory ran out: all runs are probed at the same steps."""
    for step, path in checkpoints(folder).items():
        if step % save_steps(settings) and step != settings.steps:
            shutil.rmtree(path)
