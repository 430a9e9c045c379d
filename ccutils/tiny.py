"""The embedded base: a tiny Llama trained from scratch until it has in-context learning, as LLMs have (ours).

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
from collections.abc import Iterator, Mapping, Sequence
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

from ccutils.errors import InputError
from ccutils.profiles import check_kind, nearest
from ccutils.tasks.base import Task

PAD, EOS, UNK = "<pad>", "<eos>", "<unk>"
Tokens = NDArray[np.int64]


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
    repeat_until: float = 0.62  # of the loss of guessing; half of each sequence cannot be predicted
    episode_steps: int = 1200
    seed: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value < 0 or (value == 0 and field.name != "seed"):
                raise InputError(f"recipe: {field.name} is {value}: it must be above 0.")
        if self.width % (2 * self.heads):
            raise InputError(
                f"recipe: width is {self.width}: it must be a multiple of 2 * heads, {2 * self.heads}."
            )


DEFAULT = Recipe()


def make_recipe(changes: Mapping[str, Any]) -> Recipe:
    """The default recipe with changes. Raises InputError for a name or a value that it cannot have."""
    known = asdict(DEFAULT)
    for name, value in changes.items():
        if name not in known:
            raise InputError(f"recipe has no {name!r}{nearest(name, known)}")
        check_kind(f"recipe: {name}", value, known[name])
    return replace(DEFAULT, **changes)


@dataclass(frozen=True, slots=True)
class Material:
    """What episodes are made of: token ids of words and template, and the lengths of inputs."""

    before: list[int]  # of the template, before an input
    after: list[int]  # between input and answer
    end: list[int]  # after an answer
    inputs: Tokens  # (words,) that occur in inputs
    answers: list[Tokens]  # by length in tokens: (answers, length), the task's distinct labels
    lengths: Tokens  # (pool,) of inputs, in tokens
    interlinear: bool  # answers repeat the input's words, each with its gloss


def tiny_base(task: Task, cache: Path, recipe: Recipe = DEFAULT) -> Path:
    """Train the tiny base for a task's vocabulary, unless the cache has it, and return its model directory.

    The directory is an ordinary Hugging Face one: config, safetensors, tokenizer. Takes one to two minutes on
    two cores. Several processes may ask at once: one trains, the others wait for it.
    """
    tokenizer = word_tokenizer(task, recipe.vocabulary)
    facts = {"recipe": asdict(recipe), "vocabulary": sorted(tokenizer.get_vocab())}
    name = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
    folder = cache / f"tiny-{task.name}-{name}"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f".{folder.name}.lock"):
        if not (folder / "config.json").exists():
            part = cache / f".{folder.name}.part"
            shutil.rmtree(part, ignore_errors=True)
            model = pretrain(tokenizer, material_of(task, tokenizer), recipe)
            model.save_pretrained(part)
            tokenizer.save_pretrained(part)
            os.replace(part, folder)
    return folder


def word_tokenizer(task: Task, size: int) -> PreTrainedTokenizerFast:
    """A tokenizer of whole words of the task's own text: every word of a label, the rest by frequency."""
    splitter = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r" +"), "removed"),
            pre_tokenizers.Split(Regex(r"\n|[\[\],?!]|(?<=\w)'"), "isolated"),
        ]
    )

    def words(text: str) -> list[str]:
        return [word for word, _ in splitter.pre_tokenize_str(text)]

    examples = [*task.pool, *task.ood_pool]
    template = task.template
    blank = {key: "" for e in examples[:1] for key in e.extra} | {"input": "", "output": ""}
    fixed = template.instruction + template.question + template.answer + template.separator
    needed = words(fixed.format(**blank)) + [w for e in examples for w in words(e.output)]
    needed += [w for text in task.vocabulary for w in words(text)]
    counts = Counter(w for e in [*examples, *task.id_test, *task.ood_test] for w in words(e.input))
    common = [word for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    kept = list(dict.fromkeys([*sorted(set(needed)), *common]))[: max(size, len(set(needed)))]
    vocabulary = [PAD, EOS, UNK, *sorted(kept)]  # sorted: the same whatever the seed of the task
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token=UNK))
    tokenizer.pre_tokenizer = splitter
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=EOS, unk_token=UNK, padding_side="left"
    )


