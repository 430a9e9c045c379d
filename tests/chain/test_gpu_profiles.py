"""The profiles for GPUs: every setting a choice for its card, and every run predicted to fit it."""

from dataclasses import fields
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, PretrainedConfig, Qwen2Config

from ccutils.chain.profiles import Profile, read_profile
from ccutils.models.lora import Lora
from ccutils.training.memory import check_fits, predict
from ccutils.training.settings import Settings

PROFILES = Path(__file__).parents[2] / "workflow" / "profiles"
T4, RTX_24 = (15_800_000_000, torch.float16), (25_300_000_000, torch.bfloat16)  # bytes as torch reports them
CARDS = {"t4": T4, "rtx24": RTX_24, "paper": RTX_24}
SIZES = {  # of the models' configs: vocabulary, width, width of the MLP, layers, heads, key-value heads
    "meta-llama/Llama-3.1-8B": (128256, 4096, 14336, 32, 32, 8),
    "Qwen/Qwen2.5-7B": (152064, 3584, 18944, 28, 28, 4),
    "Qwen/Qwen2.5-3B": (151936, 2048, 11008, 36, 16, 2),
    "Qwen/Qwen2.5-1.5B": (151936, 1536, 8960, 28, 12, 2),
    "meta-llama/Llama-3.2-1B": (128256, 2048, 8192, 16, 32, 8),
}


def test_no_setting_is_left_to_a_default_for_the_tiny_base(profile: Profile) -> None:
    settings = {f.name for f in fields(Settings)}
    ours = {"k", "p", "epsilon", "window", "rank", "alpha", "targets", "attention"}
    assert (settings - {"warmup", "schedule"}) | ours <= set(profile.parameters)
    for task in profile.tasks:
        values = profile.values("03_ic_train", task=task)
        Settings(**{name: values[name] for name in settings if name in values})


def test_each_setting_has_its_reason_beside_it(name: str) -> None:
    lines = (PROFILES / f"{name}.yaml").read_text().partition("parameters:\n")[2].splitlines()
    assert [line for line in lines if "#" not in line] == []


def test_every_run_is_predicted_to_fit_its_card(name: str, profile: Profile) -> None:
    card, dtype = CARDS[name]
    for task in profile.tasks:
        values = profile.values("03_ic_train", task=task)
        for model in profile.models:
            prediction = predict(
                config_of(model),
                window=values["window"],
                micro_batch=values["micro_batch"],
                checkpointing=values["checkpointing"],
                lora=Lora(values["rank"], values["alpha"], values["targets"]),
                dtype=dtype,
                expand=dtype == torch.float16,
            )
            check_fits(prediction, card)


def test_the_paper_profile_has_the_languages_of_the_paper() -> None:
    tasks = read_profile(PROFILES / "paper.yaml").tasks
    assert {name.partition("-")[0] for name in tasks} == {"mtop", "text_to_sql", "translation"}
    assert [t["task_options"].get("language") for t in tasks.values()][:3] == ["es", "de", "fr"]
    assert [t["task_options"].get("target") for t in tasks.values()][4:] == ["lt", "ta", "hi", "de"]


def config_of(model: str) -> PretrainedConfig:
    vocabulary, width, mlp, layers, heads, groups = SIZES[model]
    family = LlamaConfig if "llama" in model else Qwen2Config
    return family(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=mlp,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=groups,
        tie_word_embeddings=width < 3000,
    )


@pytest.fixture(params=CARDS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def profile(name: str) -> Profile:
    return read_profile(PROFILES / f"{name}.yaml")
