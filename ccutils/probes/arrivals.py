"""Examples of new groups arrive after training: the same questions before and after, by the same weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import pandas as pd

from ccutils.contexts.prompts import Prompter
from ccutils.probes.live_pool import Answer, LivePool, prompt_with_neighbours
from ccutils.tasks.base import Example, Task


@dataclass(frozen=True, slots=True)
class Arrival:
    """A target of a group that training never saw, and the relevant examples that arrive one by one."""

    target: Example
    examples: tuple[Example, ...]


def find_arrivals(task: Task, each: int = 3, most: int = 10) -> list[Arrival]:
    """Find up to `most` OOD targets, in their order, of which the OOD pool has `each` relevant examples.

    Targets of different answers come first, so that many groups are seen.
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

    Returns a row a question: `target` (its place among the arrivals), input, label, added, shown (how many
    relevant examples were among the k nearest), answer, right (a score from 0 to 1). An example that was
    added may still be further from the target than k others: then it is not shown.
    """
    rows, prompts, most = [], [], task.max_new_tokens
    for place, one in enumerate(arrivals):
        for added in range(len(one.examples) + 1):
            grown = pool.plus(*one.examples[:added])
            examples, prompt = prompt_with_neighbours(prompter, grown, one.target, k=k, max_new_tokens=most)
            prompts.append(prompt.ids)
            shown = sum(task.relevant(one.target, e) for e in examples)
            rows.append((place, one.target.input, one.target.output, added, shown))
    table = pd.DataFrame(rows, columns=["target", "input", "label", "added", "shown"])
    answers = answer(prompts, most)
    right = task.score(answers, [arrivals[place].target for place in table["target"]])
    return table.assign(answer=answers, right=right)


def show_arrivals(rows: pd.DataFrame) -> pd.DataFrame:
    """Set the answers of each target side by side, a column for each number of examples added.

    Behind an answer stands how many relevant examples its prompt showed.
    """
    told = rows["answer"].astype(str) + "  (" + rows["shown"].astype(str) + ")"
    wide = rows.assign(told=told).pivot(index=["target", "input", "label"], columns="added", values="told")
    wide.columns = [f"{added} added" for added in wide.columns]
    return wide.reset_index().drop(columns="target")
