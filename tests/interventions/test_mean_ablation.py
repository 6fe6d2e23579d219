"""Ablating to the mean, and circuits whose outside goes there: against plain forward passes."""

import pytest
import torch
from plain import activations, forward, reconstruction
from random_models import PROMPT, random_transcoder, with_transcoder

from gemma_circuits import Ablate, Circuit, Node, Set, attribute, errors, generate, intervene
from gemma_circuits.interventions import generation
from gemma_circuits.models.edit import run

OTHERS = [(2, 90, 17, 33, 58, 12), (2, 61, 44)]
"""Of other lengths than `PROMPT`."""


@pytest.fixture(params=["clt", "clt affine", "transcoder affine"])
def dictionary(model, request):
    return with_transcoder(model, random_transcoder(request.param, "mlp_in"))


def by_hand(model, prompts):
    """Mean activations (layers, features) and errors (layers, d) over positions behind `<bos>`."""
    acts, wrong = [], []
    for prompt in prompts:
        seen = {}

        def look(layer, reads, out, seen=seen):
            seen[layer] = activations(model, layer, reads)[1:], (out - reconstruction(model, layer, reads))[1:]

        forward(model, prompt, look)
        acts.append(torch.stack([seen[layer][0] for layer in range(3)]))
        wrong.append(torch.stack([seen[layer][1] for layer in range(3)]))
    return torch.cat(acts, 1).mean(1), torch.cat(wrong, 1).mean(1)


def assert_close(found, expected):
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize("over", [(), OTHERS])
def test_features_and_errors_go_to_their_mean(dictionary, over):
    means, wrong = by_hand(dictionary, over or [PROMPT])
    places = [(layer, 4, feature) for layer in range(3) for feature in range(24)]
    effect = intervene(dictionary, PROMPT, Ablate(places, to="mean", over=over))
    assert [row.new for row in effect.applied] == pytest.approx([means[p[0], p[2]].item() for p in places], abs=1e-6)
    assert len({round(row.new, 6) for row in effect.applied}) > 20
    given = intervene(dictionary, PROMPT, [Set(place, row.new) for place, row in zip(places, effect.applied)])
    assert torch.equal(effect.logits, given.logits)

    def change(layer, reads, out):
        if layer != 1:
            return None
        out = out.clone()
        out[5] = reconstruction(dictionary, 1, reads)[5] + wrong[1]
        return out

    effect = intervene(dictionary, PROMPT, Ablate(Node("error", 1, 5), to="mean", over=over), mode="open")
    assert effect.applied[0].new == pytest.approx(wrong[1].norm().item(), rel=1e-5)
    assert_close(effect.logits, forward(dictionary, PROMPT, change))


@pytest.mark.parametrize("over", [(), OTHERS])
def test_what_a_circuit_leaves_out_goes_to_its_mean(dictionary, over):
    circuit = attribute(dictionary, PROMPT, max_features=None, progress=False).prune(0.97)
    means, wrong = by_hand(dictionary, over or [PROMPT])
    kept = torch.zeros(3, len(PROMPT), 24, dtype=torch.bool)
    nodes = circuit.nodes.where(kind="feature")
    kept[nodes.layer, nodes.position, nodes.feature] = True
    kept_errors = {(node.layer, node.position) for node in circuit.nodes.where(kind="error")}
    assert kept[0].any() and kept[2].any() and kept_errors

    def change(layer, reads, out):
        tensors = dictionary.transcoder.tensors(layer)
        new = tensors.b_dec + (0 if tensors.skip is None else reads[layer] @ tensors.skip)
        for source in range(layer + 1):
            if layer in (written := dictionary.transcoder.written(source)):
                values = torch.where(kept[source], activations(dictionary, source, reads), means[source])
                new = new + values @ dictionary.transcoder.tensors(source).w_dec[:, written.index(layer)]
        error = out - reconstruction(dictionary, layer, reads)
        for position in range(1, len(PROMPT)):
            new[position] += error[position] if (layer, position) in kept_errors else wrong[layer]
        new[0] = out[0]
        return new

    effect = intervene(dictionary, PROMPT, Ablate(circuit, to="mean", over=over), mode="open")
    assert_close(effect.logits, forward(dictionary, PROMPT, change))
    zero = intervene(dictionary, PROMPT, Ablate(circuit), mode="open")
    assert (zero.logits - effect.logits).abs().max() > 0.01


@pytest.mark.parametrize("mode", ["direct", "frozen-attention"])
def test_a_circuit_to_the_mean_is_its_outside_to_the_mean(model, mode):
    circuit = attribute(model, PROMPT, max_features=None, progress=False).prune(0.95)
    nodes = circuit.nodes.where(kind=("feature", "error"))
    kept = {(n.layer, n.position, n.feature) for n in nodes}
    places = [(layer, p, f) for layer in range(3) for p in range(1, 9) for f in range(-1, 24)]
    outside = [Node("error", *place) if place[2] < 0 else place for place in places if place not in kept]
    whole = intervene(model, PROMPT, Ablate(circuit, to="mean"), mode=mode)
    assert_close(whole.logits, intervene(model, PROMPT, Ablate(outside, to="mean"), mode=mode).logits)


