"""Baselines without a language model, measured on the questions of a run."""

from pathlib import Path

import pandas as pd

from ccutils.evaluation.baselines import measure_baselines
from ccutils.probes.questions import make_questions
from ccutils.records import BASELINES, Run
from ccutils.report.aggregate import find_baselines, summary_table
from ccutils.tasks import load_task


def test_baselines_are_measured_once_for_all_strategies_and_stand_beside_a_model(tmp_path: Path) -> None:
    questions = make_questions(load_task("topics", seed=0), 4, seed=0, n_targets=30)
    paths = {
        measure_baselines(
            questions, Run(tmp_path, "topics", "tiny", strategy, 0), task_options={}, similarity="bm25"
        )
        for strategy in ("random", "contrastive")
    }
    assert len(paths) == 1
    rows = pd.read_parquet(paths.pop())
    assert tuple(dict.fromkeys(rows["strategy"])) == BASELINES
    value = rows[rows["set"] == "ood"].set_index(["strategy", "probe", "grade"])["value"]
    assert value["nearest", "quality", 4] == 1.0  # all examples relevant: any label of the context is right
    assert value["classifier", "quality", 4] == 0.0  # it knows no label of the OOD set
    known = rows[(rows["set"] == "id") & (rows["probe"] == "iwl")].set_index("strategy")["value"]
    assert known["nearest"] == 0.0 < known["majority"] < known["classifier"]
    measured = rows.assign(strategy="random", step=0)
    table = summary_table(measured, find_baselines(tmp_path))
    assert list(table["strategy"]) == ["base", *BASELINES]


def test_a_task_without_labels_has_no_classifier(tmp_path: Path) -> None:
    questions = make_questions(load_task("requests", seed=0, answer="parse"), 2, seed=0, n_targets=3)
    run = Run(tmp_path, "requests", "tiny", "random", 0)
    path = measure_baselines(questions, run, task_options={"answer": "parse"}, similarity="bm25")
    assert set(pd.read_parquet(path)["strategy"]) == {"majority", "nearest"}
