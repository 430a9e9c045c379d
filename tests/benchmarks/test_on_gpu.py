"""The command for a GPU: its rehearsal runs, what fails hides nothing, and a missed aim is told."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from benchmarks import on_gpu
from benchmarks.gpu.isolated import Failed, Isolation
from benchmarks.gpu.made import FULL, LLAMAS, REHEARSAL, Bench
from benchmarks.gpu.memory import CARDS, CASES, T4_CASES, Case, judge
from benchmarks.gpu.rows import Row, at_least, at_most, largest_difference, noted, status, table
from benchmarks.gpu.speed import judge_training
from benchmarks.gpu.surroundings import versions
from ccutils.training.memory import check_fits, predict

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_rehearsal_runs_every_check_and_meets_its_aims(rehearsal: dict[str, Any]) -> None:
    rows = rehearsal["rows"]
    assert [row for row in rows if row["met"] is False] == []
    assert {row["check"] for row in rows} == {
        "training", "memory", "fp16", "paged AdamW", "resume", "evaluation"
    }  # fmt: skip
    told = " ".join(row["what"] for row in rows)
    assert all(case.name in told for case in (*CASES, *T4_CASES))
    judged = [row["what"] for row in rows if row["met"]]
    for what in ("ours: losses", "plain attention kernel", "trained again after a kill", "of a loss from"):
        assert any(what in line for line in judged), what


@pytest.mark.slow
def test_the_table_says_what_it_was_made_with(rehearsal: dict[str, Any]) -> None:
    page = rehearsal["page"]
    assert f"torch {torch.__version__}" in page and "transformers" in page
    assert rehearsal["date"] in page and "no GPU" in page and "rehearsal" in page
    assert page.count("\n| ") == len(rehearsal["rows"]) + 1
    assert str(rehearsal["out"]) not in page and "/tmp" not in page


@pytest.mark.slow
def test_two_processes_are_rehearsed(tmp_path: Path) -> None:
    found = rehearse(tmp_path, "two")
    assert [row["met"] for row in found["rows"]] == [True, True, True]


def test_a_check_that_fails_hides_no_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def good(bench: Bench) -> Iterator[Row]:
        yield at_most("good", "what", bench.apart.run(abs, -2), 2)

    def bad(bench: Bench) -> Iterator[Row]:
        yield at_least("bad", "found before", 3, 1)
        raise RuntimeError("CUDA error: made up\nmore of it")

    monkeypatch.setattr(on_gpu, "CHECKS", {"bad": (bad, ()), "good": (good, ())})
    rows = list(on_gpu.run_checks(Bench(REHEARSAL, tmp_path, forked(tmp_path)), ["bad", "good"]))
    assert [(row.check, row.met) for row in rows] == [("bad", True), ("bad", False), ("good", True)]
    assert rows[1].measured == "RuntimeError: CUDA error: made up"
    assert status(rows) == 1 and status(rows[2:]) == 0


def test_what_raises_dies_or_hangs_is_told_in_a_sentence(tmp_path: Path) -> None:
    apart = forked(tmp_path)
    for work, words in ((fail, "ValueError: made up"), (leave, "status 3"), (die, "signal 9")):
        with pytest.raises(Failed, match=words) as error:
            apart.run(work)
        assert error.value.signal == (signal.SIGKILL if work is die else 0)
    assert "Traceback" in apart.log.read_text()
    start = time.monotonic()
    with pytest.raises(Failed, match="not done after 0 s"):
        Isolation(apart.log, math.inf, most=0.3, fork=True).run(hang, tmp_path / "pid")
    assert time.monotonic() - start < 30
    assert not is_running(int((tmp_path / "pid").read_text()))
    with pytest.raises(Failed, match="no time was left"):
        Isolation(apart.log, time.monotonic() - 1).run(abs, 1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert on_gpu.main(["--out", str(tmp_path)]) == 2
    assert capfd.readouterr().err.strip().endswith("try --rehearse, or run it where one is.")


def test_a_prediction_that_is_far_off_is_missed() -> None:
    case = CASES[0]
    good = {"predicted_gb": 5.0, "measured_gb": 5.0, "ratio": 1.0, "micro": 8, "losses": [2.0], "moved": 0.1}
    assert [row.met for row in judge("memory", case, good)] == [True, True, True]
    assert [row.met for row in judge("memory", case, good | {"ratio": 1.2})] == [False, True, True]
    assert [row.met for row in judge("memory", case, good | {"ratio": math.nan})] == [False, True, True]
    assert [row.met for row in judge("memory", case, good | {"micro": 4})] == [True, False, True]
    assert [row.met for row in judge("memory", case, good | {"losses": [math.inf]})] == [True, True, False]
    assert [row.met for row in judge("memory", case, good | {"moved": 0.0})] == [True, True, False]


def test_training_is_judged_against_the_fastest_of_trl() -> None:
    def run(seconds: float, loss: float = 2.0) -> dict[str, Any]:
        return {"seconds": [seconds], "steps": [[loss, 1.0]], "peak": 1e9}

    found = {"trl": run(2.0), "liger": run(1.0), "ours": run(1.5, loss=2.2)}
    met = {row.what: row.met for row in judge_training(found, 8, judged=True) if row.met is not None}
    assert met == {
        "liger: losses and gradient norms, from trl's": True,
        "ours: losses and gradient norms, from trl's": False,
        "speed of ours by liger": False,
    }
    rehearsed = [row.met for row in judge_training(found, 8, judged=False) if row.what.startswith("speed")]
    assert rehearsed == [None]


def test_what_is_no_number_meets_no_aim() -> None:
    assert largest_difference([1.0], [1.0, 2.0]) != largest_difference([1.0], [1.0, 2.0])
    for row in (at_most("a", "b", math.nan, 1), at_least("a", "b", math.nan, 1)):
        assert row.met is False and row.measured == "nan"


def test_a_cell_cannot_break_the_table() -> None:
    lines = table([noted("a", "b|c", "d")]).splitlines()
    assert lines[2] == "| a | b/c | d |  | no aim |"


@pytest.mark.parametrize(("name", "billions"), [("1B", 1.24), ("3B", 3.21), ("8B", 8.03)])
def test_the_shapes_have_the_sizes_they_are_called_by(name: str, billions: float) -> None:
    shape = LLAMAS[name]
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(LlamaConfig(**asdict(shape)))
    assert shape.parameters == pytest.approx(model.num_parameters(), rel=1e-3)
    assert shape.parameters / 1e9 == pytest.approx(billions, abs=0.01)


@pytest.mark.parametrize("case", [*CASES, *T4_CASES], ids=lambda case: case.name)
def test_each_case_is_predicted_to_fit_its_card(case: Case) -> None:
    """Otherwise it would be refused there, for what is known here."""
    prediction = predict(
        LlamaConfig(**asdict(LLAMAS[case.shape])),
        window=FULL.window,
        micro_batch=case.micro,
        dtype=torch.float16 if case.turing else torch.bfloat16,
        expand=case.turing,
    )
    check_fits(prediction, CARDS[case.card])


def test_versions_other_than_the_locks_are_told() -> None:
    here = torch.__version__.partition("+")[0]
    assert f"torch {torch.__version__}," in versions(f"torch=={here}\n")
    assert f"torch {torch.__version__} (lock: 1.0)" in versions("torch==1.0 ; python_version > '3'\n")


def forked(folder: Path) -> Isolation:
    return Isolation(folder / "log", math.inf, most=60, fork=True)


def fail() -> None:
    raise ValueError("made up")


def leave() -> None:
    os._exit(3)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def is_running(process: int) -> bool:
    """Tell whether a process runs; one that has ended may still wait to be reaped."""
    return psutil.pid_exists(process) and psutil.Process(process).status() != psutil.STATUS_ZOMBIE


def hang(path: Path) -> None:
    """Start a process that hangs as well, and write down its id."""
    path.write_text(str(subprocess.Popen(["sleep", "600"]).pid))
    time.sleep(600)


def rehearse(out: Path, *names: str) -> dict[str, Any]:
    command = [sys.executable, "-W", "ignore", str(ROOT / "benchmarks" / "on_gpu.py"), "--rehearse"]
    command += ["--minutes", "60", "--out", str(out), "--only", *names]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr + (out / "on_gpu.log").read_text()
    return dict(json.loads((out / "on_gpu.json").read_text()))


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the rehearsal found, but for two processes, which import everything again."""
    out = tmp_path_factory.mktemp("rehearsal")
    found = rehearse(out, *(name for name in on_gpu.CHECKS if name != "two"))
    return found | {"page": (out / "on_gpu.md").read_text(), "out": out}
