"""Base models: where they come from, NF4, adapters on and off, what is said of a model that cannot be had."""

import copy
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
import transformers.utils.hub
from bitsandbytes.nn import Linear4bit
from safetensors.torch import load_file, save_file
from small import RECIPE, TASK
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
from transformers.integrations import sdpa_attention

from ccutils.errors import InputError
from ccutils.models import base as models
from ccutils.models.base import (
    add_lora,
    check_adapter,
    check_hub,
    check_model,
    check_model_takes,
    compute_dtype,
    context_length,
    load_adapter,
    load_base,
    load_tokenizer,
    model_path,
)
from ccutils.models.lora import Lora
from ccutils.models.tiny import make_recipe
from ccutils.tasks import Task, load_task

IDS = torch.tensor([[3, 4, 5, 6, 7, 8]])


class TestPath:
    def test_tiny_a_directory_and_a_copy_of_it_are_alike(self, task, path, tmp_path):
        """Nothing that loads a model can tell which of them it has."""
        copied = tmp_path / "my model"
        shutil.copytree(path, copied)
        assert model_path(str(copied), task, tmp_path) == str(copied)
        assert torch.equal(logits(load_base(str(copied))), logits(load_base(path)))
        assert load_tokenizer(str(copied)).get_vocab() == load_tokenizer(path).get_vocab()
        assert context_length(str(copied)) == RECIPE["window"]

    def test_home_is_read_as_a_shell_does(self, task, path, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(Path(path).parent))
        assert model_path(f"~/{Path(path).name}", task, tmp_path) == path

    @pytest.mark.parametrize("model", ["models/none/here", "./none", "/none", "none", "~/none", "../a/b"])
    def test_a_directory_that_does_not_exist(self, task, model, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(InputError, match=re.escape(model)):
            model_path(model, task, tmp_path)

    def test_a_file(self, tmp_path):
        (tmp_path / "weights").touch()
        with pytest.raises(InputError, match="weights"):
            check_model(str(tmp_path / "weights"))

    @pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
    def test_a_directory_that_lacks_something(self, task, path, tmp_path, file):
        shutil.copytree(path, tmp_path / "model")
        (tmp_path / "model" / file).unlink()
        with pytest.raises(InputError, match=file):
            model_path(str(tmp_path / "model"), task, tmp_path)

    def test_a_directory_without_safetensors(self, path, tmp_path):
        """Pickled weights can run code when they are loaded; they are not."""
        shutil.copytree(path, tmp_path / "model")
        (tmp_path / "model" / "model.safetensors").unlink()
        torch.save({}, tmp_path / "model" / "pytorch_model.bin")
        for load in (check_model, load_base):
            with pytest.raises(InputError, match=r"model.safetensors"):
                load(str(tmp_path / "model"))

    def test_a_config_without_a_window(self, tmp_path):
        (tmp_path / "config.json").write_text(json.dumps({"model_type": "mamba"}))
        with pytest.raises(InputError, match="max_position_embeddings"):
            context_length(str(tmp_path))


@pytest.mark.usefixtures("offline")
class TestHub:
    NAME = "no-such-org/no-such-model"

    @pytest.mark.parametrize("load", [load_tokenizer, load_base, context_length, check_hub])
    def test_an_id_without_network(self, load):
        with pytest.raises(InputError, match=self.NAME) as caught:
            load(self.NAME)
        assert "\n" not in str(caught.value)

    def test_it_is_told_before_anything_is_loaded(self, task, tmp_path):
        with pytest.raises(InputError, match=self.NAME):
            model_path(self.NAME, task, tmp_path)

    def test_what_the_hub_refuses(self, monkeypatch):
        def refuse(*args, **kwargs):
            raise RuntimeError("403 Forbidden\nby a proxy")

        monkeypatch.setattr(models, "has_file", refuse)
        with pytest.raises(InputError, match="403 Forbidden"):
            check_hub(self.NAME)

    def test_a_model_that_is_there(self, task, tmp_path, monkeypatch):
        monkeypatch.setattr(models, "has_file", lambda *_: True)
        assert model_path(self.NAME, task, tmp_path) == self.NAME

    def test_it_asks_once(self, monkeypatch):
        """`from_pretrained` would try six times, half a minute for each file."""
        asked = []

        class Session:
            def head(self, url, **_):
                asked.append(url)
                raise transformers.utils.hub.httpx.ConnectError("no network")

        monkeypatch.setattr(transformers.utils.hub, "get_session", Session)
        with pytest.raises(InputError, match=self.NAME):
            check_hub(self.NAME)
        assert len(asked) == 1


class TestQuantised:
    def test_linear_layers_are_nf4(self, path):
        model = load_base(path)
        linear = {name: m for name, m in model.named_modules() if isinstance(m, torch.nn.Linear)}
        four = {name for name, m in linear.items() if isinstance(m, Linear4bit)}
        assert set(linear) - four == {"lm_head"}
        assert len(four) == 7 * RECIPE["layers"]
        for name in four:
            weight = linear[name].weight
            assert weight.dtype == torch.uint8
            assert weight.quant_type == "nf4"
            assert weight.quant_state.nested, "double quantisation"
            assert weight.numel() == linear[name].in_features * linear[name].out_features // 2
        assert not model.training

    def test_it_is_near_the_model_it_was_made_of(self, path):
        whole, four = logits(load_base(path, quantise=False)), logits(load_base(path))
        assert not torch.equal(whole, four)
        assert torch.nn.functional.cosine_similarity(whole.flatten(), four.flatten(), 0) > 0.95

    def test_not_quantised(self, path):
        model = load_base(path, quantise=False)
        assert not any(isinstance(m, Linear4bit) for m in model.modules())
        assert {w.dtype for w in model.parameters()} == {torch.float32}


class TestAdapters:
    @pytest.mark.parametrize("quantise", [False, True])
    def test_saved_and_loaded_it_gives_the_same_logits(self, path, tmp_path, quantise):
        torch.manual_seed(0)
        model = add_lora(load_base(path, quantise=quantise), Lora(rank=2), checkpointing=False)
        base = logits(model)
        for name, weights in model.named_parameters():
            assert weights.requires_grad == ("lora_" in name)
            if "lora_B" in name:
                torch.nn.init.normal_(weights, std=0.5)
        model.eval()
        trained = logits(model)
        model.save_pretrained(tmp_path / "adapter")
        again = load_adapter(load_base(path, quantise=quantise), tmp_path / "adapter")
        assert torch.equal(logits(again), trained)
        assert not torch.allclose(base, trained, atol=0.01)
        assert not again.training

    def test_a_fresh_adapter_changes_nothing_and_is_of_its_seed(self, path):
        drawn = []
        for seed in (0, 0, 1):
            torch.manual_seed(seed)
            model = add_lora(load_base(path, quantise=False), Lora(rank=2), checkpointing=False)
            assert torch.equal(logits(model), logits(load_base(path, quantise=False)))
            drawn.append(torch.cat([w.flatten() for n, w in model.named_parameters() if "lora_A" in n]))
        assert torch.equal(drawn[0], drawn[1])
        assert not torch.equal(drawn[0], drawn[2])

    def test_it_is_on_all_linear_layers_but_the_head(self, path):
        model = add_lora(load_base(path), Lora(rank=2), checkpointing=False)
        on = {n.split(".lora_A")[0].rsplit(".", 1)[1] for n, _ in model.named_parameters() if "lora_A" in n}
        assert on == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}

    @pytest.mark.parametrize("quantise", [False, True])
    def test_one_after_another_on_one_base(self, path, adapters, quantise):
        """Each as if it were alone, the base as it was in the end; several times over, as probes do."""
        base = load_base(path, quantise=quantise)
        names = [name for name, _ in base.named_modules()]
        bare = logits(base)
        alone = [logits(load_adapter(load_base(path, quantise=quantise), folder)) for folder in adapters]
        assert not torch.allclose(alone[0], alone[1], atol=0.01)
        for folder, wanted in [*zip(adapters, alone, strict=True)] * 2:
            model = load_adapter(base, folder)
            assert torch.equal(logits(model), wanted)
            base = model.unload()
            assert torch.equal(logits(base), bare)
        assert [name for name, _ in base.named_modules()] == names

    def test_two_at_once_are_refused(self, path, adapters):
        """peft would put one on the other without a word but a warning."""
        base = load_base(path, quantise=False)
        load_adapter(base, adapters[0])
        with pytest.raises(ValueError, match="unload"):
            load_adapter(base, adapters[1])

    def test_merged_it_gives_the_same_answers(self, path, adapters):
        base = load_base(path, quantise=False)
        merged = load_adapter(copy.deepcopy(base), adapters[0]).merge_and_unload()
        assert torch.allclose(logits(merged), logits(load_adapter(base, adapters[0])), atol=1e-4)


