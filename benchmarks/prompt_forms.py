"""How well a base learns in context, by the form of the prompt: what to look at before training on a base.

python benchmarks/prompt_forms.py
python benchmarks/prompt_forms.py --task mtop --options '{"path": "../shared/data/mtop_en"}'

A second table has other numbers of demonstrations, a third the place of the one relevant among them.
Forms are the task's own template, the same behind an instruction, the words Input and Label around it, and
each of them in the model's chat template. The questions are of a validation seed (and, of `requests`, of its
validation split), so that choosing a form by this table is no tuning on a test set.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from ccutils.evaluation.responder import Responder
from ccutils.models.base import model_path
from ccutils.probes.judged import judge_answers
from ccutils.probes.questions import PLAIN, SETS, Question, QuestionSet, make_questions
from ccutils.tasks import Task, Template, load_task

SEED = 100  # a validation seed: never one of those that are reported
INSTRUCTION = "Answer with the label of the input, as in the examples.\n\n"


def forms(template: Template) -> Iterator[tuple[str, Template]]:
    """Yield the forms of a prompt by name."""
    yield "own", template
    yield "own, instruction", replace(template, instruction=INSTRUCTION)
    yield "Input/Label", Template("Input: {input}\nLabel:", separator="\n\n")
    yield (
        "Input/Label, instruction",
        Template("Input: {input}\nLabel:", separator="\n\n", instruction=INSTRUCTION),
    )


Row = dict[str, Any]


def ask(responder: Responder, questions: QuestionSet) -> dict[str, float]:
    """Return the mean score by set and number of relevant demonstrations."""
    prompts = responder.prompts(questions)
    answers = responder.answers(
        prompts,
        max_new_tokens=questions.task.max_new_tokens,
        adapter=None,
        folder=responder.cache,
        name="form",
    )
    judged = judge_answers(questions, answers)
    means = judged.groupby(["set", "grade"])["score"].mean()
    tokens = sum(len(p.ids) for p in prompts) / len(prompts)
    return {"tokens": round(tokens), **{f"{s}, {g} of {questions.k}": means[s, g] for s, g in means.index}}


def chosen(task: Task, k: int, n_targets: int) -> QuestionSet:
    """Return questions with nothing, one, and k relevant demonstrations of true labels."""
    made = make_questions(task, k, seed=SEED, n_targets=n_targets).only(PLAIN)
    return replace(made, questions=tuple(q for q in made.questions if q.grade in {0, 1, k}))


def placed(question: Question, place: int) -> Question:
    """Return a question whose one relevant demonstration stands at a place of the context, from 0."""
    others = [i for i, needed in enumerate(question.needed) if not needed]
    order = [*others[:place], question.needed.index(True), *others[place:]]
    return replace(
        question,
        context=tuple(question.context[i] for i in order),
        similarity=tuple(question.similarity[i] for i in order),
        needed=tuple(question.needed[i] for i in order),
    )


def by_form(responder: Responder, task: Task, k: int, n_targets: int) -> Iterator[Row]:
    """Ask the same questions in every form of the prompt, plain and in the chat template."""
    questions = chosen(task, k, n_targets)
    for name, template in forms(task.template):
        asked = replace(questions, task=replace(task, template=template))
        for chat in (False, True):
            responder.chat = chat
            yield {"form": f"{name}, chat" if chat else name, **ask(responder, asked)}
    responder.chat = False


def by_number(responder: Responder, task: Task, k: int, n_targets: int) -> Iterator[Row]:
    """Ask with up to twice as many demonstrations as k; none of them, one or all relevant."""
    for number in sorted({1, k // 2, k, 2 * k} - {0}):
        found = ask(responder, chosen(task, number, n_targets))
        grades = {"none": 0, "one": 1, "all": number}
        scores = {
            f"{of}, {name}": found[f"{of}, {g} of {number}"] for of in SETS for name, g in grades.items()
        }
        yield {"demonstrations": number, "tokens": found["tokens"], **scores}


def by_place(responder: Responder, task: Task, k: int, n_targets: int) -> Iterator[Row]:
    """Ask with the one relevant demonstration at each place; the last is next to the question."""
    questions = chosen(task, k, n_targets)
    one = [q for q in questions.questions if q.grade == 1]
    for place in range(k):
        asked = replace(questions, questions=tuple(placed(q, place) for q in one))
        yield {"place": place + 1, **ask(responder, asked)}


TABLES = {"forms": by_form, "number": by_number, "place": by_place}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--task", default="requests")
    parser.add_argument("--options", type=json.loads, default={}, help="of the task, as JSON")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("-k", type=int, default=4)
    parser.add_argument("--targets", type=int, default=20)
    parser.add_argument("--tables", nargs="+", choices=list(TABLES), default=list(TABLES))
    parser.add_argument("--results", type=Path, default=Path("results/prompt-forms"))
    given = parser.parse_args()
    options: dict[str, Any] = {"test_split": "dev"} if given.task == "requests" else {}
    task = load_task(given.task, seed=SEED, **options, **given.options)
    path = model_path(given.model, task, given.results / "cache")
    responder = Responder(path, given.results / "cache", quantise=False, window=2048)  # loads the model once
    print(
        f"{given.task} {json.dumps(given.options)}, {given.model}, k = {given.k}, {given.targets} targets "
        f"a set, seed {SEED}; {platform.processor() or platform.machine()}, {os.cpu_count()} cores; "
        f"torch {version('torch')}, transformers {version('transformers')}"
    )
    for name in given.tables:
        rows = list(TABLES[name](responder, task, given.k, given.targets))
        print("\n" + pd.DataFrame(rows, dtype=object).to_markdown(index=False, floatfmt=".2f"), flush=True)


if __name__ == "__main__":
    main()
