"""Score baselines without a language model on a run's questions, once per task and seed."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ccutils.origin import describe_origin, hash_texts
from ccutils.probes.baselines import answer_all
from ccutils.probes.questions import PLAIN, QuestionSet, make_questions
from ccutils.probes.scores import measure
from ccutils.records import BASELINE_FILE, Row, Run, write_rows
from ccutils.tasks import load_task


def measure_baselines(
    questions: QuestionSet, run: Run, *, task_options: Mapping[str, Any], similarity: str
) -> Path:
    """Score the baselines on the questions of a run and write their rows, unless the file exists.

    Strategies of the rows: majority (the pool's most frequent label), nearest (the label of the most similar
    demonstration), classifier (TF-IDF and logistic regression on the pool) and gated (the classifier, unless
    the similarity of the most similar demonstration exceeds a threshold chosen on VALIDATION_SEED). The last
    two need scikit-learn and outputs that are labels which repeat. Returns the path of the rows.
    """
    asked = [[q.set, q.kind, q.grade, q.target.input, q.expected.output] for q in questions.questions]
    key = hash_texts([[questions.k, similarity, asked]])[:16]
    path = run.root / run.task / f"seed-{run.seed}-{key}" / BASELINE_FILE
    if path.exists():
        return path

    def validation(seed: int) -> QuestionSet:
        task = load_task(run.task, seed=seed, **task_options)
        return make_questions(task, questions.k, seed=seed, similarity=similarity, kinds=[PLAIN])

    answers, missing = answer_all(questions, validation)
    if missing:
        print(missing, flush=True)
    rows: list[Row] = []
    for name, of_baseline in answers.items():
        rows += measure(questions, of_baseline, replace(run, strategy=name, variant="", base=""), 0)
    write_rows(path, rows, {"similarity": similarity, "k": questions.k, "origin": describe_origin()})
    return path
