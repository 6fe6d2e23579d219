"""Position k of a long prompt is the last position of the prompt cut there."""

import pytest
import torch
from random_models import ARCHITECTURES, PROMPT

from gemma_circuits import attribute, errors

CHAT = [
    {"role": "user", "content": "Hello w40 w41"},
    {"role": "assistant", "content": "w50 w51"},
]


def assert_same(long, short):
    assert torch.equal(long.adjacency, short.adjacency)
    assert torch.equal(long.bias, short.bias)
    assert torch.equal(long.pre_activations, short.pre_activations)
    assert torch.equal(long.influence, short.influence)
    assert list(long.nodes) == list(short.nodes)
    assert long.targets == short.targets


@pytest.mark.parametrize("position", [1, 3, 6, -2])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_equals_the_prompt_cut_there(random_model, architecture, position):
    model = random_model(architecture)
    long = attribute(model, PROMPT, position=position, progress=False)
    cut = PROMPT[: position % len(PROMPT) + 1]
    short = attribute(model, cut, progress=False)
    assert_same(long, short)
    assert long.token_ids == PROMPT
    assert long.n_positions == len(cut)
    assert long.metadata["position"] == len(cut) - 1


@pytest.mark.parametrize("position", range(1, 10))
def test_chat_prompts_too_even_inside_their_prefix(random_model, position):
    model = random_model("chat")
    ids = model.prompt(CHAT).token_ids
    long = attribute(model, CHAT, position=position, progress=False)
    assert_same(long, attribute(model, ids[: position + 1], progress=False))
    assert long.check() < 1e-5
    first = 4 if position >= 3 else 1  # <bos><start_of_turn>user\n, or <bos> where that is cut
    positions = set(long.nodes.where(kind="feature").position)
    assert positions == set(range(first, position + 1))


def test_what_comes_later_does_not_change_what_was_there(model):
    """So that cutting a prompt is no approximation."""
    whole = model.capture(PROMPT)
    cut = model.capture(PROMPT[:5])
    torch.testing.assert_close(whole.mid[-1][:5], cut.mid[-1])
    torch.testing.assert_close(whole.attentions[-1].pattern(0, 5), cut.attentions[-1].pattern(0, 5))


def test_first_position_alone(model):
    graph = attribute(model, PROMPT, position=0, progress=False)
    assert not len(graph.nodes.where(kind="feature"))
    assert graph.check() < 1e-5


@pytest.mark.parametrize("position", [len(PROMPT), -len(PROMPT) - 1])
def test_outside_the_prompt(model, position):
    with pytest.raises(errors.PositionError, match=f"expected -9 to 8, got {position}"):
        attribute(model, PROMPT, position=position, progress=False)
