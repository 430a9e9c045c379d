"""Run one notebook of the chain with papermill: `python -m ccutils.chain.job NOTEBOOK JOB PARAMETERS GPUS`.

Snakemake calls this in the results folder. The executed notebook and its log stay there, under notebooks/ and
logs/. Exit status: 0 done, 2 bad input, 1 any other failure, reported in one line.
"""

import fcntl
import json
import logging
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ccutils.chain.holding import end_with_parent
from ccutils.chain.profiles import ROOT, declared_parameters
from ccutils.private import hide_private
from ccutils.records import write_json, write_whole

# jsonschema, which papermill and altair import, builds a grammar of IRIs (1.4 s) if that package is there;
# no schema of a notebook or a chart has one. Without it jsonschema leaves IRIs unchecked.
NO_IRIS = "import sys; sys.modules['rfc3987_syntax'] = None"
QUIET = "--IPKernelApp.log_level=CRITICAL"  # a kernel's messages on its sockets, and on being told to end
HEARTBEAT = 20.0  # seconds between two lines on how far a notebook is
STARTS = 3  # tries to start a kernel: two that start at once may take the same port
START_TIMEOUT = 120  # seconds for each; a machine at its limits was seen to take more than a minute
NOT_STARTED = ("Kernel died before", "Kernel didn't respond")
BAD_INPUT = 2
FULL = ("No space left on device", "Disk quota exceeded", "File too large", "database or disk is full")
"""How the system and SQLite report a full disk, whatever library passes it on."""
KILLED = "most often for lack of memory: close other programs, use fewer --jobs or a smaller micro_batch."


class NotebookError(Exception):
    """A notebook that failed: `status` is the exit status, the message one line."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def run_notebook(notebook: Path, job: str, parameters: dict[str, Any], results: Path) -> float:
    """Run `notebook` with `parameters` and return the seconds it took; `job` names its log and its copy.

    Raises NotebookError.
    """
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]  # before anything of papermill
    from papermill.exceptions import PapermillExecutionError

    log, copy = results / "logs" / f"{job}.log", results / "notebooks" / f"{job}.ipynb"
    for path in (log, copy):
        path.parent.mkdir(parents=True, exist_ok=True)
    if "results" in declared_parameters(notebook):
        parameters = {**parameters, "results": os.path.relpath(results, notebook.resolve().parent)}
    start = time.monotonic()
    with log_to(log), heartbeat(job, log, start):
        try:
            with public_copy(copy):
                run_papermill(notebook, copy, parameters)
        except PapermillExecutionError as error:
            raise failure(error.ename, error.evalue) from error
        except Exception as error:  # the kernel died, the disk is full, the file is not a notebook
            logging.getLogger("papermill").exception("the notebook did not run to its end")
            raise failure(type(error).__name__, str(error)) from error
    return time.monotonic() - start


def run_papermill(notebook: Path, copy: Path, parameters: dict[str, Any]) -> None:
    """Execute in the notebook's own folder, as Jupyter does, with this environment's kernel."""
    import papermill

    # The notebook must import the ccutils beside it and use this interpreter, other kernels or not.
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    os.environ |= {"PYTHONPATH": path, "JUPYTER_PREFER_ENV_PATH": "1", "TOKENIZERS_PARALLELISM": "false"}
    for start in range(STARTS):
        try:
            papermill.execute_notebook(
                *(str(path).replace("{", "{{").replace("}", "}}") for path in (notebook, copy)),
                parameters=parameters,
                kernel_name="python3",
                language="python",
                cwd=str(notebook.parent),
                log_output=True,
                progress_bar=False,
                start_timeout=START_TIMEOUT,
                extra_arguments=[f"--IPKernelApp.exec_lines={NO_IRIS}", QUIET],
            )
            return
        except RuntimeError as error:  # a kernel that does not start has run nothing
            if not str(error).startswith(NOT_STARTED) or start + 1 == STARTS:
                raise


@contextmanager
def public_copy(copy: Path) -> Iterator[None]:
    """Remove this machine's folders from an executed notebook, failed or not: people pass notebooks on."""
    try:
        yield
    finally:
        with suppress(FileNotFoundError, json.JSONDecodeError):  # not written, or cut off by a full disk
            cells = hide_private(json.loads(copy.read_text(encoding="utf-8")))
            write_whole(copy, json.dumps(cells, indent=1, ensure_ascii=False) + "\n")


