"""Hostile SQL: it reads its database or it fails, and nothing else happens."""

import hashlib
import json
import re
import sqlite3
import time
from pathlib import Path

import pytest

from ccutils.errors import InputError
from ccutils.tasks.sql import Limits, execute_queries

DATA = Path(__file__).parents[3] / "shared" / "data" / "geoquery_sql"


def test_what_is_no_database_costs_its_items(tmp_path):
    (tmp_path / "x.sqlite").write_text("no database " * 100)
    (outcome,) = execute_queries([(tmp_path / "x.sqlite", "SELECT 1")])
    assert outcome.rows is None and "not a database" in outcome.error


def test_odd_file_names_are_opened_as_they_are(tmp_path, folder):
    odd = tmp_path / "a b?mode=rwc&x=%41#ü.sqlite"
    odd.write_bytes((folder / "world.sqlite").read_bytes())
    (outcome,) = execute_queries([(odd, "SELECT count(*) FROM city")])
    assert outcome.rows == ((200,),)


TIGHT = Limits(seconds=0.4, rows=1_000, megabytes=32)
DENIED = (
    "not authorized|authorization denied|prohibited|vtable constructor failed|no such function|no such table"
)
CROSS = ", ".join(f"city c{i}" for i in range(9))
BIG = "printf('%.*c', 900000, 'a')"
ENDLESS = f"SELECT instr({BIG}, printf('%.*c', 450000, 'a') || 'b')"  # 10^11 comparisons, one instruction
NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"

