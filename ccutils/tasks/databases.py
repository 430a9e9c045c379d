"""Find the SQLite databases of a data set, and describe their schemas for prompts."""

import re
import sqlite3
from contextlib import closing, suppress
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

from ccutils.errors import InputError, reason
from ccutils.tasks.files import here
from ccutils.tasks.hub import is_hub_id
from ccutils.tasks.sql import check_database

ENDINGS = (".sqlite", ".sqlite3", ".db")
TABLES = """
SELECT name, sql FROM sqlite_master
WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite@_%' ESCAPE '@'
"""
SHADOWS = "SELECT name FROM pragma_table_list WHERE type = 'shadow'"
"""Internal tables of full-text search; SQLite before 3.37 cannot list them."""


def find_databases(folder: str) -> dict[str, Path]:
    """Map each db_id, a file's name without its ending, to the database file below a folder."""
    if is_hub_id(folder):
        raise InputError(f"databases folder {folder!r} does not exist: Hub data sets come without them.")
    root = here(folder) if here(folder).is_dir() else here(folder).parent
    if not root.is_dir():
        raise InputError(f"databases folder {str(root)!r} does not exist: check the path.")
    paths = sorted(p for p in root.rglob("*") if p.suffix.lower() in ENDINGS and p.is_file())
    found = {p.stem: p for p in reversed(paths) if not p.name.startswith(".")}
    if not found:
        raise InputError(f"databases folder {folder!r} has no .sqlite file: give the folder that does.")
    return found


def describe(
    db_ids: set[str], files: dict[str, Path], schema: str
) -> tuple[dict[str, tuple[str, frozenset[str]]], dict[str, str]]:
    """Describe databases by db_id: (schema for prompts, names in lower case); and why others are unreadable.

    Views count as tables. SQLite's own tables and unreadable ones are left out; names that need it are
    quoted. Raises InputError as `check_database` does.
    """
    described, unread = {}, {}
    for db_id in sorted(db_ids - {""}):
        if db_id not in files:
            unread[db_id] = f"is not among the databases ({', '.join(sorted(files)[:20])})"
            continue
        check_database(files[db_id])
        uri = f"file:{quote(str(files[db_id]))}?mode=ro&immutable=1"
        try:
            with closing(sqlite3.connect(uri, uri=True)) as c:
                tables = c.execute(TABLES).fetchall()
                columns = {name: found for name, _ in tables if (found := columns_of(c, name))}
                with suppress(sqlite3.Error):
                    shadows = {name for (name,) in c.execute(SHADOWS)}
                    columns = {name: found for name, found in columns.items() if name not in shadows}
        except sqlite3.Error as error:
            unread[db_id] = f"cannot be read ({reason(error)}): {files[db_id].name}"
            continue
        if not columns:
            unread[db_id] = f"has no table: {files[db_id].name}"
            continue
        text = {
            "names": "; ".join(
                f"{quoted(table)}({', '.join(map(quoted, names))})" for table, names in columns.items()
            ),
            "ddl": " ".join(" ".join(sql.split()) + ";" for name, sql in tables if name in columns),
            "none": "",
        }[schema]
        names = {n.lower() for table, inside in columns.items() for n in (table, *inside)}
        described[db_id] = (text, frozenset(names))
    return described, unread


def columns_of(connection: sqlite3.Connection, table: str) -> list[str]:
    """List the columns of a table or view, generated ones too; none if SQLite cannot read it."""
    with suppress(sqlite3.Error):  # a view of a table that is gone, a module that is not there
        rows = connection.execute("SELECT name, hidden FROM pragma_table_xinfo(?)", (table,)).fetchall()
        return [name for name, hidden in rows if hidden != 1]  # 1: a virtual table's own
    return []


@lru_cache(maxsize=10_000)
def quoted(name: str) -> str:
    """Quote a name if it is no plain word, or a keyword in SQLite."""
    if re.fullmatch(r"[^\W\d]\w*", name):
        with closing(sqlite3.connect(":memory:")) as connection, suppress(sqlite3.Error):
            connection.execute(f"CREATE TABLE {name} ({name})")
            return name
    return '"' + name.replace('"', '""') + '"'
