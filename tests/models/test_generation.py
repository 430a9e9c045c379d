"""Answers with shared prefixes against transformers' generate, one prompt at a time."""

from collections.abc import Sequence
from itertools import chain, pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models
from transformers import (
    Gemma3Config,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from ccutils.contexts.prompts import first_line
from ccutils.errors import InputError
from ccutils.models.generation import answer, answer_each, batches, count_fitting, stop_tokens, token_bytes
from ccutils.models.prefixes import PrefixNode, grow


@settings(deadline=None, max_examples=30)
@given(
    prompts=st.lists(st.lists(st.integers(3, 5), min_size=1, max_size=6), min_size=1, max_size=8),
    batch_tokens=st.sampled_from([1, 30, 1000]),
)
def test_same_answers_whatever_the_overlap(
    model: Any, tokenizer: PreTrainedTokenizerFast, prompts: list[list[int]], batch_tokens: int
) -> None:
    """Equal prompts, prompts that begin others, nothing in common."""
    found = dict(answer_each(model, tokenizer, prompts, max_new_tokens=3, batch_tokens=batch_tokens, least=1))
    alone = [answer(model, tokenizer, [prompt], max_new_tokens=3)[0] for prompt in prompts]
    assert [found[i] for i in range(len(prompts))] == alone


WORDS = ["<pad>", "<eos>", "\n", *(f" w{i}" for i in range(21))]
NEW = 6

Prompts = Sequence[Sequence[int]]


def family(seed: int) -> list[list[int]]:
    """Prompts like those of a target's contexts: slots, one of which differs, and a tail."""
    generator = torch.Generator().manual_seed(seed)

    def draw(n: int) -> list[int]:
        return torch.randint(3, len(WORDS), (n,), generator=generator).tolist()

    slots, tail = [draw(4 + i) for i in range(4)], draw(3)
    prompts = [[*chain(*slots), *tail]]
    for i in range(4):
        prompts.append([*chain(*slots[:i], draw(5), *slots[i + 1 :]), *tail])
    return [*prompts, prompts[0], draw(2)]


PROMPTS = [prompt for seed in range(3) for prompt in family(seed)]


@pytest.mark.parametrize("least", [1, 4, 1000])
@pytest.mark.parametrize("batch_tokens", [1, 60, 10_000])
def test_same_answers_as_one_generate_call_each(
    model: Any, tokenizer: PreTrainedTokenizerFast, least: int, batch_tokens: int
) -> None:
    expected = one_by_one(model, tokenizer, PROMPTS)
    assert len(set(expected)) > 8, "a model that always says the same would show nothing"
    assert len({len(text.split()) for text in expected}) > 2, "some answers end early"
    found = dict(
        answer_each(model, tokenizer, PROMPTS, max_new_tokens=NEW, batch_tokens=batch_tokens, least=least)
    )
    assert [found[i] for i in range(len(PROMPTS))] == expected


@pytest.mark.parametrize(
    ("config", "causal", "changes"),
    [
        (Qwen2Config, Qwen2ForCausalLM, {}),
        (Qwen3Config, Qwen3ForCausalLM, {"head_dim": 8}),
        (MistralConfig, MistralForCausalLM, {"sliding_window": 8}),
    ],
)
def test_same_answers_in_other_families(
    tokenizer: PreTrainedTokenizerFast, config: type[Any], causal: type[Any], changes: dict[str, int]
) -> None:
    model = make_model(config, causal, **changes)
    found = dict(answer_each(model, tokenizer, PROMPTS, max_new_tokens=NEW, batch_tokens=60, least=4))
    assert [found[i] for i in range(len(PROMPTS))] == one_by_one(model, tokenizer, PROMPTS)


def test_what_is_shared_is_computed_once(model: Any, tokenizer: PreTrainedTokenizerFast) -> None:
    begin = list(range(3, 13))
    prompts = [[*begin, 3, 4, 5], [*begin, 6, 7, 8]]
    shared, apart = Counting(model), Counting(model)
    dict(answer_each(shared, tokenizer, prompts, max_new_tokens=1, batch_tokens=10_000, least=1))
    dict(answer_each(apart, tokenizer, prompts, max_new_tokens=1, batch_tokens=10_000, least=1000))
    assert (shared.tokens, apart.tokens) == (10 + 2 * 3, 2 * 13)


def test_answers_that_ended_leave_their_batch(model: Any, tokenizer: PreTrainedTokenizerFast) -> None:
    answers = one_by_one(model, tokenizer, PROMPTS)
    order = sorted(range(len(PROMPTS)), key=lambda i: len(answers[i].split()))
    chosen = [PROMPTS[i] for i in [*order[:2], order[-1]]]
    counting = Counting(model)
    found = dict(
        answer_each(counting, tokenizer, chosen, max_new_tokens=NEW, batch_tokens=10_000, least=1000)
    )
    assert [found[i] for i in range(3)] == [answers[i] for i in [*order[:2], order[-1]]]
    assert counting.rows[0] == 3
    assert counting.rows[-1] == 1


def test_out_of_memory_makes_batches_smaller(model: Any, tokenizer: PreTrainedTokenizerFast) -> None:
    expected = answer(model, tokenizer, PROMPTS, max_new_tokens=NEW)
    short = Counting(model, most=100)
    assert answer(short, tokenizer, PROMPTS, max_new_tokens=NEW, batch_tokens=10_000) == expected
    with pytest.raises(InputError, match="prompt"):
        answer(Counting(model, most=10), tokenizer, PROMPTS, max_new_tokens=NEW, batch_tokens=10_000)


def test_an_answer_is_one_line(tokenizer: PreTrainedTokenizerFast) -> None:
    assert first_line(" SELECT 1 \n\nQuestion: x") == "SELECT 1"
    assert first_line("\n") == ""
    assert stop_tokens(tokenizer) == [1, 2]


def test_an_answer_stops_at_every_end_token_of_the_model(tokenizer: PreTrainedTokenizerFast) -> None:
    """As instruct models have them: the tokenizer names one end, the generation config several."""
    model = make_model(LlamaConfig, LlamaForCausalLM)
    usual = answer(model, tokenizer, PROMPTS, max_new_tokens=NEW)
    place, words = next((i, t.split()) for i, t in enumerate(usual) if len(set(t.split())) == NEW)
    third, fifth = (WORDS.index(f" {words[i]}") for i in (2, 4))
    for ends in (third, [1, fifth, third]):
        model.generation_config.eos_token_id = ends
        found = answer(model, tokenizer, PROMPTS, max_new_tokens=NEW)
        assert found[place].split() == words[:2]


def test_no_prompts_no_answers(model: Any, tokenizer: PreTrainedTokenizerFast) -> None:
    assert answer(model, tokenizer, [], max_new_tokens=NEW) == []


def test_batches_keep_to_their_size() -> None:
    nodes = [PrefixNode(None, start, [3] * n, (0,)) for start, n in [(0, 5), (9, 1), (2, 3), (0, 4), (7, 7)]]
    made = list(batches(nodes, 2, 24))
    assert sorted(map(id, chain(*made))) == sorted(map(id, nodes))
    for batch in made:
        assert len(batch) == 1 or len(batch) * (max(node.end for node in batch) + 2) <= 24
    assert count_fitting([5, 5, 5], 11) == 2
    assert count_fitting([50], 11) == 1


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=9), max_size=12), st.integers(1, 4))
def test_the_tree_holds_every_prompt_once(prompts: list[list[int]], least: int) -> None:
    ordered = sorted(prompts)
    places = []
    for depth, nodes in enumerate(grow(ordered, least)):
        for node in nodes:
            path = [*node.before(), node]
            assert len(path) == depth + 1
            assert all(one.end == other.start for one, other in pairwise(path))
            assert len(node.tokens) >= (1 if node.prompts else least)
            for place in node.prompts:
                places.append(place)
                assert [token for part in path for token in part.tokens] == ordered[place]
    assert sorted(places) == list(range(len(ordered)))


