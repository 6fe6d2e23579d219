"""What fires on a prompt, and what points along a direction."""

import numpy as np
import pytest
import torch
from random_models import PROMPT, READS, random_transcoder, with_transcoder
from transcoders.dictionaries import random_dictionary

from gemma_circuits import Ablate, attribute, intervene
from gemma_circuits.attribution.progress import Progress
from gemma_circuits.data.errors import ArgumentError, NodeError, PromptError
from gemma_circuits.features import active, directions, nearest, search
from gemma_circuits.transcoders import Site


def places(nodes):
    return list(zip(nodes.layer.tolist(), nodes.position.tolist(), nodes.feature.tolist()))


@pytest.mark.parametrize("architecture", ["gemma2", "gemma3", "qwen3", "chat"])
def test_active_features_are_those_of_the_graph(random_model, architecture):
    model = random_model(architecture)
    prompt = [{"role": "user", "content": "Hello New York"}] if architecture == "chat" else PROMPT
    found, graph = active(model, prompt), attribute(model, prompt, progress=False)
    features = graph.nodes.where(kind="feature")
    assert len(found) == len(features) > 50
    assert list(found.nodes) == list(features)
    assert torch.tensor(found.nodes.activation).sub(torch.tensor(features.activation)).abs().max() < 1e-5


@pytest.mark.parametrize("reads", READS)
def test_they_are_what_the_encoder_computes(model, reads):
    model = with_transcoder(model, random_transcoder("transcoder", reads))
    captured, found = model.capture(PROMPT), active(model, PROMPT, layers=[2])
    pre = captured.read(2, reads, model.layer(2).mlp_gain) @ model.transcoder.tensors(2).w_enc
    pre += model.transcoder.tensors(2).b_enc
    fires = (pre > 0) & (pre > model.transcoder.tensors(2).threshold)
    fires[0] = False  # <bos>
    assert places(found.nodes) == [(2, p, f) for p, f in fires.nonzero().tolist()]
    assert torch.tensor(found.nodes.activation).sub(pre[fires]).abs().max() < 1e-5


@pytest.mark.parametrize("kind", ["sae", "crosscoder"])
def test_saes_and_crosscoders_read_the_layer_s_output(model, kind):
    site = Site.RESID_POST
    model = with_transcoder(model, random_dictionary(kind, (0, 2), 9, 32, 32, reads=site, writes=site))
    with torch.no_grad():
        hidden = model.module(torch.tensor([PROMPT]), output_hidden_states=True).hidden_states[1][0]
    expected = model.transcoder.activate(0, model.transcoder.pre_activations(0, hidden))
    expected[0] = 0
    found = active(model, PROMPT).nodes.where(layer=0)
    assert places(found) == [(0, p, f) for p, f in expected.nonzero().tolist()]
    assert torch.tensor(found.activation).sub(expected[expected > 0]).abs().max() < 1e-5


def test_what_fires_can_be_shown_and_ablated(model):
    found = active(model, PROMPT)
    strongest = found.strongest(4)
    assert strongest.activation.tolist() == sorted(found.nodes.activation.tolist(), reverse=True)[:4]
    text, html = repr(found), found._repr_html_()
    for shown in (text, html):
        assert f"{len(found)} active features" in shown and f"{strongest.activation[0]:.3g}" in shown
    assert repr(found.prompt.tokens[strongest.position[0]]) in text
    effect = intervene(model, PROMPT, Ablate(strongest), mode="direct")
    assert {(a.layer, a.position, a.feature) for a in effect.applied} == set(places(strongest))
    assert sorted(a.old for a in effect.applied) == pytest.approx(sorted(strongest.activation.tolist()), rel=1e-4)


