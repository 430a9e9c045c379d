"""Reference rows: written with their origin, compared by the interval of the difference."""

from pathlib import Path

import pandas as pd
import pytest
from made_up import fabricate, write_results

from ccutils.errors import InputError
from ccutils.origin import describe_origin
from ccutils.records import ELSEWHERE, read_json, write_json
from ccutils.report.aggregate import check_rows
from ccutils.report.reference import (
    ORIGIN,
    compare_rows,
    find_reference,
    main,
    tell_agreement,
    tell_origin,
    write_reference,
)

OTHER = Path(__file__).parents[3] / "shared" / "data" / "rows_other_cpu" / "bf74f71_epyc_avx2.parquet"


def results(tmp_path: Path) -> Path:
    """Made-up results whose runs say where they come from."""
    write_results(tmp_path / "results", fabricate())
    for path in (tmp_path / "results").rglob("probes.json"):
        write_json(path, {**read_json(path), "origin": describe_origin()})
    return tmp_path / "results"


def test_a_reference_holds_the_rows_with_their_origin(tmp_path: Path) -> None:
    path = write_reference(results(tmp_path), "fake", tmp_path / "reference")
    rows = find_reference("fake", tmp_path / "reference")
    assert path.name == "fake.parquet" and rows is not None and len(rows) == len(fabricate())
    assert set(ORIGIN) <= set(rows) and rows["processor"].str.len().min() > 0
    assert "seeds 0, 1, 2" in tell_origin(rows) and describe_origin()["processor"] in tell_origin(rows)
    assert find_reference("none", tmp_path) is None


def test_a_reference_grows_by_runs_and_takes_a_run_made_again_for_the_old(tmp_path: Path) -> None:
    folder, path = tmp_path / "reference", results(tmp_path)
    write_reference(path, "fake", folder)
    before = find_reference("fake", folder)
    runs = sorted(path.rglob("probes.parquet"))
    for other in runs[1:]:
        other.unlink()
    again = pd.read_parquet(runs[0])
    again.assign(value=0.25).to_parquet(runs[0])
    write_reference(path, "fake", folder)
    after = find_reference("fake", folder)
    assert before is not None and after is not None and len(after) == len(before)
    changed = after["value"].ne(before["value"])
    run = again.iloc[0]
    ours = (after["strategy"] == run["strategy"]) & (after["seed"] == run["seed"])
    assert (after["value"][ours] == 0.25).all() and not changed[~ours].any()


def test_rows_of_other_tasks_are_kept_apart(tmp_path: Path) -> None:
    folder, path = tmp_path / "reference", results(tmp_path)
    write_reference(path, "fake", folder)
    assert not (folder / "fake-elsewhere.parquet").exists()
    for run in path.rglob("probes.parquet"):
        others = run.with_name(ELSEWHERE)
        pd.read_parquet(run).query("probe == 'quality'").assign(set="mtop").to_parquet(others)
        write_json(others.with_suffix(".json"), {"origin": describe_origin()})
    write_reference(path, "fake", folder)
    own, others = find_reference("fake", folder), find_reference("fake-elsewhere", folder)
    assert own is not None and set(own["set"]) == {"id", "ood"}
    assert others is not None and set(others["set"]) == {"mtop"} and set(ORIGIN) <= set(others)


def test_rows_of_nowhere_are_no_reference(tmp_path: Path) -> None:
    write_results(tmp_path, fabricate())
    with pytest.raises(InputError, match="does not say where it comes from"):
        write_reference(tmp_path, "fake", tmp_path)
    assert main(["only one"]) == 2


def test_a_run_agrees_with_itself_and_not_with_another_world() -> None:
    rows = fabricate()
    table = compare_rows(rows, rows)
    assert table["agrees"].all() and (table["difference"] == 0).all()
    assert tell_agreement(table).endswith("This machine reproduces it.")
    moved = rows.assign(value=rows["value"].where((rows["probe"] != "iwl") | (rows["step"] == 0), 0.99))
    moved = moved.assign(low=moved["value"], high=moved["value"])
    table = compare_rows(moved, rows)
    wrong = table[~table["agrees"]]
    assert set(wrong["score"]) == {"IWL-score"} and set(wrong["strategy"]) == {
        "random",
        "similar",
        "contrastive",
    }
    assert "fewer than chance explains" in tell_agreement(table)


def test_rows_of_another_processor_are_compared() -> None:
    if not OTHER.exists():
        pytest.skip("needs ../shared/data")
    rows = check_rows(pd.read_parquet(OTHER))
    some, rest = (rows[rows["seed"].isin(seeds)] for seeds in ((0, 1), (2,)))
    table = compare_rows(rest, some)
    assert len(table) == 2 * 6 * 5, (
        "IWL, override, novel, Copy and known are in rows that old, three scores are not"
    )
    assert 0.5 < table["agrees"].mean() <= 1
