"""The report says which files each figure was made of and how to make it again; it tells no folders."""

from pathlib import Path

import pytest
from made_up import fabricate, write_results

from ccutils.origin import hash_file
from ccutils.records import read_json, write_json
from ccutils.report.aggregate import find_rows
from ccutils.report.build import write_report
from ccutils.report.sources import files_behind, sources_html


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two models' runs with a variant, the judged answers of one, contexts, and the minimal model's rows."""
    write_results(tmp_path, fabricate(models=("org/big", "small"), strategies=("random",), seeds=(0, 1)))
    run = tmp_path / "fake/small/random/seed-0"
    for name in (
        "fake/small/random,p=0/seed-0/probes.parquet",
        "fake/contexts.parquet",
        "minimal_model/a.parquet",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((run / "probes.parquet").read_bytes())
    (run / "questions.parquet").write_text("x")
    return tmp_path


@pytest.mark.parametrize(
    ("figure", "files"),
    [
        ("frontier-small", ["small/random/seed-0/probes", "small/random/seed-1/probes"]),
        ("frontier-org--big", ["org--big/random/seed-0/probes", "org--big/random/seed-1/probes"]),
        ("context_structure", ["contexts"]),
    ],
)
def test_a_figure_is_made_of_its_models_usual_runs(results: Path, figure: str, files: list[str]) -> None:
    assert files_behind(results, figure) == [results / f"fake/{name}.parquet" for name in files]


def test_a_strategy_in_one_variant_alone_is_among_the_usual_runs(results: Path) -> None:
    alone = results / "fake/small/batch_mix,p=0.6/seed-0/probes.parquet"
    alone.parent.mkdir(parents=True)
    alone.write_bytes((results / "fake/small/random/seed-0/probes.parquet").read_bytes())
    assert alone in files_behind(results, "frontier-small")
    two = results / "fake/small/batch_mix,p=0/seed-0/probes.parquet"
    two.parent.mkdir(parents=True)
    two.write_bytes(alone.read_bytes())
    assert alone not in files_behind(results, "frontier-small")


def test_tables_are_made_of_all_usual_runs_and_judged_answers(results: Path) -> None:
    found = [path.relative_to(results).as_posix() for path in files_behind(results, "tables")]
    assert len(found) == 5 and "fake/small/random/seed-0/questions.parquet" in found
    assert len(files_behind(results, "ablations")) == 5
    assert files_behind(results, "minimal_model") == [results / "minimal_model/a.parquet"]


def test_files_are_told_with_their_hashes_and_the_command(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CCUTILS_COMMAND", "./reproduce.sh --set 'k=<4>'")
    text = sources_html(results, "context_structure")
    assert f"fake/contexts.parquet ({hash_file(results / 'fake/contexts.parquet')[:12]})" in text
    assert "<code>./reproduce.sh --set &#x27;k=&lt;4&gt;&#x27;</code>" in text
    monkeypatch.delenv("CCUTILS_COMMAND")
    assert "notebook 05_figures" in sources_html(results, "context_structure")


def test_a_report_tells_no_folder_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_results(tmp_path, fabricate(strategies=("random",), seeds=(0,)))
    monkeypatch.setenv("HOME", f"{tmp_path.parent}/someone")
    monkeypatch.setenv("CCUTILS_COMMAND", f"./reproduce.sh --set results={tmp_path}")
    about, data = tmp_path / "fake/toy/random/seed-0/probes.json", tmp_path / "my data.csv"
    data.touch()
    facts = {"set aside": f"1 rows: {data}, line 3; {tmp_path.parent}/someone/x, line 2"}
    write_json(about, {**read_json(about), "task_options": {"path": str(data)}, "facts": facts})
    text = write_report(tmp_path, find_rows(tmp_path), []).read_text(encoding="utf-8")
    assert "my data.csv" in text and "line 2" in text
    assert str(tmp_path.parent) not in text