@pytest.mark.parametrize("architecture", ["gemma2", "llama"])
def test_many_prompts_at_once_give_what_each_gives_alone(random_model, architecture, monkeypatch):
    model = random_model(architecture)
    prompts = [PROMPT[:n] for n in (9, 3, 5, 7, 2)]
    for together in (1, 18, 1000):
        monkeypatch.setattr(search, "TOGETHER", together)
        for prompt, found in zip(prompts, search.active_on_each(model, prompts, Progress(False)), strict=True):
            alone = active(model, prompt)
            assert found.prompt == alone.prompt and list(found.nodes) == list(alone.nodes)
            assert np.abs(found.nodes.activation - alone.nodes.activation).max() < 1e-5
    with pytest.raises(PromptError):
        list(search.active_on_each(model, [PROMPT, ""], Progress(False)))


def test_a_prompt_on_which_nothing_fires(model):
    deaf = random_transcoder("clt")
    for layer in deaf.layers:
        deaf.tensors(layer).threshold.fill_(1e9)
    found = active(with_transcoder(model, deaf), PROMPT)
    assert len(found) == 0 and "0 active features" in repr(found)


def test_bad_prompts_and_layers_are_refused(model):
    with pytest.raises(PromptError):
        active(model, "")
    with pytest.raises(ArgumentError, match="layers"):
        active(model, PROMPT, layers=[3])
    with pytest.raises(ArgumentError, match="layers"):
        nearest(model, (0, 1), layers=[])


def all_vectors(model, to):
    """(layers * features, d) by hand, of dictionaries that read behind the MLP's norm, and their places."""
    rows, where = [], []
    for layer in model.transcoder.layers:
        tensors = model.transcoder.tensors(layer)
        gain = 1 + model.module.model.layers[layer].pre_feedforward_layernorm.weight
        vectors = tensors.w_dec.sum(1) if to == "decoder" else tensors.w_enc.T * gain
        rows.append(vectors)
        where += [(layer, feature) for feature in range(len(vectors))]
    return torch.cat(rows), where


@pytest.mark.parametrize("to", ["decoder", "encoder"])
def test_nearest_is_the_largest_cosine_of_all(model, to, monkeypatch):
    monkeypatch.setattr(directions, "LARGEST", 32 * 3 * 5)  # several blocks a layer
    vectors, where = all_vectors(model, to)
    direction = torch.randn(32, generator=torch.Generator().manual_seed(3))
    cosine = vectors @ direction / vectors.norm(dim=1) / direction.norm()
    order = cosine.argsort(descending=True)
    found = nearest(model, 7 * direction, to=to, k=12)
    assert list(zip(found.layer.tolist(), found.feature.tolist())) == [where[i] for i in order[:12]]
    assert (found.similarity - cosine[order[:12]]).abs().max() < 1e-5
    assert f"{found.similarity[0]:.3f}" in repr(found) and f"{found.similarity[0]:.3f}" in found._repr_html_()
    some = nearest(model, direction, to=to, k=1000, layers=[1])
    assert set(some.layer.tolist()) == {1} and len(some) == model.transcoder.n_features


def test_a_feature_is_nearest_to_itself(model):
    for to in ("decoder", "encoder"):
        found = nearest(model, (1, 3), to=to, k=2)
        assert (found.layer[0], found.feature[0]) == (1, 3)
        assert found.similarity[0] == pytest.approx(1, abs=1e-6) and found.similarity[1] < 0.99


def test_blocks_bound_the_memory_and_cover_every_feature(model, monkeypatch):
    monkeypatch.setattr(directions, "LARGEST", 32 * 3 * 5)
    parts = list(directions.blocks(model, 0, decoders=True))
    assert torch.cat(parts).tolist() == list(range(24)) and max(map(len, parts)) * 32 * 3 <= directions.LARGEST


@pytest.mark.parametrize(
    "direction", [torch.zeros(32), torch.ones(31), torch.full((32,), float("nan")), torch.ones(1, 32)]
)
def test_no_direction(model, direction):
    with pytest.raises(ArgumentError, match="direction"):
        nearest(model, direction)


def test_bad_searches(model):
    with pytest.raises(ArgumentError, match="to: expected 'decoder' or 'encoder'"):
        nearest(model, (0, 1), to="both")
    with pytest.raises(ArgumentError, match="k: "):
        nearest(model, (0, 1), k=0)
    with pytest.raises(NodeError):
        nearest(model, (9, 1))
