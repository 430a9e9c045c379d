"""Neighbours against brute force, known answers, scripts with vowel signs, the cache."""

import json
import math
import sys
import types
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccutils.contexts.neighbours import Index, Neighbours, duplicate_groups, fold, pool_neighbours
from ccutils.contexts.similarity import words
from ccutils.errors import InputError

MTOP = Path(__file__).parents[3] / "shared" / "data" / "mtop_en" / "train.jsonl"
BACKENDS = ["bm25", "tfidf"]
ROWS, SCORES = np.zeros((3, 2), dtype=np.int32), np.zeros((3, 2), dtype=np.float32)


def test_fold_ignores_case_and_spaces_alone() -> None:
    assert fold(" Play\u00a0 JAZZ\n") == fold("play jazz")
    assert fold("play jazz!") != fold("play jazz")


def test_unknown_words_lower_bm25_similarity() -> None:
    index = Index(["wake me at six", "play some jazz"], "bm25")
    row = np.array([[0]])
    assert index.similarity(["wake me"], row) > index.similarity(["wake me xylophone"], row) > 0.1


def bm25_by_hand(query: str, text: str, pool: list[str]) -> float:
    """Lucene's BM25 with k1 = 1.5 and b = 0.75, over the score of the query with itself."""
    pools = [words(t) for t in pool]
    average = sum(map(len, pools)) / len(pools)

    def score(tokens: list[str]) -> float:
        total = 0.0
        for word in words(query):
            n = sum(word in t for t in pools)
            idf = math.log(1 + (len(pools) - n + 0.5) / (n + 0.5))
            tf = tokens.count(word)
            total += idf * tf / (tf + 1.5 * (0.25 + 0.75 * len(tokens) / average))
        return total

    own = score(words(query))
    return score(words(text)) / own if own else 0.0


def tfidf_by_hand(query: str, text: str, pool: list[str]) -> float:
    """Cosine of counts times log((1 + n) / (1 + n with the word)) + 1; few words are not reduced by SVD."""
    known = Counter(word for t in pool for word in set(words(t)))

    def vector(t: str) -> dict[str, float]:
        counts = Counter(w for w in words(t) if w in known)
        return {w: c * (math.log((1 + len(pool)) / (1 + known[w])) + 1) for w, c in counts.items()}

    a, b = vector(query), vector(text)
    lengths = math.hypot(*a.values()) * math.hypot(*b.values())
    return sum(a[w] * b[w] for w in a.keys() & b.keys()) / lengths if lengths else 0.0


BY_HAND = {"bm25": bm25_by_hand, "tfidf": tfidf_by_hand}
SENTENCES = st.lists(st.sampled_from(["ab", "bc", "cd", "de", "ef"]), max_size=5).map(" ".join)


@pytest.mark.parametrize("backend", BACKENDS)
@given(
    pool=st.lists(SENTENCES, min_size=3, max_size=30), queries=st.lists(SENTENCES, max_size=3), data=st.data()
)
@settings(max_examples=60, deadline=None)
def test_search_agrees_with_brute_force(
    backend: str, pool: list[str], queries: list[str], data: st.DataObject
) -> None:
    pool = [*pool, "ab zz"]  # at least one word
    queries = [*queries, "ab unknown"]
    k = data.draw(st.integers(1, len(pool) - 2))
    exclude = [data.draw(st.sets(st.integers(0, len(pool) - 1), max_size=2)) for _ in queries]
    found = Index(pool, backend).search(queries, k, [sorted(rows) for rows in exclude], batch_size=2)
    assert found.rows.shape == found.scores.shape == (len(queries), k)
    for query, gone, rows, scores in zip(queries, exclude, found.rows.tolist(), found.scores, strict=True):
        assert len(set(rows)) == k and not gone & set(rows)
        true = np.array([BY_HAND[backend](query, text, pool) for text in pool])
        np.testing.assert_allclose(scores, np.clip(true[rows], 0, 1), atol=2e-5)
        left = [row for row in range(len(pool)) if row not in gone]
        np.testing.assert_allclose(true[rows], np.sort(true[left])[::-1][:k], atol=2e-5)
        for place, row in enumerate(rows):  # the same words: the lower row comes first
            twins = [r for r in left if r < row and words(pool[r]) == words(pool[row])]
            assert set(twins) <= set(rows[:place])


