"""Metrics against values worked out by hand."""

import builtins
import math
import sys
import types

import numpy as np
import pytest

from ccutils.errors import InputError
from ccutils.tasks import metrics

GOLD = "[IN:CREATE_CALL [SL:CONTACT Ann ] [SL:NAME_APP whatsapp ] ]"


def test_exact_match_is_on_the_parse_and_not_on_white_space():
    answers = [
        GOLD,
        "[IN:CREATE_CALL  [SL:CONTACT Ann][SL:NAME_APP whatsapp]]",
        "[IN:CREATE_CALL [SL:NAME_APP whatsapp ] [SL:CONTACT Ann ] ]",  # order counts
        "[IN:CREATE_CALL [SL:CONTACT ann ] [SL:NAME_APP whatsapp ] ]",  # words as they are
        GOLD[:-1],
        "",
    ]
    assert metrics.parse_match(answers, [GOLD] * 6).tolist() == [1, 1, 0, 0, 0, 0]


def test_intent_accuracy():
    answers = ["[IN:CREATE_CALL ]", "[IN:END_CALL [SL:CONTACT Ann ] ]", "CREATE_CALL"]
    assert metrics.intent_match(answers, [GOLD] * 3).tolist() == [1, 0, 0]


def test_slot_f1_by_hand():
    answers = [
        GOLD,
        "[IN:CREATE_CALL [SL:CONTACT Ann ] ]",  # 1 of 1 given, 1 of 2 wanted: 2/3
        "[IN:CREATE_CALL [SL:CONTACT Bob ] [SL:NAME_APP whatsapp ] ]",  # 1 of 2, 1 of 2: 1/2
        "[IN:END_CALL [SL:CONTACT Ann ] ]",  # under another intent
        "[IN:CREATE_CALL [SL:CONTACT Ann ] [SL:CONTACT Ann ] ]",  # the second is not wanted: 1/2
        "nothing",
    ]
    assert np.allclose(metrics.slot_f1(answers, [GOLD] * 6), [1, 2 / 3, 1 / 2, 0, 1 / 2, 0])
    assert metrics.slot_f1(["[IN:A ]", "[IN:A [SL:B x ] ]"], ["[IN:A ]"] * 2).tolist() == [1, 0]


def test_a_hidden_label_is_judged_by_no_metric():
    """In any of these answers; the words under it are."""
    hidden, root = "[IN:B [SL:D mum ] [_ at noon ] ]", "[_ [SL:D mum ] [_ [_ [SL:E at ] ] ] ]"
    answers = [
        "[IN:B [SL:D mum ] [SL:TIME at noon ] ]",
        "[IN:B [SL:D mum ] [SL:TIME noon ] ]",
        "[IN:B [SL:D mum ] ]",  # 1 of 1, 1 of 2
        "[IN:B [SL:C mum ] [SL:D at noon ] ]",
    ]
    assert metrics.parse_match(answers, [hidden] * 4).tolist() == [1, 0, 0, 0]
    assert np.allclose(metrics.slot_f1(answers, [hidden] * 4), [1, 1 / 2, 2 / 3, 1 / 2])
    deep = [
        "[IN:X [SL:D mum ] [SL:Y [IN:Z [SL:E at ] ] ] ]",
        "[IN:X [SL:D mum ] [SL:Y [IN:Z [SL:F at ] ] ] ]",
    ]
    assert metrics.parse_match(deep, [root] * 2).tolist() == [1, 0]
    assert np.allclose(metrics.slot_f1(deep, [root] * 2), [1, 2 / 3])


def test_bleu_by_hand():
    """Four of four n-grams right, one token short: the brevity penalty exp(1 - 5/4) alone."""
    assert metrics.bleu(["Das ist ein Test"], ["Das ist ein Test ."])[0] == pytest.approx(math.exp(-1 / 4))


def test_chrf_of_single_letters_by_hand():
    """'ab' against 'ac': characters 1 of 2, no pair of letters, no word: F is 1/2, 0, 0, on average 1/6."""
    assert metrics.chrf(["ab"], ["ac"])[0] == pytest.approx(1 / 6)


def test_translation_scores_per_item():
    references = ["இது ஒரு சோதனை", "Tai yra bandymas."]
    for score in (metrics.chrf, metrics.bleu):
        assert np.allclose(score(references, references), 1)
        worse = score(["இது", ""], references)
        assert worse.shape == (2,) and 0 <= worse[1] == 0 < worse[0] + 1e-9 < 1


def test_lists_must_be_equally_long():
    with pytest.raises(ValueError, match="zip"):
        metrics.chrf(["a"], ["a", "b"])


def test_comet_without_its_package_says_how_to_get_it(monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name == "comet":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    metrics.load_comet.cache_clear()
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(InputError, match="pip install unbabel-comet"):
        metrics.comet(["a"], ["b"], ["c"])


def test_comet_is_called_as_its_documentation_says(monkeypatch):
    """The package's documented calls, faked: its models are too large for a test."""
    pytest.importorskip("torch")

    class Model:
        def predict(self, rows, batch_size, gpus):
            assert rows == [{"src": "hello", "mt": "hallo", "ref": "Hallo"}] and batch_size == 16
            return types.SimpleNamespace(scores=[0.91], system_score=0.91)

    fake = types.ModuleType("comet")
    fake.download_model = lambda name: f"/cache/{name}"
    fake.load_from_checkpoint = lambda path: Model()
    metrics.load_comet.cache_clear()
    monkeypatch.setitem(sys.modules, "comet", fake)
    assert metrics.comet(["hallo"], ["Hallo"], ["hello"], model="a/b").tolist() == [0.91]
    assert metrics.comet([], [], []).shape == (0,)
    metrics.load_comet.cache_clear()

    def offline(name):
        raise OSError("no network\nat all")

    fake.download_model = offline
    with pytest.raises(InputError, match=r"COMET model 'c/d' could not be loaded \(no network\)"):
        metrics.comet(["a"], ["b"], ["c"], model="c/d")
    metrics.load_comet.cache_clear()
