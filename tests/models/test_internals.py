"""What rests on a library's own workings: there in the locked versions; where it is not, that is told."""

import warnings
from types import SimpleNamespace

import pytest
from transformers.integrations import sdpa_attention
from trl.trainer import utils as trl_utils
from trl.trainer.sft_trainer import SFTTrainer

from ccutils.models.internals import replace_internal


def test_the_locked_versions_have_what_is_replaced() -> None:
    assert hasattr(trl_utils, "_use_triton")
    assert hasattr(sdpa_attention, "use_gqa_in_sdpa")
    assert hasattr(SFTTrainer, "_save_checkpoint")


def test_what_is_there_is_replaced_in_silence() -> None:
    owner = SimpleNamespace(name=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert replace_internal(owner, "name", 2, package="trl", lost="nothing")
    assert owner.name == 2


def test_what_is_missing_is_told_and_survived() -> None:
    owner = SimpleNamespace()
    with pytest.warns(UserWarning, match=r"trl [\d.]+ has no name: speed is lost\. All else works"):
        assert not replace_internal(owner, "name", 2, package="trl", lost="speed is lost")
    assert not hasattr(owner, "name")
