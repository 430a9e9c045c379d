"""The embedded base model: a tiny Llama trained from scratch until it has in-context learning, as LLMs have.

Pretraining has two stages: repeated random sequences, until the loss shows that induction has formed; then
episodes, contexts of random words with random labels, whose answers only the context reveals. Of the task
only its vocabulary, its template and the lengths of its inputs are used, no labelled example. Without the
first stage the second stays on a plateau for thousands of steps.

`data/bases/<task>-<seed>.safetensors` bundles weights as float16, so that every machine starts from the same
bases; the JSON beside it has their recipe and checksum. `python -m ccutils.models.tiny topics 0 1 2` writes
them.
"""

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LinearLR
from tqdm import tqdm  # the plain one: it reads the same in Jupyter and in papermill's log
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from ccutils.errors import InputError, check_kind, command, from_text, nearest
from ccutils.models.tiny_episodes import Material, Tokens, episodes, material_of, question_around, repeats
from ccutils.origin import checksum
from ccutils.records import read_json, write_json
from ccutils.tasks import Task, load_task

PAD, EOS, UNK = "<pad>", "<eos>", "<unk>"


BASES = Path(__file__).resolve().parents[2] / "data" / "bases"
DESCRIPTION = "base.json"
"""The file in a tiny base's directory with its name, task and recipe, and how it was obtained ("made")."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the tiny base is pretrained; its hash is part of the name in the cache.

    Raises InputError for values out of range.
    """

    layers: int = 2
    width: int = 64
    heads: int = 4
    window: int = 512
    vocabulary: int = 4000
    demonstrations: int = 6  # in an episode, besides its last example
    batch: int = 64
    learning_rate: float = 3e-3
    repeat_steps: int = 1500  # at most: the first stage ends when its loss is below `repeat_until`
    repeat_words: int = 512  # random words of a batch and of its softmax, whatever the vocabulary's size
    repeat_until: float = 0.62  # of the loss of guessing; half of each sequence cannot be predicted
    episode_steps: int = 1200
    seed: int = 0  # of its own training; make_recipe sets the run's
    kept: bool = True  # use the bundled base if there is one of this recipe; else train

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value < 0 or (value == 0 and field.name not in ("seed", "kept")):
                raise InputError(f"recipe: {field.name} must be above 0, got {value}.")
        if self.width % (2 * self.heads):
            raise InputError(
                f"recipe: width must be a multiple of 2 * heads, {2 * self.heads}, got {self.width}."
            )


DEFAULT = Recipe()


def make_recipe(changes: Mapping[str, Any], seed: int = 0) -> Recipe:
    """Apply changes to the default recipe; its seed is `seed`, that of the run, unless changed.

    Raises InputError for an unknown name or an invalid value.
    """
    known = asdict(DEFAULT)
    values = {name: from_text(value, known.get(name)) for name, value in changes.items()}
    for name, value in values.items():
        if name not in known:
            raise InputError(f"recipe has no {name!r}{nearest(name, known)}")
        check_kind(f"recipe: {name}", value, known[name])
    return replace(DEFAULT, **{"seed": seed, **values})


def tiny_base(task: Task, cache: Path, recipe: Recipe = DEFAULT, bases: Path = BASES) -> Path:
    """Find or train the tiny base for a task's vocabulary, and return its model directory in the cache.

    A bundled base is used if its recipe, vocabulary, template and mean lengths are the same, else one is
    trained; DESCRIPTION records which. The directory is an ordinary Hugging Face one: config, safetensors,
    tokenizer. Concurrent processes wait for the one that writes it.
    """
    tokenizer, material, name = prepare_tiny(task, recipe)
    folder = cache / f"tiny-{task.name}-{name}{'' if recipe.kept else '-retrained'}"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f".{folder.name}.lock"):
        if not (folder / "config.json").exists():
            part = cache / f".{folder.name}.part"
            shutil.rmtree(part, ignore_errors=True)
            bundled = find_bundled(task.name, recipe.seed, name, bases) if recipe.kept else None
            if bundled is None:
                model = pretrain(tokenizer, material, recipe)
            else:
                model = LlamaForCausalLM(tiny_config(tokenizer, recipe))
                model.load_state_dict(bundled, strict=False)  # the head is the embedding's
                model.tie_weights()
            with torch.no_grad():
                for parameter in model.parameters():  # as bundled weights are, so that both are equal
                    parameter.copy_(parameter.half().float())
            model.save_pretrained(part)
            tokenizer.save_pretrained(part)
            made = "trained" if bundled is None else "kept"
            about = {"name": name, "task": task.name, "recipe": asdict(recipe), "made": made}
            write_json(part / DESCRIPTION, about)
            os.replace(part, folder)
            how = "trained here" if bundled is None else "bundled"
            print(f"Tiny base of {task.name}, seed {recipe.seed}: {how}.", flush=True)
    return folder


def prepare_tiny(task: Task, recipe: Recipe) -> tuple[PreTrainedTokenizerFast, Material, str]:
    """Return a tiny base's tokenizer and pretraining material, and the hash that names it."""
    tokenizer = word_tokenizer(task, recipe.vocabulary)
    material = material_of(task, tokenizer)
    facts = {
        "recipe": {name: value for name, value in asdict(recipe).items() if name != "kept"},
        "vocabulary": sorted(tokenizer.get_vocab()),
        "template": asdict(task.template),
        "lengths": material.mean_lengths(),
    }
    return tokenizer, material, hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


