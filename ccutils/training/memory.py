"""Predict the peak memory of QLoRA IC-Train from a model's config, before anything is loaded.

The formula follows what transformers, peft, bitsandbytes and TRL store for a Llama-like decoder: frozen
linear layers in NF4, the rest of the base in the compute dtype, the adapter in float32 under autocast, logits
of the answers only. Weights are exact, and activations agree within 5% with a count of every tensor on the
CPU (tests/training/test_memory.py). CONTEXT, what a GPU adds, is an assumption; `compare_memory` reports the
error of a run. For targets other than all linear layers the prediction is an upper bound.
"""

from bisect import bisect_left
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any

import torch
from peft import LoraConfig
from peft.tuners.tuners_utils import check_target_module_exists
from transformers import AutoModelForCausalLM, PretrainedConfig

from ccutils.errors import InputError, check_count
from ccutils.models.base import compute_dtype, free_bytes, repeats_kv_heads
from ccutils.models.lora import Lora

CONTEXT = 600_000_000
"""Bytes of a process besides its tensors (CUDA's context, kernels, workspaces, rounding): assumed."""
BLOCK, NESTED = 64, 256  # weights that share a scale in NF4; scales that share a scale of their own
TILE = (4096, 32768)  # TRL's chunked loss computes logits in tiles of at most these tokens and vocabulary
OPTIMISER = {"paged_adamw_8bit": 2 + 8 / 256, "adamw_8bit": 2 + 8 / 256, "adamw_bnb_8bit": 2 + 8 / 256}
"""Bytes of state per parameter of the adapter; other optimisers store two float32 numbers, as AdamW does."""
GB = 1e9


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a decoder. `linears` are (name, inputs, outputs) of the layers that NF4 quantises."""

    layers: int
    hidden: int
    query: int  # heads x size of a head
    key_value: int
    heads: int
    intermediate: int
    vocabulary: int
    head_norms: bool  # queries and keys are normalised, as in Qwen3
    linears: tuple[tuple[str, int, int], ...]
    others: int  # parameters of embeddings, head, norms and biases


@dataclass(frozen=True, slots=True)
class Setup:
    """Settings that memory depends on: `window` tokens in the longest prompt, `answer` of them scored."""

    window: int
    micro_batch: int = 1
    lora: Lora = field(default_factory=Lora)
    optimiser: str = "paged_adamw_8bit"
    checkpointing: bool = True
    quantise: bool = True
    answer: int = 64
    dtype: torch.dtype = torch.bfloat16
    shards: int = 1  # GPUs that the model is split over (FSDP)
    expand: bool = False  # keys and values repeated for every head even without padding (GPUs before sm80)


@dataclass(frozen=True, slots=True)
class Prediction:
    """Bytes at the peak, by part."""

    parts: dict[str, int]
    shape: Shape
    setup: Setup

    @property
    def total(self) -> int:
        return sum(self.parts.values())

    def table(self) -> dict[str, float]:
        """Return the parts and their sum in GB (1e9 bytes)."""
        return {name: round(n / GB, 2) for name, n in {**self.parts, "total": self.total}.items()}


def predict(config: PretrainedConfig, *, window: int, micro_batch: int = 1, **more: Any) -> Prediction:
    """Predict the peak memory of training the model of a config; `more` are other fields of Setup.

    `dtype` defaults to the device's compute dtype. Raises InputError for sizes below 1.
    """
    for name, value in (("window", window), ("micro_batch", micro_batch)):
        check_count(name, value)
    setup = Setup(window, micro_batch, **{"dtype": compute_dtype(), "expand": repeats_kv_heads(), **more})
    return predict_shape(shape_of(config), setup)


def predict_shape(shape: Shape, setup: Setup) -> Prediction:
    """Predict the peak memory for a model's sizes."""
    adapter = adapter_parameters(shape, setup.lora) // setup.shards
    kept, work = activations(shape, setup)
    count = nf4_bytes if setup.quantise else setup.dtype.itemsize.__mul__
    linear, others = sum(count(i * o) for _, i, o in shape.linears), shape.others * setup.dtype.itemsize
    parts = {
        "base, linear layers": linear // setup.shards,
        "base, the rest": others // setup.shards,
        # With FSDP one layer is in use while the next is gathered.
        "gathered layers": others + 2 * linear // shape.layers if setup.shards > 1 else 0,
        "adapter": 4 * adapter,
        "gradients": 4 * adapter,
        "optimiser": round(OPTIMISER.get(setup.optimiser, 8) * adapter),
        "kept activations": kept,
        "working memory": work,
        "context (assumed)": CONTEXT,
    }
    return Prediction(parts, shape, setup)


