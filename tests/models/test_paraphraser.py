"""A language model as paraphraser: what it is asked, and what of its answers is used."""

import pytest

from ccutils.contexts.paraphrase import Paraphraser, paraphrase
from ccutils.errors import InputError
from ccutils.models import paraphraser as module
from ccutils.models import write_paraphrases
from ccutils.tasks import Example

CALL = Example("Call Ann Lee at the office.", "[IN:CREATE_CALL [SL:CONTACT Ann Lee ] ]")
SHOW = Example("show me the available ones", "[IN:GET_AVAILABILITY ]")


def test_a_models_paraphrases_are_used_where_they_keep_the_label(tmp_path, small_model):
    how = Paraphraser("model", source=small_model, variants=3)
    made = paraphrase([CALL, SHOW], how, tmp_path, write=write_paraphrases)
    assert made.kinds[CALL.input] == "rules"  # it cannot say "Ann Lee"
    assert made.kinds[SHOW.input] == "model" and 1 <= len(made.texts[SHOW.input]) <= 3
    again = paraphrase([CALL, SHOW], how, tmp_path / "elsewhere", write=write_paraphrases)
    assert again == made  # seeded


def test_a_chat_model_is_asked_in_its_own_form(small_model):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(small_model)
    assert module.write_request(tokenizer, "hello").endswith("Text: hello\nIn other words:")
    tokenizer.chat_template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
    asked = module.write_request(tokenizer, "hello")
    assert asked.startswith("<user>Say the following") and asked.endswith("hello<assistant>")


def test_smollm2_is_a_paraphraser_by_its_name(tmp_path, small_model, monkeypatch):
    monkeypatch.setattr(module, "find_model", lambda name: small_model)
    made = paraphrase([SHOW], Paraphraser("model", source="smollm2"), tmp_path, write=write_paraphrases)
    assert made.kinds[SHOW.input] == "model"


def test_a_model_that_cannot_be_loaded_is_told(tmp_path):
    with pytest.raises(InputError, match="/nowhere"):
        paraphrase([CALL], Paraphraser("model", source="/nowhere"), tmp_path, write=write_paraphrases)


@pytest.fixture(scope="module")
def small_model(tmp_path_factory) -> str:
    """An ordinary model directory; untrained, so that it says anything."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = ["<unk>", "<eos>", "well", "hello", "there", "my", "friend", "yes"]
    plain = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    folder = tmp_path_factory.mktemp("model")
    PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="<unk>", eos_token="<eos>").save_pretrained(
        folder
    )
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        eos_token_id=1,
        bos_token_id=None,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    return str(folder)
