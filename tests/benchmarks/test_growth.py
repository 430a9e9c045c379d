"""What cannot be measured is extended from what was, and counted: known laws come out again."""

from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from peft import get_peft_model_state_dict
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks import growth, runs
from benchmarks.gpu.made import TINY
from ccutils.models.base import add_lora
from ccutils.models.lora import Lora

SMALL = TINY["3B"]


@given(st.floats(0.1, 3), st.floats(1e-6, 10))
def test_a_power_law_is_extended_as_it_is(power: float, factor: float) -> None:
    measured = {n: factor * n**power for n in (10**5, 10**3, 10**4)}
    found = growth.beyond(measured, 10**8, power=True)
    assert found == pytest.approx(factor * 10.0 ** (8 * power), rel=1e-6)


@given(st.floats(0, 5), st.floats(0, 1e-3))
def test_memory_is_extended_by_a_line(start: float, each: float) -> None:
    measured = {n: start + each * n for n in (10**3, 10**5, 10**6)}
    assert growth.beyond(measured, 10**8, power=False) == pytest.approx(
        start + each * 10**8, rel=1e-6, abs=1e-6
    )


def test_the_largest_two_pools_alone_count() -> None:
    row = {"index s": 1.0, "ms a query": 2.0, "all s": 3.0, "peak GB": 0.1}
    odd = dict.fromkeys(row, 1e9)
    lines = growth.extended("bm25", {10: odd, 1000: row, 10000: {**row, "index s": 10.0}})
    assert lines[0] == ["bm25", "10,000,000", "1e+04", "2", "3", "0.1"]
    assert lines[1][1] == "100,000,000"


def test_the_adapter_is_counted_as_peft_makes_it() -> None:
    model = add_lora(LlamaForCausalLM(LlamaConfig(**asdict(SMALL))), Lora(rank=4), checkpointing=False)
    assert runs.adapter_weights(SMALL, 4) == sum(p.numel() for p in get_peft_model_state_dict(model).values())


def test_twice_the_tokens_take_twice_the_hours(capsys: pytest.CaptureFixture[str]) -> None:
    assert runs.hours(SMALL, 2e9, 1e12) == pytest.approx(2 * runs.hours(SMALL, 1e9, 1e12))
    assert runs.main(["--runs", "3", "--epochs", "2"]) == 0
    assert "3 runs" in capsys.readouterr().out
