"""Ways to say how alike two texts are: BM25, TF-IDF vectors, vectors of a sentence-transformers model."""

import sys
import unicodedata
from collections import Counter
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix  # type: ignore[import-untyped]

from ccutils.errors import InputError
from ccutils.packaged import find_model

BACKENDS = ("bm25", "tfidf", "minilm", "st:<name>")
"""BM25 by bm25s; in FAISS TF-IDF, reduced by SVD, or the vectors of a sentence-transformers model: `minilm`,
which comes from the package index, or one by its name.
"""

DIMENSIONS = 256  # of TF-IDF vectors after the SVD
K1, B = 1.5, 0.75  # BM25's usual constants, those of bm25s


def check_similarity(name: str) -> None:
    """Raise InputError for a name that is none of BACKENDS."""
    if name not in BACKENDS[:-1] and (not name.startswith("st:") or name == "st:"):
        raise InputError(f"similarity {name!r} does not exist: choose one of {', '.join(BACKENDS)}.")


def make_backend(texts: Sequence[str], name: str) -> "Backend":
    """Make the backend of that name over a pool of texts. Raises InputError for an unknown name."""
    check_similarity(name)
    if name == "bm25":
        return Bm25(texts)
    if name == "tfidf":
        return TfIdf(texts)
    return SentenceTransformer(texts, name)


class _Table(dict[int, int | None]):
    """What becomes of each code point in `words`; filled as characters are met."""

    def __missing__(self, code: int) -> int | None:
        category = unicodedata.category(chr(code))
        if category[0] in "LMN":  # M: the vowel signs of Tamil and Hindi belong to the word
            self[code] = code
        elif category == "Cf" and code != 0x200B:  # joiners inside a word; U+200B separates words
            self[code] = None
        else:
            self[code] = ord(" ")
        return self[code]


_TABLE = _Table()


def words(text: str) -> list[str]:
    """Return case-folded runs of letters, marks and numbers, in any script that writes spaces; no stemming.

    Scripts without spaces (Thai, Chinese) need a sentence-transformers backend.

    >>> words("Don't STOP, Ärger!")
    ['don', 't', 'stop', 'ärger']
    """
    return unicodedata.normalize("NFKC", text).casefold().translate(_TABLE).split()


