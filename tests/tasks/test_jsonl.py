"""A user's own file of inputs and outputs."""

import json
import unicodedata
import warnings

import pandas as pd
import pytest

from ccutils.errors import InputError
from ccutils.probes.judged import judge_answers
from ccutils.probes.questions import CHANGED, PLAIN, make_questions
from ccutils.tasks import load_task
from ccutils.tasks.base import Example, label_key
from ccutils.tasks.jsonl import jsonl


def write(folder, rows, name="mine.jsonl"):
    path = folder / name
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def rows(n=100, labels=5):
    return [{"text": f"Frage {i}", "label": f"L{i % labels}", "source": f"s{i % 10}"} for i in range(n)]


def columns(**more):
    return {"input_column": "text", "output_column": "label", **more}


def test_labels_are_groups_where_they_repeat(tmp_path):
    task = jsonl(seed=0, path=write(tmp_path, rows()), **columns())
    assert {e.output for e in task.ood_test} == {e.output for e in task.ood_pool}
    assert not {e.output for e in task.ood_test} & {e.output for e in task.pool}
    assert len(task.pool) + len(task.id_test) + len(task.ood_test) + len(task.ood_pool) == 100
    assert task.score(["L0", "zzz"], [Example("", "L0"), Example("", "L1")]).tolist() == [1, 0]


def test_groups_by_column(tmp_path):
    task = jsonl(seed=0, path=write(tmp_path, rows()), **columns(group_column="source"))
    assert len({e.group for e in [*task.ood_test, *task.ood_pool]}) == 2
    assert not {e.group for e in task.ood_test} & {e.group for e in [*task.pool, *task.id_test]}


def test_without_groups_there_is_no_ood_set(tmp_path):
    unique = [{"text": f"x {i}", "label": f"y {i}"} for i in range(50)]
    task = jsonl(seed=0, path=write(tmp_path, unique), **columns())
    assert len(task.id_test) == 10 and len(task.pool) == 40
    assert not task.ood_test and "no OOD" in task.facts["split_rule"]


def test_a_test_file_of_ones_own(tmp_path):
    path, tests = (
        write(tmp_path, rows()),
        write(tmp_path, [{"text": "frage 7!", "label": "L2"}, *rows(3)], "t.jsonl"),
    )
    task = jsonl(seed=0, path=path, test_path=tests, **columns(group_column=None))
    assert task.facts["near_duplicates_dropped_pool"] + task.facts["near_duplicates_dropped_ood_pool"] == 4


def test_csv_and_empty_cells(tmp_path):
    frame = pd.DataFrame(rows())
    frame.loc[3, "label"] = None
    frame.to_csv(tmp_path / "x.csv", index=False)
    with pytest.warns(UserWarning, match=r"'label'.*x.csv, line 5"):
        task = jsonl(seed=0, path=str(tmp_path / "x.csv"), **columns())
    assert task.facts["rows_set_aside"] == 1


def test_seeds(tmp_path):
    path = write(tmp_path, rows())
    a, again, b = (jsonl(seed=s, path=path, pool_size=30, **columns()) for s in (1, 1, 2))
    assert a.pool == again.pool != b.pool and a.id_test == b.id_test


def test_rows_that_repeat_a_few_examples_are_told(tmp_path):
    path = write(tmp_path, rows(12, labels=12) * 25)
    with pytest.raises(InputError, match=r"pool.*\b288\b"):
        jsonl(seed=0, path=path, **columns())


def test_what_is_no_text_is_set_aside_by_what_it_is(tmp_path):
    odd = [{"text": ["a"], "label": "L0"}, {"text": "a\0b", "label": "L0"}, {"text": "x", "label": {"y": 1}}]
    with pytest.warns(UserWarning) as told:
        task = jsonl(seed=0, path=write(tmp_path, [*odd, *rows()]), **columns())
    assert task.facts["rows_set_aside"] == 3
    said = "\n".join(str(w.message) for w in told)
    for number, why in (
        (1, "A list in column 'text'"),
        (2, "ext with a NUL"),
        (3, "An object in column 'label'"),
    ):
        assert f"line {number}" in said and why.lower() in said.lower()


def test_halves_of_characters_are_set_aside_with_their_line(tmp_path):
    (tmp_path / "x.jsonl").write_text(
        '{"text": "great \\ud83d", "label": "L0"}\n' + "".join(json.dumps(row) + "\n" for row in rows())
    )
    with pytest.warns(UserWarning, match=r"x.jsonl, line 1"):
        task = jsonl(seed=0, path=str(tmp_path / "x.jsonl"), **columns())
    assert task.facts["rows_set_aside"] == 1


