"""The predicted memory against loaded weights and against counted tensors."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bitsandbytes as bnb
import pytest
import torch
import transformers.models.llama.modeling_llama as llama
import transformers.models.qwen3.modeling_qwen3 as qwen3
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, PeftModel, get_peft_model
from tensor_meter import TensorMeter
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import AutoModelForCausalLM, LlamaConfig, PretrainedConfig, Qwen2Config, Qwen3Config
from trl.trainer.utils import add_fused_lm_head

from ccutils.errors import InputError
from ccutils.models import base as models
from ccutils.models.base import add_lora, load_base
from ccutils.models.lora import Lora
from ccutils.training import memory, trainer  # noqa: F401  # trainer makes TRL score the answers alone on a CPU
from ccutils.training.memory import (
    Setup,
    check_fits,
    compare_memory,
    predict,
    predict_shape,
    settings_that_fit,
    shape_of,
)

T4, RTX_24 = 15_800_000_000, 25_300_000_000  # bytes that torch reports for these cards
LLAMA_8B = LlamaConfig(
    vocab_size=128256,
    hidden_size=4096,
    intermediate_size=14336,
    num_hidden_layers=32,
    num_attention_heads=32,
    num_key_value_heads=8,
    tie_word_embeddings=False,
)
SMALL = {
    "vocab_size": 1000,
    "hidden_size": 128,
    "intermediate_size": 320,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "use_cache": False,
}
CONFIGS = {
    "llama": LlamaConfig(**SMALL, tie_word_embeddings=False),
    "qwen2": Qwen2Config(**SMALL, tie_word_embeddings=True),
    "qwen3": Qwen3Config(**SMALL, tie_word_embeddings=True),
}


@pytest.mark.parametrize("quantise", [True, False])
def test_the_bytes_of_the_weights_are_exact(config: PretrainedConfig, folder: Path, quantise: bool) -> None:
    model = add_lora(load_base(str(folder), quantise=quantise), Lora(), checkpointing=False)
    parts = predict(config, window=64, quantise=quantise).parts
    weights = sum(tensor.numel() * tensor.itemsize for tensor in stored(model))
    assert parts["base, linear layers"] + parts["base, the rest"] == weights
    assert parts["adapter"] == sum(4 * p.numel() for p in model.parameters() if p.requires_grad)


def test_the_base_stays_in_the_compute_dtype(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "compute_dtype", lambda: torch.bfloat16)
    model = add_lora(load_base(str(folder)), Lora(), checkpointing=True)
    frozen = [p for p in model.parameters() if not p.requires_grad]
    assert {p.dtype for p in frozen} == {torch.bfloat16, torch.uint8}
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}


@pytest.mark.parametrize("targets", [["q_proj", "v_proj"], r".*\.mlp\..*_proj"])
def test_the_adapter_is_on_the_layers_that_peft_chooses(folder: Path, targets: Any) -> None:
    lora = Lora(rank=4, targets=targets)
    model = add_lora(load_base(str(folder), quantise=False), lora, checkpointing=False)
    counted = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert memory.adapter_parameters(shape_of(model.config), lora) == counted > 0


@pytest.mark.parametrize("checkpointing", [True, False])
def test_the_peak_of_a_real_step_on_the_cpu(
    config: PretrainedConfig, folder: Path, checkpointing: bool
) -> None:
    base = load_base(str(folder))
    add_fused_lm_head(base, outputs=("log_probs", "entropy", "is_top1"))
    model = add_lora(base, Lora(), checkpointing=checkpointing).train()
    ids = torch.randint(1000, (4, 256))
    labels = ids.masked_fill(torch.arange(256) < 250, -100)
    padded = (torch.arange(256) < torch.tensor([[250], [256], [256], [256]])).long()
    keep_gradients(model)
    with TensorMeter([*stored(model), *trained(model)]) as meter:
        model(input_ids=ids, attention_mask=padded, labels=labels, fused_lm_head=True).loss.backward()
    assert_close(config, meter.peak, window=256, micro_batch=4, answer=6, checkpointing=checkpointing)


def keep_gradients(model: torch.nn.Module) -> None:
    """Gradients as they are from the second micro-batch on."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.zeros_like(parameter)


def trained(model: torch.nn.Module) -> Iterator[torch.Tensor]:
    for parameter in model.parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None
            yield from (parameter, parameter.grad)


def assert_close(config: PretrainedConfig, peak: int, **setup: Any) -> None:
    parts = predict(config, **setup).parts
    predicted = parts["kept activations"] + parts["working memory"]
    assert predicted == pytest.approx(peak, rel=0.05), f"{predicted / peak:.3f}"


