"""The command line, on a chain of stub notebooks, and ./reproduce.sh itself on the profile `smoke`."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from stub_chain import make_chain

from ccutils import records
from ccutils.chain import cli as reproduce
from ccutils.chain import preflight as checks
from ccutils.chain.profiles import Profile, read_profile
from ccutils.errors import InputError

ROOT = Path(__file__).parents[2]


def test_every_output_is_where_the_chain_says(chain: Path) -> None:
    assert set(made(chain)) == {
        "topics/tiny/start.json",
        "topics/contexts.parquet",
        "minimal_model/numbers.json",
        "minimal_model/transformer.json",
        "topics/tiny/random/seed-0/done.json",
        "topics/tiny/random/seed-1/done.json",
        "topics/tiny/random/seed-0/probes.parquet",
        "topics/tiny/random/seed-1/probes.parquet",
        "report.html",
        "answers.html",
    }


def test_a_second_run_does_nothing_and_says_so(chain: Path) -> None:
    before = made(chain)
    start = time.monotonic()
    done = run(chain)
    assert done.returncode == 0
    assert "Nothing to do" in done.stdout
    assert "started" not in done.stdout
    assert made(chain) == before
    assert time.monotonic() - start < 15


@pytest.mark.parametrize("hours", [-1000, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_clock_that_jumped_makes_nothing_run_again(chain: Path, hours: int) -> None:
    """What came first looks as if it came last, or the other way round: the same content, so no reason."""
    results = chain.parent / "results"
    first = sorted(path for path in results.rglob("*") if path.name in {"start.json", "done.json"})
    times = {path: path.stat().st_mtime for path in first}
    assert len(times) == 3
    for path, seconds in times.items():
        os.utime(path, (seconds, seconds + 3600 * hours))
    assert "Nothing to do" in run(chain).stdout
    for path, seconds in times.items():
        os.utime(path, (seconds, seconds))


def test_another_environment_or_number_of_cores_reruns_nothing(chain: Path) -> None:
    done = run(chain, "--cores", "4", "--jobs", "1")
    assert "Nothing to do" in done.stdout


def test_a_dry_run_tells_what_a_parameter_affects_and_changes_nothing(chain: Path) -> None:
    before = made(chain)
    done = run(chain, "--dry-run", "--set", "steps=20")
    assert done.returncode == 0
    rules = {line.split()[0] for line in done.stdout.splitlines() if line.strip().endswith(" 1")}
    assert rules == {"ic_train_0_1", "probes_0_1", "figures"}
    assert "params have changed" in done.stdout
    assert made(chain) == before


def test_one_failure_does_not_stop_the_rest_and_the_same_command_goes_on(tmp_path: Path) -> None:
    profile = make_chain(tmp_path)
    options = ("--set", "strategy=[random, similar]", "--set", "seeds=0")
    failed = run(profile, *options, "--set", "fail=bug")
    assert failed.returncode == 1
    assert "03_ic_train/topics-tiny-random-0: KeyError: 'x'" in failed.stdout
    assert "logs/03_ic_train/topics-tiny-random-0.log" in failed.stdout
    kept = made(profile)
    assert "topics/tiny/similar/seed-0/probes.parquet" in kept
    trained = run(profile, *options, "--set", "fail=bug", "--dry-run").stdout
    assert "start " not in trained and "contexts " not in trained
    refused = run(profile, *options, "--set", "fail=input")
    assert refused.returncode == 2
    assert "k is wrong: lower it." in refused.stdout


def test_a_bad_value_is_refused_in_one_line_before_anything_starts(
    chain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = made(chain)
    assert reproduce.main(["--profile", str(chain), "--set", "k=100000"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert made(chain) == before


@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]])
def test_a_file_of_another_user_is_named_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], dry_run: list[str]
) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied", "results/.lock")

    monkeypatch.setattr(reproduce, "run_chain", refuse)
    assert reproduce.main(dry_run) == 2
    assert "results/.lock" in capsys.readouterr().err
    assert "results/x" in reproduce.failure_cause(
        1, "PermissionError: [Errno 13] Permission denied: 'results/x'"
    )


def test_a_full_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10 * 2**20))
    with pytest.raises(InputError, match="10 MB"):
        records.check_results_folder(tmp_path)


def test_a_gpu_profile_without_a_gpu_is_refused_but_can_be_planned(
    chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    stub = read_profile(chain)
    profile = Profile(stub.tasks, stub.models, stub.strategies, stub.seeds, True, notebooks=stub.notebooks)
    checks.check_profile(profile, dry_run=True)
    with pytest.raises(InputError, match="GPU"):
        checks.check_profile(profile)


class TestShell:
    def test_help(self) -> None:
        done = shell("--help")
        assert done.returncode == 0
        for option in ("--profile", "--cores", "--jobs", "--dry-run", "--set", "reproduce.sh test"):
            assert option in done.stdout

    @pytest.mark.parametrize("by", ["its own path", "a link", "a link to a link", "bash and a relative path"])
    def test_it_finds_its_folder_however_it_is_started(self, by: str, tmp_path: Path) -> None:
        """CDPATH would lead elsewhere, and Python does not look into its working folder."""
        decoy = tmp_path / "decoy" / ROOT.name
        decoy.mkdir(parents=True)
        (tmp_path / "link.sh").symlink_to(ROOT / "reproduce.sh")
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "again").symlink_to("../link.sh")
        commands = {
            "its own path": (tmp_path, [str(ROOT / "reproduce.sh")]),
            "a link": (tmp_path, ["./link.sh"]),
            "a link to a link": (tmp_path / "folder", ["bash", "again"]),
            "bash and a relative path": (ROOT.parent, ["bash", f"{ROOT.name}/reproduce.sh"]),
        }
        folder, command = commands[by]
        environment = {**os.environ, "CDPATH": str(decoy.parent), "PYTHONSAFEPATH": "1"}
        done = subprocess.run(
            [*command, "--help"], cwd=folder, capture_output=True, text=True, env=environment, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("usage: ./reproduce.sh")

    @pytest.mark.parametrize(
        "words", [("--help-me",), ("doc",), ("docs", "--help-me"), ("docs", "no/folder")]
    )
    def test_a_wrong_word_is_refused_before_the_set_up(self, words: tuple[str, ...]) -> None:
        done = shell(*words)
        assert done.returncode == 2 and done.stdout == ""
        assert words[-1] in done.stderr

    def test_help_on_the_pages(self) -> None:
        done = shell("docs", "--help")
        assert done.returncode == 0 and done.stdout.startswith("usage: ./reproduce.sh docs")

    def test_no_suitable_python_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "dirname").symlink_to(shutil.which("dirname") or "")
        done = subprocess.run(
            [shutil.which("bash") or "bash", "reproduce.sh"],
            cwd=ROOT,
            env={"PATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert "3.11" in done.stderr

    def test_smoke_runs_every_notebook_and_a_second_run_does_nothing(self, tmp_path: Path) -> None:
        options = ("--profile", "smoke", "--set", f"results={tmp_path}")
        first = shell(*options)
        assert first.returncode == 0, first.stdout + first.stderr
        assert (tmp_path / "report.html").stat().st_size > 1000
        names = {path.parent.name for path in (tmp_path / "notebooks").rglob("*.ipynb")}
        assert names == {path.stem for path in (ROOT / "notebooks").glob("0[0-5]*.ipynb")}
        before = {
            path: path.stat().st_mtime_ns
            for path in tmp_path.rglob("*.*")
            if ".snakemake" not in path.parts and path.name != ".lock"
        }
        second = shell(*options)
        assert "Nothing to do" in second.stdout
        assert before == {path: path.stat().st_mtime_ns for path in before}, "something was made again"


def run(profile: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ccutils.chain.cli", "--profile", str(profile), "--cores", "2", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def shell(*arguments: str) -> subprocess.CompletedProcess[str]:
    """./reproduce.sh with the interpreter of these tests."""
    environment = {**os.environ, "CCUTILS_PYTHON": sys.executable}
    return subprocess.run(
        ["./reproduce.sh", *arguments], cwd=ROOT, capture_output=True, text=True, env=environment, check=False
    )


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The profile of a stub chain that has run once."""
    folder = tmp_path_factory.mktemp("chain")
    profile = make_chain(folder)
    done = run(profile)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "7/7" in done.stdout
    assert "finished 03_ic_train/topics-tiny-random-0-1 in" in done.stdout
    assert str(folder / "results/report.html") in done.stdout
    yield profile
    shutil.rmtree(folder)


def made(profile: Path) -> dict[str, int]:
    """Every output and when it was made."""
    results = profile.parent / "results"
    files = [p for p in results.rglob("*") if p.suffix in (".json", ".parquet", ".svg", ".html")]
    return {str(p.relative_to(results)): p.stat().st_mtime_ns for p in files if ".snakemake" not in p.parts}
