"""What the first cell of a notebook adds to a runtime: what is missing, in the lock's versions, no more."""

import sys
from importlib.metadata import PackageNotFoundError, version

import pytest
from packaging.requirements import Requirement

from ccutils.chain import colab
from ccutils.errors import InputError


def test_where_nothing_is_missing_nothing_is_installed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(colab, "install", lambda pins: pytest.fail(f"installed {pins}"))
    colab.prepare()
    said = capsys.readouterr().out
    assert (
        "nothing had to be added; no package of this runtime was changed." in said and said.count("\n") == 1
    )


def test_what_is_missing_is_added_with_what_it_needs_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = {"sacrebleu", "portalocker"}  # the first asks for the second
    installed: list[list[str]] = []

    def install(pins: list[str]) -> None:
        installed.append(pins)
        missing.difference_update(pin.split("==")[0] for pin in pins)

    def found(name: str) -> str:
        if name in missing:
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(colab, "install", install)
    monkeypatch.setattr(colab, "version", found)
    colab.prepare()
    assert installed == [[f"sacrebleu=={version('sacrebleu')}"], [f"portalocker=={version('portalocker')}"]]
    assert "added sacrebleu, portalocker; no package" in capsys.readouterr().out


def test_versions_outside_the_ranges_are_told() -> None:
    wanted = [Requirement("numpy>=1.0"), Requirement("pandas<1.0"), Requirement("not-there>=1.0")]
    assert f"Not tried with pandas {version('pandas')}:" in colab.tell_untried(wanted)
    assert colab.tell_untried(wanted[:1]) == ""


def test_what_pip_cannot_do_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "false")
    with pytest.raises(InputError, match=r"could not add x==1 .* > Disconnect and delete runtime first"):
        colab.install(["x==1"])
