"""What each mode freezes, against hooks on Hugging Face's own forward pass."""

import copy

import pytest
import torch
from plain import activations, forward, reconstruction
from random_models import PROMPT, random_transcoder, with_transcoder

from gemma_circuits import Ablate, Add, Node, Set, Steer, attribute, intervene
from gemma_circuits.models import ReplacementModel
from gemma_circuits.models.edit import run

PLACE, VALUE = (1, 4, 9), 6.0


def assert_close(found, expected):
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.fixture(params=["gemma2", "gemma3_text", "llama"])
def per_layer(random_model, request):
    return with_transcoder(random_model(request.param), random_transcoder("transcoder affine", "mlp_in"))


@pytest.fixture(params=["clt", "clt affine", "transcoder affine"])
def dictionary(model, request):
    return with_transcoder(model, random_transcoder(request.param, "mlp_in"))


def test_baseline_logits_are_the_model_s_own(random_model):
    for name in ("gemma2", "gemma3"):
        model = random_model(name)
        effect = intervene(model, PROMPT, Ablate(PLACE))
        own = model.module(torch.tensor([PROMPT])).logits[0]
        assert torch.equal(effect.baseline_logits, own)
    softcap = random_model("gemma2").config.final_logit_softcapping
    capped = intervene(random_model("gemma2"), PROMPT, Ablate(PLACE))
    assert_close(capped.logits, softcap * (capped.raw_logits / softcap).tanh())
    assert not torch.equal(capped.raw_logits, capped.logits)


def test_baseline_activations_are_those_of_the_graph(model):
    graph = attribute(model, PROMPT, max_features=None, progress=False)
    effect = intervene(model, PROMPT, Ablate(PLACE))
    nodes = graph.nodes.where(kind="feature")
    assert effect.baseline_activations.count_nonzero() == len(nodes)
    assert_close(
        effect.baseline_activations[nodes.layer, nodes.position, nodes.feature], torch.from_numpy(nodes.activation)
    )


def test_open_recomputes_everything(per_layer):
    layer, position, feature = PLACE

    def change(index, reads, out):
        if index == 0:  # moves what layer 1 reads
            out = out.clone()
            out[3] += (5 - activations(per_layer, 0, reads)[3, 2]) * per_layer.transcoder.tensors(0).w_dec[2, 0]
        if index == layer:
            out = out.clone()
            old = activations(per_layer, layer, reads)[position, feature]
            out[position] += (VALUE - old) * per_layer.transcoder.tensors(layer).w_dec[feature, 0]
        return out

    effect = intervene(per_layer, PROMPT, [Set(PLACE, VALUE), Set((0, 3, 2), 5)], mode="open")
    assert_close(effect.logits, forward(per_layer, PROMPT, change))


def test_errors_are_taken_from_what_the_model_then_does(dictionary):
    """Without any error, every MLP output is what the dictionary makes of the current input, and what is set."""
    vectors = dictionary.transcoder.tensors(0).w_dec[2]
    written = dictionary.transcoder.written(0)

    def change(index, reads, out):
        out = torch.cat([out[:1], reconstruction(dictionary, index, reads)[1:]])
        if index in written:
            out[3] += (5 - activations(dictionary, 0, reads)[3, 2]) * vectors[written.index(index)]
        return out

    errors = [Node("error", layer, position) for layer in range(3) for position in range(1, len(PROMPT))]
    effect = intervene(dictionary, PROMPT, [Ablate(errors), Set((0, 3, 2), 5)], mode="open")
    assert_close(effect.logits, forward(dictionary, PROMPT, change))


def test_a_circuit_computes_with_its_features_only(dictionary):
    graph = attribute(dictionary, PROMPT, max_features=None, progress=False)
    circuit = graph.prune(0.97)
    kept = torch.zeros(3, len(PROMPT), 24)
    nodes = circuit.nodes.where(kind="feature")
    kept[nodes.layer, nodes.position, nodes.feature] = 1
    kept_errors = {(node.layer, node.position) for node in circuit.nodes.where(kind="error")}
    assert 20 < kept.sum() < len(graph.nodes.where(kind="feature")) - 20

    def change(index, reads, out):
        whole, partial = reconstruction(dictionary, index, reads), reconstruction(dictionary, index, reads, kept)
        partial[0] = out[0]  # it is ignored
        for position in range(1, len(PROMPT)):
            if (index, position) in kept_errors:
                partial[position] += (out - whole)[position]
        return partial

    effect = intervene(dictionary, PROMPT, Ablate(circuit), mode="open")
    assert_close(effect.logits, forward(dictionary, PROMPT, change))


def test_a_circuit_within_layers(dictionary):
    """What it leaves out is taken from frozen MLP outputs there, and nowhere else."""
    graph = attribute(dictionary, PROMPT, max_features=None, progress=False)
    circuit, base, seen = graph.prune(0.97), {}, {}
    kept = torch.zeros(3, len(PROMPT), 24)
    nodes = circuit.nodes.where(kind="feature")
    kept[nodes.layer, nodes.position, nodes.feature] = 1
    kept_errors = {(node.layer, node.position) for node in circuit.nodes.where(kind="error")}
    forward(dictionary, PROMPT, lambda i, reads, out: base.update({i: out}) or seen.update({i: dict(reads)}))

    def change(index, reads, out):
        if index not in range(1, 3):
            return None
        whole, partial = (reconstruction(dictionary, index, seen[index], mask) for mask in (None, kept))
        skip = dictionary.transcoder.skip(index)
        follows = 0 if skip is None else (reads[index] - seen[index][index]) @ skip
        out = base[index] + follows
        for position in range(1, len(PROMPT)):
            out[position] += (partial - whole)[position]
            if (index, position) not in kept_errors:
                out[position] -= (base[index] - whole)[position]
        return out

    effect = intervene(dictionary, PROMPT, Ablate(circuit), mode="open", layers=range(1, 3))
    assert_close(effect.logits, forward(dictionary, PROMPT, change))


