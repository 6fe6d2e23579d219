from __future__ import annotations

import time
from itertools import combinations, pairwise

import networkx
import numpy as np
import pytest
import torch

from gemma_circuits.data import Graph, Nodes, Supernode, Target
from gemma_circuits.data.errors import ArgumentError, NodeError
from tests.data.samples import HOSTILE, small_graph


def every_path(shown, sources, targets):
    """All paths between two sets of indices that pass neither on their way, with what they carry; by brute force."""
    adjacency = shown.adjacency.double().numpy()
    total = np.abs(adjacency).sum(1, keepdims=True)
    share = adjacency / np.where(total == 0, 1, total)
    graph = networkx.DiGraph([(s, t) for t, s in zip(*share.nonzero())])
    graph.add_nodes_from(range(len(share)))
    all_nodes = shown.graph.nodes if hasattr(shown, "graph") else shown.nodes
    weight = shown.influence.double().numpy() + np.nan_to_num(all_nodes.probability)
    out = {}
    for s in sources:
        for t in targets:
            for path in networkx.all_simple_paths(graph, s, t):
                if not {*sources, *targets} & {*path[1:-1]}:
                    steps = [share[b, a] for a, b in pairwise(path)]
                    out[tuple(path)] = (np.abs(np.prod(steps)) * weight[t], steps)
    return out


@pytest.fixture(params=range(4))
def graph(request):
    return small_graph(request.param, n_layers=3, n_tokens=2, density=0.6)


def indices(nodes):
    return nodes.index.tolist()


@pytest.mark.parametrize("shown", ["graph", "circuit"])
@pytest.mark.parametrize("source, target", [("token", "logit"), ("feature", "logit"), ("error", "feature")])
def test_the_strongest_paths_are_those_of_brute_force(graph, shown, source, target):
    shown = graph if shown == "graph" else graph.prune(0.95, 0.95)
    sources, targets = indices(shown.nodes.where(kind=source)), indices(shown.nodes.where(kind=target))
    expected = every_path(shown, sources, targets)
    total = sum(influence for influence, _ in expected.values())
    found = shown.paths(source, target, k=1000)
    assert found.influence == pytest.approx(total, rel=1e-5)
    assert (indices(found.sources), indices(found.targets)) == (sources, targets)
    carrying = {path: value for path, value in expected.items() if value[0] > 0}
    assert len(found) == len(carrying) <= 1000
    for path in found:
        influence, steps = carrying[tuple(node.index for node in path.nodes)]
        assert path.influence == pytest.approx(influence, rel=1e-5)
        assert path.share == pytest.approx(influence / total, rel=1e-5)
        assert path.shares == pytest.approx(steps, rel=1e-5)
        assert path.sign == np.sign(np.prod(steps))
    assert sum(path.share for path in found) == pytest.approx(1)
    few = shown.paths(source, target, k=4)
    assert [path.nodes for path in few] == [path.nodes for path in found][:4]
    assert [path.influence for path in found] == sorted((path.influence for path in found), reverse=True)


def test_paths_to_the_logits_add_up_to_a_nodes_influence(graph):
    for node in graph.nodes[: graph.edges.shape[1]]:
        found = graph.paths(node, "logit", k=1000)
        assert found.influence == pytest.approx(graph.influence[node.index].item(), rel=1e-5, abs=1e-12)
        assert sum(path.influence for path in found) == pytest.approx(found.influence)


def test_a_target_without_influence_counts_as_one():
    graph = small_graph(1, density=0.6)
    edges = graph.edges.clone()
    edges[-2:] = 0
    graph = small_graph(1, density=0.6, edges=edges, target_pre_activations=edges.sum(1) + graph.target_bias)
    target = graph.nodes[graph.wiring.n_features - 1]
    assert not graph.influence.any()
    assert graph.paths(graph.nodes.where(kind=["token", "error"]), target).influence <= 1


