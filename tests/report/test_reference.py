"""Reference rows: written with their origin, compared by the interval of the difference."""

from pathlib import Path

import pandas as pd
import pytest
from made_up import fabricate, write_results
from made_up_answers import write_made_up

from ccutils.errors import InputError
from ccutils.evaluation.baselines import measure_baselines
from ccutils.origin import describe_origin
from ccutils.probes.questions import make_questions
from ccutils.records import ELSEWHERE, Run, read_json, write_json
from ccutils.report.aggregate import check_rows, find_rows
from ccutils.report.paired import ANSWER_COLUMNS, find_judged
from ccutils.report.reference import (
    ORIGIN,
    compare_rows,
    find_answers,
    find_baselines_of,
    find_reference,
    main,
    tell_agreement,
    tell_origin,
    write_reference,
)
from ccutils.tasks import load_task

OTHER = Path(__file__).parents[3] / "shared" / "data" / "rows_other_cpu" / "bf74f71_epyc_avx2.parquet"


def results(tmp_path: Path) -> Path:
    """Made-up results whose runs say where they come from."""
    write_results(tmp_path / "results", fabricate())
    for path in (tmp_path / "results").rglob("probes.json"):
        write_json(path, {**read_json(path), "origin": describe_origin()})
    return tmp_path / "results"


def test_a_reference_holds_the_rows_with_their_origin(tmp_path: Path) -> None:
    (path,) = write_reference(results(tmp_path), "fake", tmp_path / "reference")
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
    with pytest.raises(InputError, match="origin"):
        write_reference(tmp_path, "fake", tmp_path)
    assert main(["only one"]) == 2


def test_scored_answers_are_kept_without_texts(tmp_path: Path) -> None:
    write_made_up(tmp_path / "results", strategies=["random"], n_targets=20)
    for path in (tmp_path / "results").rglob("probes.json"):
        write_json(path, {**read_json(path), "origin": describe_origin()})
    for _ in range(2):  # the second time in place of the same runs
        paths = write_reference(tmp_path / "results", "fake", tmp_path)
        assert [path.name for path in paths] == ["fake.parquet", "fake-answers.parquet"]
    answers, judged = find_answers("fake", tmp_path), find_judged(tmp_path / "results")
    assert answers is not None and judged is not None and list(answers) == ANSWER_COLUMNS
    assert len(answers) == len(judged) and set(answers["step"]) == {0, 20}
    assert paths[1].stat().st_size < 20_000
    rows = find_rows(tmp_path / "results")
    table = compare_rows(rows, rows, judged, answers)
    assert (table["seeds"] == 1).all() and table["agrees"].all()
    exact = table[table["score"] == "IWL-score"]
    assert (exact["low"] == exact["high"]).all(), "the same answers to the same targets"
    moved = rows.assign(value=rows["value"] + 0.1 * (rows["probe"] == "iwl"))
    assert not compare_rows(moved, rows, judged, answers).set_index("score").loc["IWL-score", "agrees"].any()
    assert compare_rows(moved, rows).set_index("score").loc["IWL-score", "agrees"].all(), "without answers"


def test_a_run_agrees_with_itself_and_not_with_another_world() -> None:
    rows = fabricate()
    table = compare_rows(rows, rows)
    assert table["agrees"].all() and (table["difference"] == 0).all() and (table["seeds"] == 3).all()
    assert tell_agreement(table).endswith("This machine reproduces it.")
    moved = rows.assign(value=rows["value"].where((rows["probe"] != "iwl") | (rows["step"] == 0), 0.99))
    moved = moved.assign(low=moved["value"], high=moved["value"])
    wrong = compare_rows(moved, rows).query("not agrees")
    assert set(wrong["score"]) == {"IWL-score"}
    assert set(wrong["strategy"]) == {"random", "similar", "contrastive"}
    assert "fewer than chance explains" in tell_agreement(compare_rows(moved, rows))


def test_one_seed_of_twenty_targets_does_not_agree_with_half_of_all_answers() -> None:
    rows = fabricate()  # the reference's seeds have 0.4, 0.5 and 0.6
    one = rows[rows["seed"] == 0].assign(value=0.9, low=0.8, high=1.0)
    table = compare_rows(one, rows)
    trained = table[table["strategy"] != "base"]
    assert (trained["reference"] == 0.4).all() and not trained["agrees"].any()
    others = compare_rows(one.assign(seed=7), rows)
    assert (others["seeds"] == 0).all() and others["reference"].between(0.49, 0.51).all()


def test_rows_of_another_processor_are_compared() -> None:
    if not OTHER.exists():
        pytest.skip("needs ../shared/data")
    rows, reference = check_rows(pd.read_parquet(OTHER).assign(variant="", base="")), find_reference("cpu")
    assert reference is not None
    table = compare_rows(rows, reference)
    assert len(table) == 2 * 6 * 5, "five of the scores are in rows that old"
    assert (table["seeds"] == 3).all()
    assert 0.4 < table["agrees"].mean() < 0.8, "the bases differ, since these rows are of older code"
    assert compare_rows(rows, rows)["agrees"].all()


def test_rows_of_baselines_are_kept_beside_those_of_a_profile(tmp_path: Path) -> None:
    run = Run(tmp_path / "results", "topics", "tiny", "random", 0)
    questions = make_questions(load_task("topics", seed=0), 4, seed=0, n_targets=5)
    measure_baselines(questions, run, task_options={}, similarity="bm25")
    written = write_reference(tmp_path / "results", "fake", tmp_path / "reference")
    assert [path.name for path in written] == ["fake-baselines.parquet"]
    found = find_baselines_of("fake", tmp_path / "reference")
    assert found is not None and "nearest" in set(found["strategy"]) and {"commit", "date"} <= set(found)
    assert find_baselines_of("other", tmp_path / "reference") is None
