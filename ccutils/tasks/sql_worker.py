"""The process in which `ccutils.tasks.sql` runs model-written SQL, which may be hostile.

Runs as a script with the standard library only. Writes "ready", then reads one JSON object per line
(database, sql) and writes one per line (rows, or error).
"""

import json
import sqlite3
import sys
import time
from typing import Any
from urllib.parse import quote

FUNCTIONS = frozenset(
    """
    abs avg ceil ceiling char coalesce concat concat_ws count cume_dist current_date current_time
    current_timestamp date datetime degrees dense_rank exp first_value floor format glob group_concat hex if
    ifnull iif instr json json_array json_array_length json_extract json_object json_quote json_type
    json_valid julianday lag last_value lead length like likelihood likely ln log log10 log2 lower ltrim max
    median min mod nth_value ntile nullif octet_length percent_rank pi pow power printf quote radians random
    rank replace round row_number rtrim sign soundex sqrt strftime string_agg substr substring sum time
    timediff total trim trunc typeof unicode unixepoch unlikely upper acos asin atan atan2 cos sin tan -> ->>
    """.split()  # noqa: SIM905 - a list of strings would fill a screen
)
"""Functions that a query may call; none reaches files, memory or SQLite's internals."""
CHARACTERS = 5_000_000  # of all values of a result together


def limit_process(megabytes: int) -> None:
    """Forbid files and core dumps and limit memory, before any query is read."""
    try:
        import resource
    except ImportError:  # Windows has no such limits: SQLite's own and the parent's clock remain
        return
    size = (megabytes + 64) * 2**20  # the interpreter's own share besides SQLite's
    for kind, most in ((resource.RLIMIT_AS, size), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        try:
            resource.setrlimit(kind, (most, most))
        except (ValueError, OSError) as error:  # macOS refuses RLIMIT_AS: SQLite's heap limit remains
            print(f"sql worker: limit {kind} not set: {error}", file=sys.stderr)


def limit_cpu(seconds: float) -> None:
    """Let the system end this process after `seconds` more of CPU time."""
    try:
        import resource
    except ImportError:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = int(used.ru_utime + used.ru_stime + seconds) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def connect(database: str, megabytes: int) -> sqlite3.Connection:
    """Open a connection that can read the tables and views of this one file, and nothing else."""
    connection = sqlite3.connect(f"file:{quote(database)}?mode=ro&immutable=1", uri=True)
    connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
    for pragma in (
        f"hard_heap_limit={megabytes * 2**20}",
        "temp_store=2",
        "trusted_schema=0",
        "query_only=1",
    ):
        connection.execute(f"PRAGMA {pragma}")  # temp_store=2: sorting and the like in memory, never in files
    tables = {name.lower() for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    modules = {name.lower() for (name,) in connection.execute("PRAGMA module_list")} | {"sqlite_master"}
    for limit, most in (
        (sqlite3.SQLITE_LIMIT_LENGTH, 1_000_000),
        (sqlite3.SQLITE_LIMIT_SQL_LENGTH, 50_000),
        (sqlite3.SQLITE_LIMIT_COLUMN, 1_000),
        (sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 200),
        (sqlite3.SQLITE_LIMIT_COMPOUND_SELECT, 50),
        (sqlite3.SQLITE_LIMIT_VDBE_OP, 250_000),
        (sqlite3.SQLITE_LIMIT_FUNCTION_ARG, 100),
        (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
        (sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 500),
        (sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 1),
        (sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0),
    ):
        connection.setlimit(limit, most)

    def allow(action: int, first: str | None, second: str | None, where: str | None, _: str | None) -> int:
        name = (first or "").lower()
        if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in FUNCTIONS:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ and where in ("main", None):
            if name in tables:
                return sqlite3.SQLITE_OK
            # No column: a subquery or WITH table may be counted too, SQLite's built-in tables may not.
            if not second and name not in modules and not name.startswith(("pragma_", "sqlite_")):
                return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY

    connection.set_authorizer(allow)
    return connection


def run_query(request: dict[str, Any], seconds: float, rows: int, megabytes: int) -> dict[str, Any]:
    """Run one query; return its rows or the error."""
    limit_cpu(seconds)
    try:
        connection = connect(request["database"], megabytes)
    except sqlite3.Error as error:
        return {"error": f"database cannot be read: {error}"}
    try:
        deadline = time.monotonic() + seconds
        connection.set_progress_handler(lambda: time.monotonic() > deadline, 1_000)
        cursor = connection.execute(request["sql"])
        if cursor.description is None:
            return {"error": "not a query"}
        found: list[list[Any]] = []
        size = 0
        for row in cursor:
            found.append([{"b": value.hex()} if isinstance(value, bytes) else value for value in row])
            size += sum(len(value) if isinstance(value, str | bytes) else 8 for value in row)
            if len(found) > rows:
                return {"error": f"row limit: more than {rows} rows"}
            if size > CHARACTERS:
                return {"error": f"size limit: more than {CHARACTERS} characters"}
        return {"rows": found}
    except MemoryError:
        return {"error": f"memory limit: more than {megabytes} MB"}
    except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
        if str(error) == "interrupted":
            return {"error": f"time limit: more than {seconds:g} s"}
        return {"error": f"{type(error).__name__}: {error}"}
    finally:
        connection.close()


def main() -> None:
    seconds, rows, megabytes = float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    limit_process(megabytes)
    print("ready", flush=True)
    for line in sys.stdin:
        try:
            reply = json.dumps(run_query(json.loads(line), seconds, rows, megabytes))
        except MemoryError:
            reply = json.dumps({"error": f"memory limit: more than {megabytes} MB"})
        print(reply, flush=True)


if __name__ == "__main__":
    main()
