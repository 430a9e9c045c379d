"""Work in a process of its own: what fails, hangs, dies or holds memory there takes nothing else with it."""

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


class Failed(Exception):  # noqa: N818  # it tells of the work, which has failed
    """Work that came to no end of its own, in one sentence; `signal` is what killed it, or 0."""

    def __init__(self, why: str, signal: int = 0) -> None:
        super().__init__(why)
        self.signal = signal


@dataclass(frozen=True, slots=True)
class Isolation:
    """Runs work in processes of their own, one after the other, until `deadline` (of time.monotonic).

    One that takes more than `most` seconds is killed: what hangs must leave the others their time. `fork`
    starts them from this one, which must have touched no GPU: nothing is imported again. What they print goes
    into `log`.
    """

    log: Path
    deadline: float
    most: float = 240.0
    fork: bool = False

    def run(self, work: Work, *args: Any) -> Any:
        """Return what `work(*args)` returns there. Raises Failed if it raises, is killed or takes longer."""
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
    """Do the work in a group that ends with the parent, and send (True, value) or (False, why)."""
    os.setpgid(0, 0)
    threading.Thread(target=end_with_parent, daemon=True).start()
    sys.stdout = sys.stderr = file = log.open("a", buffering=1, encoding="utf-8")
    for descriptor in (1, 2):  # and what its own children print
        os.dup2(file.fileno(), descriptor)
    try:
        answer = (True, work(*args))
    except BaseException as error:  # SystemExit as well: so scripts tell what is wrong
        traceback.print_exc()
        text = " ".join(str(error).split())
        answer = (False, f"{type(error).__name__}: {text}"[:400])
    sender.send(answer)


def tell(error: Exception) -> str:
    """Return what an error is, and the first line of what it says."""
    return f"{type(error).__name__}: {reason(error)}"


def end_with_parent() -> None:
    """Wait until the parent has ended, however it did, and kill this process and its children."""
    parent: Any = multiprocessing.parent_process()
    wait([parent.sentinel])
    os.killpg(0, signal.SIGKILL)


def end(process: Any) -> None:
    """Let a process that has answered end, and kill it and its children where it does not."""
    process.join(0 if process.exitcode is not None else 5)
    with suppress(ProcessLookupError):  # nobody of its group is left
        os.killpg(process.pid, signal.SIGKILL)
    process.join()