def shape_of(config: PretrainedConfig) -> Shape:
    """Read a model's sizes off its config, by building it on torch's meta device, without memory."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    head = model.get_output_embeddings()
    linears = tuple(
        (name, module.in_features, module.out_features)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    )
    text = config.get_text_config()
    size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    groups = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    widest = max((max(i, o) for _, i, o in linears), default=4 * text.hidden_size)
    return Shape(
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        query=text.num_attention_heads * size,
        key_value=groups * size,
        heads=text.num_attention_heads,
        intermediate=getattr(text, "intermediate_size", None) or widest,
        vocabulary=text.vocab_size,
        head_norms=any(name.endswith("q_norm") for name, _ in model.named_modules()),
        linears=linears,
        others=sum(p.numel() for p in model.parameters()) - sum(i * o for _, i, o in linears),
    )


def nf4_bytes(weights: int) -> int:
    """Count the bytes of a doubly quantised NF4 matrix, its code books and the mean of its scales."""
    scales = ceil(weights / BLOCK)
    return ceil(weights / 2) + scales + 4 * ceil(scales / NESTED) + 4 * 16 + 4 * 256 + 4


def adapter_parameters(shape: Shape, lora: Lora) -> int:
    """Count the parameters of the LoRA matrices on the layers that peft would choose."""
    chosen = shape.linears
    if lora.targets != "all-linear":
        config = LoraConfig(target_modules=lora.targets)
        chosen = tuple(linear for linear in chosen if check_target_module_exists(config, linear[0]))
    return lora.rank * sum(i + o for _, i, o in chosen)


def activations(shape: Shape, setup: Setup) -> tuple[int, int]:
    """Count bytes kept from the forward for the backward pass, and the largest working memory on top of them.

    With checkpointing the inputs of all layers are kept, and one layer's activations are computed again.
    """
    tokens, size = setup.micro_batch * setup.window, setup.dtype.itemsize
    layer, mlp, hidden = layer_bytes(shape, setup), size * shape.intermediate, size * shape.hidden
    if setup.checkpointing:
        kept = tokens * shape.layers * hidden
        held = layer
    else:
        entering = hidden if size == 4 else 0  # in half precision a norm keeps a float32 copy instead
        copies = adapter_parameters(shape, setup.lora) * size if size < 4 else 0  # made by autocast
        kept = tokens * shape.layers * (layer + mlp + entering) + copies
        held = -mlp  # freed by the first step of the backward pass
    largest = max((i * o for _, i, o in shape.linears), default=0)
    whole = round(largest * (size + 4 / BLOCK)) if setup.quantise else 0  # one dequantised weight matrix
    # In an MLP's backward pass the input of its down projection has two gradients, of the base and the
    # adapter, and their sum, or two and the weights, beside the gradient of the layer's output.
    down = max(3 * tokens * mlp, 2 * tokens * mlp + whole)
    backward = tokens * (held + hidden) + down
    norm = tokens * (hidden + 5 * 4 * shape.hidden)  # the last norm's backward pass is in float32
    return kept, max(backward, norm, loss_bytes(shape, setup))


def layer_bytes(shape: Shape, setup: Setup) -> int:
    """Count the bytes a token that a layer keeps for the backward pass, without its input and MLP product."""
    size = setup.dtype.itemsize
    norms = 2 * (4 + size) * shape.hidden if size < 4 else 3 * size * shape.hidden  # float32 copies, outputs
    padded = setup.micro_batch > 1
    keys = shape.query if padded or setup.expand else shape.key_value  # repeated for all heads under a mask
    mask = setup.window * (1 + size) if padded else 0  # as bool, and as added to the scores
    sums = 4 * shape.heads
    normed = 4 * (shape.query + shape.key_value) if shape.head_norms else 0
    attention = size * (2 * shape.query + 2 * keys) + mask + sums + normed
    ranks = size * setup.lora.rank * len(shape.linears) // shape.layers
    return norms + attention + 3 * size * shape.intermediate + ranks


def loss_bytes(shape: Shape, setup: Setup) -> int:
    """Count the last hidden states, their gradient, a tile of logits, and on the CPU five copies of it."""
    tokens, size = setup.micro_batch * setup.window, setup.dtype.itemsize
    scored = setup.micro_batch * setup.answer
    tile = min(scored, TILE[0]) * min(shape.vocabulary, TILE[1])
    copies = size if size < 4 else 6 * 4
    return tokens * shape.hidden * (4 + 2 * size) + scored * shape.hidden * (4 + size) + tile * copies


def check_fits(prediction: Prediction, available: int) -> None:
    """Raise InputError, with settings that would fit, if a prediction exceeds the available bytes."""
    if prediction.total <= available:
        return
    need = f"training needs about {prediction.total / GB:.1f} GB and {available / GB:.1f} GB are free"
    changes = settings_that_fit(prediction, available)
    if not changes:
        raise InputError(f"{need}: even one short prompt at a time does not fit, use a smaller model.")
    written = " and ".join(f"{name} to {str(value).lower()}" for name, value in changes.items())
    raise InputError(f"{need}: set {written}.")


def settings_that_fit(prediction: Prediction, available: int) -> dict[str, bool | int]:
    """Find changes that fit: checkpointing, then the largest micro-batch, then the longest window."""
    setup = replace(prediction.setup, checkpointing=True)
    divisors = [m for m in range(setup.micro_batch, 0, -1) if setup.micro_batch % m == 0]
    sizes = [(micro, setup.window) for micro in divisors]
    sizes += [(1, window) for window in range((setup.window - 1) // 64 * 64, 0, -64)]

    def spared(size: tuple[int, int]) -> int:
        at = replace(setup, micro_batch=size[0], window=size[1])
        return available - predict_shape(prediction.shape, at).total

    first = bisect_left(sizes, 0, key=spared)
    if first == len(sizes):
        return {}
    micro, window = sizes[first]
    found: dict[str, bool | int] = {"checkpointing": True, "micro_batch": micro, "window": window}
    return {name: value for name, value in found.items() if value != getattr(prediction.setup, name)}


def available_bytes() -> int:
    """Count the bytes this process can use: of the GPU if there is one, else of main memory."""
    if torch.cuda.is_available():
        _, total = torch.cuda.mem_get_info()
        return min(int(total), free_bytes() + CONTEXT)  # the context exists already
    import psutil  # type: ignore[import-untyped]

    return int(psutil.virtual_memory().available)


def compare_memory(prediction: Prediction) -> dict[str, float]:
    """Compare the predicted and measured peak of tensors in GB after training; {} without a GPU.

    The context and paged states, which torch does not count, are left out. `reserved_gb` is the most that
    torch reserved for tensors.
    """
    if not torch.cuda.is_available() or not torch.cuda.max_memory_allocated():
        return {}
    paged = prediction.parts["optimiser"] if prediction.setup.optimiser.startswith("paged") else 0
    predicted = (prediction.total - prediction.parts["context (assumed)"] - paged) / GB
    measured = torch.cuda.max_memory_allocated() / GB
    return {
        "predicted_gb": predicted,
        "measured_gb": measured,
        "ratio": predicted / measured,
        "reserved_gb": torch.cuda.max_memory_reserved() / GB,
    }
