"""Pins, supernodes, labels and places: checked when they are set, told to who observes, kept by files."""

from __future__ import annotations

import pytest
from samples import small_graph

import gemma_circuits as gmc
from gemma_circuits.data import Circuit, Graph, Supernode
from gemma_circuits.data.errors import ArgumentError, NodeError


@pytest.fixture
def graph() -> Graph:
    return small_graph()


def test_a_fresh_graph_has_none(graph):
    notes = graph.annotations.notes
    assert (notes.pinned, notes.supernodes, dict(notes.labels), dict(notes.positions)) == ((), (), {}, {})


def test_nodes_are_given_in_any_form(graph):
    first = graph.nodes[0]
    for form in (first, (first.layer, first.position, first.feature), 0):
        assert graph.annotations.update(pinned=[form]).pinned == (first,)
    assert graph.annotations.notes.pinned[0].index == 0


def test_a_group_is_stored_and_found(graph):
    group = graph.group("Texas", graph.nodes.where(kind="feature")[:2])
    assert graph.supernode("Texas") == group == graph.prune().supernode("Texas")
    with pytest.raises(NodeError, match="'Texas'"):
        graph.supernode("Ohio")
    with pytest.raises(ArgumentError, match="at least one node"):
        graph.group("empty", [])


def test_a_node_moves_to_its_new_group(graph):
    graph.group("a", [0, 1])
    graph.group("b", [1])
    assert [(g.name, [n.index for n in g.nodes]) for g in graph.annotations.notes.supernodes] == [
        ("a", [0]),
        ("b", [1]),
    ]
    graph.group("c", [0])
    assert [g.name for g in graph.annotations.notes.supernodes] == ["b", "c"]


def test_groups_of_groups_are_flattened(graph):
    notes = graph.annotations.update(supernodes=[Supernode("all", [Supernode("a", [0]), graph.nodes[1]])])
    assert [node.index for node in notes.supernodes[0].nodes] == [0, 1]


@pytest.mark.parametrize(
    "wrong, error",
    [
        ({"pinned": [(99, 0, 0)]}, NodeError),
        ({"pinned": [10**6]}, NodeError),
        ({"pinned": ["node"]}, NodeError),
        ({"labels": {(99, 0, 0): "x"}}, NodeError),
        ({"supernodes": [Supernode("a", [0]), Supernode("a", [1])]}, ArgumentError),
        ({"supernodes": {"a": [0], "b": [0]}}, ArgumentError),
        ({"positions": {0: (1.0, float("nan"))}}, ArgumentError),
        ({"positions": {"a": (1.0,)}}, ArgumentError),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_changes(graph, wrong, error):
    before = graph.annotations.update(pinned=[0], labels={1: "kept"})
    with pytest.raises(error):
        graph.annotations.update(**{"pinned": [1]} | wrong)
    assert graph.annotations.notes == before


def test_observers_hear_of_changes_once(graph):
    heard = []
    stop = graph.annotations.observe(heard.append)
    graph.annotations.update(pinned=[0], labels={0: "x"})
    graph.annotations.update(pinned=[0])
    assert [notes.pinned[0].index for notes in heard] == [0]
    stop()
    stop()
    graph.annotations.update(pinned=[])
    assert len(heard) == 1


def test_an_empty_label_is_none(graph):
    graph.annotations.update(labels={0: "x", 1: "y"})
    assert dict(graph.annotations.update(labels={0: "", 1: "y"}).labels) == {graph.nodes[1]: "y"}


@pytest.mark.parametrize("form", [lambda graph: graph, lambda graph: graph.prune()])
def test_files_keep_them(graph, form, tmp_path):
    graph.annotations.update(
        pinned=[1, 0], supernodes={"Texas, <b>": [0, 1]}, labels={0: "é"}, positions={"Texas, <b>": (1, 2.5), 0: (0, 0)}
    )
    path = form(graph).save(tmp_path / "kept.safetensors")
    again = (Circuit if isinstance(form(graph), Circuit) else Graph).load(path)
    assert again.annotations.notes == graph.annotations.notes
    assert [node.index for node in again.annotations.notes.pinned] == [1, 0]


def test_the_public_name():
    assert gmc.Supernode is Supernode
