"""Neighbours, edges among nodes and paths: every number against the graph's square adjacency."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import traitlets

from gemma_circuits.data import Supernode
from gemma_circuits.ui import CircuitGraph, Session
from gemma_circuits.ui.drawn import shares
from gemma_circuits.ui.neighbours import among, neighbours
from tests.data.samples import small_graph


@pytest.fixture(params=[0, 1])
def graph(request):
    return small_graph(seed=request.param, n_layers=4, n_tokens=3, n_targets=3)


@pytest.fixture
def view(graph):
    view = CircuitGraph(graph)
    yield view
    view.session.close()


def brute_force(graph, weight, share):
    """Index, weight and share of what is not zero, by falling |share|."""
    found = [(abs(s), i, w, s) for i, (w, s) in enumerate(zip(weight.tolist(), share.tolist())) if w]
    return [part[1:] for part in sorted(found, reverse=True)]


def normalised(graph):
    adjacency = graph.adjacency
    return adjacency / adjacency.abs().sum(1).clamp_min(1e-30)[:, None]


def test_neighbours_are_rows_and_columns_of_the_adjacency(graph):
    adjacency, share, incoming = graph.adjacency, normalised(graph), shares(graph)
    for node in range(len(graph.nodes)):
        for side, weights, parts in zip(
            neighbours(graph, incoming, node, 10**6),
            (adjacency[node], adjacency[:, node]),
            (share[node], share[:, node]),
        ):
            wanted = brute_force(graph, weights, parts)
            assert side.count == len(wanted)
            assert sorted(side.nodes) == sorted(index for index, _, _ in wanted)
            by_node = {index: (weight, part) for index, weight, part in wanted}
            for index, weight, part in zip(side.nodes, side.weights, side.shares):
                assert (weight, part) == pytest.approx(by_node[index], rel=1e-5)
            sizes = np.abs(side.shares)
            assert (np.diff(sizes) <= 1e-7).all()


def test_only_the_strongest_neighbours_are_listed(graph):
    node = int(graph.adjacency.count_nonzero(1).argmax())
    inputs, _ = neighbours(graph, shares(graph), node, 2)
    every, _ = neighbours(graph, shares(graph), node, 10**6)
    assert inputs.nodes == every.nodes[:2]
    assert inputs.count == every.count > 2


def test_edges_among_nodes_are_a_part_of_the_adjacency(graph):
    chosen = torch.randperm(len(graph.nodes), generator=torch.Generator().manual_seed(3))[:14].tolist()
    links = among(graph, chosen)
    found = torch.zeros_like(graph.adjacency)
    found[links.target, links.source] = links.weight
    mask = torch.zeros(len(graph.nodes), dtype=torch.bool)
    mask[chosen] = True
    assert torch.equal(found, graph.adjacency * mask[:, None] * mask)
    assert len(links.weight) == int(found.count_nonzero()) > 0
    assert not len(among(graph, []).weight)


def asked(view, name, message):
    """What the page gets for a request."""
    sent = []
    view.session.send = lambda content, buffers=None: sent.append((content, buffers))
    view.session._heard(view.session, {"kind": "ask", "id": "x", "name": name, "message": message}, [])
    del view.session.send
    return sent[0]


def test_the_page_asks_for_neighbours_and_edges(graph, view):
    logit = len(graph.nodes) - 1
    content, _ = asked(view, "neighbours", logit)
    inputs, outputs = content["response"]["inputs"], content["response"]["outputs"]
    row = graph.adjacency[logit]
    assert inputs["weights"] == pytest.approx(row[inputs["nodes"]].tolist())
    assert sum(map(abs, inputs["shares"])) == pytest.approx(1, abs=1e-5)
    assert outputs == {"nodes": [], "weights": [], "shares": [], "count": 0}
    content, buffers = asked(view, "among", [logit, *range(5), 3])
    assert content["response"] == len(buffers[0]) // 4
    source, target = (np.frombuffer(part, np.int32) for part in buffers[:2])
    np.testing.assert_array_equal(np.frombuffer(buffers[2], np.float32), graph.adjacency.numpy()[target, source])
    assert set(source) | set(target) <= {logit, *range(5)}


@pytest.mark.parametrize("wrong", [10**6, "<img src=x>", None, -1])
def test_a_request_for_what_is_not_there_is_refused(view, wrong):
    content, _ = asked(view, "neighbours", wrong)
    assert "a node of this graph" in content["error"]


def test_the_page_asks_for_paths_of_the_pruned_graph(graph, view):
    view.session.node_threshold = 0.7
    wanted = view.session.circuit.paths("token", "logit", 4)
    content, _ = asked(view, "paths", {"from": "token", "to": "logit", "count": 4})
    found = content["response"]
    assert [path["nodes"] for path in found["paths"]] == [[node.index for node in path.nodes] for path in wanted]
    assert [path["share"] for path in found["paths"]] == pytest.approx([path.share for path in wanted])
    assert [path["sign"] for path in found["paths"]] == [path.sign for path in wanted]
    assert found["covered"] == pytest.approx(sum(path.share for path in wanted))


def test_incoming_goes_to_the_page(graph, view):
    incoming = np.frombuffer(view.session.nodes["incoming"], np.float32)
    sums = graph.adjacency.abs().sum(1).numpy()
    inputs = np.isin(graph.nodes.kind, ["feature", "logit"])
    np.testing.assert_allclose(incoming, np.where(inputs & (sums == 0), 1, sums), rtol=1e-6)


def test_selection_pins_and_groups_are_properties(graph, view):
    first, second = graph.nodes[0], graph.nodes[1]
    view.selected = [first, 1]
    view.pinned = [(first.layer, first.position, first.feature)]
    view.supernodes = {"Texas": [0, 1]}
    assert view.selected == (first, second) == view.session.selected
    assert view.pinned == (first,) == graph.annotations.notes.pinned
    assert view.supernodes == (Supernode("Texas", (first, second)),) == graph.annotations.notes.supernodes
    told = repr(view)
    assert told.startswith("CircuitGraph of 'one two': ")
    assert view.session.circuit.nodes.counts in told
    assert "2 selected, 1 pinned, 1 supernodes" in told
    with pytest.raises(traitlets.TraitError, match="a node of this graph"):
        view.selected = ["nonsense"]


def test_views_of_one_graph_share_the_selection(graph, view):
    other = CircuitGraph(graph)
    view.selected = [2]
    assert other.selected == (graph.nodes[2],)
    assert other.session is view.session is Session.of(graph)


def test_a_height_that_is_too_low_is_refused(graph):
    with pytest.raises(traitlets.TraitError):
        CircuitGraph(graph, height=10)
    Session.of(graph).close()