def find_bundled(task: str, seed: int, name: str, bases: Path) -> dict[str, torch.Tensor] | None:
    """Load the weights of the bundled base with this name (a hash) as float32; None if there is none.

    Raises InputError if the weights do not match the checksum in their JSON.
    """
    path = bases / f"{task}-{seed}.safetensors"
    about = read_json(path.with_suffix(".json"))
    if about is None or about["name"] != name or not path.exists():
        return None
    if checksum(path) != about["sha256"]:
        raise InputError(
            f"{path} does not match the checksum in {path.stem}.json: restore both from the repository, or "
            "delete them and the base will be trained again."
        )
    return {key: tensor.float() for key, tensor in load_file(path).items()}


def bundle(base: Path, task: str, seed: int, bases: Path) -> Path:
    """Write the weights of a trained base, a model directory, and their description to `bases`."""
    bases.mkdir(parents=True, exist_ok=True)
    path = bases / f"{task}-{seed}.safetensors"
    weights = load_file(base / "model.safetensors")
    save_file({name: weight.half() for name, weight in weights.items()}, path)
    about = {**(read_json(base / DESCRIPTION) or {}), "sha256": checksum(path)}
    write_json(path.with_suffix(".json"), about)
    return path


def word_tokenizer(task: Task, size: int) -> PreTrainedTokenizerFast:
    """Build a tokenizer of whole words: every word of the task's answers, then input words by frequency."""
    splitter = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r" +"), "removed"),
            pre_tokenizers.Split(Regex(r"\n|[\[\],?!]|(?<=\w)'"), "isolated"),
        ]
    )

    def words(text: str) -> list[str]:
        return [word for word, _ in splitter.pre_tokenize_str(text)]

    tests = [*task.id_test, *task.ood_test]  # an answer with unknown words could never be right
    examples = [*task.pool, *task.ood_pool]
    fixed = [task.template.instruction, *question_around(task), task.template.separator]
    needed = [w for text in [*fixed, *(e.output for e in [*examples, *tests])] for w in words(text)]
    needed += [w for text in task.vocabulary for w in words(text)]
    counts = Counter(w for e in [*examples, *tests] for w in words(e.input))
    common = [word for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    kept = list(dict.fromkeys([*sorted(set(needed)), *common]))[: max(size, len(set(needed)))]
    vocabulary = [PAD, EOS, UNK, *sorted(kept)]  # sorted: the same whatever the seed of the task
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token=UNK))
    tokenizer.pre_tokenizer = splitter
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=EOS, unk_token=UNK, padding_side="left"
    )


def tiny_config(tokenizer: PreTrainedTokenizerFast, recipe: Recipe) -> LlamaConfig:
    """Return the tiny base's shape."""
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.width,
        intermediate_size=2 * recipe.width,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        max_position_embeddings=recipe.window,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )


def pretrain(tokenizer: PreTrainedTokenizerFast, material: Material, recipe: Recipe) -> LlamaForCausalLM:
    """Train the base on repeated sequences, then on episodes; only predictable tokens are scored."""
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    size = len(tokenizer)
    model = LlamaForCausalLM(tiny_config(tokenizer, recipe))
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.01
    )
    warm = LinearLR(optimiser, 0.01, total_iters=100)
    some = min(recipe.repeat_words, size - 3)
    done = recipe.repeat_until * np.log(some)
    recent: list[float] = []
    for _ in progress(recipe.repeat_steps, "stage 1 (repeats)"):
        among = np.sort(rng.choice(np.arange(3, size), some, replace=False))
        tokens = repeats(among, recipe.batch, rng)
        recent = [*recent[-19:], step(model, optimiser, tokens, np.ones(tokens.shape, bool), among=among)]
        warm.step()
        if len(recent) == 20 and np.mean(recent) < done:
            break
    decay = LinearLR(optimiser, 1.0, 0.05, total_iters=recipe.episode_steps)
    for group in optimiser.param_groups:
        group["lr"] = recipe.learning_rate
    for _ in progress(recipe.episode_steps, "stage 2 (episodes)"):
        tokens, answers = episodes(material, recipe.demonstrations, recipe.batch, rng)
        step(model, optimiser, tokens, answers)
        decay.step()
    model.eval()
    return model


def progress(steps: int, stage: str) -> Iterator[int]:
    """Count steps with a progress bar."""
    yield from tqdm(range(steps), desc=f"tiny base, {stage}", mininterval=2, file=sys.stdout)


def step(
    model: LlamaForCausalLM,
    optimiser: Optimizer,
    tokens: Tokens,
    scored: NDArray[np.bool_],
    *,
    among: Tokens | None = None,
) -> float:
    """Take one optimiser step on the loss of next tokens where `scored`, and return the loss.

    `tokens` and `scored` are (batch, length). With `among`, ascending token ids, the softmax is over those
    alone.
    """
    x, mask = torch.from_numpy(tokens), torch.from_numpy(scored[:, 1:])
    hidden = model.model(x).last_hidden_state[:, :-1][mask]  # (n scored, width)
    words, target = model.lm_head.weight, x[:, 1:][mask]
    if among is not None:
        words, target = words[among], torch.searchsorted(torch.from_numpy(among), target)
    loss = torch.nn.functional.cross_entropy(hidden @ words.T, target)
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    return float(loss.detach())


@command
def main(arguments: Sequence[str]) -> None:
    """Train and bundle the bases of a task, the first argument, for the seeds that follow."""
    if len(arguments) < 2 or not all(seed.isdecimal() for seed in arguments[1:]):
        raise InputError("Give a task and its seeds: topics 0 1 2.")
    for seed in map(int, arguments[1:]):
        with tempfile.TemporaryDirectory() as cache:
            made = tiny_base(load_task(arguments[0], seed=seed), Path(cache), make_recipe({}, seed))
            print(f"Bundled {bundle(made, arguments[0], seed, BASES)}.", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