def test_it_is_kept_on_every_token(model, monkeypatch):
    circuit = attribute(model, PROMPT, progress=False).prune(0.97)
    kept = {(n.layer, n.position, n.feature) for n in circuit.nodes.where(kind=("feature", "error"))}
    steps = []
    monkeypatch.setattr(generation, "run", lambda *a, **k: steps.append(found := run(*a, **k)) or found)
    written = generate(model, PROMPT, Ablate(circuit, to="mean"), max_new_tokens=3, temperature=2, seed=1)
    for count, step in enumerate(steps):
        places = [(layer, p, f) for layer in range(3) for p in range(1, 9 + count) for f in range(-1, 24)]
        outside = [place for place in places if (place[0], min(place[1], 8), place[2]) not in kept]
        nodes = [Node("error", *place) if place[2] < 0 else place for place in outside]
        tokens = [*PROMPT, *written.token_ids][: 9 + count]
        expected = intervene(model, tokens, Ablate(nodes, to="mean", over=[PROMPT]), mode="open").logits[-1]
        assert (step.logits[0, -1] - expected).abs().max() < 1e-4 * expected.abs().max()


def test_two_circuits_keep_what_both_keep_where_both_were_traced(model):
    short, long = (attribute(model, PROMPT, position=p, max_features=None, progress=False) for p in (4, 8))
    everything = [Circuit(g, torch.ones(len(g.nodes)).bool(), torch.zeros(g.edges.shape).bool()) for g in (short, long)]
    effect = intervene(model, PROMPT, list(map(Ablate, everything)))
    assert_close(effect.logits, effect.baseline_logits)
    part = short.prune(0.5, 0.5)
    inside = {(n.layer, n.position, n.feature) for n in part.nodes.where(kind=("feature", "error"))}
    inside |= {
        (n.layer, n.position, n.feature) for n in long.nodes.where(kind=("feature", "error"), position=range(5, 9))
    }
    places = [(layer, p, f) for layer in range(3) for p in range(1, 9) for f in range(-1, 24)]
    outside = [Node("error", *place) if place[2] < 0 else place for place in places if place not in inside]
    expected = intervene(model, PROMPT, Ablate(outside)).logits
    for order in ([part, everything[1]], [everything[1], part]):
        assert_close(intervene(model, PROMPT, list(map(Ablate, order))).logits, expected)


def test_contradictions(model):
    circuit = attribute(model, PROMPT, progress=False).prune(0.5)
    outside = (0, 1, 23)
    mean = intervene(model, PROMPT, Ablate(outside, to="mean")).applied[0].new
    alone = intervene(model, PROMPT, Ablate(circuit, to="mean"))
    same = intervene(model, PROMPT, [Ablate(circuit, to="mean"), Set(outside, mean)])
    assert torch.allclose(alone.logits, same.logits, atol=1e-5)
    with pytest.raises(errors.ContradictionError, match=r"feature 23 of layer 0 .* got 0, and .* by the circuit"):
        intervene(model, PROMPT, [Ablate(circuit, to="mean"), Ablate(outside)])
    for other in (Ablate(circuit), Ablate(circuit, to="mean", over=OTHERS)):
        with pytest.raises(errors.ContradictionError):
            intervene(model, PROMPT, [other, Ablate(circuit, to="mean")])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"to": "median"}, "Ablate, to: expected 'zero' or 'mean', got 'median'"),
        ({"over": OTHERS}, "Ablate, over: expected a list of prompts to take the mean of, got to='zero'"),
        ({"to": "mean", "over": "Dallas"}, "Ablate, over: expected a list of prompts to take the mean of, got 'Dallas"),
    ],
)
def test_refused(given, message):
    with pytest.raises(errors.InterventionError, match=message):
        Ablate((1, 4, 5), **given)


def test_reference_prompts_that_cannot_be_run(model):
    with pytest.raises(errors.EmptyPromptError):
        intervene(model, PROMPT, Ablate((1, 4, 5), to="mean", over=[""]))


def test_shown():
    assert repr(Ablate((1, 4, 5), to="mean", over=OTHERS)) == "Ablate((1, 4, 5), to='mean' over 2 prompts)"
    assert repr(Ablate((1, 4, 5), to="mean")) == "Ablate((1, 4, 5), to='mean')"
    assert hash(Ablate([(1, 2, 3)], to="mean", over=[[2, 5]])) == hash(Ablate([(1, 2, 3)], to="mean", over=[(2, 5)]))