class TestAdaptersThatDoNotFit:
    def test_a_run_folder_names_its_last_checkpoint(self, adapters):
        shutil.copytree(adapters[0], adapters[0].with_name("checkpoint-10"))
        with pytest.raises(InputError, match=r"such as .*checkpoint-10"):
            check_adapter(adapters[0].parent)

    @pytest.mark.parametrize(
        ("change", "named"),
        [
            (lambda folder: (folder / "adapter_config.json").unlink(), "no adapter_config.json"),
            (lambda folder: (folder / "adapter_config.json").write_text("{"), "adapter_config.json"),
            (lambda folder: (folder / "adapter_config.json").write_text("[]"), "adapter_config.json"),
            (lambda folder: rename_weights(folder, "adapter_model.bin"), "adapter_model.bin"),
            (lambda folder: rename_weights(folder, "other.safetensors"), "no weights"),
            (lambda folder: set_config(folder, peft_type="PROMPT_TUNING"), "PROMPT_TUNING"),
            (lambda folder: set_config(folder, peft_type="PREFIX_TUNING"), "PREFIX_TUNING"),
            (lambda folder: set_config(folder, peft_type="SOME_DAY"), "SOME_DAY"),
            (lambda folder: set_config(folder, peft_type=["LORA"]), "LORA"),
        ],
    )
    def test_what_is_no_adapter_that_can_be_loaded(self, adapters, change, named):
        change(adapters[0])
        with pytest.raises(InputError, match=named):
            check_adapter(adapters[0])

    def test_a_whole_model_is_no_adapter(self, path):
        with pytest.raises(InputError, match="whole model"):
            check_adapter(Path(path))

    @pytest.mark.parametrize(
        "change",
        [
            lambda weights: {f"other.{name}": tensor for name, tensor in weights.items()},
            lambda weights: {name: tensor for name, tensor in weights.items() if "q_proj" in name},
            lambda weights: {name: tensor[:, :1].contiguous() for name, tensor in weights.items()},
            lambda weights: {**weights, "base_model.model.model.embed_tokens.weight": torch.zeros(999, 32)},
            lambda weights: {},
        ],
    )
    def test_weights_that_match_no_layer_or_only_some(self, path, adapters, change):
        file = adapters[0] / "adapter_model.safetensors"
        save_file(change(load_file(file)), file)
        with pytest.raises(InputError, match="does not fit this model"):
            load_adapter(load_base(path, quantise=False), adapters[0])

    def test_weights_that_are_broken(self, path, adapters):
        (adapters[0] / "adapter_model.safetensors").write_bytes(b"none")
        with pytest.raises(InputError, match="does not fit this model"):
            load_adapter(load_base(path, quantise=False), adapters[0])

    def test_another_base(self, task, tmp_path, adapters):
        recipe = make_recipe({**RECIPE, "width": 16, "layers": 1})
        other = model_path("tiny", task, tmp_path / "cache", recipe)
        with pytest.raises(InputError, match="does not fit this model"):
            load_adapter(load_base(other, quantise=False), adapters[0])


