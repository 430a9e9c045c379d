"""The pages of a finished run: what they are made of and, built whole, that every link leads somewhere."""

import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
from made_up import fabricate, write_results

from ccutils.chain import site
from ccutils.chain.profiles import ROOT
from ccutils.errors import InputError
from ccutils.report.aggregate import find_rows
from ccutils.report.build import READINGS, draw_figures, save_all, write_report

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A run of made-up rows, its notebooks not executed."""
    write_results(tmp_path, fabricate(seeds=(0,)))
    for notebook in NOTEBOOKS:
        place = tmp_path / "notebooks" / notebook.stem / "all.ipynb"
        place.parent.mkdir(parents=True)
        shutil.copy(notebook, place)
    return tmp_path


def test_of_several_copies_of_a_notebook_that_of_contrastive_is_shown(results: Path) -> None:
    folder = results / "notebooks" / "03_ic_train"
    for name in ("topics-tiny-batch_mix-0", "topics-tiny-contrastive-0", "topics-tiny-random-0"):
        shutil.copy(folder / "all.ipynb", folder / f"{name}.ipynb")
    found = site.find_executed(ROOT / "notebooks" / "03_ic_train.ipynb", results)
    assert found.name == "topics-tiny-contrastive-0.ipynb"


def test_a_notebook_that_is_no_job_of_the_chain_is_executed(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    monkeypatch.setattr(site, "run_notebook", lambda notebook, job, *_: ran.append(job))
    shutil.rmtree(results / "notebooks" / "06_your_task")
    found = site.find_executed(ROOT / "notebooks" / "06_your_task.ipynb", results)
    assert ran == ["06_your_task/all"] and found == results / "notebooks" / "06_your_task" / "all.ipynb"


def test_the_gallery_says_of_each_figure_how_to_read_it_and_what_draws_it(results: Path) -> None:
    save_all(draw_figures(find_rows(results))[:1], results / "figures")
    text = site.write_gallery(results)
    assert '<iframe src="figures/quality_by_similarity.html"' in text
    assert READINGS["quality_by_similarity"] in text and "def quality_by_similarity(" in text


def test_a_folder_without_a_finished_run_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match=str(tmp_path)):
        site.build(tmp_path, tmp_path / "docs")
    assert site.main(["--fast"]) == 2
    assert "--fast" in capsys.readouterr().err
    assert site.refuse_options([str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err


@pytest.mark.slow
def test_the_pages_are_built_without_a_warning_and_every_link_leads_somewhere(results: Path) -> None:
    rows = find_rows(results)
    figures = draw_figures(rows)
    save_all(figures[:2], results / "figures")
    write_report(results, rows, figures)
    (results / "answers.html").touch()  # the report links to its parts, which are found by script
    output = results / "docs"
    assert site.build(results, output, "-W", "--keep-going") == 0
    pages = {path: Page(path) for path in output.rglob("*.html") if path.name != "answers.html"}
    assert {output / "notebooks" / f"{path.stem}.html" for path in NOTEBOOKS} <= set(pages)
    assert {output / "api" / f"{room}.html" for room in site.PACKAGES} <= set(pages)
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlparse(link)
            if parts.scheme or parts.netloc:
                continue
            place = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            names = pages[place].names if place in pages else set()
            if not place.exists() or (parts.fragment and place in pages and parts.fragment not in names):
                broken.append(f"{path.relative_to(output)}: {link}")
    assert not broken
    for room in site.PACKAGES:
        assert any(
            name.startswith(f"ccutils.{room}.") for name in pages[output / "api" / f"{room}.html"].names
        )


class Page(HTMLParser):
    """The links of a page and the names that links can lead to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.names: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.append(value)
            if name == "id" and value:
                self.names.add(value)
