"""A supernode is one unit wherever a node is, whether made by hand or stored with a graph."""

import pytest
import torch
from random_models import PROMPT, random_transcoder, with_transcoder

from gemma_circuits import (
    Ablate,
    Graph,
    Patch,
    Set,
    Steer,
    Supernode,
    attribute,
    errors,
    generate,
    intervene,
    sweep,
)

OTHER = (2, 90, 17, 33, 58, 12, 40, 41, 20)


@pytest.fixture(scope="module")
def graph(model):
    graph = attribute(model, PROMPT, max_features=None, progress=False)
    graph.group("Texas", graph.nodes.where(kind="feature", layer=(0, 1), position=5)[:6])
    graph.group("wrong", graph.nodes.where(kind=("feature", "error"), layer=2, position=5))
    return graph


@pytest.fixture(scope="module", params=["in memory", "from a file"])
def stored(graph, request, tmp_path_factory):
    if request.param == "in memory":
        return graph
    path = tmp_path_factory.mktemp("graphs") / "graph.safetensors"
    graph.save(path)
    return Graph.load(path)


@pytest.mark.parametrize("name", ["Texas", "wrong"])
@pytest.mark.parametrize("mode", ["direct", "frozen-attention", "open"])
def test_it_is_its_members(model, stored, mode, name):
    group = stored.supernode(name)
    members = list(group.nodes)
    assert len(members) > 4
    for make in (Ablate, lambda n: Ablate(n, to="mean"), lambda n: Steer(n, 2.5), lambda n: Patch(n, OTHER)):
        whole = intervene(model, PROMPT, make(group), mode=mode)
        one_by_one = intervene(model, PROMPT, [make(node) for node in members], mode=mode)
        assert torch.equal(whole.logits, one_by_one.logits)
        assert len(whole.applied) == len(members)
        assert not torch.equal(whole.logits, whole.baseline_logits)


def test_set_measure_and_generate(model, stored):
    group = stored.supernode("Texas")
    effect = intervene(model, PROMPT, Set(group, 4.0), measure=stored.supernode("wrong"))
    assert torch.equal(effect.logits, intervene(model, PROMPT, [Set(node, 4.0) for node in group.nodes]).logits)
    features = {(n.layer, n.position, n.feature) for n in stored.supernode("wrong").nodes if n.kind == "feature"}
    assert {row[:3] for row in effect.changes(None)} <= features
    assert {row[:3] for row in effect.activation(stored.supernode("wrong"))} == features
    by_group, by_hand = (
        generate(model, PROMPT, [Set(node, 40.0) for node in nodes], max_new_tokens=4).token_ids
        for nodes in ([group], group.nodes)
    )
    assert by_group == by_hand


def test_a_sweep_over_supernodes(model, stored):
    groups = [stored.supernode("Texas"), stored.supernode("wrong")]
    found = sweep(model, PROMPT, Ablate, groups)
    for row, group in enumerate(groups):
        assert torch.allclose(found.logits[row], intervene(model, PROMPT, Ablate(group)).logits[-1], atol=1e-5)
    assert "'Texas'" in repr(found) and "'wrong'" in repr(found)
    found = sweep(model, PROMPT, Steer(groups[0], 1), [0.0, 2.0])
    assert torch.allclose(found.logits[0], intervene(model, PROMPT, Ablate(groups[0])).logits[-1], atol=1e-5)


def test_its_name_is_shown(model, stored):
    effect = intervene(model, PROMPT, [Ablate(stored.supernode("Texas")), Steer(stored.supernode("wrong"), 2)])
    assert "Ablate(Supernode('Texas', 6 nodes)), Steer(Supernode('wrong', " in repr(effect)
    assert "Supernode(&#x27;Texas&#x27;, 6 nodes)" in effect._repr_html_()


def test_patched_from_its_graph(model, stored):
    """Held at what it is in the graph's own prompt, elsewhere."""
    effect = intervene(model, OTHER, Patch(stored.supernode("Texas"), stored))
    assert [row.new for row in effect.applied] == pytest.approx(
        [node.activation for node in stored.supernode("Texas").nodes], rel=1e-4
    )


def test_nodes_that_are_not_there_are_refused(model, stored):
    group = stored.supernode("Texas")
    small = with_transcoder(model, random_transcoder("clt affine", features=2))
    with pytest.raises(errors.NodeError, match=r"expected 0 to 1, got .*; is it a node of another model or dictionary"):
        intervene(small, PROMPT, Ablate(group))
    shallow = with_transcoder(model, random_transcoder("transcoder", layers=1))
    with pytest.raises(errors.NodeError, match=r"layer: expected .*; is it a node of another model or dictionary"):
        intervene(shallow, PROMPT, Ablate(stored.supernode("wrong")))
    with pytest.raises(errors.PositionError, match="position: expected -4 to 3, got 5"):
        intervene(model, PROMPT[:4], Ablate(group))
    with pytest.raises(errors.NodeError, match="expected a feature or an error, got token"):
        intervene(model, PROMPT, Ablate(Supernode("tokens", stored.nodes.where(kind="token"))))
    other = attribute(model, OTHER, max_features=5, progress=False)
    with pytest.raises(errors.NodeError, match="node: expected a node of this graph"):
        other.group("Texas", stored.nodes.where(kind="feature"))
