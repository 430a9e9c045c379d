"""Load base models by name, from a directory or the Hub, in NF4 and with a LoRA adapter."""

import json
import os
import warnings
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from bitsandbytes.nn.modules import Linear4bit
from peft import (
    PEFT_TYPE_TO_TUNER_MAPPING,
    LoraConfig,
    PeftModel,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from peft.import_utils import is_torchao_available
from peft.tuners.lora import torchao as lora_torchao
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.integrations import sdpa_attention
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.pytorch_utils import Conv1D
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME
from transformers.utils.hub import has_file
from transformers.utils.import_utils import is_flash_attn_2_available

from ccutils.contexts.prompts import shorten
from ccutils.errors import InputError, nearest, reason
from ccutils.models.lora import Lora
from ccutils.models.tiny import DEFAULT, Recipe, tiny_base
from ccutils.origin import hash_file, hash_texts
from ccutils.packaged import LANGUAGE_MODELS, find_model
from ccutils.tasks.base import Task
from ccutils.tasks.files import here

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"

# Libraries warn of each other's deprecated names, which the reader of a notebook cannot change.
warnings.filterwarnings("ignore", r".*(is_)?gradient_checkpointing. is deprecated", FutureWarning)


def has_torchao() -> bool:
    """Check whether peft can use torchao. A version that is too old, as on Colab, counts as absent."""
    try:
        return bool(is_torchao_available())
    except ImportError:
        return False


lora_torchao.is_torchao_available = has_torchao  # type: ignore[assignment, attr-defined]


def model_path(model: str, task: Task, cache: Path, recipe: Recipe = DEFAULT) -> str:
    """Find the directory or Hub id to pass to `from_pretrained`.

    "tiny" is trained, and a model in LANGUAGE_MODELS fetched, unless it is cached. Raises InputError for a
    directory that does not exist or lacks a config, a tokenizer or safetensors, and for a Hub id that cannot
    be reached.
    """
    if model == "tiny":
        return str(tiny_base(task, cache, recipe))
    if model in LANGUAGE_MODELS:
        return str(find_model(model))
    check_model(model)
    folder = Path(model).expanduser()
    if folder.exists():
        return str(folder)
    check_hub(model)
    return model


def check_model(model: str) -> None:
    """Raise InputError for a local model that cannot be loaded; other names and Hub ids pass."""
    folder = here(model)
    try:
        exists = folder.exists()
    except OSError as error:
        raise InputError(f"model {shorten(model)!r} cannot be read ({error.strerror}): check it.") from error
    is_hub_id = not exists and model.count("/") == 1 and model[0] not in "./~"
    names = ("tiny", *LANGUAGE_MODELS)
    if model in names or is_hub_id:
        return
    if not folder.is_dir():
        raise InputError(
            f"model {model!r} is not a directory: use an existing one, a Hub id such as org/name, or one of "
            f"{', '.join(names)}."
        )
    for file, what in (("config.json", "config"), ("tokenizer_config.json", "tokenizer")):
        if not (folder / file).exists():
            raise InputError(
                f"model directory {model!r} lacks a {what} ({file}): save one there with save_pretrained."
            )
    if not any((folder / file).exists() for file in (SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME)):
        raise _unsafe(model)


def check_hub(model: str) -> None:
    """Raise InputError for a Hub id that is neither cached nor reachable.

    Asks once, without the retries of `from_pretrained`, which take a minute without a network.
    """
    try:
        found = has_file(model, "config.json")
    except Exception as error:  # not only OSError: a proxy's refusal, an invalid name
        raise _unreachable(model, error) from error
    if not found:
        raise _unreachable(model, OSError("it is neither on this machine nor found on the Hub"))


def load_tokenizer(path: str) -> PreTrainedTokenizerBase:
    """Load a model's tokenizer, with a padding token. Raises InputError if it has no eos_token."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise _unreachable(path, error) from error
    if tokenizer.eos_token is None:
        raise InputError(
            f"the tokenizer of model {path!r} has no eos_token, which ends every answer: set "
            "tokenizer.eos_token and save it there with save_pretrained."
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_base(
    path: str, *, quantise: bool = True, attention: str = "auto", layers: int = 0
) -> PreTrainedModel:
    """Load a base model, on the GPU if there is one, with its linear layers in NF4 if `quantise`.

    `attention` is transformers' name of a kernel; "auto" is FlashAttention if installed, else sdpa. `layers`
    loads only the first layers, to time them (0: all). Only safetensors are read and no remote code is run.
    With FSDP the model stays in main memory, its 4-bit weights packed in the compute dtype. Raises InputError
    if the model cannot be loaded.
    """
    dtype = compute_dtype()
    if repeats_kv_heads():
        # transformers 5.23 passes a batch without padding to sdpa in a form for which these cards have only
        # the kernel that stores all scores (its issue 48633): 1 GB for an 8B model and 2,048 tokens.
        sdpa_attention.use_gqa_in_sdpa = lambda *tensors: False
    here = torch.cuda.current_device() if torch.cuda.is_available() and not uses_fsdp() else "cpu"
    nf4 = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        bnb_4bit_quant_storage=dtype if uses_fsdp() else torch.uint8,
    )
    try:
        model = AutoModelForCausalLM.from_pretrained(
            path,
            config=config_of(path, layers),
            dtype=dtype,
            quantization_config=nf4 if quantise else None,
            device_map={"": here},
            use_safetensors=True,
            attn_implementation=attention_kernel(attention),
        )
    except OSError as error:
        # transformers' messages for weights in other formats than safetensors contain "file named"
        raise (_unsafe(path) if "file named" in str(error) else _unreachable(path, error)) from error
    for module in model.modules():
        if isinstance(module, Linear4bit):
            # On a CPU with bfloat16 the layer would answer in that but train in float32: up to 5% of the tiny
            # model's answers would differ, and widths that are no multiple of 32 fail.
            module.support_avx512bf16_for_cpu = False
    model.eval()
    return model


def add_lora(model: PreTrainedModel, lora: Lora, *, checkpointing: bool) -> PeftModel:
    """Add a fresh LoRA adapter to a base; its random half depends on torch's seed.

    Raises InputError for targets that match no layer.
    """
    # Not peft's prepare_model_for_kbit_training, which casts embeddings, head and norms to float32: 2 GB more
    # for an 8B model, and twice the activations (training/memory.py).
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        target_modules=lora.targets,
        lora_dropout=lora.dropout,
        task_type="CAUSAL_LM",
    )
    modules = model.named_modules()
    linear = {name.rpartition(".")[2] for name, m in modules if isinstance(m, torch.nn.Linear | Conv1D)}
    listed = lora.targets if isinstance(lora.targets, list) else []
    try:
        adapted = get_peft_model(model, config)
    except ValueError as error:  # no module matches, or one that takes no adapter
        raise _no_layer(listed or [str(lora.targets)], linear) from error
    # peft ignores names in a list that match nothing, as long as one matches.
    tuner: Any = adapted.base_model
    on = [f".{name}" for name in tuner.targeted_module_names]
    for target in listed:
        if not any(name.endswith(f".{target}") for name in on):
            raise _no_layer([target], linear)
    return adapted


def check_model_takes(config: PretrainedConfig, lora: Lora, attention: str = "auto") -> None:
    """Raise InputError for an adapter or attention kernel that does not fit a model, without loading it."""
    kernel = attention_kernel(attention)
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(
                config, dtype=compute_dtype(), attn_implementation=kernel
            )
    except (ImportError, ValueError) as error:  # its package is missing, or the model does not support it
        why = reason(error).rstrip(".:")
        raise InputError(
            f"attention {attention!r} cannot be used here ({why}): set it to auto, sdpa or eager."
        ) from error
    add_lora(model, lora, checkpointing=False)


def check_adapter(folder: Path) -> None:
    """Raise InputError for a folder without a LoRA-like adapter in safetensors; no weights are loaded."""
    file = folder / ADAPTER_CONFIG
    if not file.is_file():
        inside = [found.parent for found in folder.glob(f"*/{ADAPTER_CONFIG}")]
        if inside:
            last = max(inside, key=lambda path: (len(path.name), path.name))
            advice = f"it holds {len(inside)} adapters: give one of them, such as {last}"
        elif (folder / "config.json").is_file():
            advice = "it is a whole model: give it as the model, without an adapter"
        else:
            advice = "give the folder that peft's save_pretrained wrote"
        raise InputError(f"adapter {folder} has no {ADAPTER_CONFIG}; {advice}.")
    try:
        kind: Any = str(json.loads(file.read_text(encoding="utf-8"))["peft_type"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(f"{file} cannot be read ({reason(error)}): save the adapter again.") from error
    tuners: dict[Any, Any] = PEFT_TYPE_TO_TUNER_MAPPING
    if not issubclass(tuners.get(kind, object), BaseTuner):
        raise InputError(
            f"adapter {folder} is of type {kind!r}, which changes no weights of layers: only LoRA and its "
            "like can be loaded."
        )
    if not (folder / ADAPTER_WEIGHTS).is_file():
        if (folder / "adapter_model.bin").is_file():
            raise InputError(
                f"adapter {folder} has its weights as adapter_model.bin, and only safetensors are read, "
                "since others can run code: load it with peft where you trust it, and use save_pretrained."
            )
        raise InputError(f"adapter {folder} has no weights ({ADAPTER_WEIGHTS}): save it again.")


def load_adapter(base: PreTrainedModel, folder: Path) -> PeftModel:
    """Load the adapter of a checkpoint folder onto a base, for answering.

    The adapter is put into the base itself: take it off with `.unload()`, which returns the base as it was,
    before the next one goes on. Raises ValueError where one is on, and InputError for a folder without an
    adapter and for an adapter that does not fit the base, after which the base must be loaded again.
    """
    if any(isinstance(module, BaseTunerLayer) for module in base.modules()):
        raise ValueError("the base has an adapter on: take it off with unload() first.")
    check_adapter(folder)
    try:
        weights = load_file(folder / ADAPTER_WEIGHTS)
        model = PeftModel.from_pretrained(base, str(folder)).eval()
        loaded: Any = set_peft_model_state_dict(model, weights)
    except torch.OutOfMemoryError:
        raise
    except (SafetensorError, ValueError, LookupError, TypeError, RuntimeError) as error:
        raise _misfit(folder, " ".join(str(error).split())[:200]) from error
    unknown = loaded.unexpected_keys
    wanted = set(get_peft_model_state_dict(model, save_embedding_layers=False))
    if unknown or wanted - set(weights):
        # peft only warns, and answers are those of the base, or of half an adapter.
        lacks = len(wanted - set(weights))
        raise _misfit(
            folder, f"{len(unknown)} tensors of {len(weights)} fit no layer, and {lacks} are missing"
        )
    return model


def _misfit(folder: Path, why: str) -> InputError:
    about = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    return InputError(
        f"adapter {folder} does not fit this model ({why}): load it on the base that it was trained on, "
        f"{about.get('base_model_name_or_path')!r}. If tokens were added to that base, merge the adapter "
        "into it and give the merged model."
    )


def attention_kernel(name: str) -> str:
    """Choose transformers' attention kernel: "auto" is FlashAttention if installed and usable, else sdpa.

    Raises InputError for an unknown name.
    """
    known = ["auto", "eager", *(n for n in ALL_ATTENTION_FUNCTIONS.valid_keys() if "|" not in n)]
    if name not in known:
        raise InputError(f"attention {name!r} does not exist{nearest(name, known)}")
    if name != "auto":
        return name
    flash = compute_dtype() == torch.bfloat16 and is_flash_attn_2_available()  # both need the same cards
    return "flash_attention_2" if flash else "sdpa"


def repeats_kv_heads() -> bool:
    """Check for a GPU older than sm80 (a T4), whose attention kernels lack grouped-query support."""
    return torch.cuda.is_available() and torch.cuda.get_device_capability()[0] < 8


@lru_cache(maxsize=8)
def hash_base(path: str) -> str:
    """Hash the weights and config of a base; for one on the Hub return its commit."""
    files = sorted([*Path(path).glob("*.safetensors"), *Path(path).glob("config.json")])
    if files:
        return hash_texts([file.name, hash_file(file)] for file in files)
    return str(AutoConfig.from_pretrained(path)._commit_hash)


def config_of(path: str, layers: int = 0) -> PretrainedConfig:
    """Load a model's config, cut to its first `layers` if given. Raises InputError if it is unreachable."""
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(path)
    except OSError as error:
        raise _unreachable(path, error) from error
    if layers:
        text = config.get_text_config()
        if getattr(text, "layer_types", None):
            text.layer_types = text.layer_types[:layers]
        text.num_hidden_layers = layers
    return config


def context_length(path: str) -> int:
    """Read a model's context length in tokens off its config. Raises InputError if it is not there."""
    window = getattr(config_of(path).get_text_config(), "max_position_embeddings", None)
    if window is None:
        raise InputError(f"the config of model {path!r} has no max_position_embeddings: set `window`.")
    return int(window)


def uses_fsdp() -> bool:
    """Check whether `accelerate launch` was told to split the model over GPUs (FSDP)."""
    return os.environ.get("ACCELERATE_USE_FSDP") == "true"


def free_bytes(device: torch.device | None = None) -> int:
    """Count the bytes of a GPU that new tensors can use: free ones and those that torch has cached."""
    free, _ = torch.cuda.mem_get_info(device)
    return int(free) + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def compute_dtype() -> torch.dtype:
    """Choose float32 on a CPU, bfloat16 on a GPU that supports it (not a T4), else float16."""
    if not torch.cuda.is_available():
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def _unreachable(path: str, error: Exception) -> InputError:
    why = reason(error).rstrip(".:")
    return InputError(
        f"model {path!r} could not be loaded ({why}): check the name, the network, and for "
        "gated models the token in HF_TOKEN; or give a local directory, or 'tiny'."
    )


def _unsafe(path: str) -> InputError:
    return InputError(
        f"model {path!r} has no safetensors ({SAFE_WEIGHTS_NAME}); other formats can run code and are not "
        "read. If you trust the model, load it with transformers and convert it with save_pretrained."
    )


def _no_layer(targets: list[str], linear: Collection[str]) -> InputError:
    name = next((t for t in targets if t.rpartition(".")[2] not in linear), targets[0])
    known = nearest(name, linear)
    return InputError(f"targets has {name!r}, which is the name of no linear layer of the model{known}")