def test_sources_and_targets_may_be_named_in_any_way(graph):
    node = graph.nodes.where(kind="feature")[1]
    expected = [path.nodes for path in graph.paths(node, "logit")]
    group = graph.group("one", [node])
    for way in (
        (node.layer, node.position, node.feature),
        node.index,
        [node],
        group,
        "one",
        graph.nodes[[node.index]],
        Supernode("outer", [group]),
    ):
        assert [path.nodes for path in graph.paths(way, graph.nodes.where(kind="logit"))] == expected


def test_pruned_members_of_a_group_are_left_out_but_a_pruned_node_is_an_error():
    graph = small_graph(0)
    circuit = graph.prune(0.5, 0.9)
    gone = graph.nodes[int((~circuit.node_mask).nonzero()[0])]
    kept = circuit.nodes.where(kind="feature")[0]
    assert indices(circuit.paths(Supernode("both", [gone, kept])).sources) == [kept.index]
    for wrong in (gone, [kept, gone], Supernode("gone", [gone]), [], 10**6, (9, 9, 9), "nobody", 1.5):
        with pytest.raises(NodeError):
            circuit.paths(wrong)


def loss(found, gone):
    """Share of the influence of all paths that passes any of the nodes."""
    lost = sum(influence for path, (influence, _) in found.items() if {*path[1:-1]} & {*gone})
    return lost / sum(influence for influence, _ in found.values())


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("share", [0.2, 0.5])
def test_a_cut_takes_what_it_says_with_no_node_to_spare(seed, share):
    graph = small_graph(seed, n_layers=3, n_tokens=1, density=0.7)
    sources = graph.nodes.where(kind=["token", "error"])
    found = every_path(graph, indices(sources), indices(graph.nodes.where(kind="logit")))
    features = indices(graph.nodes.where(kind="feature"))
    paths = graph.paths(sources)
    if loss(found, features) < share:
        with pytest.raises(ArgumentError, match="straight"):
            paths.cut(share)
        return
    cut = paths.cut(share)
    nodes = indices(cut.nodes)
    assert cut.share == pytest.approx(loss(found, nodes), rel=1e-5)
    assert cut.share >= share * (1 - 1e-9)
    for one in nodes:
        assert loss(found, [node for node in nodes if node != one]) < share
    sizes = range(len(nodes) + 1)
    fewest = next(n for n in sizes if any(loss(found, some) >= share for some in combinations(features, n)))
    assert cut.fewest <= fewest <= len(nodes) <= fewest + 1


def test_a_cut_of_everything_leaves_no_path():
    graph = chain()
    cut = graph.paths("token", "logit").cut(1.0)
    assert [(node.layer, node.feature) for node in cut.nodes] == [(2, 0)]
    assert (cut.share, cut.fewest) == (pytest.approx(1), 1)
    assert "100.0% by 1 node (no fewer do)" in repr(cut)
    assert "100.0% by 1 node (no fewer do)" in cut._repr_html_()


def test_a_node_that_later_ones_make_needless_is_dropped_from_a_cut():
    edges = torch.tensor([[0, 0, 0, 1.0], [0, 0, 0, 1], [1, 1, 0, 0], [2, 2, 5, 1]])
    cut = chain(edges=edges, target_pre_activations=edges.sum(1)).paths().cut(0.85)
    assert [node.index for node in cut.nodes] == [0, 1]  # the third carries most, 0.5, but with it no two suffice
    assert (cut.share, cut.fewest) == (pytest.approx(0.9), 2)


def chain(**parts):
    """Token -> two features of layer 1 (3 : 1) -> one of layer 2 -> logit."""
    targets = (Target("out", 9, 0.5),)
    nodes = Nodes.build(
        features=[(1, 0, 0), (1, 0, 1), (2, 0, 0)],
        activations=[1, 1, 1],
        error_layers=[],
        token_ids=[1],
        targets=targets,
        n_layers=3,
    )
    edges = torch.tensor([[0, 0, 0, 2.0], [0, 0, 0, -2], [3, 1, 0, 0], [0, 0, 5, 0]])
    chosen = {
        "prompt": "in",
        "tokens": ("in",),
        "token_ids": (1,),
        "nodes": nodes,
        "edges": edges,
        "target_bias": torch.zeros(4),
        "target_pre_activations": edges.sum(1),
        "targets": targets,
    }
    return Graph(**chosen | parts)