def material_of(task: Task, tokenizer: PreTrainedTokenizerFast) -> Material:
    """Token ids of the task's words, labels and template."""

    def ids(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    before, after = task.template.question.split("{input}")
    examples = [*task.pool, *task.ood_pool]
    inputs = [ids(e.input) for e in examples]
    outputs = sorted({tuple(ids(e.output)) for e in examples})
    lengths = sorted({len(o) for o in outputs})
    said = {t for o in outputs for t in o}
    words = {t for text in task.vocabulary for t in ids(text)} - said
    used = sorted(({t for row in inputs for t in row} | words) - {tokenizer.unk_token_id})
    return Material(
        before=ids(before),
        after=ids(after),
        end=ids(task.template.separator),
        inputs=np.array(used),
        answers=[np.array([o for o in outputs if len(o) == n]) for n in lengths],
        lengths=np.array([len(row) for row in inputs]),
        interlinear=all(
            o[::2] == tuple(i) for i, e in zip(inputs, examples, strict=True) for o in [tuple(ids(e.output))]
        ),
    )


def pretrain(tokenizer: PreTrainedTokenizerFast, material: Material, recipe: Recipe) -> LlamaForCausalLM:
    """Train the base on repeated sequences, then on episodes; the loss is on what the context can tell."""
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    size = len(tokenizer)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=size,
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
    )
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.01
    )
    warm = torch.optim.lr_scheduler.LinearLR(optimiser, 0.01, total_iters=100)
    done = recipe.repeat_until * np.log(size)
    recent: list[float] = []
    with tqdm(
        total=recipe.repeat_steps, desc="tiny base, stage 1 (repeats)", mininterval=2, file=sys.stdout
    ) as bar:
        for _ in range(recipe.repeat_steps):
            recent = [*recent[-19:], step(model, optimiser, repeats(size, recipe.batch, rng), None)]
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
    judged: NDArray[np.bool_] | None,
) -> float:
    """One optimiser step on next-token loss where `judged`; tokens and judged are (batch, length)."""
    x = torch.from_numpy(tokens)
    hidden = model.model(x).last_hidden_state[:, :-1]
    mask = (
        torch.from_numpy(judged[:, 1:]) if judged is not None else torch.ones_like(x[:, 1:], dtype=torch.bool)
    )
    loss = torch.nn.functional.cross_entropy(model.lm_head(hidden[mask]), x[:, 1:][mask])
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    return float(loss)


def repeats(size: int, batch: int, rng: np.random.Generator) -> Tokens:
    """Random tokens, said twice: (batch, 2 * length) with one length of 8 to 23 a batch."""
    once = rng.integers(3, size, (batch, rng.integers(8, 24)))
    return np.concatenate([once, once], axis=1)


def episodes(
    material: Material, k: int, batch: int, rng: np.random.Generator
) -> tuple[Tokens, NDArray[np.bool_]]:
    """A batch of episodes, tokens and where the loss is, both (batch, length).

    An episode is k demonstrations and one more example, over a world of its own. All episodes of a batch
    share the lengths of their slots, so that nothing is padded.
    """
    lengths = rng.choice(material.lengths, k + 1)
    slots = (
        _interlinear(material, lengths, batch, rng)
        if material.interlinear
        else _labels(material, lengths, batch, rng)
    )
    tokens, judged = [], []
    for words, answer in slots:
        fixed = [
            np.tile(np.array(part, dtype=np.int64), (batch, 1))
            for part in (material.before, material.after, material.end)
        ]
        parts = [fixed[0], words, fixed[1], answer, fixed[2]]
        tokens += parts
        judged += [np.full(part.shape, i >= 3) for i, part in enumerate(parts)]
    return np.concatenate(tokens, axis=1), np.concatenate(judged, axis=1)


def _labels(
    material: Material, lengths: Tokens, batch: int, rng: np.random.Generator
) -> Iterator[tuple[Tokens, Tokens]]:
    """Slots of an episode of topics: each topic has words and a label; the last slot's topic was shown."""
    k, rows = len(lengths) - 1, np.arange(batch)
    n_topics = int(rng.integers(1, k + 1))
    answers = material.answers[rng.choice(len(material.answers), p=_shares(material.answers))]
    owned = max(2 * int(lengths.max()), 2)  # words a topic owns
    words = rng.choice(material.inputs, (batch, n_topics, owned))
    labels = answers[rng.integers(len(answers), size=(batch, n_topics))]  # (batch, topic, label length)
    topic = rng.integers(n_topics, size=(batch, k + 1))
    topic[:, k] = topic[rows, rng.integers(k, size=batch)]
    for slot, length in enumerate(lengths):
        chosen = np.argsort(rng.random((batch, owned)), axis=1)[:, :length]
        yield words[rows[:, None], topic[:, slot, None], chosen], labels[rows, topic[:, slot]]


def _interlinear(
    material: Material, lengths: Tokens, batch: int, rng: np.random.Generator
) -> Iterator[tuple[Tokens, Tokens]]:
    """Slots of an episode of glosses: sentences over a lexicon of a few words, each word with its gloss."""
    n_words = int(rng.integers(lengths.max() + 1, 11))
    answers = np.unique(np.concatenate([a[:, 1::2].ravel() for a in material.answers]))
    words = rng.choice(material.inputs, (batch, n_words))
    glosses = rng.choice(answers, (batch, n_words))
    for length in lengths:
        chosen = np.argsort(rng.random((batch, n_words)), axis=1)[:, :length]
        sentence = np.take_along_axis(words, chosen, axis=1)
        pairs = np.stack([sentence, np.take_along_axis(glosses, chosen, axis=1)], axis=2)
        yield sentence, pairs.reshape(batch, 2 * length)


def _shares(answers: Sequence[Tokens]) -> NDArray[np.float64]:
    counts = np.array([len(a) for a in answers], dtype=np.float64)
    return np.asarray(counts / counts.sum())
