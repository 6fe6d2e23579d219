"""`max_features`: which features are expanded, and what becomes of the others."""

import pytest
import torch
from random_models import ARCHITECTURES, PROMPT, random_transcoder, with_transcoder

import gemma_circuits.attribution.verbs as engine
from gemma_circuits import attribute


def trace(model, **settings):
    return attribute(model, PROMPT, progress=False, **settings)


def most_influential(whole, budget, period):
    """The features that ranking anew after every `period` rows expands, from the finished graph of all."""
    adjacency, n_features = whole.adjacency.double().abs(), whole.wiring.n_features
    logits = range(len(adjacency) - len(whole.targets), len(adjacency))
    weights = torch.zeros(len(adjacency), dtype=torch.float64)
    weights[logits.start :] = torch.tensor([target.probability for target in whole.targets])
    chosen: list[int] = []
    while len(chosen) < budget:
        known = torch.zeros(len(adjacency), 1, dtype=torch.float64)
        known[[*chosen, *logits]] = 1
        normalised = adjacency * known / adjacency.sum(1, keepdim=True).clamp(min=1e-30)
        step, influence = weights, torch.zeros_like(weights)
        for _ in range(whole.n_layers + 2):
            step = step @ normalised
            influence = influence + step
        ranked = influence[:n_features].argsort(descending=True).tolist()
        more = [place for place in ranked if place not in chosen and influence[place] > 0]
        chosen += more[: min(period, budget - len(chosen))]
    return sorted(chosen)


@pytest.mark.parametrize(("budget", "period"), [(1, 256), (30, 256), (30, 7), (60, 1), (60, 10), (100, 64)])
@pytest.mark.parametrize("architecture", ["gemma2", "gemma3_text", "qwen3"])
def test_keeps_the_most_influential(random_model, monkeypatch, architecture, budget, period):
    monkeypatch.setattr(engine, "RERANK", period)
    model = random_model(architecture)
    whole, graph = trace(model, max_features=None), trace(model, max_features=budget)
    kept = [whole.node(n.layer, n.position, n.feature).index for n in graph.nodes.where(kind="feature")]
    assert kept == most_influential(whole, budget, period)


def test_ranking_anew_changes_what_is_kept(model, monkeypatch):
    """Otherwise the test above could not tell."""
    whole = trace(model, max_features=None)
    assert most_influential(whole, 60, 1) != most_influential(whole, 60, 60)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_left_out_is_neither_row_nor_column(random_model, architecture):
    model = random_model(architecture)
    whole, graph = trace(model, max_features=None), trace(model, max_features=50)
    kept = [whole.node(n.layer, n.position, n.feature).index for n in graph.nodes.where(kind="feature")]
    rest = range(whole.wiring.n_features, len(whole.nodes))
    both = torch.tensor([*kept, *rest])
    assert len(graph.nodes) == 50 + len(rest)
    torch.testing.assert_close(graph.adjacency, whole.adjacency[both][:, both], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(graph.pre_activations, whole.pre_activations[both], rtol=1e-5, atol=1e-5)
    assert graph.check() < 1e-5


@pytest.mark.parametrize("max_features", [None, 10**6])
def test_all(model, max_features):
    graph = trace(model, max_features=max_features)
    assert len(graph.nodes.where(kind="feature")) == graph.metadata["active_features"]


@pytest.mark.parametrize("max_features", [None, 40])
@pytest.mark.parametrize("kind", ["clt affine", "transcoder"])
def test_batch_size_does_not_change_the_graph(model, kind, max_features):
    model = with_transcoder(model, random_transcoder(kind))
    graph = trace(model, max_features=max_features)
    for batch_size in (1, 7, 10**6):
        other = trace(model, max_features=max_features, batch_size=batch_size)
        assert list(other.nodes) == list(graph.nodes)
        torch.testing.assert_close(other.edges, graph.edges, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(other.bias, graph.bias, rtol=1e-5, atol=1e-5)


def test_nothing_fires(model):
    silent = random_transcoder("clt affine")
    for layer in silent.layers:
        silent.tensors(layer).threshold.fill_(1e9)
    graph = trace(with_transcoder(model, silent))
    assert not len(graph.nodes.where(kind="feature"))
    assert graph.check() < 1e-5
