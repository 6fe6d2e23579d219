"""The state that views share: what the page may set, what follows from it, undo and redo."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import traitlets

import gemma_circuits as gmc
from gemma_circuits.data.errors import ArgumentError
from gemma_circuits.ui import Session
from gemma_circuits.ui.history import History


@pytest.fixture(scope="module")
def traced():
    return gmc.attribute(gmc.load(), "The capital of the state containing Dallas is", progress=False)


@pytest.fixture
def session(traced):
    session = Session.of(traced)
    yield session
    session.close()
    traced.annotations.update(pinned=[], supernodes=[], labels={}, positions={})


def column(session, name, dtype):
    return np.frombuffer(session.drawn[name], dtype)


def test_one_session_for_one_graph(traced, session):
    assert Session.of(traced) is session
    circuit = traced.prune(0.5)
    assert Session.of(circuit) is not session
    Session.of(circuit).close()
    with pytest.raises(ArgumentError, match="a Graph or a Circuit"):
        Session.of(torch.zeros(2))


def test_the_page_gets_every_node(traced, session):
    for name in ("layer", "position", "feature"):
        np.testing.assert_array_equal(np.frombuffer(session.nodes[name], np.int32), getattr(traced.nodes, name))
    kinds = np.array(["feature", "error", "token", "logit"])[np.frombuffer(session.nodes["kind"], np.int32)]
    assert (kinds == traced.nodes.kind).all()
    np.testing.assert_array_equal(np.frombuffer(session.nodes["influence"], np.float32), traced.influence.numpy())


def test_moving_a_threshold_prunes_anew(traced, session):
    session.node_threshold, session.edge_threshold = 0.5, 0.9
    wanted = traced.prune(0.5, 0.9)
    np.testing.assert_array_equal(column(session, "kept", np.int32), wanted.nodes.index)
    assert session.drawn["edges"] == len(wanted.links().weight)
    assert session.drawn["scores"] == pytest.approx(
        wanted.scores()._asdict() if hasattr(wanted.scores(), "_asdict") else vars(wanted.scores())
    )
    assert torch.equal(session.circuit.node_mask, wanted.node_mask)


def test_edges_come_by_strength_as_shares_of_the_targets_input(traced, session):
    source, target = column(session, "source", np.int32), column(session, "target", np.int32)
    weight, share = column(session, "weight", np.float32), column(session, "share", np.float32)
    adjacency = traced.adjacency.numpy()
    np.testing.assert_array_equal(weight, adjacency[target, source])
    np.testing.assert_allclose(share, weight / np.abs(adjacency).sum(1)[target], rtol=1e-5)
    assert (np.diff(np.abs(share)) >= 0).all()


def test_the_page_selects_by_index(traced, session):
    session.set_state({"selected": [3, 1, 3]})
    assert session.selected == (traced.nodes[3], traced.nodes[1])
    assert session.get_state("selected")["selected"] == [3, 1]


def test_python_selects_by_node(traced, session):
    node = traced.nodes[2]
    session.selected = [(node.layer, node.position, node.feature)]
    assert session.selected == (node,)
    with pytest.raises(traitlets.TraitError, match="a node of this graph"):
        session.selected = [(99, 0, 0)]
    assert session.selected == (node,)


@pytest.mark.parametrize(
    "wrong",
    [
        {"selected": [10**9]},
        {"selected": ["<img src=x>"]},
        {"node_threshold": 2.0},
        {"node_threshold": 0.5, "edge_threshold": -1.0},
        {"notes": {"pinned": [0]}},
        {"notes": {"pinned": [], "supernodes": [["a", [0]], ["a", [1]]], "labels": [], "positions": []}},
        {"notes": {"pinned": [], "supernodes": [], "labels": [], "positions": [["a", "x", 1]]}},
    ],
)
def test_what_the_page_may_not_set_is_refused_as_a_whole(session, wrong):
    before = session._current()
    session.set_state(wrong)
    assert session.problem
    assert session._current() == before
    session.set_state({"filter": "layer>2"})
    assert not session.problem


def test_annotations_are_the_graphs(traced, session):
    notes = {"pinned": [1], "supernodes": [["Texas", [0, 1]]], "labels": [[0, "x"]], "positions": [["Texas", 1.0, 2.0]]}
    session.set_state({"notes": notes})
    assert traced.supernode("Texas").nodes == (traced.nodes[0], traced.nodes[1])
    traced.group("Austin", [2])
    assert session.get_state("notes")["notes"] == {
        **notes,
        "supernodes": [["Texas", [0, 1]], ["Austin", [2]]],
    }


def test_views_of_a_graph_and_its_circuit_share_annotations(traced, session):
    other = Session.of(traced.prune(0.5))
    traced.annotations.update(pinned=[0])
    assert session.notes == other.notes == traced.annotations.notes
    other.close()


def test_everything_can_be_undone_and_redone(traced, session):
    def pruned():
        return column(session, "kept", np.int32).tolist()

    states = [(session._current(), pruned())]
    steps = [
        {"selected": [1]},
        {"node_threshold": 0.6},
        {"filter": "layer>1"},
        {"notes": {"pinned": [1], "supernodes": [], "labels": [], "positions": []}},
        {"selected": [2], "edge_threshold": 0.5},
    ]
    for step in steps:
        session.set_state(step)
        states.append((session._current(), pruned()))
    assert session.can_undo and not session.can_redo
    for state, kept in states[-2::-1]:
        session.undo()
        assert (session._current(), pruned()) == (state, kept)
        assert traced.annotations.notes == state.notes
    assert session.can_redo and not session.can_undo
    session.undo()
    for state, kept in states[1:]:
        session.redo()
        assert (session._current(), pruned()) == (state, kept)
    session.undo()
    session.set_state({"selected": [7]})
    assert not session.can_redo


def test_a_moving_slider_is_one_step(session):
    for value in (0.7, 0.6, 0.5):
        session.set_state({"node_threshold": value})
    session.undo()
    assert session.node_threshold == 0.8
    assert not session.can_undo


def test_a_request_is_answered_or_its_error_told(session):
    sent = []
    session.send = lambda content, buffers=None: sent.append((content, buffers))
    session.answer("double", lambda message: (2 * message, [b"x"]))
    for name, message in (("double", 4), ("double", None), ("nothing", 1)):
        session._heard(session, {"kind": "ask", "id": name, "name": name, "message": message}, [])
    assert sent[0] == ({"id": "double", "response": 8}, [b"x"])
    assert "unsupported operand" in sent[1][0]["error"]
    assert sent[2][0]["error"]


def test_history_forgets_what_is_too_old():
    history = History(limit=3)
    for state in range(5):
        history.push(state, str(state))
    undone = [history.undo(99), *(history.undo(0) for _ in range(3))]
    assert undone == [4, 3, 2, None]
