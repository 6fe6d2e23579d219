"""What each value means, on each kind of node."""

import pytest
import torch
from random_models import PROMPT, random_transcoder, with_transcoder

from gemma_circuits import Ablate, Add, Circuit, Patch, Set, Steer, Supernode, attribute, intervene

OTHER = (2, 90, 17, 33, 58, 12)


@pytest.fixture(scope="module")
def graph(model):
    return attribute(model, PROMPT, max_features=None, progress=False)


def imposed(effect):
    return {row[1:4]: row.new for row in effect.applied}


def same(one, other):
    return torch.equal(one.logits, other.logits)


def test_steer_multiplies_the_activation(model, graph):
    node = graph.nodes.where(kind="feature", layer=1)[3]
    value = 2.5 * node.activation
    steered, given = intervene(model, PROMPT, Steer(node, 2.5)), intervene(model, PROMPT, Set(node, value))
    assert steered.applied[0].old == pytest.approx(node.activation, rel=1e-5)
    assert torch.allclose(steered.logits, given.logits, atol=1e-5)
    assert same(intervene(model, PROMPT, Steer(node, 0)), intervene(model, PROMPT, Ablate(node)))


def test_every_way_of_naming_nodes(model, graph):
    nodes = graph.nodes.where(kind="feature", layer=1, position=(4, 8))
    triples = [(n.layer, n.position - (len(PROMPT) if n.position == 8 else 0), n.feature) for n in nodes]
    first, *rest = list(nodes)
    ways = [nodes, list(nodes), tuple(nodes), triples, Supernode("all", nodes), [first, Supernode("rest", rest)]]
    effects = [intervene(model, PROMPT, Set(way, 2)) for way in ways]
    effects.append(intervene(model, PROMPT, [Set(node, 2) for node in nodes]))
    assert all(same(effect, effects[0]) for effect in effects)
    assert len(imposed(effects[0])) == len(nodes) > 5


def test_slices_leave_out_ignored_positions(model):
    assert list(imposed(intervene(model, PROMPT, Set((2, slice(None), 5), 1)))) == [(2, p, 5) for p in range(1, 9)]
    assert list(imposed(intervene(model, PROMPT, Set((2, slice(-3, -1), 5), 1)))) == [(2, 6, 5), (2, 7, 5)]


def test_lists_hold_all_at_once(model):
    lists = [Set((0, 3, 1), 4), Ablate((1, 3, 2)), Add(torch.ones(32), 1, 4, 0.5), Steer((2, -1, 3), -1)]
    forwards, backwards = (intervene(model, PROMPT, items) for items in (lists, lists[::-1]))
    assert same(forwards, backwards)
    assert same(forwards, intervene(model, PROMPT, [*lists, Set((0, 3, 1), 4)]))  # the same value twice
    assert len(forwards.applied) == 4
    alone = [intervene(model, PROMPT, item, mode="direct") for item in lists]
    moves = sum(effect.raw_logits - effect.baseline_raw_logits for effect in alone)
    together = intervene(model, PROMPT, lists, mode="direct")
    assert torch.allclose(together.raw_logits - together.baseline_raw_logits, moves, atol=1e-4)


def test_add_a_decoder_vector_is_set(model):
    model = with_transcoder(model, random_transcoder("transcoder", "mlp_in"))
    vector, before = model.transcoder.tensors(1).w_dec[7, 0], intervene(model, PROMPT, Ablate((1, 5, 7))).applied[0].old
    added = intervene(model, PROMPT, Add(vector, 1, 5, 3.0))
    assert torch.allclose(added.logits, intervene(model, PROMPT, Set((1, 5, 7), before + 3)).logits, atol=1e-5)
    assert added.applied[0].new == pytest.approx(3 * vector.norm().item())
    twice = intervene(model, PROMPT, [Add(vector, 1, 5, 1.0), Add(vector, 1, 5, 2.0)])
    assert torch.allclose(twice.logits, added.logits, atol=1e-5)


def test_patch_takes_the_value_of_another_prompt(model, graph):
    there = intervene(model, OTHER, Ablate((1, 4, 0))).baseline_activations
    effect = intervene(model, PROMPT, Patch([(1, 4, f) for f in range(24)], OTHER))
    assert [row.new for row in effect.applied] == pytest.approx(there[1, 4].tolist(), abs=1e-5)
    from_the_end = intervene(model, PROMPT, Patch([(1, -1, f) for f in range(24)], OTHER))
    assert [row[2] for row in from_the_end.applied] == [8] * 24
    assert [row.new for row in from_the_end.applied] == pytest.approx(there[1, 5].tolist(), abs=1e-5)
    elsewhere = intervene(model, PROMPT, Patch([(1, -1, f) for f in range(24)], OTHER, position=2))
    assert [row.new for row in elsewhere.applied] == pytest.approx(there[1, 2].tolist(), abs=1e-5)


def test_patch_from_a_graph_or_circuit_is_patch_from_its_prompt(model):
    other = attribute(model, OTHER, position=4, max_features=20, progress=False)
    nodes = Supernode("some", [(layer, p, f) for layer in range(3) for p in (2, 4) for f in range(24)])
    effects = [intervene(model, PROMPT, Patch(nodes, source)) for source in (OTHER, other, other.prune())]
    assert all(imposed(effect) == pytest.approx(imposed(effects[0]), abs=1e-5) for effect in effects)
    assert any(imposed(effects[0]).values())


