"""Reading files: what is wrong, and where, in one sentence."""

import json
from datetime import date, time
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from ccutils.errors import InputError
from ccutils.tasks.base import Example
from ccutils.tasks.files import Record, Report, read_lines, read_records
from ccutils.tasks.splits import hold_out, keep_apart, normalise

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


def test_a_folder_is_not_a_file(tmp_path):
    folder = tmp_path / "x.jsonl"
    folder.mkdir()
    with pytest.raises(InputError, match=r"x\.jsonl"):
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
    report = Report(read=2)
    assert report.examples([Record({}, f"f, line {i}") for i in range(7)], lambda record: "no text") == []
    facts = report.facts()
    assert facts["rows_read"] == 9 and facts["rows_set_aside"] == 7
    assert facts["set aside: no text"].startswith("7 rows: f, line 0; f, line 1;")
    with pytest.warns(UserWarning, match="no text: 7"):
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


def write(folder, name, text):
    (folder / name).write_bytes(text.encode())
    return folder / name


def cells(path):
    return [tuple(record.values.values()) for record in read_records(path)]


def test_a_quote_in_an_unquoted_tsv_is_a_sign_like_any_other(tmp_path):
    lines = [f"word{i}\tA" for i in range(60)]
    lines[4] = '"Hello said word4 and left\tA'
    lines[24] = "he was 24 and 5' 10\"\tB"
    lines[44] = '"Goodbye" said word44\tA'
    lines[50] = '"Goodbye"\tA'
    path = write(tmp_path, "x.tsv", "\n".join(["input\toutput", *lines]) + "\n")
    assert cells(path) == [tuple(line.split("\t")) for line in lines]
    assert read_records(path)[4].place.endswith("line 6")


@pytest.mark.parametrize(
    "rows",
    [
        [("a", "b"), ('two, or "2"', "x")],
        [("a", "b"), ("a\tb", "x"), ("c", "y")],
        [("a", "b"), ("one\ntwo", "x"), ("c", "y")],
    ],
)
def test_quoted_tsv_is_read_as_it_was_written(tmp_path, rows):
    frame = pd.DataFrame(rows[1:], columns=rows[0])
    for quoting in (0, 1):  # where needed, everywhere
        frame.to_csv(tmp_path / "x.tsv", index=False, sep="\t", quoting=quoting)
        assert cells(tmp_path / "x.tsv") == rows[1:]


def test_a_csv_cell_that_swallows_rows_is_told(tmp_path):
    path = write(tmp_path, "x.csv", 'a,b\n"Hello word1,A\nword2,B\nhe is 5\' 10",B\n')
    with pytest.warns(UserWarning, match=r"x\.csv, lines 2 to 4"):
        read_records(path)


def test_a_bare_cr_is_text_and_a_long_cell_is_read(tmp_path):
    assert cells(write(tmp_path, "x.csv", 'a,b\none\rtwo,A\n"x\ry",B\n')) == [
        ("one\rtwo", "A"),
        ("x\ry", "B"),
    ]
    assert cells(write(tmp_path, "x.tsv", "a\tb\none\rtwo\tA\n")) == [("one\rtwo", "A")]
    assert cells(write(tmp_path, "mac.csv", "a,b\r1,2\r3,4\r")) == [("1", "2"), ("3", "4")]
    long = "x" * 200_000
    assert cells(write(tmp_path, "long.csv", f'a,b\n{long},A\n"{long}",B\n')) == [(long, "A"), (long, "B")]
    assert read_records(tmp_path / "x.csv")[0].text("a") == "one two"


def test_numbers_keep_every_digit(tmp_path):
    big = "1" * 5000
    path = write(
        tmp_path, "x.jsonl", f'{{"a": {big}, "b": 0.10, "c": 9007199254740993, "d": NaN, "e": 1e400}}\n'
    )
    record = read_records(path)[0]
    assert [record.text(name) for name in "abcde"] == [big, "0.10", "9007199254740993", "", "1e400"]
    frame = pd.DataFrame({"n": pd.array([0, 2**53 + 1, None], dtype="Int64")})
    frame.to_parquet(tmp_path / "x.parquet")
    assert [r.text("n") for r in read_records(tmp_path / "x.parquet")] == ["0", str(2**53 + 1), ""]