def test_steered_errors_hold_their_baseline_value(per_layer):
    base = {}
    forward(per_layer, PROMPT, lambda i, reads, out: base.update({i: out - reconstruction(per_layer, i, reads)}))

    def change(index, reads, out):
        if index == 2:
            out = out.clone()
            out[5] += -2 * base[2][5] - (out - reconstruction(per_layer, 2, reads))[5]
        if index == 0:
            out = out.clone()
            out[3] += 1.5
        return out

    effect = intervene(per_layer, PROMPT, [Steer(Node("error", 2, 5), -2), Add(torch.ones(32), 0, 3, 1.5)], mode="open")
    assert_close(effect.logits, forward(per_layer, PROMPT, change))


@pytest.mark.parametrize("name", ["gemma2", "gemma3_text", "qwen3"])
@pytest.mark.parametrize("mode", ["direct", "frozen-attention", "open"])
def test_nothing_imposed_changes_nothing(random_model, name, mode):
    model = random_model(name)
    graph = attribute(model, PROMPT, progress=False, max_features=50)
    effect = intervene(
        model, PROMPT, Steer(graph.nodes.where(kind=("feature", "error"), position=range(1, 9)), 1), mode=mode
    )
    assert_close(effect.logits, effect.baseline_logits)


@pytest.mark.parametrize("name", ["gemma2", "gemma3_text"])
def test_bfloat16(random_model, name):
    """Near the model's own; what is frozen and the features are in float32."""
    whole = random_model(name)
    model = ReplacementModel(copy.deepcopy(whole.module).bfloat16(), whole.tokenizer, whole.transcoder, name="half")
    nodes = attribute(model, PROMPT, progress=False).nodes.where(kind=("feature", "error"), position=range(1, 9))
    for mode in ("direct", "frozen-attention", "open"):
        same, moved = (intervene(model, PROMPT, Steer(nodes, factor), mode=mode) for factor in (1, 0))
        assert same.logits.dtype == same.activations.dtype == torch.float32
        noise = (same.logits - same.baseline_logits).abs().max()
        assert noise < 0.02 * same.baseline_logits.abs().max()
        assert noise < 0.1 * (moved.logits - moved.baseline_logits).abs().max()
        assert (intervene(whole, PROMPT, Steer(nodes, 0), mode=mode).logits - moved.logits).abs().max() < 0.5


@pytest.mark.parametrize("name", ["gemma2", "gemma3", "qwen3"])
def test_attention_patterns_are_frozen_or_follow(random_model, name):
    model, ids = random_model(name), torch.tensor([PROMPT])
    own = model.module(ids).logits
    patterns = run(model, ids, record=True).patterns
    assert torch.equal(run(model, ids, patterns=patterns).logits, own)
    assert not torch.allclose(run(model, ids, patterns=[p.flip(1) for p in patterns]).logits, own, atol=1e-3)
    frozen, following = (
        intervene(model, PROMPT, Set((0, 2, 3), 20.0), mode=mode).logits for mode in ("frozen-attention", "open")
    )
    assert not torch.allclose(frozen, following, atol=1e-3)


@pytest.mark.parametrize("kind", ["clt", "transcoder"])
@pytest.mark.parametrize("layers", [range(0, 2), range(1, 3), range(1, 2), range(3)])
def test_layers_freeze_and_bound_writes(model, kind, layers):
    """Within `layers` MLP outputs are those of the prompt plus what is written; others run on."""
    model = with_transcoder(model, random_transcoder(kind, "mlp_in"))
    layer, position, feature = PLACE
    base, old = {}, {}
    forward(model, PROMPT, lambda i, reads, out: base.update({i: out}) or old.update({i: activations(model, i, reads)}))
    vectors = dict(zip(model.transcoder.written(layer), model.transcoder.tensors(layer).w_dec[feature]))

    def change(index, reads, out):
        if index not in layers:
            return None
        out = base[index].clone()
        if index in vectors:
            out[position] += (VALUE - old[layer][position, feature]) * vectors[index]
        return out

    effect = intervene(model, PROMPT, Set(PLACE, VALUE), mode="open", layers=layers)
    assert_close(effect.logits, forward(model, PROMPT, change))


def test_layers_bound_writes_in_direct_mode(model):
    graph = attribute(model, PROMPT, max_features=None, progress=False)
    node = graph.nodes.where(kind="feature", layer=0, position=5)[0]
    parts = [intervene(model, PROMPT, Ablate(node), mode="direct", layers=range(i, i + 1)) for i in range(3)]
    whole = intervene(model, PROMPT, Ablate(node), mode="direct")
    total = sum(part.raw_logits - part.baseline_raw_logits for part in parts)
    assert_close(total, whole.raw_logits - whole.baseline_raw_logits)
