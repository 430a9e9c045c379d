"""Shared contexts: a packed group is its prompts, and trains the model exactly as they do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers.integrations.flex_attention as flex
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from small import make_prepared
from torch.nn.attention.flex_attention import create_mask, flex_attention
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Qwen3Config,
    Qwen3ForCausalLM,
    TrainerCallback,
)
from trl import SFTConfig, SFTTrainer

from ccutils.contexts.prompts import IGNORE
from ccutils.errors import InputError
from ccutils.models.packed_attention import block_mask, parts_of
from ccutils.models.packing import Feature, SharedCollator, group_prompts, pack, share

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:flex_attention called without")


def test_the_mask_by_hand() -> None:
    segments = torch.tensor([[0, 0, 1, 1, 2, -1], [1, 2, 2, 3, 3, 3]])
    expected = [
        ["x.....", "xx....", "xxx...", "xxxx..", "xx..x.", ".....x"],
        ["x.....", ".x....", ".xx...", "...x..", "...xx.", "...xxx"],
    ]
    found = create_mask(block_mask(segments).mask_mod, 2, 1, 6, 6, device="cpu")
    for mask, lines in zip(found, expected, strict=True):
        assert ["".join(".x"[int(sees)] for sees in line) for line in mask[0].tolist()] == lines
    assert parts_of(segments) == [[(0, 2), (1, 2), (2, 1), (-1, 1)], [(1, 1), (2, 2), (3, 3)]]


VOCABULARY = 50
SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
}


def llama(**changes: Any) -> LlamaForCausalLM:
    torch.manual_seed(1)
    return LlamaForCausalLM(LlamaConfig(**{**SHAPE, **changes}))


def lora(model: PreTrainedModel) -> Any:
    """A model with an adapter that does something: its zero half is drawn too."""
    torch.manual_seed(2)
    model = get_peft_model(model, LoraConfig(r=3, target_modules="all-linear", task_type="CAUSAL_LM"))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def checkpointed(model: Any) -> Any:
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.enable_input_require_grads()
    return model


MODELS: dict[str, Callable[[], Any]] = {
    "full": llama,
    "lora": lambda: lora(llama()),
    "checkpointing": lambda: checkpointed(lora(llama())),
    "checkpointing without lora": lambda: checkpointed(llama()),
    "qwen3": lambda: lora(Qwen3ForCausalLM(Qwen3Config(**SHAPE))),
    "sliding in name only": lambda: MistralForCausalLM(MistralConfig(**SHAPE, sliding_window=None)),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("multiple", [1, 32])
def test_loss_and_gradients_are_those_of_separate_prompts(name: str, multiple: int) -> None:
    features = made_up()
    model = MODELS[name]().train()
    expected, wanted = separate_step(model, features), gradients(model)
    model.zero_grad()
    share(model)
    batch = SharedCollator(0, 4, multiple)(features)
    assert batch["input_ids"].shape[0] == 3 and batch["input_ids"].shape[1] % multiple == 0
    loss = model(**batch).loss
    loss.backward()
    assert float(loss.detach()) == pytest.approx(expected, abs=1e-5)
    found = gradients(model)
    assert found.keys() == wanted.keys() and len(found) > 10
    for parameter, value in wanted.items():
        assert value.abs().max() > 0, parameter
        torch.testing.assert_close(found[parameter], value, rtol=1e-5, atol=1e-5 * float(value.abs().max()))


def test_a_branch_does_not_hear_of_another() -> None:
    features = made_up((3,))
    model = llama()
    share(model)
    row = pack(group_prompts(features))
    batch = SharedCollator(0, 3)(features)
    before = model(**batch).logits[0]
    segments = torch.tensor(row.segments)
    batch["input_ids"][0, segments == 2] = 7
    after = model(**batch).logits[0]
    torch.testing.assert_close(after[segments != 2], before[segments != 2])
    assert not torch.allclose(after[segments == 2], before[segments == 2])


tokens = st.lists(st.integers(0, 2), max_size=6)


@given(tokens, st.lists(st.tuples(tokens, tokens, tokens), min_size=1, max_size=4))
@settings(max_examples=200, deadline=None)
def test_a_packed_group_holds_its_prompts(shared: list[int], rests: list[tuple[list[int], ...]]) -> None:
    features = [feature([*shared, 1, *rest], [*answer, 2]) for rest, answer, _ in rests]
    made = group_prompts(features)
    row = pack(made)
    n = len(made.prefix)
    for i, f in enumerate(features, start=1):
        at = [j for j, segment in enumerate(row.segments) if segment in (0, i)]
        assert [row.ids[j] for j in at] == f["input_ids"]
        assert [row.labels[j] for j in at] == f["labels"]
        assert [row.positions[j] for j in at] == list(range(len(at)))
        assert row.labels[at[n]] == IGNORE  # it would be predicted from another branch's last token
    firsts = [next(j for j, label in enumerate(f["labels"]) if label != IGNORE) for f in features]
    longer = {tuple(f["input_ids"][: n + 1]) for f in features}
    assert n == min(firsts) - 1 or len(longer) > 1  # nothing more could be shared


def test_flex_attention_skips_what_branches_do_not_see() -> None:
    segments = torch.tensor([[0] * 256 + [1] * 256 + [2] * 256])
    empty, full = block_mask(segments), block_mask(torch.zeros_like(segments))
    assert empty.shape == (1, 1, 768, 768)
    assert empty.sparsity() > full.sparsity()  # by the 2 x 2 blocks of branch 2 on branch 1
    assert full.sparsity() == pytest.approx(100 * 15 / 36)
    assert empty.sparsity() == pytest.approx(100 * 19 / 36)


@pytest.mark.parametrize("sizes", [(4, 4, 3), (1,)])
def test_all_ways_of_attention_agree(monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, ...]) -> None:
    """Part by part, a dense mask, FlexAttention; that on the CPU without its kernel and forward only."""

    def plain(query: Any, key: Any, value: Any, training: bool = False, **arguments: Any) -> Any:
        arguments.pop("kernel_options")
        return flex_attention(query, key, value, **arguments)

    monkeypatch.setattr(flex, "compile_friendly_flex_attention", plain)
    batch = SharedCollator(0, 4)(made_up(sizes))
    inputs = {name: batch[name] for name in ("input_ids", "position_ids")}
    rows, n = batch["input_ids"].shape
    dense = create_mask(block_mask(batch["segments"]).mask_mod, rows, 1, n, n, device="cpu")
    real = batch["attention_mask"].bool()
    with torch.no_grad():
        expected = llama().eval()(**inputs, attention_mask=dense).logits[real]
        for attention in ("sdpa", "flex_attention"):
            model = llama(attn_implementation=attention).eval()
            share(model)
            torch.testing.assert_close(model(**batch).logits[real], expected, rtol=1e-4, atol=1e-5)


def test_prompts_with_nothing_in_common_can_be_a_group() -> None:
    features = [feature([1, 2], [3]), feature([4, 5, 6], [7])]
    model = llama()
    expected = separate_step(model, features)
    share(model)
    assert float(model(**SharedCollator(0, 2)(features)).loss.detach()) == pytest.approx(expected, abs=1e-5)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    return make_prepared(tmp_path_factory.mktemp("results")).tokenizer


class Gradients(TrainerCallback):
    """Keeps the gradients that the optimiser is about to use."""

    def on_pre_optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        self.found = {name: value.clone() for name, value in gradients(kwargs["model"]).items()}


def sft_step(
    model: Any, dataset: Dataset, tokenizer: Any, folder: Path, **arguments: Any
) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    """What TRL logs of one step, and the step's gradients."""
    collator, kept = arguments.pop("data_collator", None), Gradients()
    settings = {
        "output_dir": str(folder),
        "max_steps": 1,
        "max_grad_norm": 0.0,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "max_length": None,
        "train_sampling_strategy": "sequential",
        "remove_unused_columns": False,
        **arguments,
    }
    trainer = SFTTrainer(
        model,
        SFTConfig(**settings),
        train_dataset=dataset,
        processing_class=tokenizer,
        data_collator=collator,
        callbacks=[kept],
    )
    trainer.train()
    return next(entry for entry in trainer.state.log_history if "loss" in entry), kept.found