def test_the_tree_shares_what_is_long_enough() -> None:
    depths = grow([[1, 2, 3, 4], [1, 2, 3, 5], [1, 2, 9], [7]], least=2)
    assert [[list(node.tokens) for node in nodes] for nodes in depths] == [
        [[1, 2], [7]],
        [[3, 4], [3, 5], [9]],
    ]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {word: i for i, word in enumerate(WORDS)}
    plain = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    return PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="<pad>", eos_token="<eos>")


def make_model(config: type[Any], causal: type[Any], **changes: Any) -> Any:
    """Random weights, large so that answers differ with the prompt; grouped-query attention, as LLMs have."""
    torch.manual_seed(0)
    values = {
        "vocab_size": len(WORDS),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
        "initializer_range": 0.5,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "bos_token_id": None,
    }
    return causal(config(**{**values, **changes})).eval()


@pytest.fixture(scope="module")
def model() -> Any:
    return make_model(LlamaConfig, LlamaForCausalLM)


def one_by_one(model: Any, tokenizer: PreTrainedTokenizerFast, prompts: Prompts) -> list[str]:
    """The reference: a generate call for each prompt."""
    answers = []
    for prompt in prompts:
        ids = torch.tensor([list(prompt)])
        output = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=NEW,
            do_sample=False,
            eos_token_id=stop_tokens(tokenizer),
        )
        text = tokenizer.decode(output[0, len(prompt) :], skip_special_tokens=True)
        answers.append(first_line(str(text)))
    return answers


class Counting:
    """A model that counts the tokens and the rows it is run on, and may lack memory for long rows."""

    def __init__(self, model: Any, most: int = 10**9) -> None:
        self.model, self.most, self.tokens, self.rows = model, most, 0, list[int]()
        self.config = model.config
        self.parameters = model.parameters

    def __call__(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **rest: Any) -> Any:
        if attention_mask.numel() > self.most:
            raise torch.OutOfMemoryError("no memory")
        self.tokens += input_ids.numel()
        self.rows.append(len(input_ids))
        return self.model(input_ids=input_ids, attention_mask=attention_mask, **rest)


def test_the_room_of_a_token_is_read_off_any_config() -> None:
    small = LlamaConfig(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4)
    assert token_bytes(small) == 2 * (2 * 2 * 64 + 8 * 64 + 3 * 128)
    nested = Gemma3Config()
    assert token_bytes(nested) == token_bytes(nested.text_config) > 0
