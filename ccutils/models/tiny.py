"""The embedded base: a tiny Llama trained from scratch until it has in-context learning, as LLMs have.

First repeated random sequences, until the loss shows that induction has formed; then episodes: contexts of
random words with random labels, where only the context tells the answer. No labelled example of the task is
used, only its vocabulary and the lengths of its inputs. Without the first stage the second stays on a plateau
for thousands of steps.
"""

import hashlib
import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from tqdm import tqdm  # the plain one: it reads the same in Jupyter and in papermill's log
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from ccutils.errors import InputError, check_kind, from_text, nearest
from ccutils.models.kept import BASES, find_kept, round_weights
from ccutils.models.tiny_episodes import Material, Tokens, episodes, material_of, question_around, repeats
from ccutils.tasks.base import Task

PAD, EOS, UNK = "<pad>", "<eos>", "<unk>"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the tiny base is made; its hash names the cached model. Raises InputError for wrong values."""

    layers: int = 2
    width: int = 64
    heads: int = 4
    window: int = 512
    vocabulary: int = 4000
    demonstrations: int = 6  # in an episode, besides its last example
    batch: int = 64
    learning_rate: float = 3e-3
    repeat_steps: int = 1500  # at most: the first stage ends when its loss is below `repeat_until`
    repeat_words: int = (
        512  # the random words of a batch, and of its softmax: large vocabularies take no longer
    )
    repeat_until: float = 0.62  # of the loss of guessing; half of each sequence cannot be predicted
    episode_steps: int = 1200
    seed: int = 0  # of its own training; make_recipe takes the run's
    kept: bool = True  # take the repository's where it has one of this recipe; else it is trained

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value < 0 or (value == 0 and field.name not in ("seed", "kept")):
                raise InputError(f"recipe: {field.name} is {value}: it must be above 0.")
        if self.width % (2 * self.heads):
            raise InputError(
                f"recipe: width is {self.width}: it must be a multiple of 2 * heads, {2 * self.heads}."
            )


DEFAULT = Recipe()


def make_recipe(changes: Mapping[str, Any], seed: int = 0) -> Recipe:
    """Make the default recipe with changes; its seed is `seed`, that of the run, unless changed.

    Raises InputError for a name or a value that it cannot have.
    """
    known = asdict(DEFAULT)
    values = {name: from_text(value, known.get(name)) for name, value in changes.items()}
    for name, value in values.items():
        if name not in known:
            raise InputError(f"recipe has no {name!r}{nearest(name, known)}")
        check_kind(f"recipe: {name}", value, known[name])
    return replace(DEFAULT, **{"seed": seed, **values})


DESCRIPTION = "base.json"
"""A file of a tiny base's directory: its name, task, recipe, and whether it was kept or trained."""


def tiny_base(task: Task, cache: Path, recipe: Recipe = DEFAULT, bases: Path = BASES) -> Path:
    """Find or train the tiny base for a task's vocabulary, and return its model directory in the cache.

    A base that the repository keeps is taken, else one is trained; DESCRIPTION tells which.
    The cache knows it by recipe, vocabulary, template and mean lengths: all runs of a seed share it. The
    directory is an ordinary Hugging Face one: config, safetensors, tokenizer. Several processes may ask at
    once: one makes it, the others wait.
    """
    tokenizer, material, name = prepare_tiny(task, recipe)
    folder = cache / f"tiny-{task.name}-{name}{'' if recipe.kept else '-retrained'}"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f".{folder.name}.lock"):
        if not (folder / "config.json").exists():
            part = cache / f".{folder.name}.part"
            shutil.rmtree(part, ignore_errors=True)
            kept = find_kept(task.name, recipe.seed, name, bases) if recipe.kept else None
            if kept is None:
                model = pretrain(tokenizer, material, recipe)
            else:
                model = LlamaForCausalLM(tiny_config(tokenizer, recipe))
                model.load_state_dict(kept, strict=False)  # the head is the embedding's
                model.tie_weights()
            round_weights(model)
            model.save_pretrained(part)
            tokenizer.save_pretrained(part)
            made = "trained" if kept is None else "kept"
            about = {"name": name, "task": task.name, "recipe": asdict(recipe), "made": made}
            (part / DESCRIPTION).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
            os.replace(part, folder)
            where = "trained here" if kept is None else "the repository's"
            print(f"tiny base of {task.name}, seed {recipe.seed}: {where}", flush=True)
    return folder