@pytest.mark.parametrize("backend", BACKENDS)
def test_similarity_agrees_with_search_and_with_between(backend: str) -> None:
    pool = ["wake me at six", "wake him at seven", "play some jazz", "play it again", "what is the weather"]
    index = Index(pool, backend)
    queries = ["wake me at nine", "weather", "nothing known"]
    found = index.search(queries, 5)
    similarity = index.similarity(queries, found.rows)
    np.testing.assert_allclose(similarity, found.scores, atol=2e-5)
    pairs = index.between(queries, [pool[row] for row in found.rows[:, 0]])
    np.testing.assert_allclose(pairs, found.scores[:, 0], atol=2e-5)
    assert found.rows[:, 0].tolist()[:2] == [0, 4]
    assert np.all(found.scores[2] == 0) and found.rows[2].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_text_is_wholly_similar_to_itself_and_not_to_a_stranger(backend: str) -> None:
    pool = ["wake me at six", "play some jazz", "wake up", "?!"]
    index = Index(pool, backend)
    own = index.similarity(pool, np.arange(4)[:, None])[:, 0]
    np.testing.assert_allclose(own, [1, 1, 1, 0], atol=1e-6)  # the last has no word
    assert index.similarity(["wake me at six"], np.array([[1]]))[0, 0] < 1e-6
    np.testing.assert_allclose(index.between(["new words"], ["new words"]), [1.0 if backend == "bm25" else 0])


def test_more_is_fetched_while_a_tie_could_change_the_answer() -> None:
    pool = ["x y"] + ["a b"] * 300 + ["a b c"] * 5
    found = Index(pool, "tfidf").search(["a b"], 4, exclude=[[1, 2]])
    assert found.rows.tolist() == [[3, 4, 5, 6]]


@pytest.mark.parametrize("backend", BACKENDS)
def test_pool_neighbours_never_hold_the_text_or_its_duplicates(backend: str) -> None:
    pool = ["wake me", "Wake  me", "wake me up", "call mum", "call  Mum ", "wake mum"]
    found = pool_neighbours(pool, 3, backend)
    groups = duplicate_groups(pool)
    assert groups.tolist() == [0, 0, 1, 2, 2, 3]
    assert not np.any(groups[found.rows] == groups[:, None])
    assert found.rows[0, 0] == 2 and found.rows[3, 0] == 5 and found.rows[5].tolist()[0] in (0, 3)
    with pytest.raises(InputError, match=r"text 0 .*k is 5"):
        pool_neighbours(pool, 5, backend)


def test_words_keep_the_vowel_signs_of_tamil_and_hindi() -> None:
    assert words("மழை பெய்யுமா?") == ["மழை", "பெய்யுமா"]
    assert words("मुझे सुबह छह बजे जगाओ।") == ["मुझे", "सुबह", "छह", "बजे", "जगाओ"]
    assert words("क्\u200dष") == ["क्ष"]  # a joiner changes the look, not the word
    assert words("\u0bca") == words("\u0bc6\u0bbe")  # one sign, written in two ways
    assert words("It's ２ o'clock, STRAßE_x") == ["it", "s", "2", "o", "clock", "strasse", "x"]


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    found = pool_neighbours(["a b", "b c", "c d"], 2, path=tmp_path / "made" / "neighbours.npz")
    kept = Neighbours.load(tmp_path / "made" / "neighbours.npz")
    np.testing.assert_array_equal(kept.rows, found.rows)
    np.testing.assert_array_equal(kept.scores, found.scores)
    assert kept.rows.dtype == np.int32 and kept.scores.dtype == np.float32 and kept.source == found.source
    assert [p.name for p in (tmp_path / "made").iterdir()] == ["neighbours.npz"]


