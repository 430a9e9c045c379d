"""One run at a time per results folder, and no process that outlives its run, however it ends.

The lock is the system's and is released when its process dies. Processes that outlive a killed run are found
by a variable of their environment that names the folder.
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
"""Environment variables: the results folder that a process works for, and the process it must end with."""
BEAT = 0.5  # seconds between two looks at the parent
PATIENCE = 10.0  # seconds that killed processes get to end; one that waits for a disk takes some


@contextmanager
def hold_folder(folder: Path) -> Iterator[int]:
    """Lock a results folder, and yield how many processes of a killed run were ended.

    Raises InputError that names the run which holds the lock.
    """
    with (folder / ".lock").open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise InputError(
                f"another run is at work in {folder} ({lock.read().strip()}): wait for it, stop it, or "
                "choose another folder, --set results=FOLDER."
            ) from error
        holder = {"process": os.getpid(), "machine": platform.node(), "command": command_line()}
        lock.truncate(0)
        lock.write(json.dumps(holder) + "\n")
        lock.flush()
        yield end_processes(folder)


def command_line() -> str:
    """Write the command that started this process as a person types it."""
    return shlex.join(["./reproduce.sh", *sys.argv[1:]])


def mark_processes(folder: Path) -> dict[str, str]:
    """Build the environment of a folder's processes, by which they are found, end, and know the command."""
    return {FOLDER: str(folder), PARENT: str(os.getpid()), COMMAND: command_line()}


def end_with_parent() -> None:
    """Kill this process soon after the one that started it ended, however it ended.

    Processes that this one starts and that call this end in turn. It polls, since not every system signals
    the death of a parent.
    """
    parent = int(os.environ.get(PARENT) or os.getppid())
    os.environ[PARENT] = str(os.getpid())

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(BEAT)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def end_processes(folder: Path) -> int:
    """Kill the processes that work for a folder on this machine, and count them.

    Raises InputError for one that does not end.
    """
    import psutil

    ended = set()
    until = time.monotonic() + PATIENCE
    while left := find_processes(folder):  # again, since one may just have started another
        for process in left:
            ended.add(process.pid)
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=1)
        if time.monotonic() > until:
            raise InputError(f"processes {sorted(ended)} work in {folder} and do not end: end them first.")
    return len(ended)


def find_processes(folder: Path) -> "list[psutil.Process]":
    """Find this user's processes, but this one, that work for a folder."""
    import psutil

    found = psutil.process_iter(["environ"])  # None for processes of other users
    return [p for p in found if p.pid != os.getpid() and (p.info["environ"] or {}).get(FOLDER) == str(folder)]
