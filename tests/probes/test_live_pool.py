"""Answering with neighbours: which examples are in the prompt, and that an added one counts at once."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ccutils.errors import InputError
from ccutils.probes.live_pool import LivePool, answer_with_neighbours
from ccutils.tasks import Example

if TYPE_CHECKING:
    from ccutils.training.prepare import PreparedRun

POOL = [Example("play the radio", "MUSIC"), Example("call my sister", "CALL"), Example("call a taxi", "TAXI")]


def test_the_nearest_comes_last(parts: "PreparedRun") -> None:
    found = prompt(parts, LivePool.make(POOL), "call my brother", 2)
    assert found == wanted(parts, POOL[2], POOL[1], text="call my brother")


def test_an_added_example_counts_at_once(parts: "PreparedRun") -> None:
    pool, new = LivePool.make(POOL), Example("call my brother now", "BROTHER")
    assert prompt(parts, pool.plus(new), "call my brother", 1) == wanted(parts, new, text="call my brother")
    assert prompt(parts, pool, "call my brother", 1) == wanted(parts, POOL[1], text="call my brother")


@pytest.mark.parametrize("similarity", ["bm25", "tfidf"])
def test_an_example_is_as_similar_whether_indexed_or_added(similarity: str) -> None:
    """It is only the statistics of words that the additions leave as they were."""
    pool = LivePool.make(POOL, similarity)
    question = Example("call my sister now", "")
    (_, indexed), *_ = [pair for pair in pool.nearest(question, 3) if pair[0] == POOL[1]]
    longer = pool.plus(replace(POOL[1], output="X")).nearest(question, 4)
    (_, added), *_ = [pair for pair in longer if pair[0].output == "X"]
    assert added == pytest.approx(indexed, abs=1e-4)


def test_a_pool_smaller_than_k_is_shown_whole_and_an_empty_one_refused(parts: "PreparedRun") -> None:
    assert prompt(parts, LivePool.make(POOL[:1]), "play", 5) == wanted(parts, POOL[0], text="play")
    with pytest.raises(InputError, match="the pool is empty"):
        LivePool.make([])


def test_a_saved_pool_answers_as_before(tmp_path: Path) -> None:
    pool = LivePool.make(POOL, "tfidf").plus(Example("call a cab", "TAXI", extra={"note": "new"}))
    pool.save(tmp_path / "pool.jsonl")
    again = LivePool.load(tmp_path / "pool.jsonl")
    question = Example("call a cab now", "")
    assert again.nearest(question, 4) == pool.nearest(question, 4)
    assert again.added == pool.added and again.similarity == "tfidf"


@pytest.mark.parametrize(
    "text", ["a\u2028b", "a\u0085b", "a\x1cb", "a\r\nb", "a\nb", "half \ud83d", "caf\u00e9"]
)
def test_a_saved_pool_holds_any_text(tmp_path: Path, text: str) -> None:
    pool = LivePool.make([Example("a b", text), Example(text, "x", extra={"note": text})])
    pool.save(tmp_path / "pool.jsonl")
    assert LivePool.load(tmp_path / "pool.jsonl").examples == pool.examples


def test_a_pool_saved_by_an_earlier_version_is_read(tmp_path: Path) -> None:
    """That version wrote characters as they are, and line ends of Windows may have come on the way."""
    lines = ['{"version": 1, "similarity": "bm25", "indexed": 1}', '{"input": "a\u2028b", "output": "x"}']
    (tmp_path / "pool.jsonl").write_bytes("\r\n".join([*lines, ""]).encode())
    assert LivePool.load(tmp_path / "pool.jsonl").examples == [Example("a\u2028b", "x")]


def test_a_broken_file_of_a_pool_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pool.jsonl").write_text('{"version": 1}\n')
    for name in ("pool.jsonl", "none.jsonl"):
        with pytest.raises(InputError, match=name):
            LivePool.load(tmp_path / name)


@pytest.mark.parametrize("example", ['{"input": 3, "output": "b"}', "[" * 100_000])
def test_a_pool_with_a_broken_line_is_refused(tmp_path: Path, example: str) -> None:
    path = tmp_path / "pool.jsonl"
    path.write_text('{"version": 1, "similarity": "bm25", "indexed": 1}\n' + example)
    with pytest.raises(InputError, match=r"pool\.jsonl"):
        LivePool.load(path)


@pytest.fixture
def parts(tmp_path: Path) -> "PreparedRun":
    prepared: PreparedRun = pytest.importorskip("small", reason="needs torch").make_prepared(tmp_path)
    return prepared


def prompt(parts: "PreparedRun", pool: LivePool, text: str, k: int) -> list[int]:
    """The prompt that the model is given."""
    question = Example(text, "")
    asked: list[list[int]] = []

    def answer(prompts: Sequence[Sequence[int]], most: int) -> list[str]:
        asked.extend(map(list, prompts))
        return ["an answer"] * len(prompts)

    assert (
        answer_with_neighbours(answer, parts.prompts.prompter, pool, question, k=k, max_new_tokens=4)
        == "an answer"
    )
    return asked[0]


def wanted(parts: "PreparedRun", *examples: Example, text: str) -> list[int]:
    return parts.prompts.prompter.prompt(examples, Example(text, ""), 4).ids
