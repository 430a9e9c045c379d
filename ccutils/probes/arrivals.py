"""Examples of new groups added after training: the same questions before and after, with the same weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import pandas as pd

from ccutils.contexts.prompts import Prompter
from ccutils.probes.live_pool import Answer, LivePool, prompt_with_neighbours
from ccutils.tasks.base import Example, Task


@dataclass(frozen=True, slots=True)
class Arrival:
    """A target of a group without training examples, and relevant examples to add one by one."""

    target: Example
    examples: tuple[Example, ...]


def find_arrivals(task: Task, each: int = 3, most: int = 10) -> list[Arrival]:
    """Find up to `most` OOD targets, in order, for which the OOD pool has `each` relevant examples.

    Targets with different answers come first, to cover many groups.
    """
    found, again, seen = list[Arrival](), list[Arrival](), set[str]()
    for target in task.ood_test:
        examples = tuple(islice((e for e in task.ood_pool if task.relevant(target, e)), each))
        if len(examples) == each:
            (again if target.output in seen else found).append(Arrival(target, examples))
            seen.add(target.output)
    return [*found, *again][:most]


def answer_arrivals(
    answer: Answer, prompter: Prompter, pool: LivePool, arrivals: Sequence[Arrival], task: Task, *, k: int
) -> pd.DataFrame:
    """Ask each target with 0, 1, ... all of its new examples added to the pool, its k nearest in the prompt.

    Returns one row per question: `target` (its index in `arrivals`), input, label, added, shown (the number
    of relevant examples among the k nearest), answer, right (a score from 0 to 1). An added example is not
    shown if k others are nearer to the target.
    """
    rows, prompts, most = [], [], task.max_new_tokens
    for index, one in enumerate(arrivals):
        for added in range(len(one.examples) + 1):
            grown = pool.plus(*one.examples[:added])
            examples, prompt = prompt_with_neighbours(prompter, grown, one.target, k=k, max_new_tokens=most)
            prompts.append(prompt.ids)
            shown = sum(task.relevant(one.target, e) for e in examples)
            rows.append((index, one.target.input, one.target.output, added, shown))
    table = pd.DataFrame(rows, columns=["target", "input", "label", "added", "shown"])
    answers = answer(prompts, most)
    right = task.score(answers, [arrivals[index].target for index in table["target"]])
    return table.assign(answer=answers, right=right)


def show_arrivals(rows: pd.DataFrame) -> pd.DataFrame:
    """Tabulate the answers of each target, with a column for each number of examples added.

    The number of relevant examples in the prompt follows each answer in parentheses.
    """
    cells = rows["answer"].astype(str) + "  (" + rows["shown"].astype(str) + ")"
    wide = rows.assign(cell=cells).pivot(index=["target", "input", "label"], columns="added", values="cell")
    wide.columns = [f"{added} added" for added in wide.columns]
    return wide.reset_index().drop(columns="target")