class FourBit(torch.autograd.Function):
    """Stands in for bitsandbytes: it keeps no activation and makes the whole weights for the gradient."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.weight = weight
        return torch.nn.functional.linear(x, weight)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        return grad @ ctx.weight.clone(), None


@pytest.fixture
def fake_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """peft asks for a GPU's autocast; a mask must not be looked into, since fake tensors hold nothing."""
    enabled = torch.is_autocast_enabled
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *device: enabled(*device) if device else True)
    monkeypatch.setattr(bnb.nn.Linear4bit, "forward", lambda self, x: FourBit.apply(x, self.weight))
    for module in (llama, qwen3):
        monkeypatch.setattr(module, "create_causal_mask", make_mask)


def make_mask(config: Any, inputs_embeds: torch.Tensor, **more: Any) -> torch.Tensor | None:
    batch, window, _ = inputs_embeds.shape
    return torch.ones(batch, 1, window, window, dtype=torch.bool) if batch > 1 else None


def meta_qlora(config: PretrainedConfig, checkpointing: bool) -> PeftModel:
    """A quantised model with an adapter, in bfloat16, without memory."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).requires_grad_(False)
        for name, module in list(model.named_modules()):
            if isinstance(module, torch.nn.Linear) and name != "lm_head":
                layer = bnb.nn.Linear4bit(module.in_features, module.out_features, bias=False, device="meta")
                model.set_submodule(name, layer)
        model.is_loaded_in_4bit = True
        if checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": False})
            model.enable_input_require_grads()
        lora = LoraConfig(target_modules="all-linear", r=16, task_type="CAUSAL_LM")
        return get_peft_model(model, lora).train()


def fake_contents(model: PeftModel) -> None:
    """Put the tensors on the CPU, in the mode that gives them sizes but no contents."""
    for module in model.modules():
        for name, old in list(module._parameters.items()):
            if old is not None:
                new = torch.empty(old.shape, dtype=torch.float32 if old.requires_grad else torch.bfloat16)
                module._parameters[name] = torch.nn.Parameter(new, requires_grad=old.requires_grad)
        for name, old in list(module._buffers.items()):
            module._buffers[name] = torch.empty(old.shape)


@pytest.mark.parametrize(
    ("family", "layers", "checkpointing", "micro_batch", "heads"),
    [
        pytest.param(LlamaConfig, 16, True, 1, 8, marks=pytest.mark.slow),
        (LlamaConfig, 4, True, 4, 8),
        (LlamaConfig, 4, False, 1, 8),
        (Qwen3Config, 4, True, 1, 8),
        (Qwen3Config, 4, False, 4, 32),
    ],
)
def test_the_peak_of_a_step_in_the_shape_of_an_8b_model(
    fake_gpu: None, family: Any, layers: int, checkpointing: bool, micro_batch: int, heads: int
) -> None:
    changes = {"num_hidden_layers": layers, "num_key_value_heads": heads, "head_dim": 128}
    config = family(**LLAMA_8B.to_dict() | changes | {"model_type": family.model_type})
    model = meta_qlora(config, checkpointing)
    with FakeTensorMode():
        fake_contents(model)
        ids = torch.zeros(micro_batch, 2048, dtype=torch.long)
        keep_gradients(model)
        with TensorMeter([*stored(model), *trained(model), *model.buffers()]) as meter:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                hidden = model.base_model.model.model(input_ids=ids).last_hidden_state
                loss = model.base_model.model.lm_head(hidden[:, -64:]).float().logsumexp(-1).sum()
            del hidden
            loss.backward()
    assert_close(
        config,
        meter.peak,
        window=2048,
        micro_batch=micro_batch,
        checkpointing=checkpointing,
        dtype=torch.bfloat16,
    )


def test_an_8b_model_fits_the_cards_of_the_profiles() -> None:
    t4 = predict(LLAMA_8B, window=2048, micro_batch=1, dtype=torch.float16, expand=True)
    rtx = predict(LLAMA_8B, window=2048, micro_batch=4, dtype=torch.bfloat16)
    check_fits(t4, T4)
    check_fits(rtx, RTX_24)
    assert t4.table()["total"] == pytest.approx(t4.total / 1e9, abs=0.01)
    assert 5.6e9 < t4.parts["base, linear layers"] + t4.parts["base, the rest"] < 5.8e9


@pytest.mark.parametrize(
    ("available", "checkpointing", "words"),
    [
        (RTX_24, False, "114.8 GB and 25.3 GB are free: set checkpointing to true."),
        (9_000_000_000, True, ": set micro_batch to 2."),
        (9_000_000_000, False, ": set checkpointing to true and micro_batch to 2."),
        (7_000_000_000, True, ": set micro_batch to 1 and window to "),
        (5_000_000_000, True, "smaller model"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(
    available: int, checkpointing: bool, words: str
) -> None:
    bf16 = torch.bfloat16
    prediction = predict(LLAMA_8B, window=2048, micro_batch=8, checkpointing=checkpointing, dtype=bf16)
    with pytest.raises(InputError, match=r"^[^\n]+$") as error:
        check_fits(prediction, available)
    assert words in str(error.value)


SHAPE = shape_of(LLAMA_8B)


@settings(max_examples=100, deadline=None)
@given(
    micro=st.integers(1, 32),
    window=st.integers(65, 16384),
    available=st.integers(6_000_000_000, 80_000_000_000),
    checkpointing=st.booleans(),
)
def test_what_is_advised_fits_and_the_next_larger_does_not(
    micro: int, window: int, available: int, checkpointing: bool
) -> None:
    def total(**changes: Any) -> int:
        given = {"window": window, "micro_batch": micro, "checkpointing": checkpointing, **changes}
        return predict_shape(SHAPE, Setup(**given)).total

    prediction = predict_shape(SHAPE, Setup(window, micro, checkpointing=checkpointing))
    changes = settings_that_fit(prediction, available)
    if prediction.total > available and changes:
        assert total(**changes) <= available
    if "window" in changes:
        assert total(**changes | {"window": changes["window"] + 64}) > available
    elif "micro_batch" in changes:
        larger = next(m for m in range(changes["micro_batch"] + 1, micro + 1) if micro % m == 0)
        assert total(**changes | {"micro_batch": larger}) > available


def test_a_model_too_large_for_a_card_fits_split_over_two() -> None:
    config = LlamaConfig(**LLAMA_8B.to_dict() | {"hidden_size": 8192, "intermediate_size": 28672})
    config.num_hidden_layers, config.num_attention_heads = 80, 64  # the shape of a 70B model
    alone, split = (
        predict(config, window=512, shards=n, optimiser="adamw_torch", dtype=torch.bfloat16) for n in (1, 2)
    )
    with pytest.raises(InputError):
        check_fits(alone, RTX_24)
    assert 35e9 < alone.parts["base, linear layers"] < 36e9
    assert split.parts["base, linear layers"] == alone.parts["base, linear layers"] // 2
    check_fits(predict(config, window=512, shards=4, dtype=torch.bfloat16), RTX_24)


@pytest.mark.parametrize("name", ["window", "micro_batch"])
def test_sizes_below_one_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"{name} is 0"):
        predict(CONFIGS["llama"], **{"window": 8, name: 0})


def test_comparing_needs_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    prediction = predict(CONFIGS["llama"], window=64)
    assert compare_memory(prediction) == {}
    assert memory.available_bytes() > 10**8, "of main memory"
    pretend: dict[str, Callable[[], Any]] = {
        "is_available": lambda: True,
        "max_memory_allocated": lambda: prediction.total - memory.CONTEXT - prediction.parts["optimiser"],
        "max_memory_reserved": lambda: 3_000_000_000,
        "memory_reserved": lambda device=None: 5,
        "memory_allocated": lambda device=None: 3,
        "mem_get_info": lambda device=None: (100, 16_000_000_000),
        "get_device_capability": lambda: (7, 5),
    }
    for name, function in pretend.items():
        monkeypatch.setattr(torch.cuda, name, function)
    found = compare_memory(prediction)
    assert (found["ratio"], found["reserved_gb"]) == (1, 3), "paged states are no tensors of torch's"
    assert memory.available_bytes() == 102 + memory.CONTEXT, "what live tensors hold is not available"
    assert memory.repeats_kv_heads()


@pytest.fixture(scope="module", params=CONFIGS)
def config(request: Any) -> PretrainedConfig:
    return CONFIGS[request.param]


@pytest.fixture(scope="module")
def folder(config: PretrainedConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model")
    AutoModelForCausalLM.from_config(config).save_pretrained(path)
    return path


def stored(model: torch.nn.Module) -> Iterator[torch.Tensor]:
    """All tensors of frozen weights: parameters and what bitsandbytes keeps beside them."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            continue
        yield parameter
        state = getattr(parameter, "quant_state", None)
        if state is not None:
            yield from (state.absmax, state.code, state.offset, state.state2.absmax, state.state2.code)
