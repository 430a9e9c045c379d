"""From real files to prompts: splits, neighbours, contexts, paraphrases, a byte-level tokenizer."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ccutils.contexts.neighbours import Index, pool_neighbours
from ccutils.contexts.paraphrase import choose_paraphraser, paraphrase_pool
from ccutils.contexts.prompts import Prompter
from ccutils.contexts.sampler import ContextSampler, SlotKind, Strategy
from ccutils.tasks import Task, load_task

DATA = Path(__file__).parents[3] / "shared" / "data"
TASKS = {
    "mtop": {"path": str(DATA / "mtop_en"), "pool_size": 300},
    "text_to_sql": {"path": str(DATA / "geoquery_sql"), "pool_size": 300},
    "translation de": {"path": str(DATA / "ntrex"), "target": "de", "pool_size": 300},
    "translation lt": {"path": str(DATA / "ntrex"), "target": "lt", "pool_size": 300},
}
K = 4

pytestmark = [
    pytest.mark.skipif(not DATA.exists(), reason="real data not at ../shared/data"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture(scope="module", params=TASKS)
def task(request) -> Task:
    return load_task(request.param.split()[0], seed=0, **TASKS[request.param])


def test_contexts_and_prompts(task, tmp_path):
    """Contrastive contexts: prompts end with the target's question and hold paraphrases that are its own."""
    inputs = [e.input for e in task.pool]
    sampler = ContextSampler(Strategy("contrastive", K, 0.5, 0.3), pool_neighbours(inputs, K), inputs, seed=0)
    contexts = sampler.sample(0, np.arange(40))
    tokenizer = pytest.importorskip("transformers").ByT5Tokenizer()
    prompter = Prompter(tokenizer, task.template, window=8192)
    rng = np.random.default_rng(0)
    paraphrases = paraphrase_pool(task, choose_paraphraser(task), tmp_path)
    changed = 0
    for i, (rows, kinds) in enumerate(zip(contexts.rows, contexts.kinds, strict=True)):
        target, demonstrations = task.pool[i], []
        for row, kind in zip(rows, kinds, strict=True):
            e = task.pool[row]
            if kind == SlotKind.PARAPHRASE:
                assert e is target
                e = replace(e, input=paraphrases.pick(e, rng))
                changed += e.input != target.input
            demonstrations.append(e)
        prompt = prompter.prompt(demonstrations, target, 256)
        text = prompter.text(demonstrations, target)
        assert prompt.dropped == 0
        assert text.endswith(task.template.question.format(input=target.input, **target.extra))
        assert sum(len(f"{e.input}{e.output}".encode()) for e in demonstrations) < len(prompt.ids)
        assert all(e.output in text for e in demonstrations)
    assert changed >= 0.8 * (contexts.kinds == SlotKind.PARAPHRASE).sum() > 0


def test_neighbours_are_more_often_relevant_than_random_examples(task):
    found = Index([e.input for e in task.pool]).search([e.input for e in task.id_test], 1)
    near = [task.relevant(t, task.pool[row]) for t, row in zip(task.id_test, found.rows[:, 0], strict=True)]
    other = [task.relevant(t, task.pool[i % len(task.pool)]) for i, t in enumerate(task.id_test)]
    assert np.mean(near) > 2 * np.mean(other)


def test_answers_of_another_example_are_wrong_and_copies(task):
    """What the Copy-score is made of, on real labels."""
    assert task.wrong is not None
    target = task.id_test[0]
    other = next(e for e in task.pool if not task.relevant(target, e) and e.output != target.output)
    assert task.wrong(target.output, target, [other]) == pytest.approx((0, 0), abs=1e-9)
    share, copied = task.wrong(other.output, target, [other])
    assert share == copied > 0.5
