"""Interventions against reference results; `tests/golden/README.md` says where they come from."""

import pytest
import torch
from goldens import GOLDEN, arguments, reference

from gemma_circuits import Effect, Set, intervene, load

DICTIONARIES = ("clt_hook_resid_mid", "clt_mlp_hook_in", "plt_mlp_hook_in")
MODES = {"direct": "constrained_all", "frozen-attention": "freeze_attention", "open": "open"}
"""Their name for each mode."""
INTERVENTIONS = ("ablate1", "double1", "inactive_on", "lastpos_on", "multi")
CLOSE = 1e-5
"""Share of the largest entry."""


def assert_close(found, expected):
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < CLOSE * expected.abs().max()


@pytest.fixture(scope="module", params=DICTIONARIES)
def golden(request):
    name = f"{request.param}_p1_interventions"
    model = load(GOLDEN / "tiny/model", GOLDEN / "tiny" / request.param)
    return model, reference(name), arguments(name)


@pytest.mark.parametrize("name", INTERVENTIONS)
@pytest.mark.parametrize("mode", MODES)
def test_logits_and_activations(golden, mode, name):
    model, expected, settings = golden
    imposed = [
        Set((layer, position, feature), value) for layer, position, feature, value in settings["interventions"][name]
    ]
    effect = intervene(model, settings["prompt_tokens"], imposed, mode=mode)
    assert isinstance(effect, Effect)
    assert_close(effect.logits, expected[f"logits.{MODES[mode]}.{name}"])
    assert_close(effect.activations, expected[f"activations.{MODES[mode]}.{name}"])
    assert_close(effect.baseline_logits, expected["logits_base"])
    assert_close(effect.baseline_activations, expected["activations_base"])
    assert torch.equal(effect.raw_logits, effect.logits)  # there is no softcap


@pytest.mark.parametrize("name", INTERVENTIONS)
def test_all_layers_frozen_is_the_reference_constrained_to_all_layers(golden, name):
    """`layers` over every layer, which is what they pass for what we call "direct"."""
    model, expected, settings = golden
    imposed = [
        Set((layer, position, feature), value) for layer, position, feature, value in settings["interventions"][name]
    ]
    effect = intervene(model, settings["prompt_tokens"], imposed, mode="direct", layers=range(4))
    assert_close(effect.logits, expected[f"logits.constrained_all.{name}"])
    assert_close(effect.activations, expected[f"activations.constrained_all.{name}"])


def test_every_reference_result_is_compared(golden):
    _, expected, settings = golden
    assert set(settings["interventions"]) == set(INTERVENTIONS)
    assert {tuple(name.split(".")[1:3]) for name in expected if name.startswith("logits.")} == {
        (mode, name) for mode in MODES.values() for name in INTERVENTIONS
    }
    assert {path.name.split("_p1_")[0] for path in GOLDEN.glob("*_interventions.npz")} == set(DICTIONARIES)