def failure(name: str, message: str) -> NotebookError:
    """Turn the class and the message of an error into one line and an exit status."""
    last = " ".join(message.split())
    if name == "InputError":
        return NotebookError(last, BAD_INPUT)
    if no_room(last):
        return NotebookError(f"the disk is full: {last}; free some space.", BAD_INPUT)
    if name == "PermissionError":
        return NotebookError(f"no permission for a file, which may be another user's: {last}.", BAD_INPUT)
    if name == "OSError" and "Read-only file system" in last:
        return NotebookError(f"the results folder cannot be written to: {last}.", BAD_INPUT)
    if name == "DeadKernelError":
        return NotebookError(f"the notebook's process was killed, {KILLED}", 1)
    return NotebookError(f"{name}: {last}", 1)


def no_room(message: str) -> bool:
    """Check whether an error's message, of any library, is about a disk that is full."""
    return any(text in message for text in FULL)


@contextmanager
def log_to(path: Path) -> Iterator[None]:
    """Send what papermill logs, the notebook's own output included, to a file."""
    handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    handler.handleError = lambda record: None  # type: ignore[method-assign]  # a full disk is reported once
    logger = logging.getLogger("papermill")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()


@contextmanager
def heartbeat(job: str, log: Path, start: float) -> Iterator[None]:
    """Print the last line of the job's log every HEARTBEAT seconds."""
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(HEARTBEAT):
            print_line(f"  {job}: {time.monotonic() - start:.0f} s, {last_line(log)}")

    threading.Thread(target=beat, daemon=True).start()
    try:
        yield
    finally:
        stop.set()


def last_line(log: Path) -> str:
    """Read the last line of a log that has words, the last state of a progress bar included."""
    text = log.read_text(encoding="utf-8", errors="replace")[-4000:].replace("\r", "\n")
    lines = [line.strip().rstrip("-") for line in text.splitlines()]
    return next((line[:90] for line in reversed(lines) if line), "starting")


@contextmanager
def one_gpu(results: Path) -> Iterator[None]:
    """Reserve a GPU that no other job of this results folder uses, as the only one this process sees.

    Snakemake starts no more such jobs on a machine than it has GPUs; a lock file for each shows which is
    free. If a cluster's scheduler gave the job one GPU, that one is its own already.
    """
    gpus = list_gpus()
    scheduled = any(name in os.environ for name in ("SLURM_JOB_ID", "KUBERNETES_SERVICE_HOST"))
    if not gpus or (scheduled and len(gpus) == 1):
        yield
        return
    for gpu in gpus:
        with (results / f".gpu-{platform.node()}-{gpu}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            os.environ["CUDA_VISIBLE_DEVICES"] = gpu
            yield
            return
    raise NotebookError(f"all {len(gpus)} GPUs are used by other jobs: use fewer --jobs.", BAD_INPUT)


@contextmanager
def no_gpu() -> Iterator[None]:
    """Hide all GPUs from a job that asked for none.

    It does not compile either: otherwise bitsandbytes imports torch's compiler (1 s), unused on a CPU.
    """
    os.environ |= {"CUDA_VISIBLE_DEVICES": "", "TORCHDYNAMO_DISABLE": "1"}
    yield


def list_gpus() -> list[str]:
    """List the GPUs this process may use, as CUDA_VISIBLE_DEVICES names them; none without a driver."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [gpu for gpu in given.split(",") if gpu]
    try:
        found = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return []
    return [str(i) for i in range(sum(line.startswith("GPU ") for line in found.stdout.splitlines()))]


def print_line(line: str) -> None:
    print(line, flush=True)


def main(arguments: list[str]) -> int:
    """Run one job and report on it; a failure is also left in logs/<job>.failed for the end of the run."""
    notebook, job, parameters = Path(arguments[0]).resolve(), arguments[1], json.loads(arguments[2])
    results = Path.cwd()
    end_with_parent()
    print_line(f"started  {job}")
    try:
        with one_gpu(results) if int(arguments[3]) else no_gpu():
            seconds = run_notebook(notebook, job, parameters, results)
    except NotebookError as error:
        print_line(f"FAILED   {job}: {error}\n         log: {results / 'logs' / f'{job}.log'}")
        with suppress(OSError):  # a full disk
            note = {"job": job, "status": error.status, "message": str(error)}
            write_json(results / "logs" / f"{job}.failed", note)
        return error.status
    except KeyboardInterrupt:
        print_line(f"stopped  {job}")
        return 130
    print_line(f"finished {job} in {seconds:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