def test_by_hand_and_as_shown():
    graph = chain()
    paths = graph.paths()
    assert [(path.share, path.influence, path.sign) for path in paths] == [(0.75, 0.375, 1), (0.25, 0.125, -1)]
    assert paths.influence == 0.5
    assert [node.index for node in paths[1].nodes] == [3, 1, 2, 4]
    graph.annotations.update(labels={graph.nodes[2]: "the <b>last"})
    paths = graph.paths(k=1)
    assert "1 path from 1 to 1 nodes: 75.0% of their influence 0.5" in repr(paths)
    assert "in → L1 p0 #0 → the <b>last → out" in repr(paths)
    assert "the &lt;b&gt;last" in paths._repr_html_() and "<b>last" not in paths._repr_html_()
    assert "75.0%" in repr(paths[0])


def test_hostile_text_is_inert():
    html = chain(tokens=(HOSTILE,), prompt=HOSTILE).paths()._repr_html_()
    assert "<img" not in html
    html.encode()


def test_sources_that_are_targets_are_targets():
    graph = chain()
    paths = graph.paths("feature", [graph.nodes[2], graph.nodes[0]])
    assert indices(paths.sources) == [1]
    with pytest.raises(ArgumentError, match="no target"):
        graph.paths(graph.nodes[2], "feature")


def test_no_path_is_no_error_but_cannot_be_cut():
    paths = chain(edges=torch.zeros(4, 4), target_pre_activations=torch.zeros(4)).paths()
    assert (len(paths), paths.influence) == (0, 0)
    assert "0 paths" in repr(paths)
    with pytest.raises(ArgumentError, match="none"):
        paths.cut(0.5)


def test_bad_settings():
    graph = chain()
    for k in (0, -1, 1001):
        with pytest.raises(ArgumentError, match="k: expected 1 to 1000"):
            graph.paths(k=k)
    for share in (0, -0.5, 1.1, float("nan")):
        with pytest.raises(ArgumentError, match="cut"):
            graph.paths().cut(share)
    circle = graph.edges.clone()
    circle[0, 2] = 1
    with pytest.raises(ArgumentError, match="circle"):
        chain(edges=circle, target_pre_activations=circle.sum(1)).paths()


def test_a_large_circuit_answers_at_once():
    random = np.random.default_rng(0)
    layers = np.sort(random.integers(0, 26, 1900))
    places = np.c_[layers, random.integers(0, 20, 1900), random.integers(0, 9999, 1900)]
    places = np.unique(places, axis=0)
    targets = tuple(Target(f"t{i}", i, 0.1) for i in range(8))
    nodes = Nodes.build(
        features=places,
        activations=np.ones(len(places)),
        error_layers=range(3),
        token_ids=range(20),
        targets=targets,
        n_layers=26,
    )
    n_features, n_sources = len(places), len(nodes) - 8
    edges = torch.from_numpy(
        random.normal(size=(n_features + 8, n_sources)) * (random.random((n_features + 8, n_sources)) < 0.02)
    )
    edges[:n_features] *= torch.from_numpy(nodes.layer[:n_features, None] > nodes.layer[None, :n_sources])
    graph = Graph(
        prompt="",
        tokens=("t",) * 20,
        token_ids=(0,) * 20,
        nodes=nodes,
        edges=edges,
        target_bias=torch.zeros(n_features + 8),
        target_pre_activations=edges.sum(1),
        targets=targets,
    )
    assert len(graph.links().source) > 35_000
    graph.paths()
    taken = []
    for _ in range(3):
        start = time.process_time()
        graph.paths("token", "logit", k=5)
        taken.append(time.process_time() - start)
    assert min(taken) < 0.1
