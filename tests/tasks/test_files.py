"""Reading files: what is wrong, and where, in one sentence."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccutils.errors import InputError
from ccutils.tasks.base import Example
from ccutils.tasks.files import (
    Record,
    Report,
    check_filled,
    hold_out,
    keep_apart,
    normalise,
    read_lines,
    read_records,
)

ROWS = [{"a": "one", "b": "eins"}, {"a": 'two, or "2"', "b": "zwei"}]


def test_every_format_reads_the_same_rows(tmp_path):
    (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, ROWS)) + "\n\n")
    (tmp_path / "x.json").write_text(json.dumps(ROWS))
    frame = pd.DataFrame(ROWS)
    frame.to_csv(tmp_path / "x.csv", index=False)
    frame.to_csv(tmp_path / "x.tsv", index=False, sep="\t")
    frame.to_parquet(tmp_path / "x.parquet")
    for suffix in ("jsonl", "json", "csv", "tsv", "parquet"):
        records = read_records(tmp_path / f"x.{suffix}", ["a", "b"])
        assert [dict(r.values) for r in records] == ROWS, suffix
    assert read_records(tmp_path / "x.jsonl")[1].place.endswith("x.jsonl, line 2")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.jsonl", None, "does not exist"),
        ("empty.jsonl", b"", "is empty"),
        ("blank.jsonl", b"\n  \n", "is empty"),
        ("broken.jsonl", b'{"a": 1}\n{"a": \n', "line 2: broken JSON"),
        ("deep.jsonl", b'{"a": 1}\n' + b"[" * 100_000, "line 2: broken JSON"),
        ("list.jsonl", b"[1, 2]\n", "line 1: not a JSON object"),
        ("latin.jsonl", b'{"a": "x"}\n{"a": "\xe9"}\n', "line 2: bytes that are not UTF-8"),
        ("column.jsonl", b'{"b": 1}\n', "has no column 'a': its columns are b"),
        ("broken.json", b'[{"a": 1},\n {"a" 2}]', "line 2: broken JSON"),
        ("dict.json", b'{"a": 1}', "not a JSON list"),
        ("cells.csv", b"a,b\n1,2,3\n", "line 2: 3 cells but 2 columns"),
        ("nul.csv", b"a\n\0\n", "NUL"),
        ("fake.parquet", b"PAR1 not really", "cannot be read as Parquet"),
        ("x.xlsx", b"PK", "ends in '.xlsx'"),
    ],
)
def test_bad_files_get_one_clear_sentence(tmp_path, name, content, said):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_records(path, ["a"])
    assert said in str(caught.value) and str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_is_not_a_file(tmp_path):
    folder = tmp_path / "x.jsonl"
    folder.mkdir()
    with pytest.raises(InputError, match="cannot be read"):
        read_records(folder)


def test_lines_end_at_lf_and_crlf_only(tmp_path):
    (tmp_path / "x").write_bytes("\ufeffa\r\nb\u2028c\x0b\r\n\r\nd".encode())
    assert read_lines(tmp_path / "x") == ["a", "b\u2028c\x0b", "", "d"]


def test_text_takes_the_first_column_that_is_filled():
    record = Record({"x": None, " x": " Hallo ", "n": 3, "nan": float("nan"), "list": ["a"]}, "row 1")
    assert record.text("x", " x") == "Hallo"
    assert record.text("n") == "3"
    assert Record({"x": " one\n  two \r\nthree "}, "").text("x") == "one two three"
    assert Record({"x": "two  spaces"}, "").text("x") == "two  spaces"
    assert record.text("nan") == record.text("list") == record.text("missing") == ""


def test_the_report_counts_and_names_places():
    report = Report(read=9)
    for i in range(7):
        report.set_aside(Record({}, f"f, line {i}"), "no text")
    facts = report.facts()
    assert facts["rows_read"] == 9 and facts["rows_set_aside"] == 7
    assert facts["set aside: no text"].startswith("7 rows: f, line 0; f, line 1;")
    with pytest.warns(UserWarning, match="no text: 7 rows"):
        report.warn("no")


def test_normalise_keeps_vowel_signs_and_drops_the_rest():
    assert normalise("  Call, MY Mother!! ") == normalise("call my mother")
    assert normalise("ＡＢＣ １") == "abc 1"
    assert normalise("कि") != normalise("का") != normalise("क")  # Hindi: combining marks are letters' vowels
    assert normalise("?!") != normalise("...") != ""


@given(st.lists(st.tuples(st.sampled_from("pqr"), st.text("aB. ", max_size=4)), max_size=30))
def test_sets_are_disjoint_and_the_first_stays_whole(items):
    sets = {name: [Example(text, "") for s, text in items if s == name] for name in "pqr"}
    kept, dropped = keep_apart(sets)
    keys = [normalise(e.input) for part in kept.values() for e in part]
    assert len(keys) == len(set(keys))
    assert {normalise(e.input) for e in kept["p"]} == {normalise(e.input) for e in sets["p"]}
    assert sum(dropped.values()) == len(items) - len(keys)


def test_hold_out_takes_whole_groups_and_never_all():
    groups = {"a": 50, "b": 30, "c": 20}
    held = hold_out(groups, 0.2, np.random.default_rng(0))
    assert 20 <= sum(groups[g] for g in held) < 100
    assert hold_out(groups, 0.99, np.random.default_rng(0)) < set(groups)
    with pytest.raises(InputError, match="two"):
        hold_out({"a": 1}, 0.2, np.random.default_rng(0))


def test_an_empty_set_is_told_with_the_repeats_that_emptied_it():
    one, none = [Example("a", "b")], list[Example]()
    check_filled("x", {"pool": one}, {}, "give more rows")
    with pytest.raises(InputError, match=r"^task 'x' has no examples left for pool: give more rows\.$"):
        check_filled(
            "x", {"id_test": one, "pool": none}, {"near_duplicates_dropped_pool": 0}, "give more rows"
        )
    with pytest.raises(InputError, match="for pool, since 288 rows repeat the input of another and were"):
        check_filled("x", {"pool": none}, {"near_duplicates_dropped_pool": 288}, "give more rows")
