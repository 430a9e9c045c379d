"""The command for a GPU: its rehearsal meets every aim, and failures and missed aims are reported."""

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
from benchmarks.common import describe_versions
from benchmarks.gpu.isolated import Failed, Isolation
from benchmarks.gpu.made import FULL, LLAMAS, REHEARSAL, Bench
from benchmarks.gpu.memory import CARDS, CASES, T4_CASES, Case, case_rows
from benchmarks.gpu.rows import Row, at_least, at_most, largest_difference, noted, table
from benchmarks.gpu.speed import training_rows
from ccutils.training.memory import check_fits, predict

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_rehearsal_runs_every_check_and_meets_its_aims(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", str(ROOT / "benchmarks" / "on_gpu.py"), "--rehearse"]
    command += ["--minutes", "60", "--out", str(tmp_path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr + (tmp_path / "on_gpu.log").read_text()
    found = json.loads((tmp_path / "on_gpu.json").read_text())
    rows = found["rows"]
    assert [row for row in rows if row["met"] is False] == []
    assert {row["check"] for row in rows} == {
        "training", "memory", "fp16", "paged AdamW", "resume", "evaluation"
    }  # fmt: skip
    text = " ".join(row["what"] for row in rows)
    assert all(case.name in text for case in (*CASES, *T4_CASES))
    with_aim = [row["what"] for row in rows if row["met"]]
    for what in ("ours: losses", "plain attention kernel", "trained again after a kill", "of a loss from"):
        assert any(what in line for line in with_aim), what
    page = (tmp_path / "on_gpu.md").read_text()
    assert found["machine"] in page and f"torch {torch.__version__}" in page and "no GPU" in page
    assert page.count("\n| ") == len(rows) + 1
    assert str(tmp_path) not in page and "/tmp" not in page


def test_a_check_that_fails_hides_no_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def good(bench: Bench) -> Iterator[Row]:
        yield at_most("good", "what", bench.apart.run(abs, -2), 2)

    def bad(bench: Bench) -> Iterator[Row]:
        yield at_least("bad", "found before", 3, 1)
        raise RuntimeError("CUDA error: synthetic\nmore of it")

    monkeypatch.setattr(on_gpu, "CHECKS", {"bad": (bad, ()), "good": (good, ())})
    rows = list(on_gpu.run_checks(Bench(REHEARSAL, tmp_path, forked(tmp_path)), ["bad", "good"]))
    assert [(row.check, row.met) for row in rows] == [("bad", True), ("bad", False), ("good", True)]
    assert rows[1].measured == "RuntimeError: CUDA error: synthetic"


def test_work_that_raises_exits_is_killed_or_hangs_is_reported(tmp_path: Path) -> None:
    apart = forked(tmp_path)
    for work, named in ((fail, "ValueError"), (leave, "3"), (die, "9")):
        with pytest.raises(Failed, match=named) as error:
            apart.run(work)
        assert error.value.signal == (signal.SIGKILL if work is die else 0)
    assert "Traceback" in apart.log.read_text()
    start = time.monotonic()
    with pytest.raises(Failed):
        Isolation(apart.log, math.inf, most=0.3, fork=True).run(hang, tmp_path / "pid")
    assert time.monotonic() - start < 30
    assert not is_running(int((tmp_path / "pid").read_text()))
    with pytest.raises(Failed):
        Isolation(apart.log, time.monotonic() - 1).run(abs, 1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_names_the_rehearsal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert on_gpu.main(["--out", str(tmp_path)]) == 2
    assert "--rehearse" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("changed", "met"),
    [
        ({}, [True, True, True]),
        ({"ratio": 1.2}, [False, True, True]),
        ({"ratio": math.nan}, [False, True, True]),
        ({"micro": 4}, [True, False, True]),
        ({"losses": [math.inf]}, [True, True, False]),
        ({"moved": 0.0}, [True, True, False]),
    ],
)
def test_a_prediction_that_is_far_off_misses_its_aim(changed: dict[str, Any], met: list[bool]) -> None:
    good = {"predicted_gb": 5.0, "measured_gb": 5.0, "ratio": 1.0, "micro": 8, "losses": [2.0], "moved": 0.1}
    assert [row.met for row in case_rows("memory", CASES[0], good | changed)] == met


def test_training_is_compared_with_the_fastest_of_trl() -> None:
    def run(seconds: float, loss: float = 2.0) -> dict[str, Any]:
        return {"seconds": [seconds], "steps": [[loss, 1.0]], "peak": 1e9}

    found = {"trl": run(2.0), "liger": run(1.0), "ours": run(1.5, loss=2.2)}
    met = {row.what: row.met for row in training_rows(found, 8, aims=True) if row.met is not None}
    assert met == {
        "liger: losses and gradient norms, from trl's": True,
        "ours: losses and gradient norms, from trl's": False,
        "speed of ours by liger": False,
    }
    rehearsed = [row.met for row in training_rows(found, 8, aims=False) if row.what.startswith("speed")]
    assert rehearsed == [None]


def test_nan_misses_every_aim() -> None:
    assert math.isnan(largest_difference([1.0], [1.0, 2.0]))
    for row in (at_most("a", "b", math.nan, 1), at_least("a", "b", math.nan, 1)):
        assert row.met is False and row.measured == "nan"


def test_a_cell_cannot_break_the_table() -> None:
    lines = table([noted("a", "b|c", "d")]).splitlines()
    assert lines[2] == "| a | b/c | d |  | no aim |"


@pytest.mark.parametrize(("name", "billions"), [("1B", 1.24), ("3B", 3.21), ("8B", 8.03)])
def test_the_shapes_have_the_sizes_of_their_names(name: str, billions: float) -> None:
    shape = LLAMAS[name]
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(LlamaConfig(**asdict(shape)))
    assert shape.parameters == pytest.approx(model.num_parameters(), rel=1e-3)
    assert shape.parameters / 1e9 == pytest.approx(billions, abs=0.01)


@pytest.mark.parametrize("case", [*CASES, *T4_CASES], ids=lambda case: case.name)
def test_each_case_is_predicted_to_fit_its_card(case: Case) -> None:
    """A case that does not fit would be refused on the card."""
    prediction = predict(
        LlamaConfig(**asdict(LLAMAS[case.shape])),
        window=FULL.window,
        micro_batch=case.micro,
        dtype=torch.float16 if case.turing else torch.bfloat16,
        expand=case.turing,
    )
    check_fits(prediction, CARDS[case.card])


def test_versions_that_differ_from_the_lock_are_marked() -> None:
    here = torch.__version__.partition("+")[0]
    assert f"torch {torch.__version__}," in describe_versions(f"torch=={here}\n")
    other = describe_versions("torch==1.0 ; python_version > '3'\n")
    assert f"torch {torch.__version__} (lock: 1.0)" in other


def forked(folder: Path) -> Isolation:
    return Isolation(folder / "log", math.inf, most=60, fork=True)


def fail() -> None:
    raise ValueError("synthetic")


def leave() -> None:
    os._exit(3)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def is_running(process: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    return psutil.pid_exists(process) and psutil.Process(process).status() != psutil.STATUS_ZOMBIE


def hang(path: Path) -> None:
    """Start a process that hangs as well, and write its id to a file."""
    path.write_text(str(subprocess.Popen(["sleep", "600"]).pid))
    time.sleep(600)