def test_values_of_parquet_are_the_texts_that_one_would_write(tmp_path):
    columns = {
        "f32": pa.array([0.1, None], pa.float32()),
        "f32nan": pa.array(np.array([0.3, float("nan")], np.float32)),
        "u64": pa.array([2**64 - 1, None], pa.uint64()),
        "decimal": pa.array([Decimal("1.10"), None]),
        "truth": pa.array([True, False]),
        "day": pa.array([date(2024, 1, 2), None]),
        "moment": pa.array([1704164645123456789, None], pa.timestamp("ns")),
        "clock": pa.array([time(1, 2), None]),
        "word": pa.array(["x", None]).dictionary_encode(),
        "list": pa.array([["x"], None]),
        "bytes": pa.array([b"x", None]),
    }
    parquet.write_table(pa.table(columns), tmp_path / "x.parquet")
    first, second = read_records(tmp_path / "x.parquet")
    assert [first.text(name) for name in columns] == [
        "0.1", "0.3", str(2**64 - 1), "1.10", "true", "2024-01-02", "2024-01-02T03:04:05.123456789",
        "01:02:00", "x", "", "",
    ]  # fmt: skip
    assert [name for name in columns if second.text(name)] == ["truth"]
    assert first.lacks("list") == "a list in column 'list', where a text should be"
    assert first.lacks("bytes").startswith("bytes in") and second.lacks("word") == "no text in column 'word'"


def test_values_of_json_are_the_texts_that_stand_there(tmp_path):
    path = write(
        tmp_path, "x.jsonl", '{"a": true, "b": 1.10, "c": {"d": 1}, "e": ["f"], "g": null, "h": -0.0}\n'
    )
    (record,) = read_records(path)
    assert [record.text(name) for name in "abcegh"] == ["true", "1.10", "", "", "", "-0.0"]
    assert record.lacks("c").startswith("an object in")


@pytest.mark.parametrize("mark", ["\ufeff", ""])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_byte_order_mark_and_ends_of_lines_change_nothing(tmp_path, mark, end):
    for name, lines in {
        "x.csv": ["a,b", "1,2"],
        "x.tsv": ["a\tb", "1\t2"],
        "x.jsonl": ['{"a": 1, "b": 2}'],
        "x.json": ["[", '{"a": 1, "b": 2}', "]"],
    }.items():
        (tmp_path / name).write_bytes((mark + end.join([*lines, ""])).encode())
        (record,) = read_records(tmp_path / name)
        assert [record.text("a"), record.text("b")] == ["1", "2"], name


def test_a_name_of_half_a_character_can_be_told(tmp_path):
    with pytest.raises(InputError) as error:
        read_records(write(tmp_path, "x.jsonl", '{"b\\ud83d": 1}\n'), ["a"])
    assert "b?" in str(error.value)
    str(error.value).encode()
    with pytest.raises(InputError, match="NUL"):
        read_records(Path("a\0b.csv"))


def test_home_and_suffixes_in_capitals(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path, "X.CSV", "a,b\n1,2\n")
    write(tmp_path, "X.TSV", "a\tb\n1\t2\n")
    write(tmp_path, "X.JSONL", '{"a": "1", "b": "2"}\n')
    for name in ("X.CSV", "X.TSV", "X.JSONL"):
        assert cells(Path("~") / name) == [("1", "2")]


@pytest.mark.parametrize(
    "texts",
    [
        ["2 + 3", "2 - 3", "2 * 3", "2 / 3", "2 = 3", "2 < 3"],
        ["great 😀", "great 😡", "great"],
        ["C", "C++", "C#"],
        ["3.5", "35", "3,5", ".5", "5", "-5", "5!", "50%", "$5", "£5"],
        ["👨‍👩‍👧", "👨👩👧", "👍", "👍🏽", "👍🏿", "🇩🇪", "🇫🇷", "♥️"],
        ["কি", "ক", "ክ", "கி", "க", "ا", "أ"],
        ["1,000", "1.000", "½", "1/2", "a–b", "a-b", "->", "=>"],
        ["(2+3)*4", "2+(3*4)", "x²", "x2", "a_b", "a b", "@a", "#a", "a"],
    ],
)
def test_signs_make_another_input(texts):
    assert len({normalise(text) for text in texts}) == len(texts)


