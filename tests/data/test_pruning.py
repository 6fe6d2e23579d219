from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from gemma_circuits.data import Graph, pruning
from gemma_circuits.data.errors import ArgumentError
from tests.data.samples import PRUNED, reference_graph, small_graph
from tests.goldens import arguments, reference

GRAPHS = st.builds(
    small_graph,
    seed=st.integers(0, 2**32),
    n_layers=st.integers(1, 4),
    n_tokens=st.integers(1, 3),
    n_targets=st.integers(1, 3),
    density=st.sampled_from([0.1, 0.4, 1.0]),
)
SHARES = st.floats(0.05, 1)
quick = settings(max_examples=60, deadline=None)


@pytest.fixture(params=PRUNED)
def name(request) -> str:
    return request.param


def test_influence_and_scores_are_those_of_circuit_tracer(name):
    graph, expected = reference_graph(name), reference(name)["node_influence"]
    assert (graph.influence - expected).abs().max() < 1e-5 * expected.max()
    recorded = arguments(name)
    assert graph.scores().replacement == pytest.approx(recorded["replacement_score"], abs=1e-6)
    assert graph.scores().completeness == pytest.approx(recorded["completeness_score"], abs=1e-6)


def test_pruning_is_that_of_circuit_tracer(name):
    expected = reference(name)
    circuit = reference_graph(name).prune(0.8, 0.98)
    assert torch.equal(circuit.node_mask, expected["prune_node_mask"])
    assert torch.equal(circuit.edge_mask, expected["prune_edge_mask"])


def test_cumulative_influence_is_that_of_circuit_tracer(name):
    graph, expected = reference_graph(name), reference(name)["prune_cumulative_scores"]
    told = graph.influence > 0  # equals are in no order
    assert (pruning.cumulative(graph.influence) - expected)[told].abs().max() < 1e-5


def dense(square: Tensor, graph: Graph) -> tuple[Tensor, Tensor, Tensor]:
    """`N`, influence by its definition and `w`, all square and in float64."""
    size = square.double().abs()
    share = size / torch.where(size.sum(1) == 0, 1, size.sum(1))[:, None]
    weight = torch.zeros(len(share), dtype=torch.float64)
    weight[-len(graph.targets) :] = torch.tensor([target.probability for target in graph.targets])
    term, total = weight @ share, torch.zeros_like(weight)
    for _ in range(len(share)):
        total, term = total + term, term @ share
    return share, total, weight


def dense_scores(square: Tensor, graph: Graph) -> tuple[float, float]:
    share, total, weight = dense(square, graph)
    error, token = (torch.from_numpy(graph.nodes.kind == kind) for kind in ("error", "token"))
    replacement = total[token].sum() / (total[token].sum() + total[error].sum())
    both = total + weight
    return replacement.item(), (both * (1 - share[:, error].sum(1)) / both.sum()).sum().item()


def largest(values: Tensor, threshold: float) -> Tensor:
    """By its definition; examples that hang on rounding are left out."""
    ranked = sorted((value for value in values.flatten().tolist() if value > 0), reverse=True)
    if not ranked:
        return torch.zeros(values.shape, dtype=torch.bool)
    needed = threshold * math.fsum(ranked)
    count = next((i for i in range(1, len(ranked)) if math.fsum(ranked[:i]) >= needed), len(ranked))
    if threshold < 1:
        assume(abs(math.fsum(ranked[:count]) - needed) > 1e-5 * needed)
        assume(count == 1 or abs(math.fsum(ranked[: count - 1]) - needed) > 1e-5 * needed)
        assume(all(abs(v - ranked[count - 1]) > 1e-5 * v for v in ranked[: count - 1] + ranked[count:]))
    return values >= ranked[count - 1]


def brute_force(graph: Graph, node_threshold: float, edge_threshold: float) -> tuple[Tensor, Tensor]:
    """Section by section as defined, on the square matrix."""
    kind = graph.nodes.kind
    nodes = largest(dense(graph.adjacency, graph)[1], node_threshold)
    nodes |= torch.from_numpy((kind == "token") | (kind == "logit"))
    share, total, weight = dense(graph.adjacency * nodes * nodes[:, None], graph)
    edges = largest(share * (total + weight)[:, None], edge_threshold)
    changed = True
    while changed:
        changed = False
        for i in nodes.nonzero().flatten().tolist():
            no_way_out = kind[i] in ("feature", "error") and not edges[:, i].any()
            no_way_in = kind[i] == "feature" and not edges[i].any()
            if no_way_out or no_way_in:
                nodes[i], edges[i], edges[:, i], changed = False, False, False, True
    return nodes, edges


@quick
@given(GRAPHS)
def test_influence_is_the_series(graph):
    expected = dense(graph.adjacency, graph)[1]
    assert torch.allclose(graph.influence.double(), expected, rtol=1e-5, atol=1e-9)


