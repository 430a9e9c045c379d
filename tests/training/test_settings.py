"""What settings, adapters, seeds and plans may be; anything else is told in one sentence."""

import pytest

from ccutils.errors import InputError, check_seeds
from ccutils.models.lora import Lora
from ccutils.training.plan import Plan
from ccutils.training.settings import Settings


@pytest.mark.parametrize(
    ("make", "values", "words"),
    [
        (Settings, {"steps": 4.0}, "steps is 4.0 but must be a whole number, such as 400."),
        (Settings, {"steps": "4"}, "steps is '4' but must be a whole number, such as 400."),
        (Settings, {"steps": True}, "steps is True but must be a whole number"),
        (Settings, {"learning_rate": "2e-4"}, "learning_rate is '2e-4' but must be a number, such as 0.002."),
        (Settings, {"learning_rate": float("nan")}, "learning_rate is nan and warmup"),
        (Settings, {"checkpointing": 1}, "checkpointing is 1 but must be true or false"),
        (Settings, {"optimiser": None}, "optimiser is None but must be a text"),
        (Settings, {"schedule": "cosine"}, "schedule 'cosine'"),
        (Lora, {"rank": 0}, "rank is 0: it must be a whole number of at least 1."),
        (Lora, {"rank": 1.5}, "rank is 1.5 but must be a whole number"),
        (Lora, {"alpha": -1}, "alpha is -1: it must be a whole number of at least 1."),
        (Lora, {"dropout": 1.0}, "dropout is 1.0"),
        (Lora, {"targets": []}, "targets is []: it must be all-linear, or names of layers"),
        (Lora, {"targets": ["q_proj", 3]}, "targets is ['q_proj', 3]: it must be"),
        (Lora, {"targets": ".*(q|v"}, "targets is '.*(q|v', which is no regular expression"),
        (Plan, {"k": "6"}, "k is '6' but must be a whole number"),
        (Plan, {"p": "half"}, "p is 'half' but must be a number"),
        (Plan, {"task_options": [1]}, "task_options is [1] but must be a mapping"),
        (Plan, {"seed": -1}, "seed is -1: it must be at least 0."),
        (Plan, {"window": -5}, "window is -5: it must be at least 0."),
        (Plan, {"rank": 0}, "rank is 0: it must be a whole number of at least 1."),
    ],
)
def test_wrong_values(make: type, values: dict[str, object], words: str) -> None:
    with pytest.raises(InputError) as caught:
        make(**values)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


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
def test_targets_are_read_as_they_are_meant(given: str | list[str], read: str | list[str]) -> None:
    assert Lora(targets=given).targets == Plan(targets=given).targets == read


@pytest.mark.parametrize(("given", "seeds"), [(0, [0]), ([0, 1], [0, 1]), ((2,), [2])])
def test_seeds(given: object, seeds: list[int]) -> None:
    assert check_seeds(given) == seeds


@pytest.mark.parametrize("given", ["[0, 1]", [], [-1], 0.0, [True], None, [[0], [1]]])
def test_what_seeds_cannot_be(given: object) -> None:
    with pytest.raises(InputError, match=r"^seeds is .*: it must be a list of whole numbers from 0, such as"):
        check_seeds(given)


def test_a_seed_twice() -> None:
    with pytest.raises(InputError, match="holds a seed twice: give each once"):
        check_seeds([0, 0])
