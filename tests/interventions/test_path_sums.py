"""Sums over paths are the inverse of a matrix, and what is added up by hand."""

import pytest
import torch
from random_models import PROMPT

from gemma_circuits import attribute
from gemma_circuits.data import Graph, Nodes, Target
from gemma_circuits.interventions.faithfulness.paths import effects, influences


@pytest.fixture(scope="module")
def graph(model):
    return attribute(model, PROMPT, max_features=None, progress=False, max_logits=3, logit_mass=1.0)


def test_effects_are_an_inverse(graph):
    """`(I - diag(1/a) A)^-1 - I`, of all nodes at once."""
    count, chosen = graph.wiring.n_features, torch.tensor([0, 7, 31, 2])
    activations = torch.from_numpy(graph.nodes.activation[:count]).double()
    edges = graph.adjacency.double()
    scaled = edges[:count, :count] / activations[:, None]
    inverse = torch.linalg.inv(torch.eye(count, dtype=torch.float64) - scaled)
    found = effects(graph, chosen)
    assert torch.allclose(found.features, (inverse - torch.eye(count))[:, chosen], atol=1e-9)
    assert torch.allclose(found.logits, (edges[-3:, :count] @ inverse)[:, chosen], atol=1e-9)
    direct = edges[-3:, chosen]
    assert (found.logits - direct).abs().max() > 0.1 * direct.abs().max()  # paths are not edges here


def test_influences_are_an_inverse(graph):
    shares = graph.adjacency.abs().double()
    shares /= shares.sum(1, keepdim=True).clamp(min=1e-30)
    inverse = torch.linalg.inv(torch.eye(len(shares), dtype=torch.float64) - shares) - torch.eye(len(shares))
    count, chosen = graph.wiring.n_features, torch.arange(graph.wiring.n_features)
    found = influences(graph, chosen)
    assert torch.allclose(found.features, inverse[:count, :count], atol=1e-9)
    assert torch.allclose(found.logits, inverse[-3:, :count], atol=1e-9)
    assert torch.allclose(graph.wiring.weights @ found.logits, graph.influence[:count].double(), atol=1e-6)


def test_edges_that_are_not_stored_count_as_received(model):
    graph = attribute(model, PROMPT, max_features=None, keep=0.8, progress=False)
    assert graph.target_rest.any()
    chosen = torch.arange(graph.wiring.n_features)
    summed = graph.wiring.weights @ influences(graph, chosen).logits
    torch.testing.assert_close(summed, graph.influence[: len(chosen)].double(), rtol=1e-6, atol=1e-9)


def test_by_hand():
    """0 -> 1 -> 2 -> logit, 0 -> 2 and 0 -> logit; activations 2, 4 and 5; the token sends 1 to feature 1."""
    nodes = Nodes.build(
        features=[(0, 0, 0), (1, 0, 0), (2, 0, 0)],
        activations=[2.0, 4.0, 5.0],
        error_layers=[],
        token_ids=[7],
        targets=[Target("t", 9, 0.5)],
        n_layers=3,
    )
    edges = torch.tensor([[0.0, 0, 0, 1], [3, 0, 0, -1], [1, -2, 0, 0], [0.5, 0, 10, 0]])
    graph = Graph(
        prompt="x",
        tokens=("x",),
        token_ids=(7,),
        nodes=nodes,
        edges=edges,
        target_bias=torch.zeros(4),
        target_pre_activations=edges.sum(1),
        targets=(Target("t", 9, 0.5),),
    )
    signed, unsigned = effects(graph, torch.tensor([0, 1])), influences(graph, torch.tensor([0]))
    on_two = (1 - 2 * 3 / 4) / 5  # directly, and by way of three quarters of feature 1
    assert torch.allclose(signed.features, torch.tensor([[0, 0], [3 / 4, 0], [on_two, -2 / 5]]).double())
    assert torch.allclose(signed.logits, torch.tensor([[0.5 + 10 * on_two, -4.0]]).double())
    assert torch.allclose(unsigned.features, torch.tensor([[0], [3 / 4], [1 / 3 + 2 / 3 * 3 / 4]]).double())
    assert unsigned.logits.item() == pytest.approx(0.5 / 10.5 + 10 / 10.5 * (1 / 3 + 2 / 3 * 3 / 4))
