"""Text-to-SQL in the folders of BIRD, Spider and GeoQuery; changed names; what counts as following them."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from ccutils.errors import InputError
from ccutils.tasks.base import Example
from ccutils.tasks.databases import describe
from ccutils.tasks.splits import normalise
from ccutils.tasks.sql import Limits, Outcome, check_database
from ccutils.tasks.sql_metrics import Gold, execution_match, run_golds
from ccutils.tasks.sql_names import (
    all_labels,
    change_name,
    names_used,
    relevant,
    rename_table,
    template,
    undo,
)
from ccutils.tasks.text_to_sql import make_sql_score, text_to_sql

DATA = Path(__file__).parents[3] / "shared" / "data" / "geoquery_sql"
real = pytest.mark.skipif(not DATA.exists(), reason="real data not at ../shared/data")
KNOWN = {"city", "name", "population", "school name"}


def test_bird_keeps_its_dev_databases_as_ood(tmp_path):
    task = text_to_sql(seed=0, path=str(bird(tmp_path)))
    assert {e.group for e in [*task.ood_test, *task.ood_pool]} == {"three"}
    assert {e.group for e in [*task.pool, *task.id_test]} == {"one", "two"}
    assert (len(task.pool), len(task.id_test), len(task.ood_pool), len(task.ood_test)) == (32, 8, 16, 4)
    shown = task.template.question.format(input="Q?", **task.pool[0].extra)
    assert 'Database: city(name, population, "School Name")' in shown and "Hint: is " in shown
    assert "without train rows" in task.facts["split_rule"]
    assert task.score([e.output for e in task.id_test], task.id_test).tolist() == [1.0] * 8


def test_spider_holds_out_databases_where_dev_has_none_of_its_own(tmp_path):
    for db_id in "abcde":
        database(tmp_path / "database" / db_id / f"{db_id}.sqlite")
    (tmp_path / "train_spider.json").write_text(json.dumps(rows("abcde", 8, "query", "train")))
    (tmp_path / "dev.json").write_text(json.dumps(rows("abcde", 3, "query", "dev")))
    task = text_to_sql(seed=0, path=str(tmp_path), semantics="spider", metric="exact", schema="ddl")
    assert len({e.group for e in task.ood_test}) == 1
    assert not {e.group for e in task.ood_test} & {e.group for e in [*task.pool, *task.id_test]}
    assert all(e.input.startswith("dev") for e in [*task.id_test, *task.ood_test])
    assert "CREATE TABLE city" in task.pool[0].extra["schema"]


def test_rows_that_cannot_be_used_are_set_aside_with_their_place(tmp_path):
    database(tmp_path / "a.sqlite")
    (tmp_path / "b.sqlite").write_text("not a database " * 100)
    queries = [f"SELECT {'name' if i % 2 else 'population'}, {i} FROM city" for i in range(40)]
    good = [
        {"question": f"q {i}", "query": sql.replace(" FROM", "\nFROM"), "db_id": "a"}
        for i, sql in enumerate(queries)
    ]
    bad = [
        {"question": "runs not", "query": "SELECT nonsense FROM city", "db_id": "a"},
        {"question": "none", "query": "SELECT 1", "db_id": "nowhere"},
        {"question": "broken", "query": "SELECT 1", "db_id": "b"},
        {"question": "", "query": "SELECT 1", "db_id": "a"},
        {"question": "no SQL", "query": None, "db_id": "a"},
        {"question": "comment", "query": "SELECT name -- all\nFROM city", "db_id": "a"},
    ]
    lines = [json.dumps(row) for row in [*bad, *good]]
    (tmp_path / "train.jsonl").write_text("\n".join(lines))
    with pytest.warns(UserWarning) as told:
        task = text_to_sql(seed=0, path=str(tmp_path / "train.jsonl"))
    said = "\n".join(str(w.message) for w in told)
    for words, line in (
        ("gold SQL does not run (OperationalError: no such column: nonsense)", 1),
        ("'nowhere' is not among the databases", 2),
        ("'b' cannot be read", 3),
        ("no question", 4),
        ("no SQL", 5),
        ("comment on one of several lines", 6),
    ):
        assert any(words in message and f"line {line}" in message for message in said.split("\n")), words
    assert task.facts["rows_set_aside"] == 6 and task.facts["rows_read"] == 46


def test_the_hub_copies(tmp_path, monkeypatch):
    """Columns as two Hub copies document them; the databases lie in a folder."""
    datasets = pytest.importorskip("datasets")

    def load_dataset(name, config, *, split):
        return rows(["one", "two"], 10, "SQL", split)

    monkeypatch.setattr("ccutils.tasks.hub.unreachable", lambda name: None)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(datasets, "get_dataset_split_names", lambda name: ["train"])
    folder = bird(tmp_path)
    task = text_to_sql(seed=0, path="owner/bird", databases=str(folder))
    assert len({e.group for e in task.pool}) == 1 and len(task.pool) == 8
    with pytest.raises(InputError, match="'owner/bird'"):
        text_to_sql(seed=0, path="owner/bird")


@real
def test_geoquery_by_query_template():
    with pytest.warns(UserWarning, match="train.jsonl, line 92"):
        task = text_to_sql(seed=0, path=str(DATA))
    sets = (task.pool, task.id_test, task.ood_test, task.ood_pool)
    assert task.facts["rows_set_aside"] == 2  # train, lines 92 and 476
    assert sum(map(len, sets)) == 600 + 280 - 2 - 3  # less three near-duplicates
    templates = [{e.extra["template"] for e in part} for part in sets]
    assert not (templates[0] | templates[1]) & (templates[2] | templates[3])
    keys = [normalise(e.input) for part in sets for e in part]
    assert len(keys) == len(set(keys))
    assert "river(river_name, length, country_name, traverse)" in task.template.instruction
    assert task.score([e.output for e in task.ood_test], task.ood_test).mean() == 1.0


@real
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_seeds_redraw_the_pool():
    a, again, b = (text_to_sql(seed=s, path=str(DATA), pool_size=100, n_test=50) for s in (1, 1, 2))
    assert a.pool == again.pool and len(a.pool) == 100 and a.pool != b.pool
    assert a.id_test == b.id_test and a.ood_test == b.ood_test


def test_names_and_templates():
    sql = (
        """SELECT `School Name`, t.NAME FROM City t WHERE name = 'it''s population' AND population > 12.5;"""
    )
    assert names_used(sql, KNOWN) == {"school name", "name", "city", "population"}
    assert template(sql, KNOWN) == (
        "select school name , t . name from city t where name = ? and population > ? . ?"
    )
    assert template("SELECT 'a'", KNOWN) == template('select  "b" ;', KNOWN) == "select ?"


def test_renaming_and_its_undoing():
    sql = "SELECT City.`population` FROM city WHERE name = 'population'"
    assert (
        rename_table(sql, "population")
        == "SELECT City.`population_renamed` FROM city WHERE name = 'population'"
    )
    assert undo(rename_table(sql, "city")) == (sql, {"city"})
    assert undo(sql) == (sql, frozenset())


def test_the_texts_of_all_labels_by_hand():
    rows = [
        Example("q", sql, "", {"names": names})
        for sql, names in (("SELECT a FROM b", "a\nb"), ("SELECT ''", ""))
    ]
    assert all_labels(rows) == [
        "SELECT ''", "SELECT a FROM b", "SELECT a FROM b_renamed", "SELECT a_renamed FROM b",
    ]  # fmt: skip


def question(sql: str, path: Path) -> Example:
    names = "\n".join(sorted(names_used(sql, KNOWN)))
    return Example("q", sql, "w", {"db_id": "w", "database": str(path), "names": names, "place": "row 1"})


def test_following_a_renamed_column_worked_by_hand(tmp_path):
    """`population` is in the target and the relevant example alone; `city` and `name` are everyone's."""
    path = database(tmp_path / "w.sqlite")
    target = question("SELECT name FROM city WHERE population = 1", path)
    like_it = question("SELECT name FROM city WHERE population = 9", path)
    other = question("SELECT name FROM city", path)
    assert relevant(target, like_it) and not relevant(target, other)
    changed, follows = change_name(target, [like_it], [other], np.random.default_rng(0))
    assert changed[0].output == "SELECT name FROM city WHERE population_renamed = 9"
    assert follows == "SELECT name FROM city WHERE population_renamed = 1"
    goal = Example(target.input, follows, target.group, target.extra)
    answers = {
        follows: 1,
        "select name from CITY where 1 = POPULATION_RENAMED": 1,  # another writing of it
        target.output: 0,  # the weights' answer
        "SELECT name FROM city WHERE population_renamed = 9": 0,  # a copy of the example
        "SELECT name_renamed FROM city WHERE population_renamed = 1": 0,  # renames more
        "nonsense": 0,
    }
    for metric in ("execution", "exact"):
        judged = make_sql_score(metric, "bird")(list(answers), [goal] * len(answers))
        expected = [1, 1 if metric == "execution" else 0, 0, 0, 0, 0]
        assert judged.tolist() == expected, metric


