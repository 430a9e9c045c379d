"""Whatever ends a run, nothing of it stays at work, and the same command goes on; on stub notebooks."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from stub_chain import make_chain

from ccutils.chain.holding import end_processes, find_processes, hold_folder, mark_processes
from ccutils.errors import InputError

ROOT = Path(__file__).parents[2]
FIVE = 5.0  # seconds within which all processes of a stopped run must be gone


@pytest.mark.parametrize(
    "signals",
    [
        pytest.param([signal.SIGINT, signal.SIGINT], id="Ctrl-C twice"),
        pytest.param([signal.SIGKILL], id="killed", marks=pytest.mark.slow),
        pytest.param([signal.SIGHUP], id="hung up", marks=pytest.mark.slow),
        pytest.param([signal.SIGTERM], id="terminated", marks=pytest.mark.slow),
        pytest.param([signal.SIGINT], id="Ctrl-C", marks=pytest.mark.slow),
    ],
)
def test_a_run_that_is_ended_leaves_nothing_at_work_and_goes_on(
    signals: list[signal.Signals], tmp_path: Path
) -> None:
    profile = make_chain(tmp_path)
    with busy(profile) as process:
        for sent in signals:
            os.killpg(process.pid, sent)
            time.sleep(0.2)
        status = process.wait(FIVE)
        wait_for_none(tmp_path / "results", FIVE)
    assert status == (-signal.SIGKILL if signals == [signal.SIGKILL] else 130)
    done = run(profile)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "started  00_start_here" not in done.stdout
    assert "Ended" not in done.stdout


@pytest.mark.slow
def test_what_a_killed_run_left_is_named_and_ended_by_the_next(tmp_path: Path) -> None:
    """Its processes are stopped here, so that they cannot end by themselves."""
    profile = make_chain(tmp_path)
    with busy(profile) as process:
        left = find_processes(tmp_path / "results")
        for one in left:
            one.suspend()
        process.kill()
        (tmp_path / "results" / "wait").unlink()
        done = run(profile)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Ended {len(left)} process" in done.stdout
    assert not any(one.is_running() for one in left)


def test_a_second_start_is_told_which_process_and_harms_nothing(tmp_path: Path) -> None:
    profile = make_chain(tmp_path)
    with busy(profile) as process:
        second = run(profile)
        assert second.returncode == 2
        assert second.stderr.count("\n") == 1
        assert str(tmp_path / "results") in second.stderr and str(process.pid) in second.stderr
        assert f"--profile {profile}" in second.stderr
        assert process.poll() is None


@pytest.mark.slow
def test_two_profiles_at_once_both_finish(tmp_path: Path) -> None:
    profiles = [make_chain(tmp_path / name) for name in ("a", "b")]
    both = [start(profile) for profile in profiles]
    outputs = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs


def test_a_lock_is_held_only_while_its_holder_lives(tmp_path: Path) -> None:
    with hold_folder(tmp_path), pytest.raises(InputError, match=str(os.getpid())), hold_folder(tmp_path):
        pass
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_lock_of_an_earlier_version_or_cut_short_is_no_hindrance(tmp_path: Path) -> None:
    for text in ("", '{"process": 1', "[]"):
        (tmp_path / ".lock").write_text(text)
        with hold_folder(tmp_path) as ended:
            assert ended == 0


def test_only_processes_of_the_folder_are_ended(tmp_path: Path) -> None:
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    one, other = (
        subprocess.Popen(sleep, env={**os.environ, **mark_processes(tmp_path / name)}) for name in ("a", "ab")
    )
    try:
        assert end_processes(tmp_path / "a") == 1
        one.wait(FIVE)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def command(profile: Path) -> list[str]:
    return [sys.executable, "-m", "ccutils.chain.cli", "--profile", str(profile), "--cores", "2"]


def run(profile: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(profile), cwd=ROOT, capture_output=True, text=True, check=False)


def start(profile: Path) -> subprocess.Popen[str]:
    """Start a run in a process group of its own, as a shell does, with the signals' usual meaning."""

    def usual() -> None:
        for one in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            signal.signal(one, signal.SIG_DFL)

    return subprocess.Popen(
        command(profile),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
        preexec_fn=usual,
    )


@contextmanager
def busy(profile: Path) -> Iterator[subprocess.Popen[str]]:
    """A run whose notebook 03 waits, deaf to an interruption, until the end of the block."""
    wait, waiting = (profile.parent / "results" / name for name in ("wait", "waiting"))
    wait.touch()
    process = start(profile)
    try:
        while not waiting.exists():
            assert process.poll() is None
            time.sleep(0.05)
        yield process
    finally:
        wait.unlink(missing_ok=True)
        process.kill()
        process.communicate()


def wait_for_none(folder: Path, seconds: float) -> None:
    """Wait until nothing works for a folder."""
    until = time.monotonic() + seconds
    while left := find_processes(folder):
        assert time.monotonic() < until, [process.cmdline() for process in left]
        time.sleep(0.1)
