"""The page of answers: nothing of the data is markup, and figures lead to the answers behind them."""

import base64
import gzip
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from made_up import fabricate, write_results
from made_up_answers import MARKUP, write_made_up, write_own_data

from ccutils.records import PROBES
from ccutils.report.aggregate import find_rows
from ccutils.report.answers_page import SHOWN_KINDS, link_points, write_answers
from ccutils.report.build import draw_figures, write_report

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or ""
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")


def test_the_page_holds_data_as_base64_alone(tmp_path: Path) -> None:
    write_own_data(tmp_path / "own.jsonl")
    write_made_up(tmp_path / "results", "jsonl", path=str(tmp_path / "own.jsonl"))
    page = write_answers(tmp_path / "results").read_text(encoding="utf-8")
    block = unpacked(page, "block-0")
    assert MARKUP[0] in json.dumps(block["examples"]) and any(MARKUP[0] in text for text in block["texts"])
    assert not any(text in page for text in MARKUP) and "label1<b>" not in page
    counted = Scripts()
    counted.feed(page)
    assert counted.ids == ["index", "block-0", None], "no script but those of the page"
    assert "{{" not in page and "innerHTML" not in page and "default-src 'none'" in page


def test_blocks_are_told_apart_by_model_and_seed(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_made_up(tmp_path, seed=seed, strategies=["random"])
    write_made_up(tmp_path, seed=1, strategies=["contrastive"], k=3)
    index = unpacked(write_answers(tmp_path).read_text(encoding="utf-8"), "index")
    parts = [(block["title"], block["part"]) for block in index["blocks"]]
    assert sorted(parts) == [("topics", f"{seed}, k = {k}") for seed, k in ((0, 2), (1, 2), (1, 3))]


def test_a_page_of_no_answers_is_written_and_private_texts_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert unpacked(write_answers(tmp_path).read_text(encoding="utf-8"), "index")["blocks"] == []
    write_made_up(tmp_path)
    monkeypatch.setenv("MY_TOKEN", "script>document")
    block = unpacked(write_answers(tmp_path).read_text(encoding="utf-8"), "block-0")
    assert any("***" in text for text in block["texts"]) and "script>document" not in json.dumps(block)


def test_every_probe_leads_to_questions() -> None:
    assert set(SHOWN_KINDS) == set(PROBES)


def test_the_report_leads_to_the_answers_from_points_and_captions(tmp_path: Path) -> None:
    write_results(tmp_path, fabricate())
    rows = find_rows(tmp_path)
    text = write_report(tmp_path, rows, draw_figures(rows)).read_text(encoding="utf-8")
    assert (tmp_path / "answers.html").exists()
    assert text.count("the answers behind it, or see") == 6
    specifications = re.findall(r'<script type="application/json">(.*?)</script>', text, re.S)
    linked = ['"href"' in s and "answers.html#task=" in s for s in specifications]
    assert sum(linked) == 5, "all but gate and choice, which these rows lack"


def test_only_marks_of_answers_get_a_link() -> None:
    figures = {figure.name: figure.chart.to_dict() for figure in draw_figures(fabricate())}
    plain = figures["scores_over_training"]
    assert "answers.html" not in json.dumps(plain), "a notebook's figures have no links"
    linked = link_points(plain)
    marks = [layer["mark"]["type"] for layer in linked["spec"]["layer"] if "href" in layer["mark"]]
    assert marks == ["point"] and linked["datasets"] == plain["datasets"]
    other = {
        "data": {"name": "d"},
        "mark": "bar",
        "encoding": {"tooltip": []},
        "datasets": {"d": [{"low": 0}]},
    }
    assert link_points(other) == other


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium on this machine")
def test_a_browser_shows_what_a_link_asks_for_and_runs_no_script_of_the_data(tmp_path: Path) -> None:
    write_own_data(tmp_path / "own.jsonl")
    write_made_up(tmp_path / "results", "jsonl", path=str(tmp_path / "own.jsonl"))
    page = write_answers(tmp_path / "results")
    link = "#task=jsonl&model=toy&strategy=contrastive&step=20&set=id&probe=iwl&grade=0"
    done = subprocess.run(
        [
            CHROMIUM,
            *FLAGS,
            f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=10000",
            "--dump-dom",
            page.as_uri() + link,
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    shown = done.stdout
    assert "<title>Questions and answers</title>" in shown, "a text of the data ran as a script"
    assert re.search(r"4 of \d+ questions\. contrastive at step 20 answered 4 of them: ", shown)
    assert "&lt;img src=x onerror=" in shown and "<img" not in shown
    assert shown.count('scope="row"') == 3, "base, step 10 and step 20"


class Scripts(HTMLParser):
    """Collects the ids of script elements."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "script":
            self.ids.append(dict(attrs).get("id"))


def unpacked(page: str, name: str) -> Any:
    """Read what a script element of the page holds."""
    data = page.partition(f'<script type="text/plain" id="{name}">')[2].partition("</script>")[0]
    return json.loads(gzip.decompress(base64.b64decode(data)))