def rename_weights(folder: Path, name: str) -> None:
    (folder / "adapter_model.safetensors").rename(folder / name)


def set_config(folder: Path, **values: str) -> None:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


@pytest.mark.parametrize("name", ["x" * 300, "org/" + "x" * 300, "~nobody/model", "a\0b"])
def test_a_name_that_no_model_can_have(name, task, tmp_path):
    with pytest.raises(InputError):
        model_path(name, task, tmp_path)


class TestPrecision:
    @pytest.mark.parametrize(
        ("gpu", "bf16", "expected"),
        [
            (False, False, torch.float32),
            (True, True, torch.bfloat16),
            (True, False, torch.float16),
        ],
    )
    def test_of_each_kind_of_machine(self, monkeypatch, gpu, bf16, expected):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
        assert compute_dtype() == expected

    def test_a_card_that_only_emulates_bfloat16_takes_float16(self, monkeypatch):
        """A T4 claims bfloat16 where emulation counts, and is slow at it."""
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(
            torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation
        )
        assert compute_dtype() == torch.float16


def test_a_tokenizer_without_padding_pads_with_its_end(path, tmp_path):
    shutil.copytree(path, tmp_path / "model")
    file = tmp_path / "model" / "tokenizer_config.json"
    kept = {name: value for name, value in json.loads(file.read_text()).items() if name != "pad_token"}
    file.write_text(json.dumps(kept))
    tokenizer = load_tokenizer(str(tmp_path / "model"))
    assert tokenizer.pad_token == tokenizer.eos_token


