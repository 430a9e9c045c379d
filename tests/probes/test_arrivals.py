"""Examples that arrive: who is asked, what the prompt then shows, and that a copier learns what is shown."""

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace

import pytest

from ccutils.probes import LivePool, answer_arrivals, find_arrivals, show_arrivals
from ccutils.tasks import Task, load_task


def test_arrivals_are_of_groups_that_training_never_saw_each_group_once_at_first(task: Task) -> None:
    found = find_arrivals(task, each=2, most=5)
    assert len(found) == 5 and all(len(one.examples) == 2 for one in found)
    known = {e.output for e in task.pool}
    for one in found:
        assert one.target.output not in known
        assert all(task.relevant(one.target, e) for e in one.examples)
    groups = len({e.output for e in task.ood_test})
    assert len({one.target.output for one in found}) == min(5, groups)
    assert find_arrivals(task, each=10_000) == []


def test_a_copier_of_the_nearest_answers_right_where_a_new_example_is_the_nearest(
    task: Task, prompter: "Prompter"
) -> None:
    found = find_arrivals(task, each=2, most=4)
    told = answer_arrivals(copy_last, prompter, LivePool.make(task.pool), found, task, k=3)
    assert told[["target", "added"]].values.tolist() == [[t, a] for t in range(4) for a in range(3)]
    assert (told.loc[told["added"] == 0, ["shown", "right"]] == 0).all(axis=None)
    assert (told["shown"] <= told["added"]).all()
    assert told["right"].isin([0, 1]).all() and told["right"].sum() > 0
    assert (told.loc[told["right"] == 1, "shown"] > 0).all()  # who copies is right by what is shown alone


def test_answers_stand_side_by_side_with_what_their_prompts_showed(task: Task, prompter: "Prompter") -> None:
    found = find_arrivals(task, each=1, most=2)
    again = [found[0], replace(found[0]), found[1]]  # the same target twice: two lines all the same
    told = answer_arrivals(copy_last, prompter, LivePool.make(task.pool), again, task, k=1)
    table = show_arrivals(told)
    assert list(table.columns) == ["input", "label", "0 added", "1 added"] and len(table) == 3
    assert table["0 added"].str.endswith("(0)").all()
    assert table["label"].tolist() == [one.target.output for one in again]


def test_where_nothing_arrives_there_is_nothing_to_show(task: Task, prompter: "Prompter") -> None:
    told = answer_arrivals(lambda prompts, most: [], prompter, LivePool.make(task.pool), [], task, k=1)
    assert told.empty and show_arrivals(told).empty


class Prompter:
    """Prompts that are the demonstrations' answers as bytes."""

    def prompt(self, examples, target, room, scores) -> SimpleNamespace:
        return SimpleNamespace(ids=list("\n".join(e.output for e in examples).encode()))


def copy_last(prompts: Sequence[Sequence[int]], most: int) -> list[str]:
    """Answer as the last demonstration does."""
    return [bytes(ids).decode().splitlines()[-1] for ids in prompts]


@pytest.fixture(scope="module")
def task() -> Task:
    return load_task("topics", seed=0)


@pytest.fixture
def prompter() -> Prompter:
    return Prompter()
