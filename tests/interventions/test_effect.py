"""What an effect tells."""

from html import unescape

import pytest
import torch
from random_models import PROMPT

from gemma_circuits import Ablate, Set, errors, intervene
from gemma_circuits.interventions import verbs

IMPOSED = [Set((0, 3, 1), 9.0), Ablate((1, 8, 2))]


@pytest.fixture(scope="module")
def effect(model):
    return intervene(model, PROMPT, IMPOSED)


def test_shapes(effect):
    assert effect.logits.shape == effect.baseline_raw_logits.shape == (9, 96)
    assert effect.activations.shape == effect.baseline_activations.shape == (3, 9, 24)
    assert not effect.activations[:, 0].any() and not effect.baseline_activations[:, 0].any()
    assert effect.activations[:, 1:].any()
    assert torch.allclose(effect.probabilities.sum(-1), torch.ones(9))


def test_activations_are_what_the_encoder_computes_and_applied_what_was_imposed(effect):
    assert effect.activations[0, 3, 1] == effect.baseline_activations[0, 3, 1] != 9
    first, second = effect.applied
    assert first[:4] == ("feature", 0, 3, 1)
    assert (first.old, first.new) == (pytest.approx(effect.baseline_activations[0, 3, 1].item()), 9.0)
    assert second[1:4] == (1, 8, 2)
    assert second.new == 0


def test_top(effect):
    top = effect.top(3)
    for found, logits in ((top.baseline, effect.baseline_logits), (top.changed, effect.logits)):
        likeliest = logits[-1].softmax(-1).sort(descending=True)
        assert [row.token_id for row in found] == likeliest.indices[:3].tolist()
        assert [row.probability for row in found] == pytest.approx(likeliest.values[:3].tolist())
    assert top.changed[0].token == effect.model.tokenizer.decode([top.changed[0].token_id])
    assert len(effect.top(1000).changed) == 96
    assert effect.top(1, position=2).baseline[0].token_id == effect.baseline_logits[2].argmax()


def test_kl_divergence(effect):
    before, after = effect.baseline_probabilities[-1], effect.probabilities[-1]
    assert effect.kl_divergence() == pytest.approx((before * (before / after).log()).sum().item(), rel=1e-3)
    assert effect.kl_divergence(1) == 0  # nothing reaches back


def test_logit_difference(effect):
    moved = effect.logit_difference(" Austin", " Dallas")
    assert moved.changed == pytest.approx((effect.logits[-1, 11] - effect.logits[-1, 12]).item())
    assert moved.baseline == pytest.approx((effect.baseline_logits[-1, 11] - effect.baseline_logits[-1, 12]).item())
    assert effect.logit_difference(11, 12, position=8) == moved
    with pytest.raises(errors.TargetError):
        effect.logit_difference(" New York", " Dallas")


def test_changes_largest_first(effect):
    rows = effect.changes(None)
    moved = effect.activations - effect.baseline_activations
    assert len(rows) == moved.count_nonzero() > 10
    assert abs(rows[0].changed - rows[0].baseline) == pytest.approx(moved.abs().max().item())
    row = effect.changes(1)[0]
    assert row.changed == effect.activations[row.layer, row.position, row.feature].item()
    assert effect.changes(3) == rows[:3]


def test_single_features_are_measured(effect):
    found = effect.activation([(1, 8, 4), (0, -1, 3), (1, 5, 4)])
    assert [row[:3] for row in found] == [(1, 8, 4), (0, 8, 3), (1, 5, 4)]
    for row in found:
        assert row.changed == pytest.approx(effect.activations[row[:3]].item(), abs=1e-6)
        assert row.baseline == pytest.approx(effect.baseline_activations[row[:3]].item(), abs=1e-6)


def test_measure_chooses_what_is_listed(model, monkeypatch):
    some = intervene(model, PROMPT, IMPOSED, measure=[(2, 8, f) for f in range(24)])
    assert {row[:3] for row in some.changes(None)} == {(2, 8, f) for f in range(24)}
    monkeypatch.setattr(verbs, "SMALL", 10)
    assert {row[:3] for row in intervene(model, PROMPT, IMPOSED).changes()} == {(0, 3, 1), (1, 8, 2)}
    assert len(intervene(model, PROMPT, IMPOSED, measure="all").changes(None)) > 10


def test_repr(effect):
    text = repr(effect)
    assert text.startswith("Effect of 2 interventions (frozen-attention), KL ")
    assert all(part in text for part in ("next token", "imposed", "activations", repr(effect.top(1).changed[0].token)))


def test_html_is_escaped_and_follows_the_theme(effect):
    html = effect._repr_html_()
    assert "var(--jp-ui-font-color1" in html
    assert "<bos>" not in html and "<bos>" in unescape(html)


def test_tables_for_pandas(effect):
    tokens = effect.to_pandas()
    assert list(tokens.index) == list(range(96))
    assert tokens.token[11] == " Austin"
    assert tokens.logit[11] == effect.logits[-1, 11]
    assert tokens.baseline_probability[11] == effect.baseline_probabilities[-1, 11]
    assert effect.to_pandas(position=3).baseline_logit[11] == effect.baseline_logits[3, 11]
    features = effect.to_pandas("features")
    assert list(features.itertuples(index=False, name=None)) == [tuple(row) for row in effect.changes(None)]
    assert list(features.columns) == ["layer", "position", "feature", "baseline", "changed"]
    with pytest.raises(errors.ArgumentError, match="what: expected 'tokens' or 'features', got 'other'"):
        effect.to_pandas("other")


@pytest.mark.parametrize("position", [9, -10])
def test_positions_outside(effect, position):
    for ask in (effect.top, effect.kl_divergence, effect.logit_difference):
        given = (1, 2) if ask == effect.logit_difference else ()
        with pytest.raises(errors.PositionError, match="position: expected -9 to 8"):
            ask(*given, position=position)
    with pytest.raises(errors.ArgumentError, match="k: expected 1 or more, got 0"):
        effect.top(0)
