"""What one forward pass records, against Hugging Face's own outputs."""

import pytest
import torch
from random_models import ARCHITECTURES, LAYERS, PROMPT

from gemma_circuits.models import read_scale
from gemma_circuits.transcoders.protocol import Site


@pytest.fixture(params=ARCHITECTURES)
def model(request, random_model):
    return random_model(request.param)


@pytest.fixture
def outputs(model):
    return model.module(torch.tensor([PROMPT]), output_hidden_states=True, output_attentions=True)


def test_residual_stream_and_patterns(model, outputs):
    captured = model.capture(PROMPT)
    for layer in range(LAYERS):
        torch.testing.assert_close(captured.attentions[layer].pattern(0, len(PROMPT)), outputs.attentions[layer][0])
    for layer in range(LAYERS - 1):  # the last hidden state is normalised
        after = captured.mid[layer] + captured.mlp_out[layer]
        torch.testing.assert_close(after, outputs.hidden_states[layer + 1][0], rtol=1e-5, atol=1e-5)
    final = captured.mid[-1][-1] + captured.mlp_out[-1][-1]
    torch.testing.assert_close(captured.final, final, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(captured.logits, outputs.logits[0, -1])


def test_embeddings_are_those_that_the_model_adds(model, outputs):
    captured = model.capture(PROMPT)
    torch.testing.assert_close(captured.embeddings, outputs.hidden_states[0][0])
    table = model.module.get_input_embeddings().weight[list(PROMPT)]
    scale = model.d_model**0.5 if "Gemma" in model.architecture.name else 1.0
    torch.testing.assert_close(captured.embeddings, table * scale, rtol=1e-5, atol=1e-5)


def test_final_norm_and_unembedding_give_the_logits(model, outputs):
    captured = model.capture(PROMPT)
    logits = model.unembedding @ (captured.final * captured.final_scale * model.final_gain)
    if cap := getattr(model.config, "final_logit_softcapping", None):
        logits = cap * torch.tanh(logits / cap)
    torch.testing.assert_close(captured.logits, logits, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(model.mean_unembedding, model.unembedding.mean(0), rtol=1e-5, atol=1e-6)


def test_reading_sites(model):
    captured = model.capture(PROMPT)
    layers = model.module.get_decoder().layers
    for layer in range(LAYERS):
        norm = getattr(layers[layer], model.architecture.mlp_norm)
        gain, mid = model.layer(layer).mlp_gain, captured.mid[layer]
        assert torch.equal(captured.read(layer, Site.RESID_MID, gain), mid)
        torch.testing.assert_close(captured.read(layer, Site.MLP_IN, gain), norm(mid), rtol=1e-5, atol=1e-5)
        normalized = captured.read(layer, Site.MLP_IN_NORMALIZED, gain)
        torch.testing.assert_close(normalized.pow(2).mean(-1), torch.ones(len(PROMPT)), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(normalized * gain, norm(mid), rtol=1e-5, atol=1e-5)
        assert read_scale(Site.RESID_MID, captured.mlp_scales[layer], gain) == 1.0


def test_sliding_windows_bind_in_these_models(random_model):
    """Otherwise no test here could tell a windowed layer from another."""
    for architecture in ("gemma2", "gemma3_text", "gemma3"):
        patterns = random_model(architecture).capture(PROMPT).attentions
        assert [own.first(len(PROMPT) - 1) for own in patterns] == [len(PROMPT) - 4, 0, len(PROMPT) - 4]
        assert patterns[1].pattern(0, len(PROMPT))[:, -1, 0].all()


def test_capturing_again_gives_the_same(model):
    first, second = model.capture(PROMPT), model.capture(PROMPT)
    assert all(torch.equal(a, b) for a, b in zip(first.mid, second.mid))
    assert torch.equal(first.logits, second.logits)
