"""The report lists the files behind each figure and how to make it again, without folders of the machine."""

from pathlib import Path

import pytest
from made_up import fabricate, write_results

from ccutils.origin import hash_file
from ccutils.records import read_json, write_json
from ccutils.report.aggregate import find_rows
from ccutils.report.build import draw_figures, run_files, write_report
from ccutils.report.page import sources_html


def test_a_figure_is_made_of_the_runs_of_its_model_that_it_shows() -> None:
    rows = fabricate(models=("org/big", "small"), strategies=("random",), seeds=(0, 1), steps=(0, 10))
    rows.loc[(rows["model"] == "small") & (rows["seed"] == 1), "variant"] = "p=0"
    files = {figure.name: [path.as_posix() for path in figure.files] for figure in draw_figures(rows)}
    assert files["frontier-small"] == ["fake/small/random/seed-0/probes.parquet"]
    big = [f"fake/org--big/random/seed-{seed}/probes.parquet" for seed in (0, 1)]
    assert files["frontier-org--big"] == big
    variant = "fake/small/random,p=0/seed-1/probes.parquet"
    assert files["ablations"] == [*big, *files["frontier-small"], variant]


def test_the_files_of_rows_are_those_that_were_written(tmp_path: Path) -> None:
    write_results(tmp_path, fabricate())
    assert [tmp_path / path for path in run_files(find_rows(tmp_path))] == sorted(
        tmp_path.rglob("probes.parquet")
    )


def test_files_are_listed_with_their_hashes_and_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.parquet").write_text("x")
    monkeypatch.setenv("CCUTILS_COMMAND", "./reproduce.sh --set 'k=<4>'")
    text = sources_html(tmp_path, [tmp_path / "a.parquet"])
    assert f"a.parquet ({hash_file(tmp_path / 'a.parquet')[:12]})" in text
    assert "<code>./reproduce.sh --set &#x27;k=&lt;4&gt;&#x27;</code>" in text


def test_a_report_contains_no_folder_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_results(tmp_path, fabricate(strategies=("random",), seeds=(0,)))
    monkeypatch.setenv("HOME", f"{tmp_path.parent}/someone")
    monkeypatch.setenv("CCUTILS_COMMAND", f"./reproduce.sh --set results={tmp_path}")
    about, data = tmp_path / "fake/toy/random/seed-0/probes.json", tmp_path / "my data.csv"
    data.touch()
    facts = {"set aside": f"1 rows: {data}, line 3; {tmp_path.parent}/someone/x, line 2"}
    write_json(about, {**read_json(about), "task_options": {"path": str(data)}, "facts": facts})
    text = write_report(tmp_path, find_rows(tmp_path), []).read_text(encoding="utf-8")
    assert "data.csv" in text and "line 2" in text
    assert str(tmp_path.parent) not in text
