"""The similarity whose model comes from the package index."""

import numpy as np
import pytest

from ccutils.contexts.similarity import make_backend
from ccutils.packaged import packaged_folder


def test_the_real_one_finds_the_paraphrase_without_a_word_in_common() -> None:
    pytest.importorskip("sentence_transformers")
    if not packaged_folder("minilm").is_dir():
        pytest.skip("minilm is not in the cache")
    pool = ["turn off the lamp", "what will it cost", "is it going to rain tomorrow"]
    backend = make_backend(pool, "minilm")
    scores = backend.between(["how much money do I have to pay"] * 3, pool)
    assert np.argmax(scores) == 1
    encoded = []
    whole = backend.model.encode
    backend.model.encode = lambda texts, **options: encoded.extend(texts) or whole(texts, **options)
    assert np.allclose(backend.between(["how much money do I have to pay"] * 3, pool), scores, atol=1e-5)
    assert encoded == ["how much money do I have to pay"]  # the pool's texts are encoded once
