"""Logit effects against interventions, graphs and sums written out by hand."""

from functools import cache

import pytest
import torch
from random_models import ARCHITECTURES, PROMPT, random_network, random_tokenizer, random_transcoder, with_transcoder
from transcoders.dictionaries import random_dictionary

from gemma_circuits import Set, attribute, intervene, load
from gemma_circuits.data import Supernode
from gemma_circuits.data.errors import ArgumentError, NodeError
from gemma_circuits.features import logit_effects
from gemma_circuits.features.effects import promoted_tokens
from gemma_circuits.models.capture import read_scale
from gemma_circuits.transcoders import Site

HEADS, HEAD = 4, 12


@pytest.fixture(scope="module")
def without_attention(tmp_path_factory):
    """Models whose attention writes nothing, so that the residual stream is the only path."""

    @cache
    def opened(architecture):
        network = random_network(architecture)
        for layer in network.get_decoder().layers:
            layer.self_attn.o_proj.weight.zero_()
        folder = tmp_path_factory.mktemp(architecture)
        network.save_pretrained(folder)
        random_tokenizer(bos=architecture != "qwen3").save_pretrained(folder)
        return load(folder, random_transcoder())

    return opened


def sae(site, layers=(0, 1, 2), kind="sae", width=32):
    return random_dictionary(kind, layers, features=24, d_in=width, d_out=width, reads=site, writes=site)


def moved(model, layer, feature, by=2.0, position=-1):
    """What raw logits minus their mean move by, per unit of activation, when a feature is set."""
    effect = intervene(model, PROMPT, Set((layer, position, feature), by), mode="direct")
    (applied,) = effect.applied
    change = (effect.raw_logits - effect.baseline_raw_logits)[position]
    return (change - change.mean()) / (applied.new - applied.old)


def close(a, b):
    assert (a - b).abs().max() < 1e-4 * b.abs().max()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_they_are_what_setting_the_feature_does_where_the_direct_path_is_the_whole(without_attention, architecture):
    model = without_attention(architecture)
    scale = model.capture(PROMPT).final_scale
    for dictionary in (random_transcoder("clt"), random_transcoder("transcoder"), sae(Site.RESID_POST)):
        model = with_transcoder(model, dictionary)
        for layer in range(3):
            close(logit_effects(model, (layer, 7)).logits * scale, moved(model, layer, 7))


@pytest.mark.parametrize("architecture", ["gemma3_text", "llama"])
def test_an_attention_sae_writes_through_the_output_projection_and_its_norm(random_model, architecture):
    model = with_transcoder(random_model(architecture), sae(Site.ATTN_OUT, width=HEADS * HEAD))
    captured = model.capture(PROMPT)
    out = captured.attention_out_scales[2]
    scale = captured.final_scale * (1 if out is None else out[-1])
    close(logit_effects(model, (2, 5)).logits * scale, moved(model, 2, 5))


def test_a_crosscoder_writes_the_stream_once(model):
    model = with_transcoder(model, sae(Site.RESID_POST, kind="crosscoder"))
    decoders = model.transcoder.tensors(0).w_dec[4]
    found = logit_effects(model, (0, 4)).logits
    unembedding = model.unembedding - model.unembedding.mean(0)
    close(found, unembedding @ (decoders[-1] * (1 + model.module.model.norm.weight)))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("reads", [Site.RESID_MID, Site.MLP_IN, Site.MLP_IN_NORMALIZED])
def test_inputs_are_the_token_edges_where_the_direct_path_is_the_whole(without_attention, architecture, reads):
    model = with_transcoder(without_attention(architecture), random_transcoder("clt", reads))
    captured, graph = model.capture(PROMPT), attribute(model, PROMPT, progress=False)
    token_edges = graph.adjacency[:, graph.nodes.where(kind="token").index]
    features = graph.nodes.where(kind="feature")
    assert len(features) > 20
    for node in list(features)[::5]:
        found = logit_effects(model, node).inputs[PROMPT[node.position]]
        scale = read_scale(reads, captured.mlp_scales[node.layer][node.position], torch.ones(1))
        close((found * scale).view(1), token_edges[node.index, node.position].view(1))


@pytest.mark.parametrize("architecture", ["gemma3_text", "qwen3"])
def test_inputs_of_an_attention_sae_are_what_the_first_token_sends_itself(random_model, architecture):
    model = with_transcoder(random_model(architecture), sae(Site.ATTN_OUT, width=HEADS * HEAD))
    captured, seen = model.capture(PROMPT), []
    projection = model.module.get_decoder().layers[0].self_attn.o_proj
    handle = projection.register_forward_pre_hook(lambda _, given: seen.append(given[0][0, 0]))
    model.module(torch.tensor([PROMPT]))
    handle.remove()
    inputs = logit_effects(model, (0, 3)).inputs[PROMPT[0]] * captured.attention_scales[0][0]
    close(inputs, (seen[0] @ model.transcoder.tensors(0).w_enc[:, 3]).view(1))


def test_inputs_of_a_residual_sae_are_scaled_embeddings_times_the_encoder(model):
    model = with_transcoder(model, sae(Site.RESID_POST))
    expected = model.module.model.embed_tokens.weight * 32**0.5 @ model.transcoder.tensors(1).w_enc[:, 6]
    close(logit_effects(model, (1, 6)).inputs, expected)


def test_the_lists_are_the_extremes_strongest_first(model):
    found = logit_effects(model, (1, 2), k=5)
    for tokens, values in (
        (found.promoted, found.logits.sort(descending=True).values),
        (found.suppressed, found.logits.sort().values),
        (found.excited_by, found.inputs.sort(descending=True).values),
    ):
        assert [t.value for t in tokens] == values[:5].tolist()
    for token, token_id, value in found.promoted + found.suppressed:
        assert (token, value) == (model.tokenizer.decode([token_id]), found.logits[token_id].item())
    assert len(logit_effects(model, (1, 2), k=1000).promoted) == model.vocabulary
    (batch,) = promoted_tokens(model, 1, torch.tensor([2]), 5)
    assert [token.token_id for token in batch] == [token.token_id for token in found.promoted]


def test_they_show_themselves(model):
    found = logit_effects(model, (0, 3), k=2)
    text, html = repr(found), found._repr_html_()
    assert text.startswith("Feature L0 #3\n  promotes: ") and f"{found.suppressed[1].value:+.3g}" in text
    assert f"{found.excited_by[0].value:+.3g}" in html and "&#x27;" in html


def test_a_node_of_the_graph_is_its_feature(model):
    node = attribute(model, PROMPT, progress=False).nodes[0]
    by_node, by_place = logit_effects(model, node), logit_effects(model, (node.layer, node.position, node.feature))
    assert by_node.logits.equal(by_place.logits) and (by_node.layer, by_node.feature) == (node.layer, node.feature)


@pytest.mark.parametrize("node", [(3, 0), (0, 24), (0, -1), (0,), "L0", 5, None, Supernode("x", []), (0.5, 1)])
def test_no_such_feature(model, node):
    with pytest.raises(NodeError, match="expected"):
        logit_effects(model, node)


def test_errors_and_tokens_are_no_features(model):
    graph = attribute(model, PROMPT, progress=False)
    for node in (graph.nodes.where(kind="error")[0], graph.nodes.where(kind="token")[0], graph.nodes[-1]):
        with pytest.raises(NodeError):
            logit_effects(model, node)


def test_no_tokens_asked_for(model):
    with pytest.raises(ArgumentError, match="k: expected 1 or more"):
        logit_effects(model, (0, 0), k=0)
