"""Run one notebook of the chain with papermill: `python -m ccutils.chain.job NOTEBOOK JOB PARAMETERS GPUS`.

Snakemake calls this in the results folder, where it writes the executed notebook to notebooks/ and the log to
logs/. Exit status: 0 success, 2 bad input, 1 any other failure, reported in one line.
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

# jsonschema, which papermill and altair import, builds a grammar of IRIs (1.4 s) if this package exists.
# Schemas of notebooks and charts have no IRIs; without the package, jsonschema does not check them.
NO_IRIS = "import sys; sys.modules['rfc3987_syntax'] = None"
QUIET = "--IPKernelApp.log_level=CRITICAL"  # hides a kernel's messages about sockets and shutdown
HEARTBEAT = 20.0  # seconds between two progress lines
STARTS = 3  # attempts to start a kernel: two that start at once may use the same port
START_TIMEOUT = 120  # seconds for each; a busy machine took more than a minute
NOT_STARTED = ("Kernel died before", "Kernel didn't respond")
BAD_INPUT = 2
FULL = ("No space left on device", "Disk quota exceeded", "File too large", "database or disk is full")
"""Messages of the system and of SQLite about a full disk."""
KILLED = "probably for lack of memory: close other programs, use fewer --jobs or a smaller micro_batch."


class NotebookError(Exception):
    """A notebook failed: `status` is the exit status, the message is one line."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def run_notebook(notebook: Path, job: str, parameters: dict[str, Any], results: Path) -> float:
    """Run a notebook and return its run time in seconds; `job` names its log and the executed copy.

    Raises NotebookError.
    """
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]  # before papermill is imported
    from papermill.exceptions import PapermillExecutionError

    log, copy = results / "logs" / f"{job}.log", results / "notebooks" / f"{job}.ipynb"
    for path in (log, copy):
        path.parent.mkdir(parents=True, exist_ok=True)
    if "results" in declared_parameters(notebook):
        inside = results.is_relative_to(ROOT)  # a relative path to a folder elsewhere would show where it is
        folder = os.path.relpath(results, notebook.parent) if inside else str(results)
        parameters = {**parameters, "results": folder}
    start = time.monotonic()
    with log_to(log), heartbeat(job, log, start):
        try:
            with public_copy(copy):
                run_papermill(notebook, copy, parameters)
        except PapermillExecutionError as error:
            raise failure(error.ename, error.evalue) from error
        except Exception as error:  # the kernel died, the disk is full, the file is not a notebook
            logging.getLogger("papermill").exception("the notebook did not finish")
            raise failure(type(error).__name__, str(error)) from error
    return time.monotonic() - start


def run_papermill(notebook: Path, copy: Path, parameters: dict[str, Any]) -> None:
    """Execute a notebook in its own folder, as Jupyter does, with this environment's kernel."""
    import papermill

    # The notebook must import this repository's ccutils and use this interpreter.
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
        except RuntimeError as error:  # a kernel that does not start has run no cell
            if not str(error).startswith(NOT_STARTED) or start + 1 == STARTS:
                raise


@contextmanager
def public_copy(copy: Path) -> Iterator[None]:
    """Remove this machine's paths from an executed notebook, failed or not: people share notebooks."""
    try:
        yield
    finally:
        with suppress(FileNotFoundError, json.JSONDecodeError):  # not written, or cut off by a full disk
            cells = hide_private(json.loads(copy.read_text(encoding="utf-8")))
            write_whole(copy, json.dumps(cells, indent=1, ensure_ascii=False) + "\n")


def failure(name: str, message: str) -> NotebookError:
    """Convert the class and message of an error to one line and an exit status."""
    last = " ".join(message.split())
    if name == "InputError":
        return NotebookError(last, BAD_INPUT)
    if no_room(last):
        return NotebookError(f"the disk is full ({last}): free some space.", BAD_INPUT)
    if name == "PermissionError":
        return NotebookError(f"no permission for a file; it may belong to another user: {last}.", BAD_INPUT)
    if name == "OSError" and "Read-only file system" in last:
        return NotebookError(
            f"the results folder is read-only ({last}): choose another `results`.", BAD_INPUT
        )
    if name == "DeadKernelError":
        return NotebookError(f"the notebook's process was killed, {KILLED}", 1)
    return NotebookError(f"{name}: {last}", 1)


def no_room(message: str) -> bool:
    """Check whether the error message of any library is about a full disk."""
    return any(text in message for text in FULL)


@contextmanager
def log_to(path: Path) -> Iterator[None]:
    """Write the log of papermill, including the notebook's output, to a file."""
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
    """Read the last non-empty line of a log, including the last state of a progress bar."""
    text = log.read_text(encoding="utf-8", errors="replace")[-4000:].replace("\r", "\n")
    lines = [line.strip().rstrip("-") for line in text.splitlines()]
    return next((line[:90] for line in reversed(lines) if line), "starting")


@contextmanager
def one_gpu(results: Path) -> Iterator[None]:
    """Reserve a GPU that no other job of this results folder uses, and hide all other GPUs.

    Snakemake starts at most one such job per GPU; a lock file for each GPU shows which is free. A GPU that a
    cluster's scheduler has assigned to the job needs no lock.
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
    """Hide all GPUs from a job that requested none.

    This also disables torch's compiler, which bitsandbytes would import (1 s) and not use on a CPU.
    """
    os.environ |= {"CUDA_VISIBLE_DEVICES": "", "TORCHDYNAMO_DISABLE": "1"}
    yield


def list_gpus() -> list[str]:
    """List the GPUs that this process may use, named as in CUDA_VISIBLE_DEVICES; none without a driver."""
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
    """Run one job and report on it. A failure is also written to logs/<job>.failed, for the run's summary."""
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
