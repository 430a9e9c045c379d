"""Who is at work in a results folder: one run holds it, its processes end with it, what it left is ended.

A killed run leaves no lock behind, since the system lets go of it, but may leave processes: they are known by
a variable of their environment that names the folder.
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
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ccutils.errors import InputError
from ccutils.origin import COMMAND

if TYPE_CHECKING:
    import psutil  # type: ignore[import-untyped]  # in functions: help is answered before it is installed

FOLDER, PARENT = "CCUTILS_FOLDER", "CCUTILS_PARENT"
"""Variables of the environment: the folder that a process works for, and the process it shall end with."""
BEAT = 0.5  # seconds between two looks at the parent
PATIENCE = 10.0  # seconds that killed processes are given to be gone; one that waits for a disk takes some


@contextmanager
def hold_folder(folder: Path) -> Iterator[str]:
    """Hold a results folder and say what was ended for it: a sentence, empty if nothing was left in it.

    The lock is this process's alone and dies with it. Raises InputError that names the run which holds it.
    """
    with (folder / ".lock").open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"another run is at work in {folder}: {describe_holder(lock)}; wait for it, stop it, or "
                "choose another folder, --set results=FOLDER."
            ) from error
        before = describe_holder(lock)
        ended = end_processes(folder)
        write_holder(lock)
        yield f"ended {ended} process(es) that a killed run left at work here: {before}." if ended else ""


def write_holder(lock: IO[str]) -> None:
    """Write into the lock which process holds it, where, since when, and by which command."""
    holder = {
        "process": os.getpid(),
        "machine": platform.node(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        "command": command_line(),
    }
    lock.truncate(0)
    lock.write(json.dumps(holder) + "\n")
    lock.flush()


def command_line() -> str:
    """Return the command that started this process, as a person typed it."""
    return shlex.join(["./reproduce.sh", *sys.argv[1:]])


def describe_holder(lock: IO[str]) -> str:
    """Return in words what `write_holder` wrote."""
    lock.seek(0)
    try:
        holder = json.loads(lock.read())
        machine = "" if holder["machine"] == platform.node() else f" on {holder['machine']}"
        return f"process {holder['process']}{machine}, since {holder['since']} ({holder['command']})"
    except (ValueError, KeyError, TypeError):  # of an earlier version, or being written just now
        return "a process that has not said which"


def mark_processes(folder: Path) -> dict[str, str]:
    """Return the variables that a process started for a folder is given, so that it is found, ends, and
    knows by which command it came to be.
    """
    return {FOLDER: str(folder), PARENT: str(os.getpid()), COMMAND: command_line()}


def end_with_parent() -> None:
    """Let this process be killed as soon as the one that started it is gone, by whatever end.

    What this process starts and which calls this, too, ends with it in turn. By looking, since not every
    system tells a child of its parent's death.
    """
    parent = int(os.environ.get(PARENT) or os.getppid())
    os.environ[PARENT] = str(os.getpid())

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(BEAT)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def end_processes(folder: Path) -> int:
    """Kill what works for a folder on this machine, and return how many processes that were.

    Raises InputError for one that does not end.
    """
    import psutil

    ended = set()
    until = time.monotonic() + PATIENCE
    while left := find_processes(folder):  # again, since one may just have started another
        for process in left:
            ended.add(process.pid)
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(left, timeout=1)
        if time.monotonic() > until:
            numbers = ", ".join(str(process.pid) for process in left)
            raise InputError(
                f"process {numbers} works in {folder} and does not end: end it, then start again."
            )
    return len(ended)


def find_processes(folder: Path) -> "list[psutil.Process]":
    """Return the processes of this user, but this one, that work for a folder."""
    import psutil

    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(FOLDER) == str(folder):
                found.append(process)
        except (psutil.Error, OSError):  # gone meanwhile, a zombie, or another user's
            continue
    return found
