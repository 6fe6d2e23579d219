from __future__ import annotations

import networkx
import pytest
import torch

from gemma_circuits.data import Circuit
from gemma_circuits.data.errors import ArgumentError, NodeError
from tests.data.samples import EXACT, reference_graph, small_graph
from tests.goldens import reference


@pytest.mark.parametrize("name", EXACT)
def test_the_square_is_the_reference(name):
    graph, expected = reference_graph(name), reference(name)
    n = len(graph.nodes)
    assert torch.equal(graph.adjacency, expected["adjacency_matrix"][:n, :n])
    assert torch.equal(graph.bias, expected["bias"][:n])
    assert torch.equal(graph.pre_activations, expected["pre_activations"][:n])
    assert graph.check() < 1e-5


def test_shape():
    graph = small_graph(n_layers=4, n_tokens=3, n_targets=2)
    assert (graph.n_layers, graph.n_positions) == (4, 3)
    assert graph.nodes.where(kind="logit").token.tolist() == [" t0", " t1"]
    assert graph.nodes.where(kind="token").token.tolist() == ["t0", "t1", "t2"]
    inner = slice(graph.wiring.n_features, graph.edges.shape[1])
    assert not graph.adjacency[inner].any()
    assert not graph.adjacency[:, inner.stop :].any()
    assert not graph.bias[inner].any()
    assert not graph.pre_activations[inner].any()


def test_tokens_after_the_traced_position_are_for_display():
    graph = small_graph(n_tokens=2, tokens=("a", "b", "c"), token_ids=(1, 2, 3))
    assert graph.n_positions == 2
    assert graph.tokens[2] == "c"


@pytest.mark.parametrize("row", [0, -1])
def test_check_sees_a_wrong_edge_of_a_feature_and_of_a_logit(row):
    graph = small_graph(2)
    assert graph.check() < 1e-6
    rows = graph.target_pre_activations[: graph.wiring.n_features] if row == 0 else graph.target_pre_activations[-2:]
    graph.edges[row, 3] += 0.5
    assert graph.check() == pytest.approx(0.5 / rows.abs().max().item(), rel=1e-4)


def test_check_measures_features_and_logits_each_by_their_own():
    graph = small_graph(2)
    graph.edges[-1, 3] += 0.5
    alone = graph.check()
    graph.target_pre_activations[0] += 1e6
    graph.target_bias[0] += 1e6
    assert graph.check() == pytest.approx(alone, rel=1e-4)


def test_edges_of_any_float_type_are_kept_in_float32():
    graph = small_graph()
    again = small_graph(edges=graph.edges.bfloat16().requires_grad_())
    assert again.edges.dtype == torch.float32
    assert not again.edges.requires_grad


def test_node_finds_an_active_feature():
    graph = small_graph()
    node = graph.nodes[1]
    assert graph.node(node.layer, node.position, node.feature).index == 1
    with pytest.raises(NodeError, match="a feature of this graph"):
        graph.node(0, 0, 99)
    with pytest.raises(KeyError):
        graph.node(0, 0, -1)
    circuit = graph.prune(0.1, 0.1)
    dropped = graph.nodes[(~circuit.node_mask).nonzero()[0].item()]
    with pytest.raises(KeyError):
        circuit.node(dropped.layer, dropped.position, dropped.feature)


def broken(**parts):
    return pytest.param(parts, id="-".join(parts))


GOOD = small_graph()
NAN = torch.full_like(GOOD.edges, torch.nan)


@pytest.mark.parametrize(
    "parts",
    [
        broken(edges=GOOD.adjacency),
        broken(edges=GOOD.edges[:, 1:]),
        broken(edges=NAN),
        broken(edges=GOOD.edges / 0),
        broken(target_bias=GOOD.target_bias[1:]),
        broken(target_bias=NAN[:, 0]),
        broken(target_pre_activations=NAN[:, 0]),
        broken(target_pre_activations=GOOD.target_bias[:, None]),
        broken(targets=GOOD.targets[:1]),
        broken(targets=()),
        broken(tokens=("a",)),
        broken(token_ids=(1, 2, 3)),
        broken(nodes=GOOD.nodes[::-1]),
        broken(nodes=GOOD.nodes[[1, 0, *range(2, len(GOOD.nodes))]]),
        broken(nodes=GOOD.nodes[[0, 0, *range(2, len(GOOD.nodes))]]),
        broken(nodes=GOOD.nodes[:-1]),
        broken(tokens=("a",), token_ids=(1,)),
    ],
)
def test_parts_that_do_not_fit_are_refused(parts):
    with pytest.raises(ArgumentError, match="graph"):
        small_graph(**parts)


def test_masks_that_do_not_fit_are_refused():
    circuit = GOOD.prune()
    first = circuit.nodes[0].index
    without_first = circuit.node_mask.index_fill(0, torch.tensor(first), False)
    for masks in (
        (circuit.node_mask[1:], circuit.kept_edges),
        (circuit.node_mask.float(), circuit.kept_edges),
        (circuit.node_mask, circuit.edge_mask),
        (without_first, circuit.kept_edges.index_fill(0, torch.tensor(first), False)),
        (without_first, circuit.kept_edges.index_fill(1, torch.tensor(first), False)),
    ):
        with pytest.raises(ArgumentError, match="circuit"):
            Circuit(GOOD, *masks)


@pytest.mark.parametrize("shown", [GOOD, GOOD.prune(0.5, 0.5)], ids=["graph", "circuit"])
def test_links_and_networkx_hold_the_nonzero_edges(shown):
    square = shown.adjacency
    source, target, weight = shown.links()
    assert len(weight) == int((square != 0).sum())
    assert torch.equal(square[target, source], weight)
    network = shown.to_networkx()
    assert sorted(network) == shown.nodes.index.tolist()
    again = networkx.to_numpy_array(network, nodelist=shown.nodes.index.tolist(), weight="weight").T
    index = shown.nodes.index
    assert torch.equal(torch.from_numpy(again).float(), square[index][:, index])
    first = shown.nodes[0]
    assert network.nodes[first.index]["feature"] == first.feature
    assert network.nodes[first.index]["influence"] == shown.influence[first.index].item()


def test_a_circuit_answers_for_its_graph():
    circuit = GOOD.prune(0.6, 0.9)
    assert (circuit.node_threshold, circuit.edge_threshold) == (0.6, 0.9)
    assert circuit.check() == GOOD.check()
    assert (circuit.prompt, circuit.tokens, circuit.token_ids) == (GOOD.prompt, GOOD.tokens, GOOD.token_ids)
    assert circuit.targets == GOOD.targets
    assert circuit.metadata == GOOD.metadata
    assert circuit.nodes.index.tolist() == circuit.node_mask.nonzero().flatten().tolist()