def test_the_cause_is_told_and_not_what_follows_of_it(tmp_path):
    path = write(tmp_path, [{**row, "label": None} for row in rows()])
    with (
        pytest.warns(UserWarning),
        pytest.raises(InputError, match=r"100 of 100 rows.*'label'"),
    ):
        jsonl(seed=0, path=path, **columns())


def test_sums_stay_apart(tmp_path):
    sums = [{"text": f"{a} {s} {a + 1}", "label": s} for a in range(49) for s in "+-*"]
    task = jsonl(seed=0, path=write(tmp_path, sums), **columns())
    assert sum(map(len, (task.pool, task.id_test, task.ood_test, task.ood_pool))) == 147


def test_options_that_fit():
    task = load_task("topics", seed=0, zipf="1e0", pool_size=90, n_test=5)
    assert len(task.pool) == 90


SPELLINGS = {  # one class each, however it is written
    "very good": ["very good", "very\u00a0good", "very  good"],
    "so": ["so", "so"],
    "caf\u00e9": ["caf\u00e9", "cafe\u0301"],
    "bad": ["bad", "bad"],
    "na\u00efve": ["nai\u0308ve", "na\u00efve"],
    "none": ["none", "no\u200bne"],
}


def spelt(n=120):
    names = list(SPELLINGS)
    return [
        {"text": f"word{i} text {names[i % 6][:3]}", "label": forms[i // 6 % len(forms)]}
        for i in range(n)
        for forms in [SPELLINGS[names[i % 6]]]
    ]


def test_spellings_of_one_label_are_one_class_in_split_relevance_and_score(tmp_path):
    with pytest.warns(UserWarning, match="one class") as told:
        task = jsonl(seed=0, path=write(tmp_path, spelt()), **columns())
    merged = "".join(str(w.message) for w in told)
    assert all(name in merged for name in ("'very\\xa0good'", "'cafe\\u0301'")) and "bad" not in merged
    parts = {name: {label_key(e.output) for e in getattr(task, name)} for name in ("pool", "ood_pool")}
    assert not parts["pool"] & parts["ood_pool"] and set.union(*parts.values()) == set(SPELLINGS)
    known = {form for forms in SPELLINGS.values() for form in forms}
    assert {e.output for e in [*task.pool, *task.ood_pool]} <= known, "labels stay as they are written"
    assert len({e.output for e in task.pool}) > len(parts["pool"])
    nbsp, double = Example("", "very\u00a0good"), Example("", "very  good")
    assert task.relevant(nbsp, double) and task.score(["very good"], [nbsp]).tolist() == [1]
    composed = Example("", "caf\u00e9")
    assert task.relevant(composed, Example("", "cafe\u0301"))
    assert task.score(["cafe\u0301"], [composed]).tolist() == [1]


@pytest.mark.filterwarnings("ignore:Labels counted")
def test_no_context_without_anything_relevant_holds_a_spelling_of_the_answer(tmp_path):
    task = jsonl(seed=0, path=write(tmp_path, spelt()), **columns())
    questions = make_questions(task, 2, seed=0, n_targets=20)
    for q in questions.questions:
        if q.kind == PLAIN and q.grade == 0:
            assert label_key(q.target.output) not in {label_key(e.output) for e in q.context}
        if q.kind == CHANGED:
            assert label_key(q.expected.output) != label_key(q.target.output)
    rewritten = [
        unicodedata.normalize("NFD", q.expected.output).replace(" ", "\u00a0") for q in questions.questions
    ]
    judged = judge_answers(questions, rewritten)
    assert (judged["score"] == 1).all() and not judged["copied"][judged["kind"] == PLAIN].any()


def test_labels_that_differ_in_case_alone_are_classes_and_told(tmp_path):
    content = [{"text": f"word{i}", "label": ("Yes", "yes", "no")[i % 3]} for i in range(60)]
    with pytest.warns(UserWarning, match="'Yes' and 'yes'"):
        task = jsonl(seed=0, path=write(tmp_path, content), **columns())
    assert not task.relevant(Example("", "Yes"), Example("", "yes"))


def test_free_texts_are_neither_merged_nor_told(tmp_path):
    outputs = ["SELECT  a", "SELECT a", "select a", *(f"SELECT {i}" for i in range(40))]
    content = [{"text": f"question {i}", "label": output} for i, output in enumerate(outputs)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        task = jsonl(seed=0, path=write(tmp_path, content), **columns())
    assert {e.output for e in [*task.pool, *task.id_test]} == set(outputs)
