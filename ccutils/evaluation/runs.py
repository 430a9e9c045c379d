"""Probe one run: find or train its checkpoints, collect their answers, and score them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ccutils.errors import InputError
from ccutils.evaluation.prompt_columns import prompt_columns
from ccutils.evaluation.responder import Responder
from ccutils.models.base import hash_base
from ccutils.origin import describe_origin, hash_texts
from ccutils.probes.judged import judge_answers
from ccutils.probes.questions import QuestionSet, curve_questions
from ccutils.probes.scores import measure_judged
from ccutils.records import Row, Run, atomic, write_rows
from ccutils.tasks import Task, load_task
from ccutils.training.identity import changes, describe_run, read_description, write_changes
from ccutils.training.plan import Plan
from ccutils.training.run import ic_train
from ccutils.training.saved import checkpoints

TRAINED_WITH = {
    *("p", "epsilon", "counterfactual", "relabel", "vary_k", "quantise", "chat", "tokenisation"),
    *("data", "extra", "base"),
}
"""Values that training and probing must share, in addition to task options and the tiny base's recipe."""


@dataclass(frozen=True, slots=True)
class Probed:
    """A run's rows, and its answers by step, in the order of that step's questions."""

    rows: list[Row]
    answers: dict[int, list[str]]


def probe_run(
    run: Run,
    questions: QuestionSet,
    responder: Responder,
    *,
    checkpoints: Mapping[int, Path],
    parameters: Mapping[str, Any],
    all_steps: bool = False,
) -> Probed:
    """Probe the base (step 0) and every checkpoint, and write the rows and scored answers of a run.

    The base and the last checkpoint are asked all questions; other checkpoints only those of the curves over
    training, or all with `all_steps`. Writes the rows to the run's probes.parquet and the scored answers to
    questions.parquet. probes.json has the parameters, the task's facts, package versions, hashes of data and
    base, and the numbers of dropped demonstrations and omitted questions.
    """
    prompts, length = responder.prompts(questions), questions.task.max_new_tokens
    steps = {0: None, **checkpoints}
    some = questions if all_steps else curve_questions(questions)
    asked = {step: questions if step in (0, max(steps)) else some for step in steps}
    prompt_of = dict(zip(map(id, questions.questions), prompts, strict=True))
    answers = {
        step: responder.answers(
            [prompt_of[id(q)] for q in asked[step].questions],
            max_new_tokens=length,
            adapter=adapter,
            folder=run.folder,
            name=f"step-{step}",
        )
        for step, adapter in steps.items()
    }
    judged = {step: judge_answers(asked[step], answers[step]) for step in steps}
    rows = [row for step in steps for row in measure_judged(judged[step], run, step)]
    counts = {
        "questions": len(prompts),
        "prompts_cut": sum(prompt.dropped > 0 for prompt in prompts),
        "demonstrations_dropped": sum(prompt.dropped for prompt in prompts),
        "left_out": dict(questions.left_out),
    }
    made_of = {"data": hash_task(questions.task), "base": hash_base(responder.path)}
    origin = {**describe_origin(), **made_of}
    facts = {"facts": dict(questions.task.facts), "probes": counts, "origin": origin}
    write_judged(run, judged, questions)
    write_rows(run.folder / "probes.parquet", rows, {**parameters, "seed": run.seed, **facts})
    return Probed(rows, answers)


def hash_task(task: Task) -> str:
    """Hash all examples of a task, set by set."""
    sets = (task.pool, task.id_test, task.ood_test, task.ood_pool)
    return hash_texts([[e.input, e.output, e.group] for e in examples] for examples in sets)


def write_judged(run: Run, judged: Mapping[int, pd.DataFrame], questions: QuestionSet) -> None:
    """Write the scored answers of all steps to the run's questions.parquet, atomically.

    Columns: those of ccutils.probes.judge_answers, the run's key as in rows, the step, and at step 0, where
    all `questions` are asked, their prompts (`prompt_columns`).
    """
    tables = [table.join(prompt_columns(questions)) if step == 0 else table for step, table in judged.items()]
    steps = [table.assign(step=step) for step, table in zip(judged, tables, strict=True)]
    table = pd.concat(steps, ignore_index=True)
    for name in ("task", "model", "strategy", "variant", "base", "seed"):
        table[name] = getattr(run, name)
    path = run.folder / "questions.parquet"
    floats = table.select_dtypes("float64").columns
    with atomic(path) as part:
        table.astype(dict.fromkeys(floats, "float32")).to_parquet(part, index=False, compression="zstd")


def find_or_train(plan: Plan) -> dict[int, Path]:
    """Find the checkpoints of the plan's run by step, or train the run as notebook 03 does.

    k, similarity, window and the settings of training may differ from the plan. Raises InputError for an
    unfinished run, and for a run that was trained with other values.
    """
    folder = plan.run.folder
    trained = read_description(folder)
    if trained is None:
        ic_train(plan)
        return checkpoints(folder)
    if not (folder / "done.json").exists():
        raise InputError(f"the run in {folder} is not finished: run notebook 03_ic_train again to resume it.")
    here = describe_run(plan, load_task(plan.task, seed=plan.seed, **plan.task_options))
    changed = {
        name: pair
        for name, pair in changes(trained, here).items()
        if name in TRAINED_WITH or name.startswith(("recipe.", "task_options."))
    }
    if changed:
        raise InputError(
            f"the run in {folder} was trained with other values: {write_changes(changed)}. Set the same "
            "values here, or train a new run with notebook 03_ic_train and another `results`."
        )
    return checkpoints(folder)