ATTACKS = {
    # other files
    "attach another file": ("ATTACH 'CANARY' AS x", DENIED),
    "attach a new file": ("ATTACH 'NEW' AS x", DENIED),
    "attach by a file uri": ("ATTACH 'file:CANARY?mode=rwc' AS x", DENIED),
    "detach": ("DETACH main", DENIED),
    "vacuum into a file": ("VACUUM INTO 'NEW'", DENIED),
    "readfile": ("SELECT readfile('CANARY')", DENIED),
    "writefile": ("SELECT writefile('NEW', 'x')", DENIED),
    "edit": ("SELECT edit('x', 'touch NEW')", DENIED),
    "load an extension": ("SELECT load_extension('NEW')", DENIED),
    "load an extension, capitals and quotes": ('SELECT "LOAD_EXTENSION"(\'NEW\', \'main\')', DENIED),
    "fts3_tokenizer": ("SELECT fts3_tokenizer('simple')", DENIED),
    "a temporary table": ("CREATE TEMP TABLE t AS SELECT 1", DENIED),
    "a virtual table of a file": ("CREATE VIRTUAL TABLE temp.t USING csv(filename='CANARY')", DENIED),
    # writing
    "insert": ("INSERT INTO city VALUES ('x', 1)", DENIED + "|readonly"),
    "update": ("UPDATE city SET population = 0", DENIED + "|readonly"),
    "delete": ("DELETE FROM city", DENIED + "|readonly"),
    "delete with returning": ("DELETE FROM city RETURNING *", DENIED + "|readonly"),
    "drop": ("DROP TABLE city", DENIED + "|readonly"),
    "alter": ("ALTER TABLE city RENAME TO town", DENIED + "|readonly"),
    "create": ("CREATE TABLE t (x)", DENIED + "|readonly"),
    "a trigger": ("CREATE TEMP TRIGGER t AFTER INSERT ON city BEGIN DELETE FROM city; END", DENIED),
    "reindex": ("REINDEX", DENIED + "|readonly|not a query"),
    "analyze": ("ANALYZE", DENIED + "|readonly"),
    "vacuum": ("VACUUM", DENIED + "|readonly"),
    "begin": ("BEGIN EXCLUSIVE", DENIED),
    "savepoint": ("SAVEPOINT s", DENIED),
    # pragmas and SQLite's own tables
    "pragma writable_schema": ("PRAGMA writable_schema = 1", DENIED),
    "pragma query_only off": ("PRAGMA query_only = 0", DENIED),
    "pragma journal_mode": ("PRAGMA journal_mode = WAL", DENIED),
    "pragma heap limit": ("PRAGMA hard_heap_limit = 0", DENIED),
    "pragma temp_store_directory": ("PRAGMA temp_store_directory = '/'", DENIED),
    "pragma as a table": ("SELECT * FROM pragma_database_list", DENIED),
    "pragma as a table, counted": ("SELECT count(*) FROM pragma_database_list", DENIED),
    "the schema table": ("SELECT sql FROM sqlite_master", DENIED),
    "a table function": ("SELECT value FROM json_each('[1, 2]')", DENIED),
    "a table function, counted": ("SELECT count(*) FROM generate_series(1, 9)", DENIED),
    "the pages": ("SELECT data FROM sqlite_dbpage", DENIED),
    "the statements": ("SELECT sql FROM sqlite_stmt", DENIED),
    "the temporary schema": ("SELECT count(*) FROM sqlite_temp_master", DENIED),
    # several statements, comments, odd text
    "two statements": ("SELECT 1; DROP TABLE city", "one statement"),
    "two queries": ("SELECT 1; SELECT 2", "one statement"),
    "a statement behind a comment": ("SELECT 1; -- end\nDROP TABLE city", "one statement"),
    "a statement behind a block comment": ("SELECT 1 /* ; */ ; /* */ DROP TABLE city", "one statement"),
    "only a comment": ("-- SELECT 1", "not a query"),
    "nothing": ("", "not a query"),
    "NUL byte": ("SELECT 1\0; DROP TABLE city", "null character"),
    "fullwidth letters": ("ＤＲＯＰ TABLE city", "syntax error"),
    "fullwidth semicolon": ("SELECT 1； DROP TABLE city", "syntax error|unrecognized"),
    "right-to-left override": ("SELECT 1 \u202e;DROP TABLE city", "one statement|syntax error"),
    "lone surrogate": ("SELECT '\ud800'", "surrogates not allowed"),
    "a parameter": ("SELECT ?", "Incorrect number of bindings"),
    # endless, huge, deep
    "an endless recursion, counted": (f"{NUMBERS} SELECT count(*) FROM n", "time limit"),
    "an endless recursion, listed": (f"{NUMBERS} SELECT i FROM n", "row limit"),
    "a cross join, counted": (f"SELECT count(*) FROM {CROSS}", "time limit"),
    "a cross join, listed": (f"SELECT * FROM {CROSS}", "row limit"),
    "a cross join, sorted": (f"SELECT * FROM {CROSS} ORDER BY random()", "time limit|memory limit"),
    "a growing string": (
        "WITH RECURSIVE n(s) AS (SELECT 'ab' UNION ALL SELECT s || s FROM n) SELECT max(length(s)) FROM n",
        "too big|memory limit",
    ),
    "group_concat": (f"{NUMBERS} SELECT group_concat(i) FROM n", "too big|time limit"),
    "endless distinct": (f"{NUMBERS} SELECT count(DISTINCT i || {BIG}) FROM n", "memory limit|time limit"),
    "much text": (f"{NUMBERS} SELECT {BIG} FROM n", "size limit|memory limit"),
    "randomblob": ("SELECT randomblob(1000000000)", DENIED),
    "zeroblob": ("SELECT zeroblob(2147483647)", DENIED),
    "printf of a gigabyte": ("SELECT printf('%.*c', 1000000000, 'x')", "too big|SIGXCPU|time limit"),
    "hex of hex": (f"SELECT hex(hex({BIG}))", "too big"),
    "a search that cannot be interrupted": (ENDLESS, "SIGXCPU|time limit: killed"),
    "a very long query": ("SELECT " + "1+" * 60_000 + "1", "too big|too large"),
    "a deep expression": ("SELECT " + "1+" * 5_000 + "1", "maximum depth"),
    "deep brackets": ("SELECT " + "(" * 5_000 + "1" + ")" * 5_000, "maximum depth|stack overflow"),
    "deep subqueries": ("SELECT 1 FROM " + "(SELECT 1 FROM " * 500 + "city" + ")" * 500, "overflow|depth"),
    "many unions": (" UNION ".join(["SELECT 1"] * 2_000), "too many terms"),
    "many columns": (f"SELECT {', '.join(['1'] * 5_000)}", "too many columns"),
    "many joins": (f"SELECT 1 FROM {', '.join(f'city c{i}' for i in range(99))}", "at most 64 tables"),
    # plain mistakes
    "no such column": ("SELECT nonsense FROM city", "no such column: nonsense"),
    "integer overflow": ("SELECT abs(-9223372036854775808)", "integer overflow"),
    "not SQL": ("I would query the city table.", "syntax error"),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_costs_one_item_and_its_reason_is_told(attacked, name):
    outcome = attacked[0][name]
    assert outcome.rows is None
    assert re.search(ATTACKS[name][1], outcome.error), outcome.error


def test_no_file_is_changed_or_made(attacked):
    _, before, after, seconds = attacked
    assert before == after and set(after) == {"world.sqlite", "CANARY"}
    assert seconds < 60 and len(ATTACKS) >= 25


def test_queries_among_attacks_are_answered(folder):
    """Killing a worker costs its own item only."""
    database = folder / "world.sqlite"
    attack = (database, ENDLESS)
    queries = [(database, f"SELECT name FROM city LIMIT 1 OFFSET {i}") for i in range(40)]
    outcomes = execute_queries([*queries[:20], attack, *queries[20:]], TIGHT, workers=1)
    assert outcomes[20].rows is None
    answered = outcomes[:20] + outcomes[21:]
    assert [o.rows for o in answered] == [((f"city {i}",),) for i in range(40)]


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT count(*) FROM city", ((200,),)),
        ("select * from city where name = 'city 3';", (("city 3", 9),)),
        ("SELECT population FROM city WHERE name = 'city 0' -- NULL", ((None,),)),
        ("SELECT count(*) FROM large", ((22,),)),
        ("SELECT 1 FROM city WHERE 0", ()),
        ("WITH big AS (SELECT * FROM city WHERE population > 39000) SELECT count(*) FROM big", ((2,),)),
        ("WITH n(i) AS (SELECT 1 UNION SELECT i + 1 FROM n WHERE i < 4) SELECT sum(i) FROM n", ((10,),)),
        ("SELECT count(*) FROM (SELECT DISTINCT population % 2 FROM city)", ((3,),)),
        ("SELECT rank() OVER (ORDER BY name) FROM city LIMIT 1", ((1,),)),
        ("SELECT x'00ff', 'café', 1e400, 9223372036854775807, CAST(x'ff' AS TEXT)",
         ((b"\x00\xff", "café", float("inf"), 9223372036854775807, "\udcff"),)),
        ("SELECT strftime('%Y', '2020-02-03'), CAST(7 AS REAL) / 2, iif(1, 'a', 'b')", (("2020", 3.5, "a"),)),
    ],
)  # fmt: skip
def test_honest_queries_run(folder, sql, rows):
    (outcome,) = execute_queries([(folder / "world.sqlite", sql)])
    assert outcome.error == "" and outcome.rows == rows


