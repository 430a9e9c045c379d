"""Run work in separate processes: an error, hang, kill or memory leak there affects no other work."""

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from ccutils.errors import reason

Work = Callable[..., Any]


class Failed(Exception):  # noqa: N818  # the work has failed, not this program
    """Work that did not finish: the reason in one sentence, and the signal that killed it (or 0)."""

    def __init__(self, why: str, signal: int = 0) -> None:
        super().__init__(why)
        self.signal = signal


@dataclass(frozen=True, slots=True)
class Isolation:
    """Runs work in separate processes, one after the other, until `deadline` (of time.monotonic).

    Work that takes more than `most` seconds is killed, so that hanging work leaves time for the rest. With
    `fork`, processes are forked from this one, which must not have used a GPU: nothing is imported again.
    Their output is appended to `log`.
    """

    log: Path
    deadline: float
    most: float = 240.0
    fork: bool = False

    def run(self, work: Work, *args: Any) -> Any:
        """Return the result of `work(*args)`. Raises Failed if it raises, is killed or exceeds the limit."""
        limit = min(self.most, self.deadline - time.monotonic())
        if limit <= 0:
            raise Failed("no time was left for it")
        context: Any = multiprocessing.get_context("fork" if self.fork else "spawn")
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=child, args=(sender, self.log, work, args))
        process.start()
        sender.close()
        try:
            if not receiver.poll(limit):
                raise Failed(f"it was not done after {limit:.0f} s")
            done, value = receiver.recv()
        except EOFError:
            process.join()
            killed = max(0, -process.exitcode)
            how = f"by signal {killed}" if killed else f"with status {process.exitcode}"
            raise Failed(f"its process was ended {how}", killed) from None
        finally:
            end(process)
        if not done:
            raise Failed(value)
        return value


def child(sender: Connection, log: Path, work: Work, args: tuple[Any, ...]) -> None:
    """Do the work in a process group that ends with the parent; send (True, value) or (False, reason)."""
    os.setpgid(0, 0)
    threading.Thread(target=end_with_parent, daemon=True).start()
    sys.stdout = sys.stderr = file = log.open("a", buffering=1, encoding="utf-8")
    for descriptor in (1, 2):  # also the output of its own child processes
        os.dup2(file.fileno(), descriptor)
    try:
        answer = (True, work(*args))
    except BaseException as error:  # also SystemExit, by which scripts report errors
        traceback.print_exc()
        answer = (False, f"{type(error).__name__}: {' '.join(str(error).split())}"[:400])
    sender.send(answer)


def describe_error(error: Exception) -> str:
    """Return an error's type and the first line of its message."""
    return f"{type(error).__name__}: {reason(error)}"


def end_with_parent() -> None:
    """Wait until the parent has ended, for any reason, and kill this process and its children."""
    parent: Any = multiprocessing.parent_process()
    wait([parent.sentinel])
    os.killpg(0, signal.SIGKILL)


def end(process: Any) -> None:
    """Give a process that has answered 5 seconds to end, then kill it and its children."""
    process.join(0 if process.exitcode is not None else 5)
    with suppress(ProcessLookupError):  # the group has ended
        os.killpg(process.pid, signal.SIGKILL)
    process.join()
