"""Peak memory of QLoRA IC-Train, predicted from a model's config before anything is loaded.

The formula follows what transformers, peft, bitsandbytes and TRL keep for a Llama-like decoder: frozen linear
layers in NF4, everything else of the base in the compute dtype, the adapter in float32 under autocast, logits
of the answers alone. Weights are exact, and activations agree with a count of every tensor on the CPU
(tests/training/test_memory.py). No GPU has measured the whole yet: what one adds is CONTEXT, an assumption;
`compare` tells how far off a run was. It is an upper bound for targets other than all linear layers.
"""

from bisect import bisect_right
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
"""Bytes a process needs besides its tensors (CUDA's context, kernels, workspaces, rounding): assumed."""
BLOCK, NESTED = 64, 256  # weights that share a scale in NF4; scales that share a scale of their own
TILE = (4096, 32768)  # TRL's chunked loss makes the logits in tiles of at most these tokens and vocabulary
OPTIMISER = {"paged_adamw_8bit": 2 + 8 / 256, "adamw_8bit": 2 + 8 / 256, "adamw_bnb_8bit": 2 + 8 / 256}
"""Bytes of state for each parameter of the adapter; others keep two float32 numbers, as AdamW does."""
GB = 1e9


@dataclass(frozen=True, slots=True)
class Shape:
    """A decoder in numbers. `linears` are (name, inputs, outputs) of the layers that NF4 takes."""

    layers: int
    hidden: int
    query: int  # heads x size of a head
    key_value: int
    heads: int
    intermediate: int
    vocabulary: int
    head_norms: bool  # queries and keys normalised, as in Qwen3
    linears: tuple[tuple[str, int, int], ...]
    others: int  # parameters of embeddings, head, norms and biases


@dataclass(frozen=True, slots=True)
class Setup:
    """How it is trained: `window` tokens in the longest sequence, `answer` of them scored.

    A sequence is a prompt with its answer, or `group_size` of them behind the same `shared` tokens
    (ccutils.models.packing); `micro_batch` counts sequences.
    """

    window: int
    micro_batch: int = 1
    lora: Lora = field(default_factory=Lora)
    optimiser: str = "paged_adamw_8bit"
    checkpointing: bool = True
    quantise: bool = True
    answer: int = 64
    dtype: torch.dtype = torch.bfloat16
    shards: int = 1  # GPUs that the model is split over (FSDP)
    group_size: int = 1
    shared: int = 0
    in_parts: bool = False  # attention of a group's parts one after the other, without FlexAttention
    expand: bool = False  # keys and values repeated for every head even without padding (a GPU before sm80)


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
        """Return the parts and their sum in GB (1e9 bytes), for showing."""
        return {name: round(n / GB, 2) for name, n in {**self.parts, "total": self.total}.items()}


def predict(config: PretrainedConfig, *, window: int, micro_batch: int = 1, **more: Any) -> Prediction:
    """Predict the peak memory of training the model of a config; `more` are further fields of Setup.

    `dtype` is the device's own compute dtype unless given. Raises InputError for sizes below 1.
    """
    for name, value in (("window", window), ("micro_batch", micro_batch)):
        check_count(name, value)
    setup = Setup(window, micro_batch, **{"dtype": compute_dtype(), "expand": repeats_kv_heads(), **more})
    return predict_shape(shape_of(config), setup)


def predict_shape(shape: Shape, setup: Setup) -> Prediction:
    """Predict from a model's numbers."""
    adapter = adapter_parameters(shape, setup.lora) // setup.shards
    inputs, work = activations(shape, setup)
    linear, others = linear_bytes(shape, setup), shape.others * setup.dtype.itemsize
    whole = others + 2 * linear // shape.layers if setup.shards > 1 else 0  # one layer in use, one on its way
    parts = {
        "base, linear layers": linear // setup.shards,
        "base, the rest": others // setup.shards,
        "gathered layers": whole,
        "adapter": 4 * adapter,
        "gradients": 4 * adapter,
        "optimiser": round(OPTIMISER.get(setup.optimiser, 8) * adapter),
        "kept activations": inputs,
        "working memory": work,
        "context (assumed)": CONTEXT,
    }
    return Prediction(parts, shape, setup)


def shape_of(config: PretrainedConfig) -> Shape:
    """Read a model's numbers off its config, by making it without memory (on torch's meta device)."""
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


def linear_bytes(shape: Shape, setup: Setup) -> int:
    """Return the linear layers as bitsandbytes stores them: weights in 4 bits, scales in 8, theirs in
    float32.
    """
    if not setup.quantise:
        return sum(i * o for _, i, o in shape.linears) * setup.dtype.itemsize
    return sum(nf4_bytes(i * o) for _, i, o in shape.linears)


def nf4_bytes(weights: int) -> int:
    """Count an NF4 matrix with double quantisation, with two code books and the mean of its scales."""
    scales = ceil(weights / BLOCK)
    return ceil(weights / 2) + scales + 4 * ceil(scales / NESTED) + 4 * 16 + 4 * 256 + 4


def adapter_parameters(shape: Shape, lora: Lora) -> int:
    """Return parameters of the LoRA matrices on the layers that peft would choose."""
    return lora.rank * sum(i + o for name, i, o in shape.linears if is_target(name, lora))


def is_target(name: str, lora: Lora) -> bool:
    if lora.targets == "all-linear":
        return True
    return bool(check_target_module_exists(LoraConfig(target_modules=lora.targets), name))


