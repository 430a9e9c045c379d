"""Training prompts: a pure function of their index, every target once an epoch, loss on answers alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small import TASK, make_prepared

from ccutils.contexts.prompts import IGNORE, Prompter
from ccutils.errors import InputError
from ccutils.training.prepare import PreparedRun


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> PreparedRun:
    return make_prepared(tmp_path_factory.mktemp("results"))


def test_every_target_occurs_once_an_epoch_in_another_order(parts: PreparedRun) -> None:
    n = len(parts.task.pool)
    epochs, rows = parts.prompts.targets(np.arange(2 * n))
    assert epochs.tolist() == [0] * n + [1] * n
    assert sorted(rows[:n]) == sorted(rows[n:]) == list(range(n))
    assert rows[:n].tolist() != rows[n:].tolist()


def test_a_prompt_depends_on_its_index_alone(parts: PreparedRun) -> None:
    places = list(range(0, 100, 7))
    together = parts.prompts.tokens(places)
    backwards = parts.prompts.tokens(places[::-1])
    assert together["input_ids"] == backwards["input_ids"][::-1]
    for i, place in enumerate(places):
        assert parts.prompts.tokens([place]) == {name: [value[i]] for name, value in together.items()}


def test_contexts_are_new_in_every_epoch(parts: PreparedRun) -> None:
    n = len(parts.task.pool)
    drawn = {epoch: {} for epoch in (0, 1)}
    for place, (target, demonstrations, _) in enumerate(parts.prompts.contexts(list(range(2 * n)))):
        drawn[place // n][target.input] = demonstrations
    same = sum(drawn[0][text] == drawn[1][text] for text in drawn[0])
    assert same < n / 4


def test_only_the_answer_and_its_end_have_a_loss(parts: PreparedRun) -> None:
    place = 5
    target, demonstrations, _ = parts.prompts.contexts([place])[0]
    found = parts.prompts.tokens([place])
    ids, labels = found["input_ids"][0], found["labels"][0]
    text = "".join(f"{e.input} = {e.output}\n" for e in demonstrations) + f"{target.input} ="
    wanted = parts.tokenizer(text, add_special_tokens=False)["input_ids"]
    answer = parts.tokenizer(target.output, add_special_tokens=False)["input_ids"]
    assert ids == [*wanted, *answer, parts.tokenizer.eos_token_id]
    assert labels == [IGNORE] * len(wanted) + ids[len(wanted) :]


def test_the_data_set_gives_the_same_prompts(parts: PreparedRun) -> None:
    data = parts.prompts.dataset(50)
    assert len(data) == 50
    assert data[[3, 44]] == parts.prompts.tokens([3, 44])


def test_a_paraphrase_has_other_words_and_the_targets_label(parts: PreparedRun) -> None:
    found = parts.prompts.contexts(list(range(200)))
    near = [(t, d[n.index(2.0)]) for t, d, n in found if 2.0 in n]
    assert near
    assert all(t.output == e.output for t, e in near)
    assert sum(t.input != e.input for t, e in near) > len(near) / 2


def test_random_demonstrations_are_dropped_first(parts: PreparedRun) -> None:
    """With room for one demonstration, the one that is kept is the nearest."""
    target, demonstrations, nearness = next(
        c for c in parts.prompts.contexts(list(range(40))) if max(c[2]) > 0
    )
    one = len(parts.tokenizer(f"{target.input} = {target.output}\n")["input_ids"])
    tight = Prompter(parts.tokenizer, parts.task.template, 2 * one + 3)
    prompt = tight.prompt(demonstrations, target, 2, nearness)
    assert prompt.dropped == len(demonstrations) - 1
    best = demonstrations[int(np.argmax(nearness))]
    assert best.output in parts.tokenizer.decode(prompt.ids)


def test_the_survey_measures_the_prompts(parts: PreparedRun) -> None:
    survey = parts.prompts.survey(40)
    lengths = [len(ids) for ids in parts.prompts.tokens(range(40))["input_ids"]]
    assert (survey.prompts, survey.most_tokens) == (40, max(lengths))
    assert survey.mean_tokens == pytest.approx(np.mean(lengths))
    assert survey.dropped == 0
    assert parts.prompts.survey(48, most=9).prompts == 9


def test_a_target_longer_than_the_window_is_refused_before_training(parts: PreparedRun) -> None:
    long = replace(parts.task.pool[2], input=" ".join(["mada"] * 300))
    pool = [*parts.task.pool[:2], long, *parts.task.pool[3:]]
    with pytest.raises(InputError, match="pool example 2"):
        replace(parts.prompts, pool=pool)


def test_labels_drawn_anew_hold_in_one_context(tmp_path: Path) -> None:
    prompts = make_prepared(tmp_path, task_options={**TASK, "fresh": 0.5}).prompts
    n, usual = len(prompts.pool), {e.input: e.output for e in prompts.pool}
    given: dict[str, set[str]] = {}
    for target, demonstrations, _ in prompts.contexts(range(4 * n)):
        given.setdefault(target.input, set()).add(target.output)
        assert all(e.output == target.output for e in demonstrations if e.group == target.group)
    changed = {text for text, labels in given.items() if labels != {usual[text]}}
    assert changed and changed < set(usual)
    assert all(len(given[text]) > 1 and usual[text] not in given[text] for text in changed)
    assert prompts.contexts([2 * n + 5]) == prompts.contexts(range(3 * n))[2 * n + 5 : 2 * n + 6]


def test_none_asks_without_demonstrations(tmp_path: Path) -> None:
    prompts = make_prepared(tmp_path, "none").prompts
    assert all(not demonstrations for _, demonstrations, _ in prompts.contexts(range(10)))
