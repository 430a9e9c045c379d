"""The similarity that comes from the package index."""

import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from wheels import give_wheel

from ccutils.contexts import minilm as module
from ccutils.contexts.minilm import MINILM, minilm
from ccutils.contexts.similarity import check_similarity, make_backend
from ccutils.packaged import CACHE


def test_the_archive_in_the_wheel_becomes_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("platformdirs")  # not of the core
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("config.json", "{}")
        file.writestr("1_Pooling/config.json", "{}")
    give_wheel(monkeypatch, module, "MINILM", {module.ARCHIVE: archive.getvalue()})
    monkeypatch.setenv(CACHE, str(tmp_path))
    assert (minilm() / "1_Pooling" / "config.json").read_text() == "{}"
    check_similarity("minilm")


def test_the_real_one_finds_the_paraphrase_without_a_word_in_common() -> None:
    pytest.importorskip("sentence_transformers")
    if not MINILM.folder.is_dir():
        pytest.skip("minilm is not in the cache")
    pool = ["turn off the lamp", "what will it cost", "is it going to rain tomorrow"]
    backend = make_backend(pool, "minilm")
    scores = backend.between(["how much money do I have to pay"] * 3, pool)
    assert np.argmax(scores) == 1
    encoded = []
    whole = backend.model.encode
    backend.model.encode = lambda texts, **options: encoded.extend(texts) or whole(texts, **options)
    assert np.allclose(backend.between(["how much money do I have to pay"] * 3, pool), scores, atol=1e-5)
    assert encoded == ["how much money do I have to pay"]  # the pool's texts are encoded once
