"""Which pool examples are nearest to a text, and how near: similarity in [0, 1]."""

import hashlib
import re
import unicodedata
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
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
SCORE_STEPS = (
    100_000  # similarities are compared in steps of 1e-5, so that rounding noise does not break a tie
)
SCORES_AT_ONCE = 2**23  # similarities held at once: about 250 MB while they are sorted


def fold(text: str) -> str:
    """Return the text without case and with single spaces: two inputs with the same fold are duplicates."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def duplicate_groups(texts: Sequence[str]) -> NDArray[np.int64]:
    """Number the texts, shape (n,), the same for duplicates.

    >>> duplicate_groups(["Play it", "stop", "play  it"]).tolist()
    [0, 1, 0]
    """
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(fold(text), len(numbers)) for text in texts], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The k nearest pool rows of n queries: rows (n, k), best first, and scores (n, k) in [0, 1].

    `source` is a hash of what they were found with (backend and texts), empty if unknown.
    """

    rows: NDArray[np.int32]
    scores: NDArray[np.float32]
    source: str = ""

    def save(self, path: Path) -> None:
        """Write as .npz, whole or not at all."""
        with atomic(path) as part, part.open("wb") as file:
            np.savez_compressed(
                file, version=FILE_VERSION, rows=self.rows, scores=self.scores, source=self.source
            )

    @classmethod
    def load(cls, path: Path) -> "Neighbours":
        """Read what `save` wrote. Raises InputError for a missing or broken file, or another version."""
        try:
            with np.load(path, allow_pickle=False) as file:
                version, rows, scores = int(file["version"]), file["rows"], file["scores"]
                source = str(file["source"])
        except (OSError, EOFError, KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
            raise InputError(f"{path} is no file of neighbours: delete it and find them again.") from error
        if version != FILE_VERSION:
            raise InputError(
                f"{path} has version {version} and this code reads version {FILE_VERSION}: delete it and "
                "find the neighbours again."
            )
        if rows.ndim != 2 or rows.shape != scores.shape or rows.dtype != np.int32:
            raise InputError(
                f"{path} holds arrays of the wrong shape or type: delete it and find them again."
            )
        return cls(rows, scores, source)


class Index:
    """A pool made searchable. Raises InputError for an empty pool and for a backend that does not exist."""

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
        """Find the k nearest pool rows of each query, without the rows that `exclude` names for it.

        Ties (similarity equal in steps of 1e-5) go to the lower row. Raises InputError where fewer than k
        rows are left.
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
        """Return rows and scores (batch, k). Fetches more while a tie at the end could still change them."""
        n = len(self.texts)
        fetch = min(n, k + max(map(len, exclude), default=0) + 8)
        while True:
            rows, scores = self.backend.nearest(queries, fetch)  # (batch, m)
            steps = np.rint(scores.astype(np.float64) * SCORE_STEPS).astype(np.int64)
            # One whole number holds score and row, so that sorting breaks ties by row.
            keys = steps * n + (n - 1 - (np.arange(n) if rows is None else rows))
            for i, left_out in enumerate(exclude):
                gone = list(left_out) if rows is None else np.isin(rows[i], list(left_out))
                keys[i, gone] = -np.iinfo(np.int64).max
            best = -np.partition(-keys, k - 1, axis=1)[:, :k] if k < keys.shape[1] else keys
            best = -np.sort(-best, axis=1)  # (batch, k)
            if rows is None or fetch == n or np.all(steps[:, -1] < best[:, -1] // n):
                return n - 1 - best % n, np.clip(best // n / SCORE_STEPS, 0, 1)
            fetch = min(n, 4 * fetch)

    def similarity(
        self, queries: Sequence[str], rows: NDArray[Any], batch_size: int = 256
    ) -> NDArray[np.float32]:
        """Return similarity of each query to its own pool rows: rows (n, m) -> (n, m) in [0, 1]."""
        represented = self.backend.represent(queries)
        found = np.empty(rows.shape, dtype=np.float32)
        for start in range(0, len(queries), batch_size):
            part = slice(start, start + batch_size)
            found[part] = self.backend.pairs(represented[part], rows[part].astype(np.int64))
        return np.clip(found, 0, 1)

    def between(self, queries: Sequence[str], texts: Sequence[str]) -> NDArray[np.float32]:
        """Return similarity of n queries to n texts outside the pool, such as paraphrases: (n,) in [0, 1]."""
        return np.clip(self.backend.between(queries, texts), 0, 1)


def neighbours_file(folder: Path, seed: int, similarity: str) -> Path:
    """Return where a task's folder keeps the neighbours of a seed's pool by one similarity.

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
    index: "Index | None" = None,
) -> Neighbours:
    """Find the k nearest of each pool text within its pool, never itself nor one of its duplicates.

    Duplicates are left out because they would give the label away, as a paraphrase does, or contradict it.
    With `path`, the result is kept there and read again when texts, backend and version are the same.
    `index` saves making one where the caller has that of these texts and backend.

    >>> pool_neighbours(["rain in Oslo", "rain in Lima", "call my sister"], k=1).rows.tolist()
    [[1], [0], [0]]
    """
    source = hashlib.sha256("\x00".join([str(FILE_VERSION), backend, *texts]).encode()).hexdigest()
    if path is not None and path.exists():
        kept = Neighbours.load(path)
        if kept.source == source and kept.rows.shape[1] >= k:
            return Neighbours(kept.rows[:, :k], kept.scores[:, :k], source)
    groups = duplicate_groups(texts)
    members: dict[int, list[int]] = {}
    for row, group in enumerate(groups.tolist()):
        members.setdefault(group, []).append(row)
    found = (index or Index(texts, backend)).search(texts, k, exclude=[members[g] for g in groups.tolist()])
    found = Neighbours(found.rows, found.scores, source)
    if path is not None:
        found.save(path)
    return found
