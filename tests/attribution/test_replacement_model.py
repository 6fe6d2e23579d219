"""The replacement model plus errors computes what the model computes, with nothing frozen."""

from contextlib import ExitStack

import pytest
import torch
from frozen import FrozenNetwork
from random_models import ARCHITECTURES, KINDS, PROMPT, random_transcoder, with_transcoder

from gemma_circuits.attribution.progress import Progress
from gemma_circuits.attribution.sources import encode, gather


def replaced(model, token_ids, ignored, *, errors=True):
    """Logits of the Hugging Face model whose every MLP output is what the dictionary makes of the current input."""
    captured = model.capture(token_ids)
    active = encode(model, captured, ignored, Progress(False))
    sources = gather(model, captured, active, ignored, Progress(False))
    modules = FrozenNetwork(model, token_ids)
    dictionary, written = model.transcoder, [torch.zeros_like(x) for x in sources.constants]
    inputs = []

    def read(module, args, _):
        layer, x = len(inputs), modules._read(module, args[0])[0]
        inputs.append(x)
        pre = x @ dictionary.tensors(layer).w_enc + dictionary.tensors(layer).b_enc
        activations = pre * (pre > dictionary.tensors(layer).threshold) * (pre > 0)
        activations[:ignored] = 0
        for output, decoder in zip(dictionary.written(layer), dictionary.tensors(layer).w_dec.unbind(1)):
            written[output] += activations @ decoder

    def replace(layer):
        def write(*_):
            skip = dictionary.skip(layer)
            out = written[layer] + sources.constants[layer]
            out = out if skip is None else out + inputs[layer] @ skip
            return (out + sources.errors[layer] if errors else out)[None]

        return write

    with ExitStack() as stack:
        for module in modules.mlp_norms:
            stack.callback(module.register_forward_hook(read).remove)
        for layer, module in enumerate(modules.mlp_outs):
            stack.callback(module.register_forward_hook(replace(layer)).remove)
        return model.module(torch.tensor([token_ids])).logits[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_logits_are_the_models(random_model, architecture, kind):
    model = with_transcoder(random_model(architecture), random_transcoder(kind, "resid_mid"))
    true = model.module(torch.tensor([PROMPT])).logits[0]
    ignored = model.prompt(PROMPT).ignored
    assert ignored == (0 if architecture == "qwen3" else 1)
    assert (replaced(model, PROMPT, ignored) - true).abs().max() < 1e-5 * true.abs().max()
    assert (replaced(model, PROMPT, ignored, errors=False) - true).abs().max() > 0.1 * true.abs().max()


def test_logits_are_the_models_with_a_chat_prefix(random_model):
    model = with_transcoder(random_model("chat"), random_transcoder("clt affine", "resid_mid"))
    prompt = model.prompt([{"role": "user", "content": "Hello w40 w41 w42"}])
    assert prompt.ignored == 4
    true = model.module(torch.tensor([prompt.token_ids])).logits[0]
    found = replaced(model, prompt.token_ids, prompt.ignored)
    assert (found - true).abs().max() < 1e-5 * true.abs().max()
