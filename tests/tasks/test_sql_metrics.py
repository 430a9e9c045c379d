"""Execution accuracy in the ways of BIRD and Spider, on a table small enough to see the answers."""

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from ccutils.errors import InputError
from ccutils.tasks.sql_metrics import canonical, execution_match, ordered, same_columns, sql_text_match

ROWS = [("a", 1, 0.1, None), ("b", 2, 0.2, "x"), ("c", 2, 0.3, None)]


def test_a_gold_query_that_does_not_run_is_not_judged(database):
    assert np.isnan(execution_match(["SELECT 1"], ["SELECT nonsense"], [database])[0])


CASES = [
    # answer, gold, BIRD, Spider
    ("SELECT name FROM t", "SELECT name FROM t", 1, 1),
    ("SELECT name FROM t ORDER BY name DESC", "SELECT name FROM t", 1, 1),  # the gold query orders nothing
    ("SELECT name FROM t ORDER BY name DESC", "SELECT name FROM t ORDER BY name", 1, 0),
    ("SELECT n FROM t", "SELECT DISTINCT n FROM t", 1, 0),  # repeated rows
    ("SELECT n, name FROM t", "SELECT name, n FROM t", 0, 1),  # column order
    ("SELECT name, name FROM t", "SELECT name FROM t", 0, 0),  # one column more
    ("SELECT note FROM t WHERE n = 1", "SELECT NULL", 1, 1),  # NULL equals NULL
    ("SELECT '' FROM t WHERE n = 1", "SELECT NULL", 0, 0),  # and nothing else
    ("SELECT 0", "SELECT NULL", 0, 0),
    ("SELECT sum(x) FROM t", "SELECT 0.6", 1, 1),  # 0.1 + 0.2 + 0.3 is 0.6000000000000001
    ("SELECT 0.60001", "SELECT sum(x) FROM t", 0, 0),
    ("SELECT 2.0", "SELECT 2", 1, 1),  # integer and float
    ("SELECT 12345678901.0", "SELECT 12345678901", 1, 1),  # of any length
    ("SELECT 12345678901", "SELECT 12345678902.0", 0, 0),
    ("SELECT 12345678901.1 + 0.2", "SELECT 12345678901.3", 1, 1),  # 12345678901.300001
    ("SELECT 9e999", "SELECT 9e999", 1, 1),  # infinity
    ("SELECT '2'", "SELECT 2", 0, 0),  # text and number
    ("SELECT 'A'", "SELECT 'a'", 0, 0),  # letter case
    ("SELECT name FROM t WHERE 0", "SELECT n FROM t WHERE n > 9", 1, 1),  # both empty
    ("SELECT name FROM t WHERE 0", "SELECT n FROM t", 0, 0),
    ("SELECT nonsense", "SELECT n FROM t", 0, 0),  # does not run
    ("DROP TABLE t", "SELECT n FROM t", 0, 0),
]


@pytest.mark.parametrize("semantics", ["bird", "spider"])
def test_execution_match_by_hand(database, semantics):
    answers, golds = [c[0] for c in CASES], [c[1] for c in CASES]
    scores = execution_match(answers, golds, [database] * len(CASES), semantics=semantics)
    expected = [c[2 if semantics == "bird" else 3] for c in CASES]
    wrong = [c[:2] for c, s, e in zip(CASES, scores, expected, strict=True) if s != e]
    assert scores.shape == (len(CASES),) and not wrong


def test_unknown_semantics(database):
    with pytest.raises(InputError, match="bird, spider"):
        execution_match(["SELECT 1"], ["SELECT 1"], [database], semantics="exact")


def test_columns_in_any_order_by_hand():
    given, wanted = ((1, 2, 1), (1, 3, 2)), ((2, 1, 1), (3, 2, 1))
    assert same_columns(given, wanted, in_order=True)
    assert same_columns(given[::-1], wanted, in_order=False)
    assert not same_columns(given[::-1], wanted, in_order=True)
    assert not same_columns(((1, 2), (2, 1)), ((1, 1), (2, 2)), in_order=False)  # each column alone would fit


def test_many_equal_columns_end():
    assert same_columns(((1,) * 200,) * 50, ((1,) * 200,) * 50, in_order=False) is True
    bits = [tuple((i >> j) & 1 for j in range(12)) for i in range(4096)]
    even, odd = (tuple(b for b in bits if sum(b) % 2 == parity) for parity in (0, 1))
    assert same_columns(odd, even, in_order=False) is False  # any 11 of the 12 columns agree


def test_only_the_outermost_order_counts():
    assert ordered("SELECT a FROM b ORDER BY c LIMIT 1;")
    assert ordered("SELECT a FROM b UNION SELECT 1 ORDER BY 1")
    assert not ordered("SELECT a FROM (SELECT * FROM b ORDER BY c LIMIT 1)")
    assert not ordered("SELECT rank() OVER (ORDER BY a) FROM b")
    assert ordered("SELECT a FROM b WHERE (((  ORDER  BY c")  # unreadable: any order counts


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("select NAME from T;", "SELECT name\nFROM t -- all", 1),
        ("SELECT `name` FROM [t]", 'SELECT "name" FROM t', 1),
        ("SELECT name FROM t WHERE n = 'A'", "SELECT name FROM t WHERE n = 'a'", 0),
        ("SELECT name AS x FROM t", "SELECT name FROM t", 0),
        ("SELECT 1; DROP TABLE t", "SELECT 1", 0),
        ("hello there", "SELECT 1", 0),
        ("", "SELECT 1", 0),
        ("(" * 3000 + "1" + ")" * 3000, "SELECT 1", 0),
        ("SELECT " + "1+" * 20_000 + "1", "SELECT 1", 0),
        ("SELECT " + "case when 1 then " * 400 + "1" + " end" * 400, "SELECT 1", 0),
        ("SELECT '\0", "SELECT 1", 0),
    ],
)
def test_text_match(one, other, same):
    assert sql_text_match([one], [other]).tolist() == [same]


def test_what_is_no_query_has_no_canonical_form():
    assert canonical("DROP TABLE t") is None and canonical("SELECT 1") is not None
    assert sql_text_match(["nonsense"], ["nonsense"]).tolist() == [0]


@pytest.fixture(scope="module")
def database(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("db") / "t.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (name TEXT, n INT, x REAL, note TEXT)")
        connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", ROWS)
    connection.close()
    return path