@pytest.mark.parametrize(
    ("text", "other"), [("é", "e\u0301"), ("a\u00adb", "ab"), ("\u200ba\ufeff", "a"), ("Ａ\u3000b", "A b")]
)
def test_what_nobody_sees_makes_no_other_input(text, other):
    assert normalise(text) == normalise(other)


def test_repeats_with_another_label_are_told():
    rows = [Example("polish", "A"), Example("Polish", "B"), Example("polish!", "A")]
    with pytest.warns(UserWarning, match=r"'Polish' \(B; kept: A\)"):
        kept, dropped = keep_apart({"pool": rows})
    assert len(kept["pool"]) == 1
    assert dropped == {"near_duplicates_dropped_pool": 2, "of_them_with_another_output": 1}
    assert len(keep_apart({"pool": rows}, lambda e: e.output)[0]["pool"]) == 2


@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize(("name", "sep"), [("x.csv", ","), ("x.tsv", "\t")])
def test_a_header_repeated_in_the_middle_is_dropped_and_told(tmp_path, name, sep, bom):
    part = f"input{sep} label\nrain{sep}weather\ninput{sep}music\n"
    path = write(tmp_path, name, f"{part}{bom}{part}{bom}{part}")
    with pytest.warns(UserWarning, match=f"{name}, line 4; {name}, line 7") as told:
        assert cells(path) == [("rain", "weather"), ("input", "music")] * 3
    assert len(told) == 1 and str(tmp_path) not in str(told[0].message)


def test_a_header_among_json_lines_is_dropped_and_told(tmp_path):
    rows = [{"a": "x", "b": "y"}, {"a": "a", "b": "b"}, {"a": "a", "b": "y"}]
    path = write(tmp_path, "x.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    with pytest.warns(UserWarning, match="line 2"):
        assert cells(path) == [("x", "y"), ("a", "y")]


def test_blanks_around_column_names_are_no_part_of_them(tmp_path):
    names = [" \u200binput\u3000", "out\u00a0put\u00a0", "label\t"]
    plain = ["input", "out\u00a0put", "label"]
    row = dict(zip(names, "xyz", strict=True))
    write(tmp_path, "x.csv", ",".join(names) + "\nx,y,z\n")
    write(tmp_path, "x.tsv", '" \u200binput"\t"out\u00a0put\u00a0"\t"label "\nx\ty\tz\n')
    write(tmp_path, "x.jsonl", json.dumps(row) + "\n")
    pd.DataFrame([row]).to_parquet(tmp_path / "x.parquet")
    for suffix in ("csv", "tsv", "jsonl", "parquet"):
        (record,) = read_records(tmp_path / f"x.{suffix}", plain)
        assert [record.text(name) for name in plain] == ["x", "y", "z"], suffix
    (record,) = read_records(write(tmp_path, "two.csv", "text, label,label,,\nx,y,z,,\n"))
    assert [record.text(name) for name in ("text", " label", "label")] == ["x", "y", "z"]


def test_parquet_of_datasets_has_the_names_of_classes(tmp_path):
    datasets = pytest.importorskip("datasets")
    label = datasets.ClassLabel(names=["neg", "pos"])
    features = datasets.Features(
        {"text": datasets.Value("string"), "n": datasets.Value("int64"), "label": label}
    )
    columns = {"text": list("abcd"), "n": [1, 0, 1, 0], "label": [1, 0, -1, None]}
    datasets.Dataset.from_dict(columns, features=features).to_parquet(tmp_path / "x.parquet")
    records = read_records(tmp_path / "x.parquet")
    assert [r.text("label") for r in records] == ["pos", "neg", "", ""]
    assert [r.text("n") for r in records] == ["1", "0", "1", "0"]
    table = parquet.read_table(tmp_path / "x.parquet")
    parquet.write_table(table.drop_columns(["label"]), tmp_path / "less.parquet")
    parquet.write_table(table.replace_schema_metadata({"huggingface": "broken"}), tmp_path / "broken.parquet")
    assert read_records(tmp_path / "less.parquet")[0].text("text") == "a"
    assert read_records(tmp_path / "broken.parquet")[0].text("label") == "1"
