"""Measure how well a base learns in context by prompt form: check this before training on a base.

python benchmarks/prompt_forms.py
python benchmarks/prompt_forms.py --task mtop --options '{"path": "../shared/data/mtop_en"}'

Three tables: the form of the prompt, the number of demonstrations, and the position of the only relevant one.
Forms are the task's own template, the words Input and Label around the input, each also with an instruction
and in the model's chat template. Questions are from a validation seed (for `requests`, from its validation
split), so choosing a form by these tables does not tune on a test set.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.common import add_task, load_chosen, machine, make_parser, print_table
from ccutils.evaluation.responder import Responder
from ccutils.models.base import model_path
from ccutils.probes.judged import judge_answers
from ccutils.probes.questions import PLAIN, SETS, Question, QuestionSet, make_questions
from ccutils.tasks import Task, Template

SEED = 100  # a validation seed: never a reported seed
INSTRUCTION = "Answer with the label of the input, as in the examples.\n\n"


Row = dict[str, Any]


def ask(responder: Responder, questions: QuestionSet) -> dict[str, float]:
    """Return the mean tokens of a prompt and the mean score by set and number of relevant demonstrations."""
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
    """Create questions with none, one and k relevant demonstrations, all with true labels."""
    made = make_questions(task, k, seed=SEED, n_targets=n_targets).only(PLAIN)
    return replace(made, questions=tuple(q for q in made.questions if q.grade in {0, 1, k}))


def placed(question: Question, place: int) -> Question:
    """Move the only relevant demonstration of a question to this index of its context."""
    others = [i for i, needed in enumerate(question.needed) if not needed]
    order = [*others[:place], question.needed.index(True), *others[place:]]
    return replace(
        question,
        context=tuple(question.context[i] for i in order),
        similarity=tuple(question.similarity[i] for i in order),
        needed=tuple(question.needed[i] for i in order),
    )


def by_form(responder: Responder, task: Task, k: int, n_targets: int) -> Iterator[Row]:
    """Yield the scores of each prompt form, plain and in the chat template, on the same questions."""
    questions = chosen(task, k, n_targets)
    labelled = Template("Input: {input}\nLabel:", separator="\n\n")
    chats = (False, True) if responder.tokenizer.chat_template else (False,)
    for name, own in (("own", task.template), ("Input/Label", labelled)):
        for extra, instruction in (("", own.instruction), (", instruction", INSTRUCTION)):
            template = replace(own, instruction=instruction)
            asked = replace(questions, task=replace(task, template=template))
            for chat in chats:
                responder.chat = chat
                yield {"form": f"{name}{extra}{', chat' if chat else ''}", **ask(responder, asked)}
    responder.chat = False


def by_number(responder: Responder, task: Task, k: int, n_targets: int) -> Iterator[Row]:
    """Yield the scores by number of demonstrations, 1 to 2k: none of them, one or all relevant."""
    for number in sorted({1, k // 2, k, 2 * k} - {0}):
        found = ask(responder, chosen(task, number, n_targets))
        grades = {"none": 0, "one": 1, "all": number}
        scores = {
            f"{of}, {name}": found[f"{of}, {g} of {number}"] for of in SETS for name, g in grades.items()
        }
        yield {"demonstrations": number, "tokens": found["tokens"], **scores}


def by_place(responder: Responder, task: Task, k: int, n_targets: int) -> Iterator[Row]:
    """Yield the scores by position of the only relevant demonstration; the last is next to the question."""
    questions = chosen(task, k, n_targets)
    one = [q for q in questions.questions if q.grade == 1]
    for place in range(k):
        asked = replace(questions, questions=tuple(placed(q, place) for q in one))
        yield {"place": place + 1, **ask(responder, asked)}


TABLES = {"forms": by_form, "number": by_number, "place": by_place}


def main() -> None:
    """Print the tables."""
    parser = make_parser(__doc__)
    add_task(parser, "requests")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("-k", type=int, default=4)
    parser.add_argument("--targets", type=int, default=20)
    parser.add_argument("--tables", nargs="+", choices=list(TABLES), default=list(TABLES))
    parser.add_argument("--results", type=Path, default=Path("results/prompt-forms"))
    given = parser.parse_args()
    task = load_chosen(given, SEED, **({"test_split": "dev"} if given.task == "requests" else {}))
    path = model_path(given.model, task, given.results / "cache")
    responder = Responder(path, given.results / "cache", quantise=False, window=2048)
    print(
        f"{given.task} {json.dumps(given.options)}, {given.model}, k = {given.k}, {given.targets} targets "
        f"a set, seed {SEED}; {machine()}"
    )
    for name in given.tables:
        print_table(TABLES[name](responder, task, given.k, given.targets))


if __name__ == "__main__":
    main()
