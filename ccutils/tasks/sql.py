"""Run SQL that a model wrote, which may be hostile, in separate processes (see sql_worker.py)."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from ccutils.errors import InputError

Value = int | float | str | bytes | None
Query = tuple[Path, str]
"""A database file and the SQL to run on it."""

GRACE = 1.5  # seconds after its time limit until a worker is killed
REPLY = 64 * 2**20  # characters: the longest reply that is read from a worker


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one query: wall-clock and CPU seconds, result rows, megabytes of memory."""

    seconds: float = 10.0
    rows: int = 100_000
    megabytes: int = 256


@dataclass(frozen=True, slots=True)
class Outcome:
    """A query's rows, or the error."""

    rows: tuple[tuple[Value, ...], ...] | None
    error: str = ""


class Worker:
    """One process that runs one query at a time; replaced when it dies or must be killed."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.process: subprocess.Popen[str] | None = None

    def run(self, database: Path, sql: str) -> Outcome:
        """Run one query, within the limits."""
        process, late = self.process or self._start(), threading.Event()

        def kill() -> None:
            late.set()
            process.kill()

        clock = threading.Timer(self.limits.seconds + GRACE, kill)
        clock.start()
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps({"database": str(database.resolve()), "sql": sql}) + "\n")
            process.stdin.flush()
            reply = process.stdout.readline(REPLY)
        except OSError:  # the pipe broke: the process died
            reply = ""
        finally:
            clock.cancel()
        if reply.endswith("\n"):
            return outcome(json.loads(reply))
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)  # so that its own cause of death is known, if it has one
        self.close()
        if late.is_set():
            return Outcome(None, f"time limit: killed after {self.limits.seconds:g} s")
        return Outcome(None, f"the process died ({cause(process.returncode)})")

    def close(self) -> None:
        """End the process, if there is one."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def _start(self) -> "subprocess.Popen[str]":
        given = [str(v) for v in (self.limits.seconds, self.limits.rows, self.limits.megabytes)]
        script = Path(__file__).with_name("sql_worker.py")
        self.process = process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(script), *given],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="ascii",
            # Of our environment only what an interpreter may need to start: the rest may be secret.
            env={k: v for k, v in os.environ.items() if k in ("LD_LIBRARY_PATH", "SYSTEMROOT")},
        )
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":  # so that the clock does not count the start
            self.close()
            raise RuntimeError(f"the SQL worker did not start ({cause(process.returncode)})")
        return process


def execute_queries(
    queries: Sequence[Query], limits: Limits = Limits(), workers: int = 2, progress: str = "running SQL"
) -> list[Outcome]:
    """Run queries, and return their outcomes in order; equal queries run once.

    Each query can only read its database: no writing, no other file, no pragma, no extension, within
    `limits`. One that loops, explodes or kills its process costs that one item. Raises InputError as
    `check_database` does.
    """
    for database in {database for database, _ in queries}:
        check_database(database)
    distinct = list(dict.fromkeys(queries))
    free: queue.SimpleQueue[Worker] = queue.SimpleQueue()
    crew = [Worker(limits) for _ in range(min(workers, len(distinct)))]
    for worker in crew:
        free.put(worker)

    def one(query: Query) -> Outcome:
        worker = free.get()
        try:
            return worker.run(*query)
        finally:
            free.put(worker)

    try:
        with ThreadPoolExecutor(max(1, len(crew))) as threads:
            bar = tqdm(threads.map(one, distinct), total=len(distinct), desc=progress, delay=2)
            outcomes = dict(zip(distinct, bar, strict=True))
    finally:
        for worker in crew:
            worker.close()
    return [outcomes[query] for query in queries]


def check_database(database: Path) -> None:
    """Raise InputError for a missing database file, or one that is incomplete without a file beside it.

    Databases are opened as immutable, so that changes in a write-ahead log or in the journal of an unfinished
    transaction would be missed.
    """
    if not database.is_file():
        raise InputError(f"database {database} does not exist: check the path and the db_id.")
    for file in {database, database.resolve()}:
        log, journal = file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-journal")
        if log.is_file() and log.stat().st_size:
            raise InputError(
                f"database {database} lacks changes that are in {log.name}: end what uses it and "
                f"checkpoint it (sqlite3 {file.name} 'PRAGMA wal_checkpoint(TRUNCATE)')."
            )
        if journal.is_file() and journal.read_bytes()[:1].strip(b"\0"):
            raise InputError(
                f"database {database} has an unfinished transaction in {journal.name}: end what uses it and "
                f"open it once for writing (sqlite3 {file.name} 'PRAGMA user_version=0')."
            )


def outcome(reply: dict[str, Any]) -> Outcome:
    """Convert a worker's reply; blobs are hexadecimal in it."""
    if "error" in reply:
        return Outcome(None, str(reply["error"]))
    rows = (tuple(bytes.fromhex(v["b"]) if isinstance(v, dict) else v for v in row) for row in reply["rows"])
    return Outcome(tuple(rows))


def cause(status: int) -> str:
    """Describe why a process ended."""
    if status < 0:
        return f"signal {signal.Signals(-status).name}"
    return f"exit status {status}"
