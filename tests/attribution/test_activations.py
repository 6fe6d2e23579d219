"""Every activation function, and prompts on which some layers are silent."""

import pytest
import torch
from random_models import KINDS, LAYERS, PROMPT, random_transcoder, with_transcoder

from gemma_circuits import attribute
from gemma_circuits.transcoders.protocol import Site
from gemma_circuits.transcoders.stored import StoredTranscoder


def rebuilt(like, *, threshold=True, dtype=torch.float32, **keywords):
    """The same dictionary with other settings."""
    layers = {}
    for layer in like.layers:
        tensors = {name: tensor for name, tensor in vars(like.tensors(layer)).items() if tensor is not None}
        if not threshold:
            del tensors["threshold"]
        layers[layer] = {name: tensor.to(dtype) for name, tensor in tensors.items()}
    return StoredTranscoder.from_tensors(like.kind, layers, reads=Site.MLP_IN, writes=Site.MLP_OUT, **keywords)


def trace(model, dictionary):
    return attribute(with_transcoder(model, dictionary), PROMPT, max_features=None, progress=False)


def test_relu(model):
    graph = trace(model, rebuilt(random_transcoder(), threshold=False))
    features = graph.nodes.where(kind="feature")
    assert graph.check() < 1e-5
    assert (features.activation > 0).all()
    torch.testing.assert_close(torch.from_numpy(features.activation), graph.target_pre_activations[: len(features)])


def test_top_k(model):
    graph = trace(model, rebuilt(random_transcoder(), threshold=False, top_k=4))
    assert graph.check() < 1e-5
    for layer in range(LAYERS):
        for position in range(1, len(PROMPT)):
            assert 0 < len(graph.nodes.where(kind="feature", layer=layer, position=position)) <= 4


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_dictionaries_are_widened(model, dtype):
    half = rebuilt(random_transcoder("clt affine"), dtype=dtype)
    graph, widened = trace(model, half), trace(model, rebuilt(half))
    assert graph.check() < 1e-5
    assert torch.equal(graph.edges, widened.edges)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("silent", [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2)])
def test_silent_layers(model, kind, silent):
    dictionary = random_transcoder(kind)
    for layer in silent:
        dictionary.tensors(layer).threshold.fill_(1e9)
    graph = trace(model, dictionary)
    assert set(graph.nodes.where(kind="feature").layer) == set(range(LAYERS)) - set(silent)
    assert graph.check() < 1e-5


def test_a_single_feature(model):
    dictionary = random_transcoder()
    best = trace(model, dictionary).nodes.where(kind="feature", layer=1)
    best = best[int(best.activation.argmax())]
    for layer in range(LAYERS):
        dictionary.tensors(layer).threshold.fill_(best.activation * 0.999 if layer == 1 else 1e9)
    graph = trace(model, dictionary)
    assert list(graph.nodes.where(kind="feature")) == [best]
    assert graph.check() < 1e-5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_the_default_dtype_does_not_matter(model, dtype):
    dictionary = random_transcoder("clt affine")
    expected = trace(model, dictionary)
    torch.set_default_dtype(dtype)
    try:
        found = trace(model, dictionary)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(found.edges, expected.edges)
    assert found.check() < 1e-5