def test_a_missing_database_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"missing\.sqlite"):
        execute_queries([(tmp_path / "missing.sqlite", "SELECT 1")])
    assert execute_queries([]) == []


@pytest.mark.skipif(not DATA.exists(), reason="real data not at ../shared/data")
def test_gold_queries_of_geoquery():
    """598 of 600 and 280 of 280 run, in seconds, and the file stays as it is."""
    database = DATA / "geography_db.sqlite"
    before, started, failed = sha(database), time.monotonic(), {}
    for split, total in (("train", 600), ("dev", 280)):
        lines = (DATA / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
        outcomes = execute_queries([(database, json.loads(line)["query"]) for line in lines])
        assert len(outcomes) == total
        failed[split] = [(i, o.error) for i, o in enumerate(outcomes, 1) if o.rows is None]
    assert [line for line, _ in failed["train"]] == [92, 476] and not failed["dev"]
    assert all("syntax error" in error for _, error in failed["train"])
    assert sha(database) == before and time.monotonic() - started < 10


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("databases")
    for name in ("world.sqlite", "CANARY"):
        with sqlite3.connect(folder / name) as connection:
            connection.execute("CREATE TABLE city (name TEXT, population INT)")
            rows = [(f"city {i}", i * i if i % 7 else None) for i in range(200)]
            connection.executemany("INSERT INTO city VALUES (?, ?)", rows)
            connection.execute("CREATE VIEW large AS SELECT name FROM city WHERE population > 30000")
        connection.close()
    return folder


@pytest.fixture(scope="module")
def attacked(folder):
    """Every attack's outcome, and what was in the folder before and after them all."""
    database = folder / "world.sqlite"
    before = {path.name: sha(path) for path in folder.iterdir()}
    texts = [
        sql.replace("CANARY", str(folder / "CANARY")).replace("NEW", str(folder / "new"))
        for sql, _ in ATTACKS.values()
    ]
    started = time.monotonic()
    outcomes = execute_queries([(database, text) for text in texts], TIGHT)
    after = {path.name: sha(path) for path in folder.iterdir()}
    return dict(zip(ATTACKS, outcomes, strict=True)), before, after, time.monotonic() - started
