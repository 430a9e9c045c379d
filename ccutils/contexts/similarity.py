"""Similarity of two texts: BM25, TF-IDF vectors, or vectors of a sentence-transformers model."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix  # type: ignore[import-untyped]

from ccutils.errors import InputError
from ccutils.packaged import find_model

BACKENDS = ("bm25", "tfidf", "minilm", "st:<name>")
"""BM25; TF-IDF, reduced by SVD; vectors of a sentence-transformers model: `minilm`, which comes from the
package index, or one by its name. Vectors are searched by FAISS."""

DIMENSIONS = 256  # of TF-IDF vectors after the SVD
K1, B = 1.5, 0.75  # BM25's usual constants


def check_similarity(name: str) -> None:
    """Raise InputError for a name that is none of BACKENDS."""
    if name not in BACKENDS[:-1] and (not name.startswith("st:") or name == "st:"):
        raise InputError(f"similarity {name!r} does not exist: choose one of {', '.join(BACKENDS)}.")


def make_backend(texts: Sequence[str], name: str) -> "Backend":
    """Make a backend by its name over a pool of texts. Raises InputError for an unknown name."""
    check_similarity(name)
    if name == "bm25":
        return Bm25(texts)
    if name == "tfidf":
        return TfIdf(texts)
    return SentenceTransformer(texts, name)


class _Table(dict[int, int | None]):
    """Maps each code point for `words`; filled on demand."""

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
    """Split a text into case-folded runs of letters, marks and numbers, for scripts with spaces; no stemming.

    Scripts without spaces (Thai, Chinese) need a sentence-transformers backend.

    >>> words("Don't STOP, Ärger!")
    ['don', 't', 'stop', 'ärger']
    """
    return unicodedata.normalize("NFKC", text).casefold().translate(_TABLE).split()


class Backend(Protocol):
    """Compares texts. Scores here are not yet clipped to [0, 1]."""

    def represent(self, texts: Sequence[str]) -> Any:
        """Encode queries in a form that can be sliced by row."""

    def nearest(self, queries: Any, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Find at least the k nearest pool rows of each query: rows and scores, both (n, m)."""

    def pairs(self, queries: Any, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Score each query with its own row of `rows` (n, m): (n, m)."""

    def between(self, queries: Sequence[str], texts: Sequence[str]) -> NDArray[np.float32]:
        """Score n queries with n texts that need not be in the pool: (n,)."""


class Bm25:
    """BM25 (Lucene's variant), divided by the score the query would have with a copy of itself.

    In that self score a word that the pool lacks weighs as much as the rarest, so a query of mostly unknown
    words is similar to nothing in the pool.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        tokens = [words(text) for text in texts]
        found = Counter(word for text in tokens for word in set(text))
        if not found:
            raise InputError("similarity 'bm25' finds no word in any pool text: choose another similarity.")
        self.columns = {word: column for column, word in enumerate(sorted(found))}
        self.mean_length = sum(map(len, tokens)) / len(tokens)
        texts_with = np.array([0, *(found[word] for word in self.columns)])
        idf = np.log(1 + (len(texts) - texts_with + 0.5) / (texts_with + 0.5))
        self.unknown, self.idf = float(idf[0]), dict(zip(self.columns, idf[1:].tolist(), strict=True))
        self.documents = self._matrix(map(self._document, tokens))  # (texts, words)
        self.by_word = self.documents.T.tocsr()

    def represent(self, texts: Sequence[str]) -> Any:
        return self._matrix(self._query(words(text)) for text in texts)

    def nearest(self, queries: Any, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        scores = (queries @ self.by_word).toarray()  # of the whole pool, whatever k is
        return np.broadcast_to(np.arange(scores.shape[1]), scores.shape), scores

    def pairs(self, queries: Any, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        n, m = rows.shape
        products = queries[np.repeat(np.arange(n), m)].multiply(self.documents[rows.ravel()])
        return np.asarray(products.sum(axis=1), dtype=np.float32).reshape(n, m)

    def between(self, queries: Sequence[str], texts: Sequence[str]) -> NDArray[np.float32]:
        pairs = (
            (self._query(words(q)), self._document(words(t))) for q, t in zip(queries, texts, strict=True)
        )
        return np.array(
            [sum(n * text.get(w, 0) for w, n in query.items()) for query, text in pairs], np.float32
        )

    def _document(self, tokens: list[str]) -> dict[str, float]:
        """Weigh each word of a text: what one occurrence of it in a query adds to the score."""
        norm = K1 * (1 - B + B * len(tokens) / self.mean_length)
        return {w: self.idf.get(w, self.unknown) * n / (norm + n) for w, n in Counter(tokens).items()}

    def _query(self, tokens: list[str]) -> dict[str, float]:
        """Count each word of a query, divided by the query's score with itself."""
        counts, own = Counter(tokens), self._document(tokens)
        scale = sum(n * own[word] for word, n in counts.items())
        return {word: n / scale for word, n in counts.items()}

    def _matrix(self, texts: Iterable[Mapping[str, float]]) -> Any:
        """Put the values of words that the pool has into a sparse matrix (texts, words)."""
        indices, values, ends = [], [], [0]
        for text in texts:
            known = [word for word in text if word in self.columns]
            indices += [self.columns[word] for word in known]
            values += [text[word] for word in known]
            ends.append(len(values))
        shape = (len(ends) - 1, len(self.columns))
        return csr_matrix((np.array(values, dtype=np.float32), indices, ends), shape=shape)


class Dense:
    """Exact cosine of vectors of length 1, by FAISS; negative cosines count as similarity 0."""

    def __init__(self, texts: Sequence[str]) -> None:
        import faiss

        self.texts = texts
        self.vectors = self.encode(texts)  # (n, d)
        self.index = faiss.IndexFlatIP(self.vectors.shape[1])
        self.index.add(self.vectors)
        self.others: dict[str, NDArray[np.float32]] = {}  # vectors of texts outside the pool

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode texts as vectors of length 1, or 0 for a text without a known word: (n, d)."""
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
        """Encode each text once, since an encoder takes milliseconds: `texts` are asked for again."""
        if new := [text for text in dict.fromkeys(texts) if text not in self.others]:
            self.others.update(zip(new, self.encode(new), strict=True))
        asked = list(dict.fromkeys(queries))
        vectors = dict(zip(asked, self.encode(asked), strict=True)) if asked else {}
        products = [vectors[q] @ self.others[text] for q, text in zip(queries, texts, strict=True)]
        return np.array(products, dtype=np.float32)


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
        place = str(find_model(name)) if name == "minilm" else name.removeprefix("st:")
        try:
            self.model = sentence_transformers.SentenceTransformer(place)
        except (OSError, ValueError) as error:
            raise InputError(
                f"similarity {name!r}: no folder or Hub model of that name can be loaded: "
                "check the name and the network."
            ) from error
        super().__init__(texts)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return unit(self.model.encode(list(texts), show_progress_bar=len(texts) > 1000))


def unit(vectors: Any) -> NDArray[np.float32]:
    """Scale rows to length 1; rows of zeros stay zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.ascontiguousarray(vectors / np.where(lengths > 0, lengths, 1), dtype=np.float32)