class Backend(Protocol):
    """How texts are compared. Scores here are not yet cut to [0, 1]."""

    def represent(self, texts: Sequence[str]) -> Any:
        """Return texts in a form that can be sliced by row."""

    def nearest(self, queries: Any, k: int) -> tuple[NDArray[np.int64] | None, NDArray[np.float32]]:
        """Return at least k nearest pool rows (n, m) and scores (n, m); rows None where all the pool is
        scored.
        """

    def pairs(self, queries: Any, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return scores of each query with its own row of `rows` (n, m): (n, m)."""

    def between(self, queries: Sequence[str], texts: Sequence[str]) -> NDArray[np.float32]:
        """Return scores of n queries with n texts that need not be in the pool: (n,)."""


def _import_bm25s() -> Any:
    """Import bm25s without JAX, which it would start if it is installed, as it is on Colab: that takes three
    quarters of a GPU's memory, for a ranking that is not used here. Where JAX runs already, it stays.
    """
    hide = not {"bm25s", "jax"} & set(sys.modules)
    if hide:
        sys.modules["jax"] = None  # type: ignore[assignment]  # Python's way to say that there is none
    try:
        return import_module("bm25s")
    finally:
        if hide:
            del sys.modules["jax"]


class Bm25:
    """BM25 (Lucene's variant), divided by the score the query would have with a copy of itself.

    A word that the pool lacks counts in that self score with the weight of the rarest, so a query of mostly
    unknown words is like nothing in the pool. bm25s scores each word of each pool text once; a query's scores
    are then a sparse product.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        bm25s = _import_bm25s()
        tokens = [words(text) for text in texts]
        self.vocabulary = {word: i for i, word in enumerate(sorted({w for text in tokens for w in text}))}
        if not self.vocabulary:
            raise InputError("similarity 'bm25' finds no word in any pool text: choose another similarity.")
        index = bm25s.BM25(k1=K1, b=B, method="lucene", backend="numpy")
        ids = [[self.vocabulary[w] for w in text] for text in tokens]
        index.index((ids, self.vocabulary), create_empty_token=False, show_progress=len(texts) > 20_000)
        parts = (index.scores["data"], index.scores["indices"], index.scores["indptr"])
        self.weights = csr_matrix(parts, shape=(len(self.vocabulary), len(texts)))  # (word, text)
        self.by_text = self.weights.T.tocsr()  # (text, word)
        held = Counter(word for text in tokens for word in set(text))
        self.idf = {word: self._idf(n, len(texts)) for word, n in held.items()}
        self.unknown = self._idf(0, len(texts))
        self.mean_length = sum(map(len, tokens)) / len(tokens)

    @staticmethod
    def _idf(holders: int, texts: int) -> float:
        return float(np.log(1 + (texts - holders + 0.5) / (holders + 0.5)))

    def represent(self, texts: Sequence[str]) -> Any:
        """Tell how often each text holds each word, over the text's self score: sparse (n, words)."""
        rows, columns, values = [], [], []
        for row, text in enumerate(texts):
            tokens = words(text)
            scale = self._score(tokens, tokens)
            for word, count in Counter(tokens).items():
                if word in self.vocabulary:
                    rows.append(row)
                    columns.append(self.vocabulary[word])
                    values.append(count / scale)
        shape = (len(texts), len(self.vocabulary))
        return csr_matrix((np.array(values, dtype=np.float32), (rows, columns)), shape=shape)

    def nearest(self, queries: Any, k: int) -> tuple[None, NDArray[np.float32]]:
        return None, (queries @ self.weights).toarray()

    def pairs(self, queries: Any, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        n, m = rows.shape
        products = queries[np.repeat(np.arange(n), m)].multiply(self.by_text[rows.ravel()])
        return np.asarray(products.sum(axis=1), dtype=np.float32).reshape(n, m)

    def between(self, queries: Sequence[str], texts: Sequence[str]) -> NDArray[np.float32]:
        scores = []
        for query, text in zip(queries, texts, strict=True):
            a = words(query)
            scores.append(self._score(a, words(text)) / (self._score(a, a) or 1.0))
        return np.array(scores, dtype=np.float32)

    def _score(self, query: list[str], text: list[str]) -> float:
        """Return BM25 of one pair, not divided; for texts outside the pool."""
        counts = Counter(text)
        norm = K1 * (1 - B + B * len(text) / self.mean_length)
        return sum(self.idf.get(w, self.unknown) * counts[w] / (norm + counts[w]) for w in query if counts[w])


class Dense:
    """Cosine of vectors of length 1, exactly, by FAISS; negative cosines count as similarity 0."""

    def __init__(self, texts: Sequence[str]) -> None:
        import faiss

        self.texts = texts
        self.vectors = self.encode(texts)  # (n, d)
        self.index = faiss.IndexFlatIP(self.vectors.shape[1])
        self.index.add(self.vectors)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return vectors of length 1 (or 0 where a text has nothing known): (n, d)."""
        raise NotImplementedError

    def represent(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self.vectors if texts is self.texts else self.encode(texts)

    def nearest(self, queries: Any, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        scores, rows = self.index.search(queries, k)
        return rows, scores

    def pairs(self, queries: Any, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = np.einsum("nd,nmd->nm", queries, self.vectors[rows])
        return found

    def between(self, queries: Sequence[str], texts: Sequence[str]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = np.einsum("nd,nd->n", self.encode(queries), self.encode(texts))
        return found


class TfIdf(Dense):
    """TF-IDF over `words`; a pool of more than DIMENSIONS words is reduced by a truncated SVD (seeded)."""

    def __init__(self, texts: Sequence[str]) -> None:
        try:
            from sklearn.decomposition import TruncatedSVD
            from sklearn.feature_extraction.text import TfidfVectorizer
        except ImportError as error:
            raise InputError("similarity 'tfidf' needs scikit-learn: pip install scikit-learn.") from error

        self.vectorizer = TfidfVectorizer(analyzer=words, dtype=np.float32)
        try:
            counts = self.vectorizer.fit_transform(texts)
        except ValueError as error:  # an empty vocabulary
            raise InputError(
                "similarity 'tfidf' finds no word in any pool text: choose another similarity."
            ) from error
        self.svd = None
        if counts.shape[1] > DIMENSIONS:  # else nothing is gained, and words of a small pool would be merged
            self.svd = TruncatedSVD(min(DIMENSIONS, len(texts)), random_state=0).fit(counts)
        super().__init__(texts)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        counts = self.vectorizer.transform(texts)
        return unit(counts.toarray() if self.svd is None else self.svd.transform(counts))


class SentenceTransformer(Dense):
    """Vectors of a sentence-transformers model: "minilm", or "st:" with its Hub id or folder."""

    def __init__(self, texts: Sequence[str], name: str) -> None:
        try:
            import sentence_transformers
        except ImportError as error:
            raise InputError(
                f"similarity {name!r} needs sentence-transformers: pip install sentence-transformers."
            ) from error
        self.known: dict[str, NDArray[np.float32]] = {}
        place = str(find_model(name)) if name == "minilm" else name.removeprefix("st:")
        try:
            self.model = sentence_transformers.SentenceTransformer(place)
        except (OSError, ValueError) as error:
            raise InputError(
                f"similarity {name!r}: no folder or Hub model of that name can be loaded: "
                "check the name and the network."
            ) from error
        super().__init__(texts)

    def between(self, queries: Sequence[str], texts: Sequence[str]) -> NDArray[np.float32]:
        """As other vectors, but a text is encoded once: the model takes milliseconds for each."""
        new = [text for text in dict.fromkeys(texts) if text not in self.known]
        if new:
            self.known.update(zip(new, self.encode(new), strict=True))
        asked = list(dict.fromkeys(queries))
        of = dict(zip(asked, self.encode(asked), strict=True)) if asked else {}
        products = [of[q] @ self.known[text] for q, text in zip(queries, texts, strict=True)]
        return np.array(products, dtype=np.float32)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return unit(self.model.encode(list(texts), show_progress_bar=len(texts) > 1000))


def unit(vectors: Any) -> NDArray[np.float32]:
    """Return rows of length 1; a row of zeros stays zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.ascontiguousarray(vectors / np.where(lengths > 0, lengths, 1), dtype=np.float32)
