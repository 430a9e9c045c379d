"""IC-Train: the loss by hand, micro-batches, checkpoints, running out of memory (killing: test_resume.py)."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bitsandbytes as bnb
import pytest
import torch
from accelerate.optimizer import AcceleratedOptimizer
from peft import PeftModel
from safetensors.torch import load_file
from small import make_plan
from trl.trainer.sft_config import SFTConfig

from ccutils.errors import InputError
from ccutils.training.plan import Plan
from ccutils.training.prepare import PreparedRun, make_model, prepare_run
from ccutils.training.trainer import (
    ICTrainer,
    Settings,
    checkpoints,
    make_trainer,
    page_states,
    train,
)

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


def test_the_first_loss_is_that_of_full_logits_by_hand(
    plan: Plan, parts: PreparedRun, tmp_path: Path
) -> None:
    """A fresh adapter changes nothing: the first step's loss is the base's, on the answer's tokens alone."""
    curve = run(plan, parts, tmp_path)
    model = make_model(
        plan, parts.path
    ).train()  # bitsandbytes computes in bfloat16 on some CPUs in eval mode
    found = parts.prompts.tokens(range(plan.settings.batch))
    total, count = 0.0, 0
    for ids, labels in zip(found["input_ids"], found["labels"], strict=True):
        logits = model(torch.tensor([ids])).logits[0].detach().double()
        for i in range(1, len(ids)):
            if labels[i] != -100:
                total -= float(torch.log_softmax(logits[i - 1], dim=-1)[ids[i]])
                count += 1
    assert curve[0]["step"] == 1
    assert curve[0]["loss"] == pytest.approx(total / count, rel=1e-5)


def test_micro_batches_and_checkpointing_change_nothing(
    plan: Plan, parts: PreparedRun, tmp_path: Path
) -> None:
    whole, parted, again = (tmp_path / name for name in "abc")
    run(plan, parts, whole)
    run(plan, parts, parted, micro_batch=2)
    run(plan, parts, again, checkpointing=True)
    for other in (parted, again):
        for name, value in weights(other).items():
            torch.testing.assert_close(value, weights(whole)[name], rtol=1e-4, atol=1e-6)


def test_checkpointing_computes_activations_again(plan: Plan, parts: PreparedRun, tmp_path: Path) -> None:
    calls: dict[bool, list[bool]] = {False: [], True: []}

    def make_counted(checkpointing: bool) -> PeftModel:
        model = make_model(make_plan(Path(plan.results), checkpointing=checkpointing), parts.path)
        layer = next(module for name, module in model.named_modules() if name.endswith("gate_proj"))
        layer.register_forward_hook(lambda *_: calls[checkpointing].append(True))
        return model

    for checkpointing in calls:
        settings = replace(plan.settings, checkpointing=checkpointing)
        train_on(parts, partial(make_counted, checkpointing), settings, tmp_path / str(checkpointing))
    assert len(calls[True]) == 2 * len(calls[False]) > 0


def test_checkpoints_are_spread_and_only_the_newest_can_be_resumed(
    plan: Plan, parts: PreparedRun, tmp_path: Path
) -> None:
    run(plan, parts, tmp_path)
    assert list(checkpoints(tmp_path)) == [2, 4, 6]
    assert [(path / "optimizer.pt").exists() for path in checkpoints(tmp_path).values()] == [
        False,
        False,
        True,
    ]
    assert all((path / "adapter_model.safetensors").exists() for path in checkpoints(tmp_path).values())
    assert not any((path / "model.safetensors").exists() for path in checkpoints(tmp_path).values())


def test_the_base_is_quantised_and_only_the_adapter_learns(
    plan: Plan, parts: PreparedRun, tmp_path: Path
) -> None:
    model = make_model(
        plan, parts.path
    ).train()  # bitsandbytes computes in bfloat16 on some CPUs in eval mode
    trainer = make_trainer(
        model, parts.tokenizer, parts.prompts, settings=plan.settings, micro=8, folder=tmp_path
    )
    names = [name for name, value in trainer.model.named_parameters() if value.requires_grad]
    assert names
    assert all("lora_" in name for name in names)
    assert {str(p.dtype) for p in trainer.model.parameters() if p.requires_grad} == {"torch.float32"}
    assert any(p.dtype == torch.uint8 for p in trainer.model.parameters())


