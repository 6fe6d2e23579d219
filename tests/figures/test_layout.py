from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gemma_circuits.data import Links, Node, Nodes
from gemma_circuits.data.errors import ArgumentError
from gemma_circuits.figures.layout import layout, untangle
from tests.data.samples import reference_graph

LAYERS, POSITIONS = 3, 4


def at(*places: tuple[str, int, int]) -> Nodes:
    return Nodes.of(Node(kind, layer, position, i, index=i) for i, (kind, layer, position) in enumerate(places))


any_nodes = st.lists(
    st.tuples(st.sampled_from(["feature", "error"]), st.integers(-1, LAYERS), st.integers(0, POSITIONS - 1)),
    max_size=40,
).map(lambda places: at(*places))


@given(any_nodes, st.lists(st.floats(0.5, 9), min_size=POSITIONS, max_size=POSITIONS), st.integers(0, 99))
def test_every_node_lies_alone_in_its_own_cell(nodes, min_widths, seed):
    order = np.random.default_rng(seed).normal(size=len(nodes))
    found = layout(nodes, LAYERS, POSITIONS, order=order, min_widths=min_widths)
    assert found.y.tolist() == nodes.layer.tolist()
    assert (found.columns[nodes.position] < found.x).all()
    assert (found.x < found.columns[nodes.position + 1]).all()
    for layer in range(-1, LAYERS + 1):
        assert (np.diff(np.sort(found.x[nodes.layer == layer])) > 0.9999).all()
    for position, width in enumerate(np.diff(found.columns)):
        fullest = max(np.bincount(nodes.layer[nodes.position == position] + 1), default=0)
        assert width == pytest.approx(max(fullest, min_widths[position]), abs=1e-5)


@given(any_nodes, st.integers(0, 99))
def test_the_order_that_nodes_come_in_does_not_matter_when_one_is_given(nodes, seed):
    random = np.random.default_rng(seed)
    order, mixed = random.normal(size=len(nodes)), random.permutation(len(nodes))
    found = layout(nodes, LAYERS, POSITIONS, order=order)
    again = layout(nodes[mixed], LAYERS, POSITIONS, order=order[mixed])
    assert np.array_equal(again.x, found.x[mixed])


def test_a_cell_is_divided_evenly_in_order_errors_last():
    nodes = at(("error", 1, 1), ("feature", 1, 1), ("feature", 1, 1), ("feature", 2, 1))
    found = layout(nodes, LAYERS, POSITIONS, order=np.array([0, 2, 1, 0]), min_widths=[2, 6, 1, 1.5])
    assert found.columns.tolist() == [0, 2, 8, 9, 10.5]
    assert found.x.tolist() == [7, 5, 3, 5]
    assert layout(nodes, LAYERS, POSITIONS).x.tolist() == [3.5, 1.5, 2.5, 2.5]
    assert found.rows == (("token", -1), ("L0", 0), ("L1", 1), ("L2", 2), ("logit", 3))


def crossings(found, source, target):
    """Pairs of straight edges that cut each other, counted one by one."""
    ends = [(complex(found.x[s], found.y[s]), complex(found.x[t], found.y[t])) for s, t in zip(source, target)]

    def side(a, b, c):
        return np.sign(((b - a).conjugate() * (c - a)).imag)

    return sum(
        side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0
        for i, (a, b) in enumerate(ends)
        for c, d in ends[:i]
    )


def test_untangling_shortens_edges_and_lets_fewer_cross():
    graph = reference_graph("clt_hook_resid_mid_p0_max200").prune(0.9, 0.9)
    nodes, links, size = graph.nodes, graph.links(), (4, graph.graph.n_positions)
    place = np.full(len(graph.graph.nodes), -1)
    place[nodes.index] = np.arange(len(nodes))
    strongest = links.weight.abs().argsort(descending=True)[:150].numpy()
    source, target = place[links.source[strongest]], place[links.target[strongest]]
    before, after = layout(nodes, *size), untangle(nodes, links, *size)
    assert crossings(after, source, target) < 0.9 * crossings(before, source, target)
    assert (
        np.abs(np.diff(after.x[[source, target]], axis=0)).mean()
        < np.abs(np.diff(before.x[[source, target]], axis=0)).mean()
    )
    assert np.array_equal(after.x, untangle(nodes, links, *size).x)
    assert np.array_equal(after.columns, before.columns)


def test_neighbours_pull_by_their_weight():
    nodes = at(("token", -1, 0), ("token", -1, 3), ("feature", 1, 1), ("feature", 1, 1), ("feature", 1, 1))
    links = Links(
        torch.tensor([1, 0, 0, 1, 7, 0]), torch.tensor([2, 2, 3, 3, 4, 9]), torch.tensor([-3.0, 1, 3, 1, 5, 5])
    )
    found = untangle(nodes, links, LAYERS, POSITIONS)
    assert found.x[2:].tolist() == [3.5, 1.5, 2.5]  # the last one has no neighbour here, and stays in the middle


def test_logits_keep_their_order():
    nodes = at(("token", -1, 0), ("token", -1, 3), ("logit", 3, 3), ("logit", 3, 3))
    links = Links(torch.tensor([1, 0]), torch.tensor([2, 3]), torch.ones(2))
    assert untangle(nodes, links, LAYERS, POSITIONS).x[2:].tolist() == [3.5, 4.5]


def test_columns_of_many_nodes_take_no_time():
    random = np.random.default_rng(0)
    for n_nodes, n_links, most in ((2_000, 40_000, 0.02), (50_000, 500_000, 1)):
        layers, positions = np.sort(random.integers(0, 26, n_nodes)), random.integers(0, 40, n_nodes)
        nodes = Nodes(
            kind=np.full(n_nodes, "feature"),
            layer=layers,
            position=positions,
            feature=np.arange(n_nodes),
            activation=np.ones(n_nodes),
            token_id=np.full(n_nodes, -1),
            probability=np.ones(n_nodes),
        )
        links = Links(*torch.from_numpy(random.integers(0, n_nodes, (2, n_links))), torch.rand(n_links))
        taken = []
        for _ in range(3):
            start = time.process_time()
            untangle(nodes, links, 26, 40)
            taken.append(time.process_time() - start)
        assert min(taken) < most


@pytest.mark.parametrize(
    "place, options, told",
    [
        (("feature", 3, 4), {}, "position: expected 0 to 3, got 4"),
        (("feature", 4, 0), {}, "layer: expected -1 to 3, got 4"),
        (("feature", 0, 0), {"order": np.zeros(2)}, "order: expected shape"),
        (("feature", 0, 0), {"min_widths": [1, 2]}, "min_widths: expected shape"),
    ],
)
def test_what_does_not_fit_is_refused(place, options, told):
    with pytest.raises(ArgumentError, match=told):
        layout(at(place), LAYERS, POSITIONS, **options)
