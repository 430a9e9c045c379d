"""Lock a results folder for one run, and end the processes of a run that was killed.

The operating system releases the lock when its process dies. Processes that outlive a killed run are
identified by an environment variable with the folder's path.
"""

import fcntl
import json
import os
import platform
import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ccutils.errors import InputError
from ccutils.origin import COMMAND

if TYPE_CHECKING:
    import psutil  # type: ignore[import-untyped]  # in functions: --help must work before it is installed

FOLDER, PARENT = "CCUTILS_FOLDER", "CCUTILS_PARENT"
"""Environment variables: the results folder that a process works for, and the parent it must exit with."""
BEAT = 0.5  # seconds between two checks of the parent
PATIENCE = 10.0  # seconds for killed processes to exit; one that waits for a disk takes longer


@contextmanager
def hold_folder(folder: Path) -> Iterator[int]:
    """Lock a results folder, and yield the number of ended processes of a killed run.

    Raises InputError with the process, machine and command of another run that has the lock.
    """
    with (folder / ".lock").open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise InputError(
                f"another run is using {folder} ({lock.read().strip()}): wait for it, stop it, or choose "
                "another folder with --set results=FOLDER."
            ) from error
        holder = {"process": os.getpid(), "machine": platform.node(), "command": command_line()}
        lock.truncate(0)
        lock.write(json.dumps(holder) + "\n")
        lock.flush()
        yield end_processes(folder)


def command_line() -> str:
    """Format the command that started this process, quoted for a shell."""
    return shlex.join(["./reproduce.sh", *sys.argv[1:]])


def mark_processes(folder: Path) -> dict[str, str]:
    """Build the environment variables of a folder's processes: folder, parent and command."""
    return {FOLDER: str(folder), PARENT: str(os.getpid()), COMMAND: command_line()}


def end_with_parent() -> None:
    """Kill this process soon after its parent exits for any reason.

    Child processes that call this function exit as well. It polls, since not every system signals the death
    of a parent.
    """
    parent = int(os.environ.get(PARENT) or os.getppid())
    os.environ[PARENT] = str(os.getpid())

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(BEAT)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def end_processes(folder: Path) -> int:
    """Kill the processes that work for a folder on this machine, and return their number.

    Raises InputError if one does not exit.
    """
    import psutil

    ended = set()
    until = time.monotonic() + PATIENCE
    while left := find_processes(folder):  # repeat, since one may have started another
        for process in left:
            ended.add(process.pid)
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=1)
        if time.monotonic() > until:
            raise InputError(f"processes {sorted(ended)} use {folder} and do not exit: end them, then retry.")
    return len(ended)


def find_processes(folder: Path) -> "list[psutil.Process]":
    """Find this user's other processes that work for a folder."""
    import psutil

    found = psutil.process_iter(["environ"])  # None for processes of other users
    return [p for p in found if p.pid != os.getpid() and (p.info["environ"] or {}).get(FOLDER) == str(folder)]
