"""SQL with spaces between its tokens: every kind of token comes back, and queries return what they did."""

import json
import sqlite3
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from ccutils.tasks import load_task
from ccutils.tasks.sql_names import names_used, rename_table, undo
from ccutils.tasks.sql_spaces import BLANK, close_up, comes_back, show_blanks, spaced, sql_tokens, unspaced

DATA = Path(__file__).parents[3] / "shared" / "data" / "geoquery_sql"


def test_what_does_not_come_back_is_known() -> None:
    assert not comes_back(f"SELECT 'a {BLANK} b'")
    assert not comes_back("SELECT x ''")  # an alias, which reads as a blob
    assert unspaced("SELECT ' it") == "SELECT ' it" and unspaced("''") == "''"


quoted = st.text("ab '\"`[],?!%-+x1\t\u00a0é", max_size=8)
literals = quoted.map(lambda text: "'" + text.replace("'", "''") + "'")
columns = quoted.map(lambda text: '"' + text.replace('"', '""') + '"')
numbers = st.from_regex(
    r"\d{1,3}(\.\d{0,2})?(e[+-]?\d)?|\.\d{1,2}|0x[0-9a-f]{1,3}",
    fullmatch=True,
    alphabet=st.characters(codec="ascii"),
)
blobs = st.binary(min_size=1, max_size=3).map(lambda data: f"x'{data.hex()}'")
values = st.one_of(literals, numbers, blobs, st.just("NULL"))


@pytest.mark.parametrize(
    ("sql", "wide"),
    [
        ("SELECT city.name FROM c WHERE n>=1.5;", "SELECT city . name FROM c WHERE n >= 1.5 ;"),
        ("a='new york'", "a = ' new york '"),
        ("a||' '||b", "a || ' ␣ ' || b"),
        ("a LIKE '% '", "a LIKE ' % ␣ '"),
        ("''", "' '"),
        ("'  a  b'", "' ␣ ␣ a ␣ ␣ b '"),
        ("'5, it''s'", "' 5 , ␣ it '' s '"),
        ('"School Name"=`Doc, Type`', '" School Name " = ` Doc , ␣ Type `'),
        ("[a b]<>x", "[ a b ] <> x"),
        ("1e-5+.25*1.", "1e-5 + .25 * 1."),
        ("x'41'", "x ' 41 '"),
        ("j->>'$.a'->'b'", "j ->> ' $.a ' -> ' b '"),
        ("a!=1<<2", "a != 1 << 2"),
        ("1 - -1--gone", "1 - - 1"),
        ("/* gone */:p+?+@q+$r", ":p + ? + @q + $r"),
        ("größe", "größe"),
    ],
)  # fmt: skip
def test_each_kind_of_token(sql: str, wide: str) -> None:
    assert spaced(sql) == wide
    assert comes_back(sql)
    assert sql_tokens(unspaced(wide)) == sql_tokens(sql)


@given(quoted)
def test_blanks_in_quotes_come_back(text: str) -> None:
    assert close_up(" ".join(show_blanks(text))) == text
    assert unspaced(spaced(f"SELECT {literal(text)}")) == f"SELECT {literal(text)}"


@settings(deadline=None, max_examples=300)
@given(st.lists(values, min_size=1, max_size=3), columns.filter(lambda name: name != '""'), st.data())
def test_what_was_spaced_returns_the_same(given: list[str], name: str, data: st.DataObject) -> None:
    joint = data.draw(
        st.sampled_from(["||", "+", "<=", "<>", "!=", "==", "<<", ">>", " LIKE ", "-", "- -", "|"])
    )
    sql = f"SELECT {joint.join(given)} AS {name}/*c*/ WHERE 1<2 --end"
    assert comes_back(sql)
    assert run(unspaced(spaced(sql))) == run(sql)
    split = tiny().pre_tokenizer.pre_tokenize_str(spaced(sql))
    assert run(unspaced(" ".join(word for word, _ in split))) == run(sql), "as the tiny base writes it"


def test_quoted_names_are_renamed_in_the_spaced_form() -> None:
    known = {"doc, type", "city"}
    wide = spaced('SELECT "Doc, Type" FROM City')
    assert names_used(wide, known) == known
    assert undo(unspaced(rename_table(wide, "doc, type"))) == ('SELECT "Doc, Type" FROM City', {"doc, type"})


@pytest.mark.skipif(not DATA.exists(), reason="real data not at ../shared/data")
def test_real_queries_return_the_same() -> None:
    with sqlite3.connect(DATA / "geography_db.sqlite") as connection:
        for line in (DATA / "dev.jsonl").read_text(encoding="utf-8").splitlines():
            sql = json.loads(line)["query"]
            back = unspaced(spaced(sql))
            assert comes_back(sql)
            assert connection.execute(back).fetchall() == connection.execute(sql).fetchall()
    connection.close()


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def run(sql: str) -> tuple[list[object], list[str]] | str:
    """Rows and names of columns, or the error."""
    connection = sqlite3.connect(":memory:")
    try:
        cursor = connection.execute(sql)
        return cursor.fetchall(), [column[0] for column in cursor.description]
    except sqlite3.Error as error:
        return type(error).__name__
    finally:
        connection.close()


@cache
def tiny() -> Tokenizer:
    """The tokenizer of the tiny base of any task: they split texts alike."""
    word_tokenizer = pytest.importorskip("ccutils.models.tiny", reason="needs torch").word_tokenizer
    return word_tokenizer(load_task("topics", seed=0, pool_size=100), 50).backend_tokenizer
