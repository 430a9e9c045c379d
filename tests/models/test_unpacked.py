"""Weights unpacked once compute what bitsandbytes computes, and are stored as before."""

from pathlib import Path

import pytest
import torch
from bitsandbytes.nn.modules import Linear4bit
from small import make_plan

from ccutils.models import unpacked
from ccutils.models.base import add_lora, load_base
from ccutils.models.lora import Lora
from ccutils.models.unpacked import is_small, unpack
from ccutils.training.prepare import prepare_run


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    return prepare_run(make_plan(tmp_path_factory.mktemp("unpacked"))).path


def test_loss_and_gradients_are_the_same_to_the_last_bit(path: str) -> None:
    found = []
    for unpacks in (False, True):
        base = load_base(path)
        if unpacks:
            unpack(base)
        torch.manual_seed(0)
        model = add_lora(base, Lora(), checkpointing=False).train()
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter)
        ids = torch.arange(3, 15)[None]
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        found.append([loss.detach(), *(p.grad for p in model.parameters() if p.requires_grad)])
    assert len(found[0]) > 10
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_layers_stay_what_they_are(path: str, tmp_path: Path) -> None:
    base, plain = load_base(path), load_base(path)
    unpack(base)
    layers = [m for m in base.modules() if isinstance(m, Linear4bit)]
    assert layers and all(layer.weight.dtype == torch.uint8 for layer in layers)
    state, expected = base.state_dict(), plain.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in state)


def test_small_is_a_count_of_parameters(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    base = load_base(path)
    assert is_small(base)
    monkeypatch.setattr(unpacked, "SMALL", base.num_parameters() - 1)
    assert not is_small(base)


def test_beside_a_gpu_nothing_is_unpacked(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A base that FSDP splits is loaded on the CPU and moved: copies of its weights would stay behind."""
    base = load_base(path)
    assert is_small(base)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert not is_small(base)