@pytest.mark.parametrize("good_steps", [0, 3])
def test_out_of_memory_goes_on_from_the_same_step(
    good_steps: int, plan: Plan, parts: PreparedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From some step on only two prompts at a time fit; the run ends as one with enough memory."""
    run(plan, parts, tmp_path / "whole")
    original = ICTrainer.training_step
    seen: list[tuple[int, int]] = []

    def short_of_memory(self: ICTrainer, model: Any, inputs: Any, *rest: Any) -> Any:
        seen.append((self.state.global_step, len(inputs["input_ids"])))
        if self.state.global_step >= good_steps and len(inputs["input_ids"]) > 2:
            raise torch.OutOfMemoryError("made up")
        return original(self, model, inputs, *rest)

    monkeypatch.setattr(ICTrainer, "training_step", short_of_memory)
    run(plan, parts, tmp_path / "short")
    failed = [size for step, size in seen if step == good_steps and size > 2]
    assert failed == [8, 4]
    assert [step for step, _ in seen] == sorted(step for step, _ in seen), "no step was done again"
    assert list(checkpoints(tmp_path / "short")) == [2, 4, 6], "the one of step 3 was for going on alone"
    for name, value in weights(tmp_path / "short").items():
        torch.testing.assert_close(value, weights(tmp_path / "whole")[name], rtol=1e-4, atol=1e-6)


def test_one_prompt_that_does_not_fit_is_refused(
    plan: Plan, parts: PreparedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*rest: Any) -> Any:
        raise torch.OutOfMemoryError("made up")

    monkeypatch.setattr(ICTrainer, "training_step", never)
    with pytest.raises(InputError, match="window"):
        run(plan, parts, tmp_path)


def test_skipped_float16_steps_are_reported(
    plan: Plan, parts: PreparedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    skips = iter([True, True, False, True, False, False])
    monkeypatch.setattr(AcceleratedOptimizer, "step_was_skipped", property(lambda self: next(skips)))
    monkeypatch.setattr("accelerate.Accelerator.optimizer_step_was_skipped", False)
    monkeypatch.setattr("accelerate.scheduler.AcceleratedScheduler.step", lambda self, *rest: None)
    run(plan, parts, tmp_path)
    assert "float16: 3 steps" in capsys.readouterr().out


def test_a_model_that_does_not_fit_is_refused(plan: Plan, parts: PreparedRun, tmp_path: Path) -> None:
    def make() -> PeftModel:
        raise torch.OutOfMemoryError("made up")

    with pytest.raises(InputError, match="model"):
        train_on(parts, make, plan.settings, tmp_path)


def test_states_from_a_file_are_on_pages_of_their_own() -> None:
    parameter = torch.nn.Parameter(torch.ones(4))
    read = torch.arange(4, dtype=torch.uint8)
    read.is_paged = True  # type: ignore[attr-defined]  # as torch.load leaves it, though it is no page
    optimiser = bnb.optim.PagedAdamW8bit([parameter])
    optimiser.state[parameter] = {"step": 3, "state1": read, "state2": read.clone()}
    page_states(SimpleNamespace(optimizer=optimiser))
    state = optimiser.state[parameter]
    assert state["step"] == 3 and state["state1"].tolist() == state["state2"].tolist() == [0, 1, 2, 3]
    assert not any(getattr(state[name], "is_paged", False) for name in ("state1", "state2")), "on a CPU"


def test_one_process_uses_one_gpu_of_several(
    plan: Plan, parts: PreparedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a launcher TRL would take several GPUs for DataParallel, and refuse."""
    monkeypatch.setattr(SFTConfig, "n_gpu", property(lambda self: self._n_gpu or 2))  # 0: this is a CPU
    model = make_model(plan, parts.path)
    trainer = make_trainer(
        model, parts.tokenizer, parts.prompts, settings=plan.settings, micro=8, folder=tmp_path
    )
    assert trainer.args.n_gpu == 1
    assert trainer.args.train_batch_size == 8


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return make_plan(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def parts(plan: Plan) -> PreparedRun:
    return prepare_run(plan)


def run(plan: Plan, parts: PreparedRun, folder: Path, **changes: Any) -> list[dict[str, float]]:
    plan = make_plan(Path(plan.results), **changes)
    return train_on(parts, partial(make_model, plan, parts.path), plan.settings, folder)


def train_on(
    parts: PreparedRun, make: Callable[[], PeftModel], settings: Settings, folder: Path
) -> list[dict[str, float]]:
    return train(make, parts.tokenizer, parts.prompts, settings=settings, folder=folder)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """The adapter at the last checkpoint."""
    last = list(checkpoints(folder).values())[-1]
    return dict(load_file(last / "adapter_model.safetensors"))