def test_patch_from_another_position(model):
    here = intervene(model, PROMPT, Ablate((1, 4, 0))).baseline_activations
    effect = intervene(model, PROMPT, Patch([(0, 7, f) for f in range(24)], 3))
    assert [row.new for row in effect.applied] == pytest.approx(here[0, 3].tolist(), abs=1e-5)
    everywhere = intervene(model, PROMPT, Patch((0, slice(None), 2), -1))
    assert [row.new for row in everywhere.applied] == pytest.approx([here[0, 8, 2].item()] * 8)


def test_patch_an_error(model, graph):
    error = graph.nodes.where(kind="error", layer=1, position=4)[0]
    own = intervene(model, PROMPT, Patch(error, PROMPT))
    assert torch.allclose(own.logits, own.baseline_logits, atol=1e-5)
    other = intervene(model, PROMPT, Patch(error, OTHER))
    assert other.applied[0].new == pytest.approx(intervene(model, OTHER, Ablate(error)).applied[0].old, rel=1e-4)
    assert not torch.allclose(other.logits, own.logits, atol=1e-2)


def test_a_whole_circuit_is_the_model(model, graph):
    """Nothing is outside of a circuit of everything, whatever follows from whatever else is imposed."""
    nodes, edges = torch.ones(len(graph.nodes)).bool(), torch.zeros(graph.edges.shape).bool()
    everything = Circuit(graph, nodes, edges)
    for mode in ("direct", "frozen-attention", "open"):
        effect = intervene(model, PROMPT, Ablate(everything), mode=mode)
        assert torch.allclose(effect.logits, effect.baseline_logits, atol=1e-5)


def test_what_appears_outside_of_a_circuit_is_ablated_too(model, graph):
    """With nothing kept but a feature, the MLPs are decoder biases, skips and that feature."""
    circuit = graph.prune(0.5, 0.5)
    mine = circuit.nodes.where(kind="feature")
    everywhere = [(layer, p, f) for layer in range(3) for p in range(1, 9) for f in range(24)]
    kept = {(n.layer, n.position, n.feature) for n in mine}
    errors = [n for n in graph.nodes.where(kind="error", position=range(1, 9)) if n not in set(circuit.nodes)]
    by_hand = intervene(model, PROMPT, [Ablate([t for t in everywhere if t not in kept]), Ablate(errors)])
    assert torch.allclose(intervene(model, PROMPT, Ablate(circuit)).logits, by_hand.logits, atol=1e-5)


def test_what_is_imposed_besides_a_circuit(model, graph):
    circuit = graph.prune(0.9)
    outside = [n for n in graph.nodes.where(kind="feature") if n not in set(circuit.nodes)]
    alone = intervene(model, PROMPT, Ablate(circuit))
    assert torch.allclose(intervene(model, PROMPT, [Ablate(circuit), Ablate(outside)]).logits, alone.logits, atol=1e-5)
    inside = circuit.nodes.where(kind="feature")[0]
    held = intervene(model, PROMPT, [Ablate(circuit), Set(inside, 9)])
    assert not torch.allclose(held.logits, alone.logits, atol=1e-3)
    both = intervene(model, PROMPT, [Ablate(circuit), Ablate(graph.prune(0.5))])
    assert torch.allclose(both.logits, intervene(model, PROMPT, Ablate(graph.prune(0.5))).logits, atol=1e-5)


def test_values_are_frozen_and_compare():
    assert Ablate([(1, 2, 3)]) == Ablate([(1, 2, 3)])
    assert hash(Set((1, 2, 3), 1)) == hash(Set((1, 2, 3), 1.0))
    assert repr(Supernode("a", [(1, 2, 3)])) == "Supernode('a', 1 node)"
    assert "length 2" in repr(Add([0.0, 2.0], 1))
    with pytest.raises(AttributeError):
        Set((1, 2, 3), 1).value = 2  # pyright: ignore


@pytest.mark.parametrize("mode", ["direct", "open"])
@pytest.mark.parametrize("site", ["resid_post", "mlp_out", "attn_out"])
def test_saes_intervene_at_their_own_site(model, site, mode):
    sae = random_transcoder("transcoder", site, layers=2, width=48 if site == "attn_out" else 32)
    sae.kind, sae.writes = "sae", sae.reads
    other = with_transcoder(model, sae)
    effect = intervene(other, PROMPT, Set((1, 4, 9), 6), mode=mode)

    tensors, layer = sae.tensors(1), model.module.model.layers[1]
    vector, moves = tensors.w_dec[9, 0], []

    def changed(value):
        pre = value[0, 4] @ tensors.w_enc[:, 9] + tensors.b_enc[9]
        moves.append((6 - (pre if pre > tensors.threshold[9] and pre > 0 else 0)) * vector)
        out = value.clone()
        out[0, 4] += moves[0]
        return out

    if site == "attn_out":
        handle = layer.self_attn.o_proj.register_forward_pre_hook(lambda _, given: (changed(given[0]),))
    else:
        module = layer if site == "resid_post" else layer.post_feedforward_layernorm
        handle = module.register_forward_hook(lambda _, given, output: changed(output))
    expected = model.module(torch.tensor([PROMPT])).logits[0]
    handle.remove()
    if mode == "open":
        assert torch.allclose(effect.logits, expected, atol=1e-5)
        return
    # In mode "direct" the change goes on through frozen paths: it doubles with what is imposed.
    old = effect.applied[0].old
    twice = intervene(other, PROMPT, Set((1, 4, 9), 12 - old), mode=mode)
    moved = effect.logits - effect.baseline_logits
    assert moved.abs().max() > 0.1
    assert torch.allclose(twice.logits - twice.baseline_logits, 2 * moved, atol=1e-4)
