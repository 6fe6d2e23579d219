from __future__ import annotations

import numpy as np
import pytest
import torch

from gemma_circuits.data import Node, Nodes, Target
from gemma_circuits.data.errors import ArgumentError
from tests.data.samples import HOSTILE, small_graph

NODES = Nodes.build(
    features=torch.tensor([[0, 1, 7], [2, 0, 3], [2, 1, 3]]),
    activations=torch.tensor([1.5, 0.25, 1.84], dtype=torch.bfloat16),
    error_layers=(0, 2),
    token_ids=(11, 12),
    targets=(Target(" a", 40, 0.5), Target(" b", 41, 0.125)),
    n_layers=3,
)


def test_build_follows_the_order_of_the_adjacency():
    assert NODES.kind.tolist() == ["feature"] * 3 + ["error"] * 4 + ["token"] * 2 + ["logit"] * 2
    assert NODES.layer.tolist() == [0, 2, 2, 0, 0, 2, 2, -1, -1, 3, 3]
    assert NODES.position.tolist() == [1, 0, 1, 0, 1, 0, 1, 0, 1, 1, 1]
    assert NODES.feature.tolist() == [7, 3, 3] + [-1] * 8
    assert NODES.token_id.tolist() == [-1] * 7 + [11, 12, 40, 41]
    assert NODES.activation[:3].tolist() == [1.5, 0.25, 1.84375]
    assert np.isnan(NODES.activation[3:]).all()
    assert NODES.probability[9:].tolist() == [0.5, 0.125]
    assert np.isnan(NODES.probability[:9]).all()


def test_an_integer_gives_a_node_and_all_else_gives_nodes_with_their_index():
    assert isinstance(NODES[2], Node)
    assert NODES[np.int64(-1)].token_id == 41
    assert NODES[torch.tensor(1)].position == 0
    for some in (slice(1, 3), [1, 2], torch.tensor([1, 2]), torch.arange(11) % 11 // 1 == 1):
        assert NODES[some].index.tolist()[0] == 1
    mask = torch.zeros(11, dtype=torch.bool)
    assert len(NODES[mask]) == len(NODES[[]]) == len(NODES[0:0]) == 0
    assert NODES[0:0].index.shape == (0,)
    assert NODES[3:][[1]][0].index == 4
    assert [node.index for node in NODES] == list(range(11))
    with pytest.raises(IndexError):
        NODES[11]
    with pytest.raises(IndexError):
        NODES[mask[:4]]


@pytest.mark.parametrize(
    ("conditions", "indices"),
    [
        ({}, range(11)),
        ({"kind": "feature"}, [0, 1, 2]),
        ({"kind": ("error", "logit"), "position": 1}, [4, 6, 9, 10]),
        ({"kind": "feature", "layer": 2, "feature": {3}}, [1, 2]),
        ({"layer": range(2), "position": torch.tensor([0])}, [3]),
        ({"layer": np.array([2]), "kind": ["error"]}, [5, 6]),
        ({"token_id": 41}, [10]),
        ({"feature": 99}, []),
    ],
)
def test_where(conditions, indices):
    assert NODES.where(**conditions).index.tolist() == list(indices)


def test_where_refuses_what_it_does_not_know():
    with pytest.raises(TypeError):
        NODES.where(colour=3)  # pyright: ignore[reportCallIssue]
    with pytest.raises(ArgumentError, match="features"):
        NODES.where(kind="features")  # pyright: ignore[reportArgumentType]


def test_nodes_of_two_graphs_are_equal_by_what_they_stand_for():
    one, other = Node("feature", 3, 5, 218, activation=1.84, index=7), Node("feature", 3, 5, 218, index=9)
    assert one == other
    assert len({one, other, Node("feature", 3, 5, 219), Node("error", 3, 5)}) == 3
    with pytest.raises(AttributeError):
        one.layer = 4  # pyright: ignore[reportAttributeAccessIssue]


def test_of_gives_back_the_nodes_it_was_made_of():
    again = Nodes.of(list(NODES[2:5]))
    assert list(again) == list(NODES[2:5])
    assert again.index.tolist() == [2, 3, 4]
    assert len(Nodes.of([])) == 0


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(ArgumentError, match="layer"):
        Nodes(**{**vars(NODES), "layer": NODES.layer[:3]})


def test_reprs():
    assert repr(NODES[2]) == "feature L2 p1 #3 act 1.84"
    assert repr(NODES[3]) == "error L0 p0"
    assert repr(NODES[7]) == "token p0 #11"
    assert repr(Node("logit", 3, 1, token_id=40, token=" a", probability=0.5)) == "logit p1 ' a' (p=0.500)"
    assert repr(NODES).count("\n") == 12
    assert "3 features, 4 errors, 2 tokens, 2 logits" in repr(NODES)


def test_long_tables_are_cut():
    many = small_graph(n_layers=9, n_tokens=5).nodes
    assert len(many) > 100
    assert len(repr(many).splitlines()) == many._repr_html_().count("<tr>") + 1 == 33


def test_tables_of_hostile_tokens_are_inert():
    nodes = small_graph(tokens=(HOSTILE, "b")).nodes
    assert nodes.where(kind="token")[0].token == HOSTILE
    assert "<img" not in nodes._repr_html_()
    assert "&lt;img" in nodes._repr_html_()
    assert "\x1b" not in repr(nodes) + nodes._repr_html_()
