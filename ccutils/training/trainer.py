"""IC-Train on TRL's SFTTrainer: loss on the target's answer alone, checkpoints, resuming."""

import gc
import os
import shutil
import sys
import time
from collections.abc import Callable
from functools import partial
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
from ccutils.models.packing import FLEX_BLOCK, SharedCollator, share
from ccutils.training.dataset import TrainingSet
from ccutils.training.saved import checkpoints, mark_whole, newest, remove_cut_off, spent, strip_older
from ccutils.training.settings import SCHEDULES, Settings, check_group_size

# Without Triton, TRL scores every position, so that shapes stay constant for devices that compile. A CPU does
# not compile, and scoring only the answers halves the time of the tiny model's steps.
trl_utils._use_triton = lambda device: device.type in ("cuda", "cpu")
# What all these libraries have made is never garbage: looking through it, as accelerate does at every run's
# start, takes a quarter of a second.
gc.freeze()


class ICTrainer(SFTTrainer):
    """SFTTrainer whose adapter is in float32 and whose checkpoints are marked when they are whole."""

    def __init__(self, *, keep: int, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.keep = keep
        self.start = time.monotonic() - spent(Path(str(self.args.output_dir)))
        # TRL puts the adapter of a quantised model in bfloat16: a T4 has none, and it loses small updates.
        for parameter in arguments["model"].parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
        # Trainer asks every module at every step to be in training, which takes time. Here it is asked once:
        # the base is loaded for answering, and in that state keeps all activations, checkpointing or not.
        model: Any = self.model
        model.train()
        model.train = partial(stay_in_training, model)

    def floating_point_ops(self, inputs: Any) -> int:
        """Count nothing: nobody reads the sum, and it asks all modules at every step."""
        return 0

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write none, which TRL would do beside every checkpoint."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)  # type: ignore[no-untyped-call]
        self.mark_saved()

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            page_states(self.optimizer)

    def mark_saved(self) -> None:
        """Mark the checkpoint of this step as whole, and strip the older ones."""
        self.accelerator.wait_for_everyone()  # each process writes the state of its random numbers
        if self.args.should_save:
            folder = Path(str(self.args.output_dir))
            seconds = time.monotonic() - self.start
            mark_whole(folder / f"checkpoint-{self.state.global_step}", self.state.global_step, seconds)
            strip_older(folder, self.keep)

    def save_now(self) -> None:
        """Write a checkpoint of the last finished step, unless there is one."""
        if self.state.global_step and self.state.global_step not in checkpoints(self.folder):
            self._save_checkpoint(self.model, None)


def page_states(optimizer: Any) -> None:
    """Put the states of a paged optimiser that come from a file on pages again.

    bitsandbytes leaves them on the device, and where they were read there directly, as with several GPUs,
    they still say that they are paged, at which CUDA ends the process. Shards of FSDP are left alone.
    """
    inner = getattr(optimizer, "optimizer", optimizer)  # accelerate's wrapping
    if not getattr(inner, "is_paged", False):
        return
    for parameter, state in inner.state.items():
        for name in ("state1", "state2"):
            if type(state.get(name)) is torch.Tensor:
                page = inner.get_state_buffer(parameter, dtype=state[name].dtype)
                state[name] = page.copy_(state[name])


def stay_in_training(model: torch.nn.Module, mode: bool = True) -> torch.nn.Module:
    """Do what `model.train` does, but nothing where the model is in that mode already."""
    return model if model.training == mode else type(model).train(model, mode)


def train(
    make_model: Callable[[], PeftModel],
    tokenizer: PreTrainedTokenizerBase,
    prompts: TrainingSet,
    *,
    settings: Settings,
    folder: Path,
) -> list[dict[str, float]]:
    """Train an adapter, from the folder's last whole checkpoint if it has one, and return the learning curve.

    `make_model` makes the base with a fresh adapter. The curve has step, loss and learning_rate for each
    logged step. Out of memory, the micro-batch is halved and training goes on from the same step. Raises
    InputError where even one prompt at a time does not fit, or where other processes cannot be told.
    """
    micro, unit = micro_batch_size(settings), prompts.group_size
    check_group_size(unit, micro)
    remove_cut_off(folder)
    while True:
        set_seed(prompts.seed)
        try:
            model = make_model()
        except torch.OutOfMemoryError as error:
            raise InputError(
                "the memory does not hold the model: end what else uses the GPU, or take a smaller model."
            ) from error
        trainer = make_trainer(model, tokenizer, prompts, settings=settings, micro=micro, folder=folder)
        del model  # else a second try would find it in memory
        try:
            trainer.train(resume_from_checkpoint=newest(folder))
            remove_unplanned(folder, settings)
            return [entry for entry in trainer.state.log_history if "loss" in entry]
        except torch.OutOfMemoryError as error:
            if micro == unit:
                raise InputError(
                    f"the memory does not hold {unit} prompt(s) at a time: lower window or k, set "
                    "checkpointing to true, or take a smaller model."
                ) from error
            if processes() > 1:
                raise InputError(
                    f"micro_batch {micro} does not fit the memory: halve it and start the same command again."
                ) from error
            trainer.save_now()
        micro = max(m for m in range(unit, micro // 2 + 1, unit) if settings.batch % m == 0)
        print(f"out of memory: going on with micro_batch = {micro}", flush=True)
        del trainer
        forget_peak()


def forget_peak() -> None:
    """Free what nothing uses any more (a trainer and its model hold each other), and count the peak of memory
    anew.
    """
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
    """Make the trainer of one run, with its data and its progress bar."""
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
        use_cpu=not torch.cuda.is_available(),  # otherwise several processes on a CPU train each on its own
        save_strategy="steps",
        save_steps=save_steps(settings),
        logging_steps=max(1, settings.steps // 100),
        seed=prompts.seed,
        train_sampling_strategy="sequential",  # the training set has its own order
        dataset_kwargs={"skip_prepare_dataset": True},  # it makes its token ids itself, anew in every epoch
        remove_unused_columns=False,
        ddp_find_unused_parameters=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        max_length=None,
        # without padding the prompts of a batch are one sequence, which FlashAttention alone tells apart
        padding_free=model.config._attn_implementation == "flash_attention_2" and prompts.group_size == 1,
        report_to="none",
        disable_tqdm=True,
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # one process trains on one GPU, however many it sees
    collator = None
    if prompts.group_size > 1:
        share(model)
        flex = model.config._attn_implementation == "flex_attention"
        if flex:
            print("the first step compiles the attention of shared contexts: a minute or two", flush=True)
        multiple = FLEX_BLOCK if flex else 1
        collator = SharedCollator(int(tokenizer.pad_token_id), prompts.group_size, multiple)
    trainer = ICTrainer(
        keep=settings.keep,
        model=model,
        args=arguments,
        processing_class=tokenizer,
        train_dataset=prompts.dataset(settings.steps * settings.batch),
        data_collator=collator,
        callbacks=[Progress()],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def accumulation(batch: int, micro: int) -> int:
    """Return micro-batches in a step of one process."""
    if batch % (micro * processes()):
        raise InputError(
            f"batch is {batch}: it must be a multiple of micro_batch, {micro}, times {processes()} processes."
        )
    return batch // (micro * processes())


def save_steps(settings: Settings) -> int:
    """Return steps from one checkpoint to the next."""
    return -(-settings.steps // settings.n_checkpoints)


def micro_batch_size(settings: Settings) -> int:
    """Return the micro-batch of one process."""
    return settings.micro_batch or max(1, settings.batch // processes())


def processes() -> int:
    """Return how many processes `accelerate launch` has started for this run."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def optimiser(name: str) -> str:
    """Return the optimiser by transformers' name for it. Raises InputError for an unknown name."""
    known = ["auto", *OptimizerNames]
    if name not in known:
        raise InputError(f"optimiser {name!r} does not exist{nearest(name, known)}")
    if name != "auto":
        return name
    # bitsandbytes' optimisers do not know parameters that are split
    return "paged_adamw_8bit" if torch.cuda.is_available() and not uses_fsdp() else "adamw_torch_fused"


class Progress(TrainerCallback):
    """A bar with loss, tokens a second and memory; the time left is the bar's own.

    At its end it says how many steps changed nothing: float16 gives those up whose gradients overflow, while
    it finds its scale, and they are steps of the run all the same.
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
                print(
                    f"float16: {self.skipped} steps changed nothing, their gradients overflowed", flush=True
                )


def remove_unplanned(folder: Path, settings: Settings) -> None:
    """Remove checkpoints made because memory ran out: seeds and strategies are probed at the same steps."""
    for step, path in checkpoints(folder).items():
        if step % save_steps(settings) and step != settings.steps:
            shutil.rmtree(path)