@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_step_of_trl_is_that_of_separate_prompts(
    accumulation: int, checkpointing: bool, tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    features = made_up((4, 4, 4, 4))
    columns = {"input_ids": [f["input_ids"] for f in features]}
    masks = [[int(label != IGNORE) for label in f["labels"]] for f in features]
    expected, wanted = sft_step(
        lora(llama()),
        Dataset.from_dict({**columns, "completion_mask": masks}),
        tokenizer,
        tmp_path,
        per_device_train_batch_size=16,
        completion_only_loss=True,
    )
    model = lora(llama())
    share(model)
    found, gradient = sft_step(
        model,
        Dataset.from_dict({**columns, "labels": [f["labels"] for f in features]}),
        tokenizer,
        tmp_path,
        per_device_train_batch_size=16 // accumulation,
        gradient_accumulation_steps=accumulation,
        gradient_checkpointing=checkpointing,
        dataset_kwargs={"skip_prepare_dataset": True},
        data_collator=SharedCollator(0, 4),
    )
    assert found["loss"] == pytest.approx(expected["loss"], abs=1e-5)
    assert found["num_tokens"] == sum(
        len(pack(group_prompts(features[i : i + 4])).ids) for i in range(0, 16, 4)
    )
    assert found["num_tokens"] < expected["num_tokens"]
    for name, value in wanted.items():
        torch.testing.assert_close(gradient[name], value, rtol=1e-5, atol=1e-5 * float(value.abs().max()))


def test_without_segments_a_model_works_as_before() -> None:
    model = llama().eval()
    ids = torch.tensor([[3, 4, 5, 6]])
    before = model(input_ids=ids).logits
    handle = share(model)
    assert torch.equal(model(input_ids=ids).logits, before)
    mask = torch.tensor([[0, 1, 1, 1]])
    padded = model(input_ids=ids, attention_mask=mask).logits
    handle.remove()
    assert torch.equal(model(input_ids=ids, attention_mask=mask).logits, padded)


def test_what_cannot_be_shared_is_told() -> None:
    with pytest.raises(
        InputError, match="'eager' cannot take: load the model with attn_implementation 'sdpa'"
    ):
        share(llama(attn_implementation="eager"))
    with pytest.raises(InputError, match="mistral has other kinds"):
        share(MistralForCausalLM(MistralConfig(**SHAPE, sliding_window=16)))
    for prompt in (feature([1, 2], []), feature([], [1, 2])):
        with pytest.raises(InputError, match="prompt 1 of a group has no label behind its first token"):
            group_prompts([feature([1, 2], [3]), prompt])


def feature(prompt: list[int], answer: list[int]) -> Feature:
    return {"input_ids": prompt + answer, "labels": [IGNORE] * len(prompt) + answer}


def made_up(sizes: tuple[int, ...] = (4, 4, 3), seed: int = 0) -> list[Feature]:
    """Groups of prompts with a shared part and a rest of random lengths, one after the other."""
    rng = torch.Generator().manual_seed(seed)

    def number(low: int, high: int) -> int:
        return int(torch.randint(low, high, (), generator=rng))

    def tokens(n: int) -> list[int]:
        return torch.randint(1, VOCABULARY, (n,), generator=rng).tolist()

    features = []
    for size in sizes:
        shared = tokens(number(5, 20))
        features += [feature(shared + tokens(number(2, 12)), tokens(number(1, 5))) for _ in range(size)]
    return features


def gradients(model: Any) -> dict[str, torch.Tensor]:
    return {n: p.grad for n, p in model.named_parameters() if p.requires_grad and p.grad is not None}


def separate_step(model: Any, features: list[Feature]) -> float:
    """The mean loss over all answer tokens, one prompt at a time and without any of our code."""
    count = sum(label != IGNORE for f in features for label in f["labels"])
    total = 0.0
    model.zero_grad()
    for f in features:
        logits = model(input_ids=torch.tensor([f["input_ids"]])).logits[0, :-1]
        labels = torch.tensor(f["labels"])[1:]
        loss = torch.nn.functional.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="sum") / count
        loss.backward()
        total += float(loss.detach())
    return total
