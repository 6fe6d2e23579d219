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
