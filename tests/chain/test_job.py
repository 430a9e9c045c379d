"""One notebook by papermill: its exit status, its one sentence, its log."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from stub_chain import make_notebook

from ccutils.chain import job as execute
from ccutils.chain.job import failure, last_line, list_gpus, no_gpu, one_gpu
from ccutils.errors import InputError

ROOT = Path(__file__).parents[2]


def run(folder: Path, body: str, **parameters: object) -> subprocess.CompletedProcess[str]:
    notebook = folder / "nb" / "a.ipynb"
    make_notebook(notebook, 'results = "../results/try"\nk = 1', body)
    (folder / "results").mkdir()
    command = [sys.executable, "-m", "ccutils.chain.job", str(notebook), "a/job", json.dumps(parameters), "0"]
    return subprocess.run(
        command,
        cwd=folder / "results",
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
    )


def test_parameters_and_results_reach_the_notebook(tmp_path: Path) -> None:
    done = run(tmp_path, 'write(f"{k}.txt")\nprint("hello from inside")', k=7)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "results" / "7.txt").exists()
    assert "hello from inside" in (tmp_path / "results/logs/a/job.log").read_text()
    assert (tmp_path / "results/notebooks/a/job.ipynb").exists()
    assert "finished a/job" in done.stdout


def test_a_job_does_not_build_the_grammar_of_iris(tmp_path: Path) -> None:
    """Half of a short job's time: it must be left out before papermill is imported at all."""
    make_notebook(tmp_path / "n.ipynb", "", "")
    ask = (
        "import sys; from pathlib import Path; from ccutils.chain.job import run_notebook; "
        "run_notebook(Path('n.ipynb'), 'a/job', {}, Path('results').absolute()); "
        "print('papermill' in sys.modules, 'rfc3987_syntax.syntax_helpers' in sys.modules)"
    )
    path = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", ask], cwd=tmp_path, env=path, capture_output=True, text=True, check=False
    )
    assert done.stdout.endswith("True False\n"), done.stderr


def test_an_executed_notebook_tells_no_folder_of_the_machine(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").touch()
    body = f'print("from", results, "{tmp_path}/mine.csv")\nraise KeyError("{tmp_path}/results")'
    done = run(tmp_path, body)
    assert done.returncode == 1
    text = (tmp_path / "results/notebooks/a/job.ipynb").read_text()
    assert "from …/results …/mine.csv" in text and "KeyError" in text
    assert str(tmp_path) not in text


def test_bad_input_is_one_sentence_and_status_2(tmp_path: Path) -> None:
    done = run(tmp_path, 'raise InputError("k is 7,\\n above the pool: lower it.")', k=7)
    assert done.returncode == 2
    assert "FAILED   a/job: k is 7, above the pool: lower it.\n" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    note = json.loads((tmp_path / "results/logs/a/job.failed").read_text())
    assert note["status"] == 2


def test_a_killed_kernel_is_told_and_status_1(tmp_path: Path) -> None:
    done = run(tmp_path, "import os\nos._exit(9)")
    assert done.returncode == 1
    assert "FAILED   a/job: " in done.stdout
    assert "results/logs/a/job.log" in done.stdout


def test_a_kernel_that_does_not_come_up_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import papermill

    tries = []

    def execute_notebook(*_: object, **__: object) -> None:
        tries.append(1)
        if len(tries) < wanted:
            raise RuntimeError("Kernel died before replying to kernel_info")

    monkeypatch.setattr(papermill, "execute_notebook", execute_notebook)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    wanted = 3
    execute.run_papermill(tmp_path / "a.ipynb", tmp_path / "b.ipynb", {})
    assert len(tries) == 3
    wanted = 9
    with pytest.raises(RuntimeError, match="Kernel died"):
        execute.run_papermill(tmp_path / "a.ipynb", tmp_path / "b.ipynb", {})
    assert len(tries) == 6


@pytest.mark.parametrize(
    ("name", "message", "status"),
    [
        (InputError.__name__, "k is wrong.", 2),
        ("OSError", "[Errno 28] No space left on device: 'x'", 2),
        ("PermissionError", "[Errno 13] Permission denied: 'x'", 2),
        ("OSError", "[Errno 30] Read-only file system: 'x'", 2),
        ("SafetensorError", "I/O error: No space left on device (os error 28)", 2),
        ("OSError", "[Errno 27] File too large", 2),
        ("OperationalError", "database or disk is full", 2),
        ("OSError", "[Errno 122] Disk quota exceeded: 'x'", 2),
        ("OSError", "[Errno 5] Input/output error", 1),
        ("KeyError", "'x'", 1),
    ],
)
def test_failure(name: str, message: str, status: int) -> None:
    error = failure(name, message)
    assert error.status == status
    assert message in str(error)


def test_last_line_sees_the_state_of_a_progress_bar(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("first\n 10%|#   |\r 20%|##  |\n\n")
    assert last_line(log) == "20%|##  |"
    log.write_text("Executing Cell 21----------\n-----\n")
    assert last_line(log) == "Executing Cell 21"
    log.write_text("")
    assert last_line(log) == "starting"


def test_a_long_job_tells_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(execute, "HEARTBEAT", 0.01)
    log = tmp_path / "log"
    log.write_text("step 3 of 10")
    with execute.heartbeat("a/job", log, time.monotonic() - 60):
        time.sleep(0.2)
    assert "  a/job: 60 s, step 3 of 10\n" in capsys.readouterr().out


def test_each_job_holds_a_gpu_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert list_gpus() == ["2", "5"]
    with one_gpu(tmp_path):
        assert list_gpus() == ["2"]
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
        with one_gpu(tmp_path):
            assert list_gpus() == ["5"]


def test_no_gpu_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with one_gpu(tmp_path):
        assert list_gpus() == []


def test_a_job_that_asks_for_no_gpu_sees_and_holds_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with one_gpu(tmp_path), no_gpu():
        assert list_gpus() == []


def test_a_cluster_has_given_the_gpu_already(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then its name is that of a job's own, and several jobs have the same; several GPUs are shared out."""
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with one_gpu(tmp_path), one_gpu(tmp_path):
        assert list_gpus() == ["0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with one_gpu(tmp_path):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
        with one_gpu(tmp_path):
            assert list_gpus() == ["1"]