def test_nothing_to_rename_is_told(tmp_path):
    target, other = question("SELECT 1", tmp_path), question("SELECT name FROM city", tmp_path)
    with pytest.raises(InputError, match="'q'"):
        change_name(target, [other], [], np.random.default_rng(0))


def test_an_answer_is_executed_once(tmp_path, monkeypatch):
    where = {"database": str(database(tmp_path / "one.sqlite"))}
    one, two = (Example("?", f"SELECT name FROM city WHERE population = {n}", "", where) for n in (1, 2))
    score, ran = make_sql_score("execution", "bird"), []

    def count(answers, golds, databases, semantics, known):
        ran.extend(answers)
        return execution_match(answers, golds, databases, semantics=semantics, known=known)

    monkeypatch.setattr("ccutils.tasks.text_to_sql.execution_match", count)
    assert score([one.output, two.output, "nonsense"], [one, two, one]).tolist() == [1, 1, 0]
    assert score(["nonsense", one.output, one.output], [one, one, one]).tolist() == [0, 1, 1]
    assert ran == [one.output, two.output, "nonsense"]
    assert score([one.output], [two]).tolist() == [0], "the same answer to another question is another case"
    assert len(ran) == 4 and score([], []).shape == (0,)


def database(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(path) as connection:
        connection.execute('CREATE TABLE city (name TEXT, population INT, "School Name" TEXT)')
        connection.executemany(
            "INSERT INTO city VALUES (?, ?, ?)", [("a", 1, "x"), ("b", 2, "y"), ("c", 2, "z")]
        )
    connection.close()
    return path


def rows(db_ids, n, sql_column, word):
    def row(db_id, i):
        sql = f"SELECT name FROM city WHERE population = {i}"
        return {"question": f"{word} {i} of {db_id}?", "evidence": f"is {i}", sql_column: sql, "db_id": db_id}

    return [row(db_id, i) for db_id in db_ids for i in range(n)]


def bird(folder: Path) -> Path:
    """BIRD's layout: dev has databases of its own."""
    for part, split, db_ids in (("train", "train", ["one", "two"]), ("dev_20240627", "dev", ["three"])):
        for db_id in db_ids:
            database(folder / part / f"{split}_databases" / db_id / f"{db_id}.sqlite")
        (folder / part / f"{split}.json").write_text(json.dumps(rows(db_ids, 20, "SQL", split)))
    return folder


def test_a_database_with_a_write_ahead_log_is_refused(tmp_path):
    path = tmp_path / "a.sqlite"
    database(path)
    (tmp_path / "train.json").write_text(json.dumps(rows("a", 9, "query", "q")))
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("INSERT INTO city VALUES ('new', 9, 'w')")
    connection.commit()
    with pytest.raises(InputError, match=r"a.sqlite-wal.*wal_checkpoint"):
        text_to_sql(seed=0, path=str(tmp_path))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    check_database(path)
    connection.close()
    (tmp_path / "a.sqlite-journal").write_bytes(b"\xd9\xd5\x05\xf9")
    with pytest.raises(InputError, match=r"a.sqlite-journal"):
        check_database(path)


def test_schemas_quote_what_needs_it_and_leave_out_what_is_sqlites(tmp_path):
    with closing(sqlite3.connect(tmp_path / "a.sqlite")) as c:
        c.execute(
            'CREATE TABLE "order" (id INTEGER PRIMARY KEY AUTOINCREMENT, "Free Meal (%)" INT, "1st" INT)'
        )
        c.execute('INSERT INTO "order" VALUES (1, 2, 3)')
        c.commit()
    for schema, shown in (
        ("names", '"order"(id, "Free Meal (%)", "1st")'),
        (
            "ddl",
            'CREATE TABLE "order" (id INTEGER PRIMARY KEY AUTOINCREMENT, "Free Meal (%)" INT, "1st" INT);',
        ),
    ):
        described, unread = describe({"a"}, {"a": tmp_path / "a.sqlite"}, schema)
        assert described["a"][0] == shown and not unread
        assert described["a"][1] == {"order", "id", "free meal (%)", "1st"}


def test_schemas_have_views_and_generated_columns_and_no_shadow_tables(tmp_path):
    with closing(sqlite3.connect(tmp_path / "a.sqlite")) as c:
        c.executescript(
            "CREATE TABLE t (a INT, twice INT GENERATED ALWAYS AS (a * 2));"
            "CREATE VIEW v AS SELECT a FROM t; CREATE VIEW lost AS SELECT * FROM gone;"
            "CREATE VIRTUAL TABLE found USING fts5(body)"
        )
    described, unread = describe({"a"}, {"a": tmp_path / "a.sqlite"}, "names")
    assert described["a"][0] == "t(a, twice); v(a); found(body)" and not unread


def test_one_question_to_two_databases_is_two(tmp_path):
    for db_id in ("one", "two", "three"):
        database(tmp_path / f"{db_id}.sqlite")
    made = [
        {**row, "question": row["question"].split(" of ")[0]}
        for row in rows(["one", "two", "three"], 9, "SQL", "q")
    ]
    (tmp_path / "train.json").write_text(json.dumps(made))
    task = text_to_sql(seed=0, path=str(tmp_path))
    assert sum(map(len, (task.pool, task.id_test, task.ood_test, task.ood_pool))) == 27


SLOW = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000) SELECT max(i) FROM n"
)


