"""A run does without a home, room for temporary files, a language setting: told in one sentence each."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from stub_chain import make_chain

from ccutils.chain import surroundings
from ccutils.chain.cli import failure_cause, prepare_child
from ccutils.chain.surroundings import has_room, settle

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a test change the environment and the temporary folder, and undo it."""
    before = dict(os.environ)
    monkeypatch.setattr(tempfile, "tempdir", tempfile.gettempdir())
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.slow
def test_a_chain_runs_with_no_home_no_temporary_folder_and_language_c(tmp_path: Path) -> None:
    profile = make_chain(tmp_path / "straße")
    lacking = {"HOME": "/proc/nowhere", "TMPDIR": "/proc/nowhere", "LANG": "C", "LC_ALL": "C"}
    command = [sys.executable, "-m", "ccutils.chain.cli", "--profile", str(profile), "--cores", "2"]
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "PYTHONUTF8"))}
    done = subprocess.run(
        command, cwd=ROOT, env={**plain, **lacking}, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = tmp_path / "straße/results"
    assert f"{results}/.snakemake/home" in done.stdout and f"{results}/.snakemake/tmp" in done.stdout


def test_nothing_is_said_or_made_where_nothing_is_lacking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surroundings, "ROOM", 0)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert settle(tmp_path / "results") == []
    assert not (tmp_path / "results").exists()


def test_without_the_variable_the_home_of_the_user_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOME")
    settle(tmp_path)
    assert Path(os.environ["HOME"]).is_dir()


def test_models_in_a_home_that_can_only_be_read_are_still_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    (home / ".cache/huggingface").mkdir(parents=True)
    for name in ("HF_HOME", "CCUTILS_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(surroundings, "has_room", lambda folder: folder != home)
    assert len(settle(tmp_path / "results")) == 1
    assert os.environ["HF_HOME"] == str(home / ".cache/huggingface")
    assert "CCUTILS_CACHE" not in os.environ
    assert os.environ["HOME"] == str(tmp_path / "results/.snakemake/home")


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone ends processes where memory is short")
def test_short_of_memory_a_job_is_ended_before_what_watches_it() -> None:
    show = [sys.executable, "-c", "print(open('/proc/self/oom_score_adj').read())"]
    done = subprocess.run(show, preexec_fn=prepare_child, capture_output=True, text=True, check=True)
    assert int(done.stdout) == 1000 > int(Path("/proc/self/oom_score_adj").read_text())


def test_a_full_folder_has_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not has_room(tmp_path / "none")
    monkeypatch.setattr(surroundings, "ROOM", 2**80)
    assert not has_room(tmp_path)


@pytest.mark.parametrize(
    ("status", "log", "words"),
    [
        (
            1,
            "OSError: [Errno 28] No space left on device: '.snakemake/x'",
            "disk",
        ),
        (-9, "", "memory"),
        (1, "Command '...' died with <Signals.SIGKILL: 9>.", "memory"),
        (1, "(command exited with non-zero exit code -9)", "memory"),
        (1, "MissingRuleException", "MissingRuleException"),
    ],
)
def test_a_failure_that_no_job_explains_is_told_by_its_cause(status: int, log: str, words: str) -> None:
    assert words in failure_cause(status, log)
