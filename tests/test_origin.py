"""Where a number comes from is told in full."""

import subprocess
from pathlib import Path

import pytest
import torch

from ccutils import origin
from ccutils.origin import describe_origin, describe_processor


def test_an_origin_names_code_machine_versions_and_date() -> None:
    told = describe_origin()
    assert set(told) == {"commit", "tree", "command", "processor", "versions", "date"}
    assert all(told.values())
    assert "torch " in told["versions"] and told["date"].count("-") == 2


def test_a_package_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origin, "PACKAGES", ("torch", "no-such-package"))
    assert describe_origin()["versions"].endswith(", no-such-package absent")


def test_an_origin_tells_the_command_of_the_chain_and_a_changed_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CCUTILS_COMMAND", "./reproduce.sh --profile smoke")
    assert describe_origin()["command"] == "./reproduce.sh --profile smoke"
    monkeypatch.setattr(origin, "__file__", str(tmp_path / "ccutils" / "origin.py"))
    assert (origin.read_commit(), origin.describe_tree()) == ("not a git checkout", "not a git checkout")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e"]
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run([*git, *command], check=True)
    assert origin.describe_tree() == "unchanged"
    (tmp_path / "new").touch()
    assert origin.describe_tree() == "1 file(s) changed"


def test_a_processor_is_told_with_its_vectors_and_what_is_forced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MKL_CBWR", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    (tmp_path / "cpuinfo").write_text("model name\t: Abacus 3000\nflags\t\t: sse avx2 fma\n")
    assert describe_processor(tmp_path / "cpuinfo") == "Abacus 3000, avx2, ATEN_CPU_CAPABILITY=default"
    assert describe_processor(tmp_path / "none").endswith("ATEN_CPU_CAPABILITY=default")


def test_a_gpu_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Abacus GPU")
    assert describe_origin()["processor"].endswith(", Abacus GPU")