def test_a_tokenizer_that_cannot_end_an_answer_is_refused(path, tmp_path):
    shutil.copytree(path, tmp_path / "model")
    file = tmp_path / "model" / "tokenizer_config.json"
    kept = {name: value for name, value in json.loads(file.read_text()).items() if name != "eos_token"}
    file.write_text(json.dumps(kept))
    with pytest.raises(InputError, match="eos_token"):
        load_tokenizer(str(tmp_path / "model"))


def test_weights_of_the_hub_that_are_not_safetensors(monkeypatch):
    """transformers says to switch use_safetensors off, which would run what the file holds."""

    def refuse(*args, **kwargs):
        raise OSError("org/name does not appear to have a file named model.safetensors: do not set it.")

    monkeypatch.setattr(models, "config_of", lambda *_: LlamaConfig())
    monkeypatch.setattr(models.AutoModelForCausalLM, "from_pretrained", refuse)
    with pytest.raises(InputError, match="org/name"):
        load_base("org/name")


@pytest.mark.parametrize(
    "targets", ["c_attn", ["q_proj", "c_attn"], ["layers"], "model.layers.9.q_proj", ".*none"]
)
def test_targets_that_no_layer_is_called(path, targets):
    with pytest.raises(InputError, match="targets has"):
        add_lora(load_base(path, quantise=False), Lora(targets=targets), checkpointing=False)


def test_a_model_is_not_loaded_to_see_what_it_takes(path):
    config = models.config_of(path)
    for attention in ("auto", "eager", "flex_attention"):
        check_model_takes(config, Lora(targets="q_proj"), attention)
    with pytest.raises(InputError, match="flash_attn"):
        check_model_takes(config, Lora(), "flash_attn")
    with pytest.raises(InputError, match="flash_attention_3"):
        check_model_takes(config, Lora(), "flash_attention_3")
    with pytest.raises(InputError, match="q_prj"):
        check_model_takes(config, Lora(targets="q_prj"))


