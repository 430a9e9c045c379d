"""Tables in Markdown: what the repository's files hold is what the reference rows say."""

from pathlib import Path

import pandas as pd
import pytest
from made_up import fabricate

from ccutils.errors import InputError
from ccutils.report.tables import (
    DIFFERENCES,
    DOCS_ROOT,
    fill_file,
    fill_marks,
    marked_files,
    picture,
    shown_figures,
)

ORIGIN = {"commit": "abc", "processor": "an abacus", "versions": "none", "date": "2026-01-01"}
TEXT = "before\n<!-- reference: fake -->\nold\n<!-- end of reference -->\nafter\n"


def test_a_marked_table_is_that_of_the_reference(tmp_path: Path) -> None:
    assert "No reference rows of profile `fake` are kept yet.\n" in fill_marks(TEXT, folder=tmp_path)
    fabricate().assign(**ORIGIN).to_parquet(tmp_path / "fake.parquet")
    text = fill_marks(TEXT, folder=tmp_path)
    assert text.startswith("before\n<!-- reference: fake -->\n| task | strategy |") and text.endswith(
        "after\n"
    )
    assert "old" not in text and "| fake | contrastive | 0.50 (" in text
    assert fill_marks(text, folder=tmp_path) == text


def test_a_table_of_one_task_leaves_the_others_out(tmp_path: Path) -> None:
    two = [
        fabricate().assign(task=name, commit="abc", processor="", versions="", date="")
        for name in ("one", "two")
    ]
    pd.concat(two).to_parquet(tmp_path / "fake.parquet")
    text = fill_marks(TEXT.replace("fake", "fake two"), folder=tmp_path)
    assert text.startswith("before\n<!-- reference: fake two -->\n| strategy |")
    assert text.count("| contrastive |") == 1 and fill_marks(text, folder=tmp_path) == text
    with pytest.raises(InputError, match="three"):
        fill_marks(TEXT.replace("fake", "fake three"), folder=tmp_path)


def test_a_marked_figure_says_what_it_is_of(tmp_path: Path) -> None:
    text = "<!-- figure: fake -->\nold\n<!-- end of figure -->"
    assert "No reference rows" in fill_marks(text, "docs/", tmp_path)
    fabricate(seeds=(0,)).assign(**ORIGIN).to_parquet(tmp_path / "fake.parquet")
    found = fill_marks(text, "docs/", tmp_path)
    assert "(docs/quality-fake.png)" in found and "fake, model toy; 1 seed, 20 targets a set each" in found
    assert "old" not in found
    assert (
        "; dotted: the untrained base with the k nearest examples as its context and what the label" in found
    )


def test_marked_hypotheses_are_checked_with_the_reference(tmp_path: Path) -> None:
    text = "<!-- hypotheses: fake -->\nold\n<!-- end of hypotheses -->"
    assert "No reference rows" in fill_marks(text, folder=tmp_path)
    fabricate(seeds=tuple(range(8)), models=("tiny",)).assign(**ORIGIN).to_parquet(tmp_path / "fake.parquet")
    found = fill_marks(text, folder=tmp_path)
    assert "| fake | random | **loses ICL** | " in found and "old" not in found
    assert "| supported |" in found and fill_marks(found, folder=tmp_path) == found


def test_differences_are_means_over_seeds_with_intervals(tmp_path: Path) -> None:
    text = "<!-- differences: fake -->\nold\n<!-- end of differences -->"
    rows = fabricate()
    known = (rows["strategy"] == "contrastive") & (rows["probe"] == "iwl") & (rows["step"] > 0)
    rows.loc[known, "value"] = 0.5
    rows.loc[(rows["strategy"] == "random") & (rows["probe"] == "iwl") & (rows["step"] > 0), "value"] = 0.75
    rows.assign(**ORIGIN).to_parquet(tmp_path / "fake.parquet")
    found = fill_marks(text, folder=tmp_path)
    assert "| fake | contrastive − random | -0.25 (" in found and "old" not in found
    line = next(line for line in found.splitlines() if "contrastive − nearest label" in line)
    assert line.count("–") >= len(DIFFERENCES) - 2 and line.endswith("| 3 |")
    assert fill_marks(found, folder=tmp_path) == found


