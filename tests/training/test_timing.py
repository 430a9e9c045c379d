"""Run time is predicted from a model of one and of two layers."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from small import RECIPE, make_plan
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM
from transformers.models.llama.modeling_llama import LlamaMLP

from ccutils.models.base import load_base
from ccutils.training import timing as rehearsal
from ccutils.training.prepare import prepare_run
from ccutils.training.timing import predict_seconds, rehearse

DEEP = {**RECIPE, "layers": 5}


@pytest.mark.parametrize(("layers", "seconds"), [(1, 1.0), (2, 1.5), (5, 3.0)])
def test_each_further_layer_takes_what_the_second_did(
    layers: int, seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(tmp_path, steps=6, batch=8, micro_batch=2, recipe={**RECIPE, "layers": layers})
    monkeypatch.setattr(rehearsal, "rehearse", lambda plan, parts, n: {1: 1.0, 2: 1.5}[n])
    assert predict_seconds(plan, prepare_run(plan)) == pytest.approx(
        seconds * 6 * 4
    )  # 4 micro-batches a step


def test_a_rehearsal_leaves_no_files(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, recipe=DEEP)
    parts = prepare_run(plan)
    before = sorted(tmp_path.rglob("*"))
    assert 0 < rehearse(plan, parts, 2) < 60
    assert sorted(tmp_path.rglob("*")) == before


def test_a_prediction_is_what_the_whole_model_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that counts the tokens that pass through layers; how near real seconds are is in no test."""
    tokens = [0]

    def counted(self: LlamaMLP, x: torch.Tensor) -> torch.Tensor:
        tokens[0] += x[..., 0].numel()
        return forward(self, x)

    forward = LlamaMLP.forward
    monkeypatch.setattr(LlamaMLP, "forward", counted)
    monkeypatch.setattr(rehearsal, "time", SimpleNamespace(perf_counter=lambda: float(tokens[0])))
    plan = make_plan(tmp_path, recipe=DEEP, steps=20, batch=8, micro_batch=4)
    parts = prepare_run(plan)
    predicted = predict_seconds(plan, parts)
    assert predicted == pytest.approx(rehearse(plan, parts, 5) * 20 * 2) != 0


KINDS = [(LlamaConfig, LlamaForCausalLM), (Qwen3Config, Qwen3ForCausalLM)]


@pytest.mark.parametrize(("config", "causal"), KINDS)
def test_the_first_layers_of_a_model_are_loaded_alone(config: type, causal: type, tmp_path: Path) -> None:
    shape = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "pad_token_id": 0}
    made = config(hidden_size=16, intermediate_size=32, num_hidden_layers=3, vocab_size=16, **shape)
    whole = causal(made).eval()
    whole.save_pretrained(tmp_path)
    short = load_base(str(tmp_path), quantise=False, layers=2)
    assert len(short.model.layers) == 2
    ids = torch.tensor([[1, 2, 3]])
    inner = whole(ids, output_hidden_states=True).hidden_states[2]
    assert torch.allclose(short.model(ids).last_hidden_state, whole.model.norm(inner), atol=1e-5)