def test_kept_neighbours_are_used_only_where_they_fit(tmp_path: Path) -> None:
    path = tmp_path / "neighbours.npz"
    texts = ["a b", "b c", "c d", "d a"]
    found = pool_neighbours(texts, 2, path=path)
    marked = Neighbours(found.rows, np.full_like(found.scores, 0.25), found.source)
    marked.save(path)
    assert np.all(pool_neighbours(texts, 2, path=path).scores == 0.25)
    assert pool_neighbours(texts, 1, path=path).scores.tolist() == [[0.25]] * 4
    for other in (pool_neighbours(texts, 3, path=path), pool_neighbours(texts, 2, "tfidf", path=path)):
        assert not np.any(other.scores == 0.25)
    marked.save(path)
    assert not np.any(pool_neighbours([*texts[:3], "d b"], 2, path=path).scores == 0.25)


@pytest.mark.parametrize(
    "values",
    [
        {"version": 1, "rows": ROWS},
        {"version": 99, "rows": ROWS, "scores": SCORES, "source": ""},
        {"version": 1, "rows": ROWS[:2], "scores": SCORES, "source": ""},
        {"version": 1, "rows": ROWS.astype(float), "scores": SCORES, "source": ""},
    ],
)
def test_files_of_another_form_are_refused(tmp_path: Path, values: dict[str, Any]) -> None:
    np.savez(tmp_path / "neighbours.npz", **values)
    with pytest.raises(InputError, match=r"neighbours\.npz"):
        Neighbours.load(tmp_path / "neighbours.npz")


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 broken", b"words"])
def test_missing_and_broken_files_are_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "neighbours.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"neighbours\.npz"):
        Neighbours.load(tmp_path / "neighbours.npz")


def test_sentence_transformers_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(InputError, match="st:some/model"):
        Index(["a"], "st:some/model")

    class Stub:
        """Counts of letters as vectors."""

        def __init__(self, name: str) -> None:
            if name != "some/model":
                raise OSError("no such model")

        def encode(self, texts: list[str], show_progress_bar: bool) -> np.ndarray:
            return np.array([[t.count(letter) for letter in "abc"] for t in texts], dtype=np.float32)

    module = types.ModuleType("sentence_transformers")
    module.SentenceTransformer = Stub  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    found = Index(["ab", "aab", "c"], "st:some/model").search(["abab"], 3)
    assert found.rows.tolist() == [[0, 1, 2]]
    np.testing.assert_allclose(found.scores, [[1, 3 / math.sqrt(10), 0]], atol=1e-5)
    with pytest.raises(InputError, match="st:other"):
        Index(["a"], "st:other")


@pytest.mark.skipif(not MTOP.exists(), reason="needs MTOP at ../shared/data/mtop_en")
@pytest.mark.parametrize("backend", BACKENDS)
def test_real_utterances(backend: str) -> None:
    lines = MTOP.read_text(encoding="utf-8").splitlines()[:3000]
    texts = [json.loads(line)["question"] for line in lines]
    found = pool_neighbours(texts, 5, backend)
    groups = duplicate_groups(texts)
    assert not np.any(groups[found.rows] == groups[:, None])
    index, targets = Index(texts, backend), np.arange(0, 3000, 60)
    every = index.similarity([texts[t] for t in targets], np.tile(np.arange(3000), (len(targets), 1)))
    every[groups[targets][:, None] == groups[None, :]] = -1
    np.testing.assert_allclose(np.sort(every, axis=1)[:, ::-1][:, :5], found.scores[targets], atol=2e-5)
    shared = [set(words(texts[t])) & set(words(texts[found.rows[t, 0]])) for t in range(3000)]
    assert np.mean([bool(s) for s in shared]) > 0.99