def prepare_tiny(task: Task, recipe: Recipe) -> tuple[PreTrainedTokenizerFast, Material, str]:
    """Return what a tiny base is made of, tokenizer and material, and the hash that names it."""
    tokenizer = word_tokenizer(task, recipe.vocabulary)
    material = material_of(task, tokenizer)
    facts = {
        "recipe": {name: value for name, value in asdict(recipe).items() if name != "kept"},
        "vocabulary": sorted(tokenizer.get_vocab()),
        "template": asdict(task.template),
        "lengths": material.mean_lengths(),
    }
    return tokenizer, material, hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


def word_tokenizer(task: Task, size: int) -> PreTrainedTokenizerFast:
    """Make a tokenizer of whole words of the task's text: every word of a label, the rest by frequency."""
    splitter = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r" +"), "removed"),
            pre_tokenizers.Split(Regex(r"\n|[\[\],?!]|(?<=\w)'"), "isolated"),
        ]
    )

    def words(text: str) -> list[str]:
        return [word for word, _ in splitter.pre_tokenize_str(text)]

    tests = [*task.id_test, *task.ood_test]  # an answer that it cannot write could never be right
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
    """Train the base on repeated sequences, then on episodes; the loss is on what the context can tell."""
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    size = len(tokenizer)
    model = LlamaForCausalLM(tiny_config(tokenizer, recipe))
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.01
    )
    warm = torch.optim.lr_scheduler.LinearLR(optimiser, 0.01, total_iters=100)
    some = min(recipe.repeat_words, size - 3)
    done = recipe.repeat_until * np.log(some)
    recent: list[float] = []
    with tqdm(
        total=recipe.repeat_steps, desc="tiny base, stage 1 (repeats)", mininterval=2, file=sys.stdout
    ) as bar:
        for _ in range(recipe.repeat_steps):
            among = np.sort(rng.choice(np.arange(3, size), some, replace=False))
            tokens = repeats(among, recipe.batch, rng)
            recent = [*recent[-19:], step(model, optimiser, tokens, np.ones(tokens.shape, bool), among=among)]
            warm.step()
            bar.update()
            bar.set_postfix(loss=f"{np.mean(recent):.2f}", refresh=False)
            if len(recent) == 20 and np.mean(recent) < done:
                break
    decay = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.05, total_iters=recipe.episode_steps)
    for group in optimiser.param_groups:
        group["lr"] = recipe.learning_rate
    with tqdm(
        total=recipe.episode_steps, desc="tiny base, stage 2 (episodes)", mininterval=2, file=sys.stdout
    ) as bar:
        for _ in range(recipe.episode_steps):
            tokens, answers = episodes(material, recipe.demonstrations, recipe.batch, rng)
            loss = step(model, optimiser, tokens, answers)
            decay.step()
            bar.update()
            bar.set_postfix(loss=f"{loss:.2f}", refresh=False)
    model.eval()
    return model


def step(
    model: LlamaForCausalLM,
    optimiser: torch.optim.Optimizer,
    tokens: Tokens,
    judged: NDArray[np.bool_],
    *,
    among: Tokens | None = None,
) -> float:
    """Take one optimiser step on next-token loss where `judged`; tokens and judged are (batch, length).

    With `among`, ascending token ids, the softmax is over those alone.
    """
    x, mask = torch.from_numpy(tokens), torch.from_numpy(judged[:, 1:])
    hidden = model.model(x).last_hidden_state[:, :-1][mask]  # (judged, width)
    words, target = model.lm_head.weight, x[:, 1:][mask]
    if among is not None:
        words, target = words[among], torch.searchsorted(torch.from_numpy(among), target)
    loss = torch.nn.functional.cross_entropy(hidden @ words.T, target)
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    return float(loss.detach())
