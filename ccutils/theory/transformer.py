"""A two-layer attention-only transformer trained on samples of the minimal model's data. Ours.

It has the architecture of ccutils.theory.construction, with random initial matrices. It is not given the
construction, theta or f. All strategies and seeds train at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from ccutils.theory.construction import (
    Attention,
    Draws,
    Layout,
    draw_points,
    make_episodes,
    make_tokens,
    run_layers,
    scale_f,
)
from ccutils.theory.model import Kinds, World, check_range, context_kinds, one_near

MEASURES = ("nothing_relevant", "relevant", "attention", "all_relevant", "weights", "loss")


@dataclass(frozen=True, slots=True)
class Training:
    """Set the training of the transformers, by Adam on the squared error of the target's label.

    d: dimension of the inputs, above the world's k. batch: contexts per step. rate: the learning rate; it is
    divided by ten for the last quarter. init: standard deviation of every entry of every matrix at the
    start. scale: length of the inputs. every: steps from one measurement to the next. probes: contexts
    each measurement uses. Raises InputError for numbers that are not positive.
    """

    steps: int = 3000
    d: int = 5
    batch: int = 64
    rate: float = 0.01
    init: float = 0.2
    scale: float = 1.5
    every: int = 75
    probes: int = 500

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            check_range(name, getattr(self, name), 0, float("inf"), positive=True)


def initial(seeds: Sequence[int], width: int, init: float) -> Attention:
    """Draw random matrices, one transformer for each seed."""
    parts: list[list[Tensor]] = [[], [], [], []]
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        for part, shape in zip(parts, [(width, width)] * 3 + [(width,)], strict=True):
            part.append(init * torch.randn(*shape, generator=generator))
    return Attention(*(torch.stack(part).requires_grad_() for part in parts))


def train_transformers(
    world: World, strategies: Sequence[str], seeds: Sequence[int], training: Training | None = None
) -> pd.DataFrame:
    """Train one transformer for each strategy and seed; columns strategy, seed, step and MEASURES.

    A seed fixes the start, f and the contexts' random numbers: all strategies share these.
    """
    training = training or Training()
    names = [(strategy, seed) for strategy in strategies for seed in seeds]
    model = initial([seed for _, seed in names], Layout(training.d, world.k).width, training.init)
    matrices = [model.query_key_1, model.value_1, model.query_key_2, model.out]
    optimiser = torch.optim.Adam(matrices, lr=training.rate, betas=(0.9, 0.99))
    sources = [seed_source(world, seed, training) for seed in seeds]
    rows = []
    for step in range(training.steps + 1):
        if step % training.every == 0:
            chunk = [source.draw(training.every * training.batch) for source in sources]
            tokens, labels = training_data(world, strategies, sources, chunk, training)
            measured = measure_weights(world, model, sources, len(strategies), training)
            rows.append(measured.assign(step=step))
        if step > 0.75 * training.steps:
            optimiser.param_groups[0]["lr"] = training.rate / 10
        part = slice(step % training.every * training.batch, (step % training.every + 1) * training.batch)
        optimiser.zero_grad()
        loss = ((run_layers(model, tokens[:, part])[0] - labels[:, part]) ** 2).mean(1).sum()
        loss.backward()
        optimiser.step()
    data = pd.concat(rows, ignore_index=True)
    columns = pd.DataFrame(names, columns=["strategy", "seed"])
    return columns.join(data.set_index("model")).reset_index(drop=True)


@dataclass(frozen=True, slots=True)
class Source:
    """A seed's f, probe contexts, and generator of training contexts."""

    f: Tensor
    probes: Draws
    generator: torch.Generator
    k: int

    def draw(self, n: int) -> Draws:
        return draw_points(n, self.k, len(self.f), generator=self.generator)


def seed_source(world: World, seed: int, training: Training) -> Source:
    generator = torch.Generator().manual_seed(seed + 1_000_000)
    f = scale_f(torch.randn(training.d, generator=generator), world.error)
    probes = draw_points(training.probes, world.k, training.d, generator=generator)
    return Source(f, probes, generator, world.k)


def training_data(
    world: World, strategies: Sequence[str], sources: list[Source], chunk: list[Draws], training: Training
) -> tuple[Tensor, Tensor]:
    """Sample tokens (models, contexts, length, width) and targets' labels (models, contexts)."""
    batches = [
        make_episodes(draws, context_kinds(world, strategy), source.f)
        for strategy in strategies
        for source, draws in zip(sources, chunk, strict=True)
    ]
    tokens = torch.stack([make_tokens(batch, training.scale) for batch in batches])
    return tokens, torch.stack([batch.target_y for batch in batches])


def probe_kinds(world: World) -> dict[str, Kinds]:
    """Build probe contexts: none, one, or all k examples relevant."""
    return {
        "none": context_kinds(world, "random"),
        "one": one_near(world, world.grades),
        "all": context_kinds(world, "similar"),
    }


@torch.no_grad()
def measure_weights(
    world: World, model: Attention, sources: list[Source], repeats: int, training: Training
) -> pd.DataFrame:
    """Measure each transformer on probe contexts, a row for each: columns model and MEASURES.

    The models are those of `sources`, `repeats` times. Weights are measured by their effect: the
    least-squares coefficients of the prediction on the labels of near examples, on those of random examples,
    and on f(x); for the construction they are the softmax's weights. nothing_relevant and all_relevant are
    gates, k times a coefficient; relevant and weights are the near label's and f's coefficient with one
    relevant example of k. attention: the near label's share of layer 2's attention to labels there. loss:
    mean squared error there.
    """
    found: dict[str, Tensor] = {}
    for name, kind in probe_kinds(world).items():
        batches = [make_episodes(source.probes, kind, source.f) for source in sources]
        tokens = torch.stack([make_tokens(batch, training.scale) for batch in batches]).repeat(
            repeats, 1, 1, 1
        )
        answer, attention = run_layers(model, tokens)
        near = torch.stack([batch.near for batch in batches])  # (seeds, probes, k)
        y = torch.stack([batch.y for batch in batches])
        pairs = zip(batches, sources, strict=True)
        known = torch.stack([batch.target_x @ source.f for batch, source in pairs])
        sums = {"none": [~near], "one": [near, ~near], "all": [near]}[name]
        columns = torch.stack([*((y * part).sum(-1) for part in sums), known], dim=-1)
        # In double precision, since single precision differs in the last bit from run to run.
        regressors = columns.repeat(repeats, 1, 1).double()
        fit = torch.linalg.lstsq(regressors, answer[..., None].double()).solution[..., 0].float()
        if name == "one":
            labels, where = attention[:, :, 1::2], near.repeat(repeats, 1, 1)
            share = (labels * where).sum((1, 2)) / labels.sum((1, 2))
            target = torch.stack([batch.target_y for batch in batches]).repeat(repeats, 1)
            found |= {"relevant": fit[:, 0], "weights": fit[:, 2], "attention": share}
            found["loss"] = ((answer - target) ** 2).mean(1)
        else:
            found["nothing_relevant" if name == "none" else "all_relevant"] = world.k * fit[:, 0]
    data = pd.DataFrame({name: found[name].numpy() for name in MEASURES})
    return data.assign(model=range(len(data)))