def test_differences_are_paired_by_the_answers_of_the_reference(tmp_path: Path) -> None:
    """All strategies fail the same targets, so a difference has no spread over targets."""
    rows = fabricate().assign(**ORIGIN)
    rows["value"] = 0.5
    rows.to_parquet(tmp_path / "fake.parquet")
    text = "<!-- differences: fake -->\n<!-- end of differences -->"
    assert "+0.00 (-0." in fill_marks(text, folder=tmp_path)
    runs = rows.loc[rows["step"] != 10, ["task", "model", "strategy", "variant", "seed", "step", "set"]]
    answers = runs.drop_duplicates().merge(pd.DataFrame({"target": range(20)}), how="cross")
    answers = answers.assign(kind="plain", grade=0, score=answers["target"] % 2.0, copied=0.0)
    answers.assign(in_context=0.0, chosen_relevant=0.0).to_parquet(tmp_path / "fake-answers.parquet")
    line = next(x for x in fill_marks(text, folder=tmp_path).splitlines() if "contrastive − random" in x)
    assert line.split("|")[3].strip() == "+0.00 (+0.00 to +0.00)"
    assert "fake-answers" not in fill_marks("<!-- origins: all -->\n<!-- end of origins -->", folder=tmp_path)


def test_a_difference_of_one_seed_has_no_interval(tmp_path: Path) -> None:
    fabricate(seeds=(0,)).assign(**ORIGIN).to_parquet(tmp_path / "fake.parquet")
    found = fill_marks("<!-- differences: fake -->\n<!-- end of differences -->", folder=tmp_path)
    lines = [line for line in found.splitlines() if line.startswith("| fake |")]
    assert lines and all(line.endswith("| 1 |") and "(" not in line for line in lines)


def test_marked_other_tasks_are_those_of_the_reference(tmp_path: Path) -> None:
    text = "<!-- elsewhere: fake -->\nold\n<!-- end of elsewhere -->"
    assert "No reference rows of profile `fake-elsewhere`" in fill_marks(text, folder=tmp_path)
    rows = fabricate().query("probe == 'quality' and set == 'id'")
    rows.assign(set="mtop", **ORIGIN).to_parquet(tmp_path / "fake-elsewhere.parquet")
    found = fill_marks(text, folder=tmp_path)
    assert "| fake | random | 0.50 (" in found and "mtop, 2 relevant" in found
    assert "old" not in found and fill_marks(found, folder=tmp_path) == found


def test_the_origins_of_all_rows_are_one_table(tmp_path: Path) -> None:
    fabricate().assign(**ORIGIN).to_parquet(tmp_path / "fake.parquet")
    found = fill_marks("<!-- origins: all -->\n<!-- end of origins -->", folder=tmp_path)
    assert "| fake | 0; 1; 2 | abc | an abacus | none | 2026-01-01 |" in found


def test_marked_variants_are_told_apart(tmp_path: Path) -> None:
    text = "<!-- variants: fake -->\nold\n<!-- end of variants -->"
    rows = fabricate()
    other = rows.query("strategy == 'contrastive'").assign(variant="p=0")
    both = pd.concat([rows, other])
    both = pd.concat([both, both.assign(task="other")])
    both.assign(**ORIGIN).to_parquet(tmp_path / "fake.parquet")
    found = fill_marks(text, folder=tmp_path)
    assert found.count("| fake | contrastive | ") == found.count("| fake | contrastive, p=0 | ") == 1
    assert found.index("| contrastive | ") < found.index("| contrastive, p=0 | ") and "old" not in found
    assert found.rindex("| fake |") < found.index("| other |")
    assert "Copy-score, above chance" in found and "quality ID, k nearest" not in found
    assert fill_marks(found, folder=tmp_path) == found


def test_every_figure_that_is_shown_has_its_picture() -> None:
    shown = set().union(*map(shown_figures, marked_files()))
    assert shown and all(picture(profile).is_file() for profile in shown)


@pytest.mark.parametrize("path", marked_files(), ids=lambda path: path.name)
def test_the_tables_of_the_repository_are_generated(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    again = "run python -m ccutils.report.tables"
    assert fill_file(path) == text, f"{path.relative_to(DOCS_ROOT)} differs from the reference rows: {again}"
