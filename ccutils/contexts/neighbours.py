"""The nearest pool examples of a text, with their similarity in [0, 1]."""

import hashlib
import re
import unicodedata
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from ccutils.contexts.similarity import BACKENDS, make_backend
from ccutils.errors import InputError
from ccutils.records import atomic

__all__ = ["BACKENDS", "Index", "Neighbours", "duplicate_groups", "fold", "pool_neighbours"]

FILE_VERSION = 1  # of the .npz file
SCORE_STEPS = 100_000  # similarities are compared in steps of 1e-5, so that rounding does not break a tie
SCORES_AT_ONCE = 2**23  # similarities in memory at once: about 250 MB while they are sorted


def fold(text: str) -> str:
    """Normalise case and white space: two inputs with the same result are duplicates."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def duplicate_groups(texts: Sequence[str]) -> NDArray[np.int64]:
    """Number the texts, shape (n,), with the same number for duplicates.

    >>> duplicate_groups(["Play it", "stop", "play  it"]).tolist()
    [0, 1, 0]
    """
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(fold(text), len(numbers)) for text in texts], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The k nearest pool rows of n queries: rows (n, k), best first, and scores (n, k) in [0, 1].

    `source` is a hash of backend and texts, empty if unknown.
    """

    rows: NDArray[np.int32]
    scores: NDArray[np.float32]
    source: str = ""

    def save(self, path: Path) -> None:
        """Write an .npz file, atomically."""
        with atomic(path) as part, part.open("wb") as file:
            np.savez_compressed(
                file, version=FILE_VERSION, rows=self.rows, scores=self.scores, source=self.source
            )

    @classmethod
    def load(cls, path: Path) -> "Neighbours":
        """Load what `save` wrote. Raises InputError for a missing or broken file, or another version."""
        try:
            with np.load(path, allow_pickle=False) as file:
                rows, scores, source = file["rows"], file["scores"], str(file["source"])
                if file["version"] != FILE_VERSION or (rows.ndim, rows.shape, rows.dtype) != (
                    2,
                    scores.shape,
                    np.int32,
                ):
                    raise ValueError("another version or form")
        except (OSError, EOFError, KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
            raise InputError(f"{path} is not a valid neighbour cache: delete it to rebuild it.") from error
        return cls(rows, scores, source)


class Index:
    """A searchable pool. Raises InputError for an empty pool and for an unknown backend."""

    def __init__(self, texts: Sequence[str], backend: str = "bm25") -> None:
        if not len(texts):
            raise InputError("the pool is empty: neighbours need at least one example.")
        self.texts = texts
        self.backend = make_backend(texts, backend)

    def search(
        self,
        queries: Sequence[str],
        k: int,
        exclude: Sequence[Sequence[int]] | None = None,
        batch_size: int = 256,
    ) -> Neighbours:
        """Find the k nearest pool rows of each query, except the rows in its entry of `exclude`.

        Ties (similarity equal in steps of 1e-5) go to the lower row. Raises InputError if fewer than k rows
        remain.
        """
        n = len(self.texts)
        if not 1 <= k <= n:
            raise InputError(f"k is {k}: it must be between 1 and the {n} examples of the pool.")
        exclude = [()] * len(queries) if exclude is None else exclude
        for query, left_out in enumerate(exclude):
            if n - len(left_out) < k:
                raise InputError(
                    f"text {query} ({queries[query][:40]!r}) has {n - len(left_out)} examples in the pool of "
                    f"{n} besides those to leave out, and k is {k}: lower k or enlarge the pool."
                )
        represented = self.backend.represent(queries)
        rows = np.empty((len(queries), k), dtype=np.int32)
        scores = np.empty((len(queries), k), dtype=np.float32)
        step = max(1, min(batch_size, SCORES_AT_ONCE // n))
        starts = range(0, len(queries), step)
        for start in tqdm(starts, desc="neighbours", unit="batch", disable=len(starts) < 20):
            part = slice(start, start + step)
            rows[part], scores[part] = self._nearest(represented[part], k, exclude[part])
        return Neighbours(rows, scores)

    def _nearest(
        self, queries: Any, k: int, exclude: Sequence[Sequence[int]]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Find rows and scores (batch, k); fetch more while a tie at the end could still change them."""
        n = len(self.texts)
        fetch = min(n, k + max(map(len, exclude), default=0) + 8)
        while True:
            rows, scores = self.backend.nearest(queries, fetch)  # (batch, m), m at least `fetch`
            steps = np.rint(scores.astype(np.float64) * SCORE_STEPS).astype(np.int64)
            keys = steps * n + (
                n - 1 - rows
            )  # score and row in one number, so that sorting breaks ties by row
            for i, left_out in enumerate(exclude):
                keys[i, np.isin(rows[i], left_out)] = -np.iinfo(np.int64).max
            best = -np.sort(np.partition(-keys, k - 1, axis=1)[:, :k], axis=1)  # (batch, k)
            if rows.shape[1] == n or np.all(steps[:, -1] < best[:, -1] // n):
                return n - 1 - best % n, np.clip(best // n / SCORE_STEPS, 0, 1)
            fetch = min(n, 4 * fetch)

    def similarity(
        self, queries: Sequence[str], rows: NDArray[Any], batch_size: int = 256
    ) -> NDArray[np.float32]:
        """Measure the similarity of each query to its own pool rows: rows (n, m) -> (n, m) in [0, 1]."""
        represented = self.backend.represent(queries)
        found = np.empty(rows.shape, dtype=np.float32)
        for start in range(0, len(queries), batch_size):
            part = slice(start, start + batch_size)
            found[part] = self.backend.pairs(represented[part], rows[part].astype(np.int64))
        return np.clip(found, 0, 1)

    def between(self, queries: Sequence[str], texts: Sequence[str]) -> NDArray[np.float32]:
        """Measure the similarity of n queries to n texts outside the pool, such as paraphrases: (n,)."""
        return np.clip(self.backend.between(queries, texts), 0, 1)


def neighbours_file(folder: Path, seed: int, similarity: str) -> Path:
    """Name the cache of a seed's neighbours by one similarity in a task's folder.

    >>> neighbours_file(Path("results/topics"), 0, "st:org/name").as_posix()
    'results/topics/neighbours-st-org-name-seed-0.npz'
    """
    return folder / f"neighbours-{re.sub('[^A-Za-z0-9.-]+', '-', similarity)}-seed-{seed}.npz"


def pool_neighbours(
    texts: Sequence[str],
    k: int,
    backend: str = "bm25",
    path: Path | None = None,
    *,
    index: Index | None = None,
) -> Neighbours:
    """Find the k nearest of each pool text within its pool, never itself nor one of its duplicates.

    Duplicates are left out because they would give the label away, as a paraphrase does, or contradict it.
    With `path`, the result is cached there and used again for the same texts, backend and version. Pass
    `index` if these texts are indexed already.

    >>> pool_neighbours(["rain in Oslo", "rain in Lima", "call my sister"], k=1).rows.tolist()
    [[1], [0], [0]]
    """
    source = hashlib.sha256("\x00".join([str(FILE_VERSION), backend, *texts]).encode()).hexdigest()
    if path is not None and path.exists():
        cached = Neighbours.load(path)
        if cached.source == source and cached.rows.shape[1] >= k:
            return Neighbours(cached.rows[:, :k], cached.scores[:, :k], source)
    groups = duplicate_groups(texts).tolist()
    members = defaultdict[int, list[int]](list)
    for row, group in enumerate(groups):
        members[group].append(row)
    index = index or Index(texts, backend)
    found = replace(index.search(texts, k, exclude=[members[g] for g in groups]), source=source)
    if path is not None:
        found.save(path)
    return found
