"""The report, made of fabricated rows: whole, offline, and with no number typed in."""

import json
import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from made_up import fabricate, write_results

from ccutils.errors import InputError
from ccutils.probes.questions import make_questions
from ccutils.probes.scores import measure
from ccutils.records import Run, write_json, write_rows
from ccutils.report.aggregate import find_rows
from ccutils.report.build import (
    READINGS,
    draw_figures,
    read_contexts,
    read_mixed,
    read_parameters,
    save_all,
    too_short,
    write_report,
)
from ccutils.tasks import load_task

NEEDS_MORE = ("ablations", "elsewhere")
"""Figures that these rows do not fill: of variants, and of tasks that were not trained on."""


def test_every_figure_is_drawn_for_each_model() -> None:
    rows = fabricate()
    assert [figure.name for figure in draw_figures(rows)] == [
        name for name in READINGS if name not in ("context_structure", *NEEDS_MORE)
    ]
    names = [figure.name for figure in draw_figures(fabricate(models=("org/big", "small")))]
    assert "quality_by_relevance-org--big" in names and "quality_by_relevance-small" in names


def test_questions_that_cannot_be_judged_are_counted_in_rows_and_told(tmp_path: Path) -> None:
    """A gold query that runs no more, as its database has changed since: no score has it, a row counts it."""
    rows = [
        {"question": f"{word} {i} ?", "query": f"SELECT {what} FROM city WHERE size >= {i}", "db_id": "w"}
        for word, what in (("names of", "name"), ("sizes of", "size"), ("how many in", "count(*)"))
        for i in range(20)
    ]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with closing(sqlite3.connect(tmp_path / "w.sqlite")) as connection:
        connection.executescript("CREATE TABLE city (name TEXT, size INT); INSERT INTO city VALUES ('a', 9);")
    questions = make_questions(load_task("text_to_sql", seed=0, path=str(tmp_path)), 2, seed=0, n_targets=12)
    lost = replace(questions.questions[0].expected, output="SELECT name FROM town")
    changed = [replace(q, expected=lost) if i in (0, 1) else q for i, q in enumerate(questions.questions)]
    answers = [q.expected.output for q in changed]
    run = Run(tmp_path / "results", "text_to_sql", "toy", "random", 0)
    measured = measure(replace(questions, questions=tuple(changed)), answers, run, 1)
    (found,) = [row for row in measured if row.probe == "unjudged"]
    of_set = [q for q in changed if q.set == found.set]
    assert (found.n, found.value) == (len(of_set), pytest.approx(2 / len(of_set)))
    assert all(row.value == 1 for row in measured if row.probe == "quality")
    write_rows(run.folder / "probes.parquet", measured, {"k": 2})
    text = write_report(run.root, find_rows(run.root), []).read_text(encoding="utf-8")
    assert "2 answers could not be scored" in text and "(text_to_sql, toy)" in text