def test_a_torchao_too_old_for_peft_is_none(path, tmp_path, monkeypatch):
    """Colab has one, at which peft gives up every adapter that is not on 4-bit layers."""
    (tmp_path / "torchao").mkdir()
    (tmp_path / "torchao" / "__init__.py").touch()
    (tmp_path / "torchao-0.10.0.dist-info").mkdir()
    (tmp_path / "torchao-0.10.0.dist-info" / "METADATA").write_text("Name: torchao\nVersion: 0.10.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    models.is_torchao_available.cache_clear()
    with pytest.raises(ImportError, match="incompatible version of torchao"):
        models.is_torchao_available()
    adapted = add_lora(load_base(path, quantise=False), Lora(rank=2), checkpointing=False)
    assert any("lora_A" in name for name, _ in adapted.named_parameters())
    monkeypatch.undo()
    models.is_torchao_available.cache_clear()


def test_the_reference_is_transformers_own_loading(path):
    """In float32, what load_base gives is what any other code would load."""
    plain = AutoModelForCausalLM.from_pretrained(path).eval()
    assert torch.equal(logits(load_base(path, quantise=False)), logits(plain))


@pytest.mark.parametrize(
    ("dtype", "kernel"),
    [
        (torch.float32, "sdpa"),
        (torch.float16, "sdpa"),  # a T4: FlashAttention may be installed there, but cannot run
        (torch.bfloat16, "flash_attention_2"),
    ],
)
def test_flash_attention_is_for_cards_that_can_run_it(dtype, kernel, monkeypatch):
    monkeypatch.setattr(models, "is_flash_attn_2_available", lambda: True)
    monkeypatch.setattr(models, "compute_dtype", lambda: dtype)
    assert models.attention_kernel("auto") == kernel


def test_an_old_gpu_gets_attention_that_it_has_a_fast_kernel_for(tmp_path, monkeypatch):
    """Without padding: keys and values for every head, as its fast kernels need, and the same logits."""
    shape = {"num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 2, "vocab_size": 16}
    made = LlamaForCausalLM(LlamaConfig(hidden_size=16, intermediate_size=32, pad_token_id=0, **shape))
    made.save_pretrained(tmp_path)
    kernel, heads = torch.nn.functional.scaled_dot_product_attention, []

    def watched(query, key, value, **more):
        heads.append((query.shape[1], key.shape[1], more.get("enable_gqa", False)))
        return kernel(query, key, value, **more)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    monkeypatch.setattr(
        sdpa_attention, "use_gqa_in_sdpa", sdpa_attention.use_gqa_in_sdpa
    )  # put back at the end
    expected = logits(load_base(str(tmp_path), quantise=False))
    assert heads == [(4, 2, True)] * 2
    monkeypatch.setattr(models, "repeats_kv_heads", lambda: True)
    found = logits(load_base(str(tmp_path), quantise=False))
    assert heads[2:] == [(4, 4, False)] * 2
    assert torch.allclose(found, expected, atol=1e-6)


@pytest.fixture(scope="module")
def task() -> Task:
    return load_task("topics", seed=0, **TASK)


@pytest.fixture(scope="module")
def path(task, tmp_path_factory) -> str:
    return model_path("tiny", task, tmp_path_factory.mktemp("cache"), make_recipe({**RECIPE, "width": 32}))


@pytest.fixture
def offline(monkeypatch):
    """What HF_HUB_OFFLINE=1 does, which huggingface_hub reads when it is imported."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@torch.inference_mode()
def logits(model) -> torch.Tensor:
    return model(IDS).logits


@pytest.fixture
def adapters(path, tmp_path) -> list[Path]:
    """Two different adapters, none of them without effect."""
    folders = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        model = add_lora(load_base(path, quantise=False), Lora(rank=2), checkpointing=False)
        for name, weights in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weights, std=0.5)
        folders.append(tmp_path / f"checkpoint-{seed}")
        model.save_pretrained(folders[-1])
    return folders
