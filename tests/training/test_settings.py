"""Values of settings, adapters, seeds and plans."""

import pytest

from ccutils.errors import InputError, check_seeds
from ccutils.models.lora import Lora
from ccutils.training.plan import Plan
from ccutils.training.settings import Settings


def test_a_whole_number_is_a_number() -> None:
    assert Plan(p=1, epsilon=0).p == 1
    assert Settings(warmup=0).warmup == 0


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("all-linear", "all-linear"),
        ("q_proj", ["q_proj"]),
        ("v_proj, q_proj", ["q_proj", "v_proj"]),
        (["v_proj", "q_proj", "v_proj"], ["q_proj", "v_proj"]),
        ("self_attn.q_proj", ["self_attn.q_proj"]),
        (r".*\.(q|v)_proj", r".*\.(q|v)_proj"),
    ],
)
def test_targets_are_names_or_a_regular_expression(given: str | list[str], read: str | list[str]) -> None:
    assert Lora(targets=given).targets == Plan(targets=given).targets == read


@pytest.mark.parametrize(("given", "seeds"), [(0, [0]), ([0, 1], [0, 1]), ((2,), [2])])
def test_seeds(given: object, seeds: list[int]) -> None:
    assert check_seeds(given) == seeds


@pytest.mark.parametrize("given", ["[0, 1]", [], [-1], 0.0, [True], None, [[0], [1]], [0, 0]])
def test_invalid_seeds_are_refused(given: object) -> None:
    with pytest.raises(InputError, match="seeds"):
        check_seeds(given)
