"""The explicit attention matrices give the formula exactly, and drawn contexts the loss in closed form."""

import numpy as np
import pytest
import torch

from ccutils.errors import InputError
from ccutils.theory.construction import (
    Attention,
    Episodes,
    Layout,
    construct,
    draw_points,
    make_episodes,
    make_tokens,
    run_layers,
    scale_f,
)
from ccutils.theory.model import CONTEXT_STRATEGIES, SIMILARITIES, World, context_kinds, loss, weights

D = 7


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def known(world: World) -> torch.Tensor:
    return scale_f(torch.randn(D, generator=generator(), dtype=torch.float64), world.error)


def sampled(n: int, world: World, strategy: str) -> Episodes:
    draws = draw_points(n, world.k, D, generator=generator(), dtype=torch.float64)
    return make_episodes(draws, context_kinds(world, strategy), known(world))


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("strategy", CONTEXT_STRATEGIES)
@pytest.mark.parametrize("theta", [(0.0, 0.0), (3.0, -1.5), (-2.0, 4.0)])
def test_matrices_give_the_formula(similarity: str, strategy: str, theta: tuple[float, float]) -> None:
    world = World(k=5, similarity=similarity)
    f = known(world)
    batch = sampled(200, world, strategy)
    answers, attention = run_layers(construct(world, theta, f, 1.5), make_tokens(batch, 1.5)[None])

    s = (batch.x @ batch.target_x[..., None])[..., 0]  # (batch, k)
    mean = s.mean(1) if similarity == "relative" else torch.zeros(len(s))
    logits = torch.cat([theta[0] * s, (theta[1] + theta[0] * mean)[:, None]], dim=1)
    shares = torch.softmax(logits, dim=1)
    expected = (shares[:, :-1] * batch.y).sum(1) + shares[:, -1] * (batch.target_x @ f)
    assert torch.allclose(answers[0], expected, rtol=0, atol=1e-13)
    assert torch.allclose(attention[0, :, 1::2], shares[:, :-1], rtol=0, atol=1e-13)
    assert torch.all(attention[0, :, 0:-1:2] == 0)  # none on inputs


def test_theta_are_entries_of_the_query_key_matrix() -> None:
    at = Layout(D, 5)
    block = construct(World(k=5), (2.5, -0.5), known(World()))
    keys = block.query_key_2[0]
    assert torch.equal(keys[:D, at.bound :], 2.5 * torch.eye(D, dtype=torch.float64))
    assert keys[at.kind + 2, at.kind + 2] == -0.5


def test_layer_1_sees_no_later_token() -> None:
    at = Layout(3, 2)
    random = torch.Generator().manual_seed(1)
    first, value, out = (torch.randn(1, at.width, at.width, generator=random) for _ in range(3))
    value[..., :2] = 0
    second = torch.zeros_like(first)
    second[0, 1, 0] = 1000.0  # whoever has a 1 in place 1 attends, in layer 2, to whoever has a 1 in place 0
    model = Attention(first, value, second, out[:, 0])
    tokens = torch.randn(1, 4, at.length, at.width, generator=random)
    tokens[..., :2] = 0
    tokens[:, :, 2, 0] = tokens[:, :, -1, 1] = 1  # so the answer is what layer 1 made of token 2
    later, earlier = tokens.clone(), tokens.clone()
    later[:, :, 3:, 2:] += 1
    earlier[:, :, :2, 2:] += 1
    answer = run_layers(model, tokens)[0]
    assert torch.allclose(run_layers(model, later)[0], answer)
    assert not torch.allclose(run_layers(model, earlier)[0], answer)


@pytest.mark.parametrize("strategy", CONTEXT_STRATEGIES)
def test_drawn_contexts_have_the_loss_in_closed_form(strategy: str) -> None:
    world = World(k=4, p=0.4, epsilon=0.2, noise=0.3, error=0.7)
    theta, f = np.array([1.7, -0.4]), known(world)
    batch = sampled(20_000, world, strategy)
    squared = (run_layers(construct(world, theta, f), make_tokens(batch)[None])[0][0] - batch.target_y) ** 2
    error = float(squared.std()) / len(squared) ** 0.5
    assert float(squared.mean()) == pytest.approx(
        float(loss(theta, context_kinds(world, strategy))), abs=4 * error
    )


def test_drawn_contexts_have_the_similarities_of_their_kind() -> None:
    world = World(k=4, p=0.5, epsilon=0.2)
    batch = sampled(5000, world, "contrastive")
    s = (batch.x @ batch.target_x[..., None])[..., 0]
    assert torch.allclose(s, batch.s[:, None] * batch.near, atol=1e-12)
    assert torch.allclose(batch.x.norm(dim=-1), torch.ones(5000, 4, dtype=torch.float64))
    paraphrase = batch.s == 1
    assert float(paraphrase.double().mean()) == pytest.approx(0.2, abs=0.03)
    assert float((batch.s == 0).double().mean()) == pytest.approx(0.3, abs=0.03)
    own = (batch.y * batch.near).sum(1)[paraphrase]
    assert torch.equal(own, batch.target_y[paraphrase])  # noise and all
    assert set(batch.near.double().argmax(1)[paraphrase].tolist()) == {0, 1, 2, 3}  # anywhere in the context


def test_similar_examples_are_alike_as_the_model_has_it() -> None:
    world = World(k=3, grades=(0.8,))
    batch = sampled(50, world, "similar")
    among = batch.x @ batch.x.mT
    expected = torch.full((3, 3), 0.64, dtype=torch.float64).fill_diagonal_(1.0)
    assert torch.allclose(among, expected.expand(50, 3, 3), atol=1e-12)


def test_weights_of_the_construction_are_those_of_the_model() -> None:
    world = World(k=4, p=1.0, epsilon=0.0, grades=(0.8,))
    (a, random), b = (weight[0] for weight in weights([2.0, 1.0], context_kinds(world, "contrastive")))
    f = known(world)
    batch = sampled(3, world, "contrastive")
    attention = run_layers(construct(world, (2.0, 1.0), f), make_tokens(batch)[None])[1][0]
    assert attention[:, 1::2][batch.near].numpy() == pytest.approx(a)
    assert attention[:, 1::2][~batch.near].numpy() == pytest.approx(random / 3)
    assert attention[:, -1].numpy() == pytest.approx(b)


def test_too_few_dimensions_are_refused() -> None:
    with pytest.raises(InputError, match="d is 4"):
        draw_points(1, 4, 4, generator=generator())