def test_gold_queries_that_need_more_are_judged_with_their_answers(tmp_path, monkeypatch):
    """Under 0.15 s they are stopped, under 20 s not: neither the score nor an answer as slow is lost."""
    monkeypatch.setattr("ccutils.tasks.sql_metrics.LIMITS", Limits(seconds=0.15))
    monkeypatch.setattr("ccutils.tasks.sql_metrics.GOLD_LIMITS", Limits(seconds=20))
    path = database(tmp_path / "w.sqlite")
    gold = run_golds([(path, SLOW), (path, "SELECT 1")])
    assert [g.outcome.rows for g in gold] == [((3000000,),), ((1,),)]
    assert [g.limits.seconds for g in gold] == [20, 0.15]
    answers = [SLOW, SLOW.lower(), "SELECT 3000000", "SELECT 1", SLOW]
    golds = [SLOW] * 4 + ["SELECT 3000000"]
    assert execution_match(answers, golds, [path] * 5).tolist() == [1, 1, 1, 0, 0]
    known = {(path, SLOW): Gold(Outcome(((5,),)), Limits(seconds=0.15))}
    assert execution_match(["SELECT 5"], [SLOW], [path], known=known).tolist() == [1], "results are kept"


@pytest.mark.parametrize(
    ("sql", "used"),
    [
        ("SELECT client.id FROM client ORDER BY client.id", {"client", "id"}),
        ('SELECT id FROM "order" ORDER BY id', {"order", "id"}),
        ("SELECT count(*) FROM client GROUP BY id", {"client", "id"}),
        ("SELECT [count] FROM client", {"client", "count"}),
        ("SELECT c.id FROM client AS c WHERE c.name = 'order'", {"client", "id", "name"}),
        ("SELECT count(*) AS name FROM client ORDER BY name", {"client"}),
        ("SELECT o.id FROM client JOIN `order` AS o USING (id)", {"client", "order", "id"}),
        ("SELECT replace(name, 'a', 'b') FROM client", {"client", "name"}),
        ("WITH client AS (SELECT 1 AS a) SELECT a FROM client", set()),
    ],
)
def test_names_are_no_keywords_functions_or_texts(sql, used):
    known = {"order", "client", "id", "count", "name", "replace"}
    assert names_used(sql, known) == used
    for name in used:
        assert undo(rename_table(sql, name)) == (sql, {name})
    for name in known - used:
        assert rename_table(sql, name) == sql


def test_renaming_keeps_keywords_and_texts():
    sql = "SELECT id FROM \"order\" WHERE x = 'a_renamed' ORDER BY id"
    assert rename_table(sql, "order") == "SELECT id FROM \"order_renamed\" WHERE x = 'a_renamed' ORDER BY id"
    assert undo(sql) == (sql, frozenset())
    wide = 'SELECT " School Name " FROM t'
    assert rename_table(wide, "school name") == 'SELECT " School Name_renamed " FROM t'


def test_no_answer_ends_the_judging(tmp_path):
    """Whatever a model writes, a comment alone or nothing at all, is judged."""
    path = database(tmp_path / "w.sqlite")
    goal = question("SELECT name FROM city WHERE population = 1", path)
    answers = [
        "",
        "--",
        "-- x",
        "/*",
        ";",
        "'",
        '"',
        "SELECT",
        "\0",
        "SELECT 1\0",
        "(" * 300,
        "\u2028",
        "EXPLAIN SELECT 1",
    ]
    for metric in ("execution", "exact"):
        judged = make_sql_score(metric, "bird")(answers, [goal] * len(answers))
        assert judged.tolist() == [0] * len(answers)