def activations(shape: Shape, setup: Setup) -> tuple[int, int]:
    """Return bytes kept from the forward pass for the backward one, and the most that is needed on top at any
    time.

    With checkpointing, the inputs of all layers are kept, and one layer's activations are made again on top.
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
        held = -mlp  # given back by the first step of the backward pass
    largest = max((i * o for _, i, o in shape.linears), default=0)
    whole = round(largest * (size + 4 / BLOCK)) if setup.quantise else 0  # one weight matrix out of NF4
    # In an MLP's backward pass its down projection's input gets two gradients, of the base and the adapter,
    # and their sum, or two and the weights; beside them lies the gradient of the layer's output.
    down = max(3 * tokens * mlp, 2 * tokens * mlp + whole)
    backward = tokens * (held + hidden) + down
    norm = tokens * (hidden + 5 * 4 * shape.hidden)  # the last norm's backward pass is in float32
    return kept, max(backward, norm, loss_bytes(shape, setup))


def layer_bytes(shape: Shape, setup: Setup) -> int:
    """Return bytes a token that a layer keeps for the backward pass, without its input and MLP product."""
    size = setup.dtype.itemsize
    norms = 2 * (4 + size) * shape.hidden if size < 4 else 3 * size * shape.hidden  # float32 copies, outputs
    attention = attention_bytes(shape, setup)
    if shape.head_norms:
        attention += 4 * (shape.query + shape.key_value)
    ranks = size * setup.lora.rank * len(shape.linears) // shape.layers
    return norms + attention + 3 * size * shape.intermediate + ranks


def attention_bytes(shape: Shape, setup: Setup) -> int:
    """Return bytes a token that attention keeps: queries, keys, values, outputs, masks, sums of scores."""
    size, window = setup.dtype.itemsize, setup.window
    sums = 4 * shape.heads
    if setup.in_parts:  # each part copies the shared keys and values, and has a mask of its own
        behind = window - setup.shared  # tokens behind the shared ones
        copies = 1 + setup.group_size * setup.shared / window
        mask = behind / window * (setup.shared + behind / setup.group_size) * size
        return round(size * shape.query * (3 + 2 * copies) + mask) + sums
    padded = setup.micro_batch > 1 and setup.group_size == 1
    # FlexAttention, before which transformers repeats them but where heads are a power of two
    flex = setup.group_size > 1 and shape.heads & (shape.heads - 1)
    keys = shape.query if padded or setup.expand or flex else shape.key_value  # repeated for all under a mask
    mask = window * (1 + size) if padded else 0  # in bool, and as what is added to the scores
    return size * (2 * shape.query + 2 * keys) + mask + sums


def loss_bytes(shape: Shape, setup: Setup) -> int:
    """Return the last hidden states, their gradient, a tile of logits, and on the CPU five copies of it."""
    tokens, size = setup.micro_batch * setup.window, setup.dtype.itemsize
    scored = setup.micro_batch * setup.answer
    tile = min(scored, TILE[0]) * min(shape.vocabulary, TILE[1])
    copies = size if size < 4 else 6 * 4
    return tokens * shape.hidden * (4 + 2 * size) + scored * shape.hidden * (4 + size) + tile * copies


def check_fits(prediction: Prediction, available: int) -> None:
    """Raise InputError, with the settings that would fit, if a prediction is above the bytes available."""
    if prediction.total <= available:
        return
    need = f"training needs about {prediction.total / GB:.1f} GB and {available / GB:.1f} GB are free"
    changes = " and ".join(
        f"{k} to {str(v).lower()}" for k, v in settings_that_fit(prediction, available).items()
    )
    if not changes:
        raise InputError(f"{need}: even one short prompt at a time does not fit, take a smaller model.")
    raise InputError(f"{need}: set {changes}.")


def settings_that_fit(prediction: Prediction, available: int) -> dict[str, bool | int]:
    """Find what would fit: checkpointing, then the largest micro-batch, then a shorter window; else {}."""
    shape, setup = prediction.shape, replace(prediction.setup, checkpointing=True)
    changes: dict[str, bool | int] = {} if prediction.setup.checkpointing else {"checkpointing": True}

    def needed(**change: int) -> int:
        return predict_shape(shape, replace(setup, **change)).total  # type: ignore[arg-type]

    if needed() <= available:
        return changes
    # divisors, so that they divide the batch too
    smaller = [m for m in range(1, setup.micro_batch) if setup.micro_batch % m == 0]
    fitting = bisect_right(smaller, available, key=lambda m: needed(micro_batch=m))
    if fitting:
        return {**changes, "micro_batch": smaller[fitting - 1] * setup.group_size}
    if setup.group_size > 1:  # independent prompts instead of groups
        own = ceil((setup.window - setup.shared) / setup.group_size)
        apart = {"group_size": 1, "in_parts": False, "micro_batch": 1, "window": setup.shared + own}
        setup = replace(setup, **apart, answer=ceil(setup.answer / setup.group_size))  # type: ignore[arg-type]
        changes |= {"targets_per_context": 0, "micro_batch": 1}
        if needed() <= available:
            return changes
    elif smaller:
        changes["micro_batch"] = 1
    windows = range(64, setup.window, 64)
    fitting = bisect_right(windows, available, key=lambda window: needed(micro_batch=1, window=window))
    return {**changes, "window": windows[fitting - 1]} if fitting else {}


def available_bytes() -> int:
    """Return what this process may use: of a GPU what is free or kept by torch in vain, else free memory."""
    if torch.cuda.is_available():
        _, total = torch.cuda.mem_get_info()
        return min(int(total), free_bytes() + CONTEXT)  # the context is there by now
    import psutil  # type: ignore[import-untyped]

    return int(psutil.virtual_memory().available)


def compare_memory(prediction: Prediction) -> dict[str, float]:
    """Compare predicted and measured peak of this process's tensors in GB, and their ratio; {} without a GPU.

    Call it after training. The context is left out on both sides, and so are paged states: torch counts its
    own tensors alone. `reserved_gb` is the most that torch had taken of the GPU for them.
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
