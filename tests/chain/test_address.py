"""The repository's address: one place, and every badge and first cell as it says."""

import json
import shutil
from pathlib import Path

import pytest

from ccutils.chain.address import badge, first_cell, main, read_address, slug, write_address
from ccutils.chain.profiles import ROOT

NEW = "https://github.com/someone/their-fork"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The files that hold the address, in a folder of their own."""
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    return tmp_path


def test_the_repository_holds_its_address_everywhere(repository: Path) -> None:
    address = read_address()
    assert write_address(address, repository) == [], "run python -m ccutils.chain.address ADDRESS"
    readme = (repository / "README.md").read_text()
    for path in (repository / "notebooks").glob("*.ipynb"):
        cells = ["".join(cell["source"]) for cell in json.loads(path.read_text())["cells"]]
        assert badge(path.stem, address) in cells[0] and badge(path.stem, address) in readme
        assert first_cell(address) == cells[1]


def test_another_address_is_written_everywhere_and_back(repository: Path) -> None:
    changed = write_address("git@github.com:someone/their-fork.git", repository)
    assert len(changed) == 2 + len(list((repository / "notebooks").glob("*.ipynb")))
    assert read_address(repository) == NEW
    for path in changed:
        text = path.read_text()
        assert "someone/their-fork" in text and slug(read_address()) not in text
    write_address(read_address(), repository)
    for path in changed:
        assert path.read_text() == (ROOT / path.relative_to(repository)).read_text()


@pytest.mark.parametrize("address", ["https://example.org/a/b", "github.com", "https://github.com/owner"])
def test_an_address_elsewhere_is_refused(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([address]) == 2
    assert "is no repository on GitHub: write https://github.com/OWNER/NAME." in capsys.readouterr().err


def test_the_first_cell_is_silent_outside_colab(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    exec(first_cell(NEW), names)
    assert capsys.readouterr() == ("", "") and "home" not in names
