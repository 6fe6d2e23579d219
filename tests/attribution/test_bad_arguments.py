"""Bad input is refused by an error of its own, and leaves the model as it was."""

import copy

import pytest
import torch
from random_models import PROMPT, random_transcoder, with_transcoder

from gemma_circuits import Graph, attribute, errors, estimate
from gemma_circuits.models import ReplacementModel


def trace(model: ReplacementModel, prompt=PROMPT, **settings) -> Graph:
    return attribute(model, prompt, progress=False, **settings)


def assert_identical(one: Graph, other: Graph) -> None:
    assert list(one.nodes) == list(other.nodes)
    assert one.targets == other.targets
    for name in ("edges", "target_bias", "target_pre_activations"):
        assert torch.equal(getattr(one, name), getattr(other, name))


@pytest.fixture
def unharmed(model):
    """The model; afterwards it must give the very graph that it gave before."""
    before = trace(model)
    yield model
    assert_identical(trace(model), before)


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"prompt": ""}, errors.EmptyPromptError, "prompt: expected at least one token besides <bos>"),
        ({"prompt": [40] * 65}, errors.PromptTooLongError, "prompt: expected at most 64 tokens, got 65; shorten it"),
        ({"prompt": [2, 999]}, errors.PromptError, "prompt: expected token ids from 0 to 95, got 999"),
        ({"position": 9}, errors.PositionError, "position: expected -9 to 8, got 9"),
        ({"targets": " New York"}, errors.TargetError, "trace its first token"),
        ({"max_logits": 0}, errors.ArgumentError, "max_logits: expected 1 or more, got 0"),
        ({"logit_mass": 1.5}, errors.ArgumentError, "logit_mass: expected a share above 0 and at most 1, got 1.5"),
        ({"max_features": 0}, errors.ArgumentError, "max_features: expected 1 or more, or None, got 0"),
        ({"max_features": -5}, errors.ArgumentError, "max_features: expected 1 or more, or None, got -5"),
        (
            {"precision": "float16"},
            errors.ArgumentError,
            "precision: expected one of float32, tf32, bfloat16, got 'float16'",
        ),
        ({"batch_size": 0}, errors.ArgumentError, "batch_size: expected 1 or more, or None, got 0"),
    ],
    ids=lambda value: repr(value)[:30],
)
@pytest.mark.parametrize("verb", [trace, lambda model, prompt=PROMPT, **rest: estimate(model, prompt, **rest)])
def test_refused(unharmed, verb, settings, kind, message):
    with pytest.raises(kind, match=message) as caught:
        verb(unharmed, **settings)
    assert type(caught.value) is kind


@pytest.mark.parametrize("verb", [attribute, estimate])
def test_unknown_keywords(unharmed, verb):
    with pytest.raises(TypeError, match="max_feature"):
        verb(unharmed, PROMPT, max_feature=10)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["w_enc", "w_dec", "b_enc", "b_dec", "threshold", "skip"])
def test_dictionaries_that_are_no_numbers(unharmed, name, value):
    broken = random_transcoder("clt affine")
    getattr(broken.tensors(1), name).fill_(value)
    with pytest.raises(errors.NotFiniteError, match=rf"memory, layer 1: {name}: expected finite numbers.*download it"):
        trace(with_transcoder(unharmed, broken))


@pytest.mark.parametrize("name", ["v_proj", "o_proj", "q_proj"])
def test_models_that_are_no_numbers(unharmed, name):
    broken = copy.deepcopy(unharmed.module)
    getattr(broken.model.layers[1].self_attn, name).weight[0, 0] = float("nan")
    other = ReplacementModel(broken, unharmed.tokenizer, unharmed.transcoder, name="broken")
    with pytest.raises(errors.NotFiniteError, match="model, layer 1: expected finite values, got NaN or infinity"):
        trace(other)
