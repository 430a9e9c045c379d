"""Tasks that were not trained on: found, drawn, and laid out by what was asked."""

import json
from pathlib import Path

import pandas as pd
import vl_convert
from made_up import fabricate, write_results

from ccutils.records import ELSEWHERE
from ccutils.report.aggregate import find_rows
from ccutils.report.build import draw_figures, write_report
from ccutils.report.elsewhere import elsewhere, elsewhere_table, find_elsewhere


def others(results: Path) -> pd.DataFrame:
    """Lay rows of two other tasks out as notebook 04 does; return them."""
    write_results(results, fabricate())
    for path in results.rglob("probes.parquet"):
        rows = pd.read_parquet(path)
        rows["set"] = rows["set"].map({"id": "requests", "ood": "mtop"})
        rows[rows["probe"] == "quality"].to_parquet(path.with_name(ELSEWHERE))
    found = find_elsewhere(results)
    assert found is not None
    return found


def test_without_any_there_is_none(tmp_path: Path) -> None:
    write_results(tmp_path, fabricate())
    assert find_elsewhere(tmp_path) is None


def test_the_table_has_a_column_for_each_task_asked_and_grade(tmp_path: Path) -> None:
    table = elsewhere_table(others(tmp_path))
    wanted = [f"{name}, {grade} relevant" for name in ("mtop", "requests") for grade in (0, 1, 2)]
    assert list(table.columns) == ["task", "model", "strategy", *wanted]
    assert list(table["strategy"]) == ["base", "random", "similar", "contrastive"]
    assert all(text.startswith("0.50 (") for text in table[wanted].to_numpy().ravel())


def test_it_is_drawn_and_in_the_report_without_links_to_answers(tmp_path: Path) -> None:
    rows = others(tmp_path)
    specification = elsewhere(rows).to_dict()
    svg = vl_convert.vegalite_to_svg(specification)
    assert "asked: mtop" in svg and "asked: requests" in svg and "NaN" not in svg
    assert not any("probe" in line for lines in specification["datasets"].values() for line in lines)
    own = find_rows(tmp_path)
    assert set(own["set"]) == {"id", "ood"}  # other tasks are in no other figure
    figures = draw_figures(own, None, rows)
    page = write_report(tmp_path, own, figures).read_text(encoding="utf-8")
    assert "Transfer tasks at the last step" in page
    assert json.dumps("requests, 1 relevant").strip('"') in page and ELSEWHERE in page