def test_influence_of_a_layered_graph_reads_each_edge_once(monkeypatch):
    graph, flow, rows = small_graph(3, n_layers=4, density=1.0), pruning._flow, []
    monkeypatch.setattr(pruning, "_flow", lambda w, edges, rest: (rows.append(len(edges)), flow(w, edges, rest))[1])
    assert graph.influence.any()
    assert sum(rows) == len(graph.edges)


def test_influence_follows_edges_within_a_layer():
    graph = small_graph(3, n_layers=2, n_tokens=3, density=1.0)
    n = graph.wiring.n_features
    graph.edges[n - 1, n - 2] = 3.0
    assert graph.nodes.layer[n - 1] == graph.nodes.layer[n - 2]
    assert torch.allclose(graph.influence.double(), dense(graph.adjacency, graph)[1], rtol=1e-5, atol=1e-9)


def test_influence_of_a_cycle_ends():
    graph = small_graph(3, n_layers=2, n_tokens=3, density=1.0)
    graph.edges[0, 1] = graph.edges[1, 0] = 1.0
    assert graph.influence.isfinite().all()


@quick
@given(GRAPHS)
def test_scores_are_those_of_the_square_matrix(graph):
    assert np.allclose(graph.scores(), dense_scores(graph.adjacency, graph), rtol=1e-5, equal_nan=True)


@quick
@given(GRAPHS, SHARES, SHARES)
def test_pruning_is_that_of_the_square_matrix(graph, node_threshold, edge_threshold):
    nodes, edges = brute_force(graph, node_threshold, edge_threshold)
    circuit = graph.prune(node_threshold, edge_threshold)
    assert torch.equal(circuit.node_mask, nodes)
    assert torch.equal(circuit.edge_mask, edges)


@quick
@given(GRAPHS, SHARES, SHARES)
def test_a_circuit_has_no_loose_ends(graph, node_threshold, edge_threshold):
    circuit = graph.prune(node_threshold, edge_threshold)
    kept, edges = circuit.nodes, circuit.edge_mask
    assert circuit.node_mask[np.isin(graph.nodes.kind, ["token", "logit"])].all()
    assert edges[:, kept.where(kind=("feature", "error")).index].any(0).all()
    assert edges[kept.where(kind="feature").index].any(1).all()
    assert not edges[~circuit.node_mask].any()
    assert not edges[:, ~circuit.node_mask].any()
    assert (circuit.adjacency[edges] != 0).all()


@quick
@given(GRAPHS, SHARES, SHARES, SHARES)
def test_higher_thresholds_keep_more(graph, share, one, other):
    low, high = (graph.prune(share, threshold) for threshold in sorted((one, other)))
    assert (low.node_mask <= high.node_mask).all()
    assert (low.edge_mask <= high.edge_mask).all()
    low, high = (graph.prune(threshold, 1) for threshold in sorted((one, other)))
    assert (low.node_mask <= high.node_mask).all()


@quick
@given(GRAPHS, SHARES, SHARES)
def test_a_circuit_has_the_influence_and_scores_of_its_own_edges(graph, node_threshold, edge_threshold):
    circuit = graph.prune(node_threshold, edge_threshold)
    square = graph.adjacency * circuit.edge_mask
    assert torch.equal(circuit.adjacency, square)
    assert torch.allclose(circuit.influence.double(), dense(square, graph)[1], rtol=1e-5, atol=1e-9)
    assert np.allclose(circuit.scores(), dense_scores(square, graph), rtol=1e-5, equal_nan=True)


@quick
@given(GRAPHS, SHARES, SHARES)
def test_a_circuit_pruned_again_is_part_of_it(graph, node_threshold, edge_threshold):
    circuit = graph.prune(node_threshold, edge_threshold)
    same = circuit.prune(1, 1)
    assert torch.equal(same.node_mask, circuit.node_mask)
    assert torch.equal(same.edge_mask, circuit.edge_mask)
    less = circuit.prune(0.5, 0.5)
    assert (less.edge_mask <= circuit.edge_mask).all()
    assert less.graph is graph


def test_everything_that_counts_is_kept_at_one():
    graph = small_graph(5)
    graph.edges[0, -1] = 1e-30  # far below the rounding of any sum
    circuit = graph.prune(1, 1)
    counts = (graph.influence > 0) | torch.from_numpy(np.isin(graph.nodes.kind, ["token", "logit"]))
    dead_ends = counts & ~circuit.node_mask
    assert not graph.adjacency[dead_ends].any()
    assert circuit.edge_mask[0, graph.edges.shape[1] - 1] == circuit.node_mask[0]


def test_a_graph_without_edges_has_no_scores():
    graph = small_graph(density=0.0)
    circuit = graph.prune()
    assert set(circuit.nodes.kind) == {"token", "logit"}
    assert not len(circuit.links().weight)
    assert math.isnan(graph.scores().replacement)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, math.nan])
def test_thresholds_are_shares(threshold):
    with pytest.raises(ArgumentError, match="node_threshold: expected 0 to 1"):
        small_graph().prune(threshold)
    with pytest.raises(ArgumentError, match="edge_threshold: expected 0 to 1"):
        small_graph().prune(0.8, threshold)