def test_the_report_is_one_page_that_fetches_nothing(tmp_path: Path) -> None:
    write_results(tmp_path, fabricate(tasks=("fake<b>",)))
    contexts = pd.DataFrame({"task": ["fake"], "strategy": ["random"], "seed": [0], "best": [0.3]})
    contexts.to_parquet(tmp_path / "contexts.parquet")
    (tmp_path / "minimal_model").mkdir()
    (tmp_path / "minimal_model" / "flow.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    rows = find_rows(tmp_path)
    figures = draw_figures(rows, read_contexts(tmp_path))
    text = write_report(tmp_path, rows, figures).read_text(encoding="utf-8")

    tags = Tags()
    tags.feed(text)
    assert sum(tag == "figure" for tag, _ in tags.found) == len(READINGS) - 1  # no other task
    for tag, attributes in tags.found:
        for name in ("src", "href"):
            link = attributes.get(name) or ""
            own = link == "minimal_model/flow.html" or link.startswith("answers.html#")
            assert (tag == "a" and own) or not link or link.startswith("data:")
    order = ["knowledge</th>", "<figure", ">Findings<", ">Figures<", ">Hypotheses<", ">Agreement with"]
    assert sorted(order, key=text.index) == order
    assert all(attributes.get("alt") for tag, attributes in tags.found if tag == "img")
    assert "default-src 'none'" in text and "vegaEmbed" in text
    assert "fake&lt;b&gt;" in text and "fake<b>" not in text
    assert all(reading in text for name, reading in READINGS.items() if name not in NEEDS_MORE)
    specifications = re.findall(r'<script type="application/json">(.*?)</script>', text, re.S)
    assert all(json.loads(s)["$schema"] and json.loads(s)["description"] for s in specifications)


def test_the_report_states_findings_hypotheses_scores_and_parameters(tmp_path: Path) -> None:
    rows = fabricate()
    end = rows["step"] == 20
    rows.loc[end & (rows["strategy"] == "random") & (rows["probe"] == "icl"), "value"] = 0.01
    write_results(tmp_path, rows)
    text = write_report(tmp_path, find_rows(tmp_path), []).read_text(encoding="utf-8")
    assert "contrastive minus base is +0.00" in text and "3 seeds, 60 answers each" in text
    assert text.count("undecided (too few seeds)</td>") == 18
    assert "<td>0.01 (" in text  # the table of scores
    assert "18 hypotheses:" in text and "seeds: 0, 1, 2; last step: 20." in text
    assert dict(read_parameters(tmp_path).itertuples(index=False)) == {
        "facts.pool": "7",
        "k": "2",
        "strategy": "contrastive; random; similar",
    }


def test_a_small_file_ends_in_a_report_that_says_what_is_missing(tmp_path: Path) -> None:
    """Two targets a set: no bin of similarity has enough answers, and all of them are right."""
    lines = [f"request {i} about thing {i % 8},label{i % 8}" for i in range(40)]
    (tmp_path / "own.csv").write_text("\n".join(["input,output", *lines]))
    task = load_task("jsonl", seed=0, path=str(tmp_path / "own.csv"))
    items = make_questions(task, k=4, seed=0, n_targets=2)
    run = Run(tmp_path / "results", "jsonl", "tiny", "contrastive", 0)
    right = [item.expected.output for item in items.questions]
    rows = [row for step in (0, 10) for row in measure(items, right, run, step)]
    write_rows(run.folder / "probes.parquet", rows, {"k": 4})

    found = find_rows(run.root)
    assert not {"similarity", "copy"} & set(found["probe"])
    figures = draw_figures(found)
    names = [figure.name for figure in figures]
    assert names[:2] == ["quality_by_relevance", "gate_and_choice"], "similarities have no range"
    assert set(names) == set(READINGS) - {"context_structure", *NEEDS_MORE}
    assert len(save_all(figures[:1], run.root / "figures")) == 3, "the words are saved in its place"
    text = write_report(run.root, found, figures).read_text(encoding="utf-8")
    assert "Too few answers for quality by target-context similarity ID; quality by" in text
    assert (
        "<p>Too few answers for Copy-score; Copy-score, above chance: more rows, a larger n_targets" in text
    )
    assert re.search(r"<td>1\.00 \(0\.\d\d–1\.00\)</td>", text), "what was measured is there"


def test_a_report_of_next_to_nothing_is_written(tmp_path: Path) -> None:
    rows = fabricate(seeds=(0,))
    write_results(tmp_path, rows[(rows["probe"] == "quality") & (rows["grade"] == 2) & (rows["set"] == "id")])
    rows = find_rows(tmp_path)
    assert write_report(tmp_path, rows, draw_figures(rows)).stat().st_size > 1000


def test_figures_are_saved_in_three_formats(tmp_path: Path) -> None:
    figures = [figure for figure in draw_figures(fabricate(seeds=(0,))) if figure.name == "scores_at_the_end"]
    paths = save_all(figures, tmp_path)
    assert [path.name for path in paths] == [f"scores_at_the_end.{kind}" for kind in ("svg", "png", "html")]
    assert all(path.stat().st_size > 1000 for path in paths)


def test_contexts_are_optional_but_must_be_whole(tmp_path: Path) -> None:
    assert read_contexts(tmp_path) is None
    pd.DataFrame({"task": ["fake"]}).to_parquet(tmp_path / "contexts.parquet")
    with pytest.raises(InputError, match="best"):
        read_contexts(tmp_path)


def test_runs_of_different_parameters_are_told(tmp_path: Path) -> None:
    for seed, k in ((0, 4), (1, 6)):
        write_json(
            tmp_path / f"seed-{seed}" / "probes.json", {"task": "fake", "model": "toy", "k": k, "seed": seed}
        )
        write_json(tmp_path / f"seed-{seed}" / "plan.json", {"settings": {"steps": 10}, "seed": seed})
    told = read_mixed(tmp_path)
    assert len(told) == 1
    assert "k (4, 6)" in told[0] and "fake" in told[0] and "toy" in told[0]


@pytest.mark.parametrize(
    ("model", "steps", "warned"), [("tiny", 49, True), ("tiny", 50, False), ("toy", 1, False)]
)
def test_a_report_of_too_little_training_warns(model: str, steps: int, warned: bool) -> None:
    assert (str(steps) in too_short(fabricate(models=(model,), steps=(0, steps)))) == warned


class Tags(HTMLParser):
    """Collects the tags of a page with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
