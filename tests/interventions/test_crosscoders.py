"""A crosscoder's features write to the residual stream of their own layer and of the crosscoder's later ones."""

import pytest
import torch
from random_models import PROMPT, with_transcoder

from gemma_circuits import Ablate, Node, Set, errors, generate, intervene, sweep
from gemma_circuits.transcoders.stored import StoredTranscoder

LAYERS, FEATURES, WIDTH = (0, 2), 24, 32


@pytest.fixture(scope="module")
def crossed(model):
    """Written backwards are zeros, as in the releases, which call it weakly causal."""
    generator = torch.Generator().manual_seed(5)

    def normal(*shape, std):
        return torch.randn(*shape, generator=generator) * std

    tensors = {}
    for place, layer in enumerate(LAYERS):
        vectors = normal(FEATURES, len(LAYERS), WIDTH, std=0.5 * WIDTH**-0.5)
        vectors[:, :place] = 0
        tensors[layer] = {
            "w_enc": normal(WIDTH, FEATURES, std=WIDTH**-0.5),
            "w_dec": vectors,
            "b_enc": normal(FEATURES, std=0.3),
            "b_dec": normal(WIDTH, std=0.2),
            "threshold": normal(FEATURES, std=0.3).abs(),
        }
    found = StoredTranscoder.from_tensors("crosscoder", tensors, reads="resid_post", writes="resid_post")
    return with_transcoder(model, found)


def activations(model, layer, x):
    tensors = model.transcoder.tensors(layer)
    pre = x @ tensors.w_enc + tensors.b_enc
    return pre * ((pre > 0) & (pre > tensors.threshold))


def own(model, changes):
    """Logits of the model's own pass, `changes` by layer applied to the residual stream (positions, d) behind it."""
    handles = [
        model.module.model.layers[layer].register_forward_hook(lambda _, given, out, f=change: f(out[0])[None])
        for layer, change in changes.items()
    ]
    try:
        return model.module(torch.tensor([PROMPT])).logits[0]
    finally:
        for handle in handles:
            handle.remove()


def test_a_feature_writes_where_it_reads_and_later(crossed):
    first, last = (crossed.transcoder.tensors(layer).w_dec for layer in LAYERS)
    moved = []

    def low(x):
        moved.append(6 - activations(crossed, 0, x)[4, 9])
        out = x.clone()
        out[4] += moved[0] * first[9, 0]
        return out

    def high(x):
        out = x.clone()
        out[5] += (3 - activations(crossed, 2, x)[5, 1]) * last[1, 1]
        out[4] += moved[0] * first[9, 1]
        return out

    effect = intervene(crossed, PROMPT, [Set((0, 4, 9), 6), Set((2, 5, 1), 3)], mode="open")
    assert torch.allclose(effect.logits, own(crossed, {0: low, 2: high}), atol=1e-5)
    assert effect.activations.shape == (2, len(PROMPT), FEATURES)
    with pytest.raises(errors.NodeError, match=r"layer: expected \(0, 2\), got 1"):
        intervene(crossed, PROMPT, Ablate((1, 4, 5)))


def test_layers_bound_what_it_writes(crossed):
    """MLP outputs are the prompt's within them; nothing is written to layer 2."""
    norms = [layer.post_feedforward_layernorm for layer in crossed.module.model.layers[:2]]
    kept, written = [], []
    handles = [norm.register_forward_hook(lambda _, given, out: kept.append(out)) for norm in norms]
    own(crossed, {0: lambda x: written.append(6 - activations(crossed, 0, x)[4, 9]) or x})
    for handle in handles:
        handle.remove()

    def low(x):
        out = x.clone()
        out[4] += written[0] * crossed.transcoder.tensors(0).w_dec[9, 0]
        return out

    handles = [norm.register_forward_hook(lambda *_, out=out: out) for norm, out in zip(norms, kept)]
    expected = own(crossed, {0: low})
    for handle in handles:
        handle.remove()
    effect = intervene(crossed, PROMPT, Set((0, 4, 9), 6), mode="open", layers=range(2))
    assert torch.allclose(effect.logits, expected, atol=1e-5)


def test_an_error_is_what_its_features_miss(crossed):
    low, high = crossed.transcoder.tensors(0), crossed.transcoder.tensors(2)
    seen = {}

    def look(x):
        seen[0] = activations(crossed, 0, x)
        return x

    def without(x):
        out = x.clone()
        both = seen[0][5] @ low.w_dec[:, 1] + activations(crossed, 2, x)[5] @ high.w_dec[:, 1]
        out[5] = high.b_dec + both
        return out

    effect = intervene(crossed, PROMPT, Ablate(Node("error", 2, 5)), mode="open")
    assert torch.allclose(effect.logits, own(crossed, {0: look, 2: without}), atol=1e-5)


def test_what_is_written_backwards_is_left_alone(crossed, model):
    tensors = {layer: vars(crossed.transcoder.tensors(layer)) for layer in LAYERS}
    backwards = tensors[2]["w_dec"].clone()
    backwards[:, 0] = 1.0
    tensors[2] = {**tensors[2], "w_dec": backwards}
    other = StoredTranscoder.from_tensors("crosscoder", tensors, reads="resid_post", writes="resid_post")
    imposed = [Set((2, 5, 1), 3), Ablate(Node("error", 0, 4))]
    found = (intervene(m, PROMPT, imposed).logits for m in (with_transcoder(model, other), crossed))
    assert torch.equal(*found)


@pytest.mark.parametrize("mode", ["direct", "frozen-attention", "open"])
def test_sweeps_and_modes(crossed, mode):
    low, high = ([(layer, 4, feature) for feature in range(FEATURES)] for layer in LAYERS)
    places = [high, Node("error", 2, 6), low, Node("error", 0, 5)]
    found = sweep(crossed, PROMPT, Ablate, places, mode=mode)
    for row, place in enumerate(places):
        effect = intervene(crossed, PROMPT, Ablate(place), mode=mode)
        assert torch.allclose(found.logits[row], effect.logits[-1], atol=1e-5)
        assert not torch.equal(effect.logits, effect.baseline_logits)


def test_generation(crossed):
    written = generate(crossed, PROMPT, Set((0, -1, 9), 6.0), max_new_tokens=3)
    tokens = [*PROMPT, *written.token_ids]
    for count, token in enumerate(written.token_ids):
        effect = intervene(crossed, tokens[: 9 + count], Set((0, slice(8, None), 9), 6.0), mode="open")
        assert effect.logits[-1].argmax() == token
