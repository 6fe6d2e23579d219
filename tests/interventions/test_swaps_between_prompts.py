"""A table of swaps is what `intervene` gives for each pair."""

import math
from html import unescape

import pytest
import torch
from random_models import PROMPT

from gemma_circuits import Ablate, Node, Set, Supernode, SwapCase, errors, intervene, swap
from gemma_circuits.interventions import Rate, Swaps

PROMPTS = {"long": PROMPT, "short": (2, 61, 44, 12, 70), "<b>other</b>": (2, 90, 17, 33, 58, 12)}
AT = {"long": 4, "short": -2, "<b>other</b>": 5}
FEATURES = {"long": range(12), "short": range(6, 18), "<b>other</b>": range(12, 24)}
"""Those of two cases overlap."""


def baseline(model, name):
    return intervene(model, PROMPTS[name], Ablate((1, AT[name], 0)))


@pytest.fixture(scope="module")
def cases(model):
    """Each answers what the model says; the last one something else."""
    answers = {name: int(baseline(model, name).baseline_logits[-1].argmax()) for name in PROMPTS}
    answers["<b>other</b>"] = 11
    assert len(set(answers.values())) == 3
    return {
        name: SwapCase(
            PROMPTS[name],
            Supernode(name, [(layer, AT[name], f) for layer in range(2) for f in FEATURES[name]]),
            answers[name],
        )
        for name in PROMPTS
    }


@pytest.fixture(scope="module")
def swaps(model, cases):
    return swap(model, cases, strength=1.5, progress=False)


def by_hand(model, base, source, strength, **settings):
    there = baseline(model, source).baseline_activations
    at = AT[source] % len(PROMPTS[source])
    arriving = {(layer, f): strength * there[layer, at, f].item() for layer in range(2) for f in FEATURES[source]}
    leaving = [(layer, f) for layer in range(2) for f in FEATURES[base] if (layer, f) not in arriving]
    imposed = [Set((layer, AT[base], f), value) for (layer, f), value in arriving.items()]
    imposed += [Set((layer, AT[base], f), 0) for layer, f in leaving]
    return intervene(model, PROMPTS[base], imposed, **settings)


def test_every_ordered_pair_is_an_intervention(model, cases, swaps):
    assert [row[:2] for row in swaps.rows] == [(a, b) for a in PROMPTS for b in PROMPTS if a != b]
    for row in swaps.rows:
        effect, answer = by_hand(model, row.base, row.source, 1.5), cases[row.source].answer
        assert (effect.logits - effect.baseline_logits)[-1].abs().max() > 0.01
        assert row.before == pytest.approx(effect.top(1).baseline[0])
        assert row.after[:2] == effect.top(1).changed[0][:2]
        assert row.after.probability == pytest.approx(effect.top(1).changed[0].probability, rel=1e-4)
        assert row.answer_after == pytest.approx(effect.probabilities[-1, answer].item(), rel=1e-4)
        assert row.answer_before == pytest.approx(effect.baseline_probabilities[-1, answer].item(), rel=1e-4)
        assert row.answer == model.tokenizer.decode([answer])
        assert row.swapped == (effect.logits[-1].argmax() == answer)
        assert row.known == (row.base != "<b>other</b>")


@pytest.mark.parametrize("settings", [{"mode": "open"}, {"mode": "direct"}, {"layers": range(2)}, {"batch_size": 1}])
def test_settings_go_through(model, cases, settings):
    asked = [("short", "long"), ("long", "short"), ("long", "<b>other</b>"), ("short", "long")]
    found = swap(model, cases, asked, strength=3, progress=False, **settings)
    assert [row[:2] for row in found.rows] == asked[:3]
    for row in found.rows:
        given = {name: value for name, value in settings.items() if name != "batch_size"}
        effect = by_hand(model, row.base, row.source, 3, **given)
        answer = cases[row.source].answer
        assert row.answer_after == pytest.approx(effect.probabilities[-1, answer].item(), rel=1e-4)


def test_a_prompt_into_itself_changes_nothing(model, cases):
    """The same supernode of the same prompt, under another answer."""
    twin = SwapCase(cases["long"].prompt, cases["long"].node, 12)
    (row,) = swap(model, {"one": cases["long"], "two": twin}, [("one", "two")], progress=False).rows
    assert row.answer_after == pytest.approx(row.answer_before, rel=1e-4)
    assert row.after.token_id == row.before.token_id


def row_of(swaps, **changed):
    return swaps.rows[0]._replace(**changed)


def test_the_rate_counts_pairs_that_were_known(swaps):
    rows = [row_of(swaps, known=True, swapped=i < 18) for i in range(20)] + [row_of(swaps, known=False, swapped=True)]
    rate = Swaps(rows=tuple(rows), strength=1.0, mode="open").rate
    z, share = 1.959964, 0.9
    middle, half = share + z**2 / 40, z * math.sqrt(share * 0.1 / 20 + z**2 / 1600)
    assert rate[:3] == (18, 20, 0.9)
    assert rate[3:] == pytest.approx(((middle - half) / (1 + z**2 / 20), (middle + half) / (1 + z**2 / 20)), abs=1e-6)
    assert str(rate) == "18 of 20: 90.0% (69.9% to 97.2%)"
    none = Swaps(rows=(row_of(swaps, known=False),), strength=1.0, mode="open").rate
    assert none[:2] == (0, 0) and math.isnan(none.share)
    assert isinstance(none, Rate)


def test_shown(swaps):
    text, html = repr(swaps), swaps._repr_html_()
    assert text.startswith("6 swaps (frozen-attention, strength 1.5), the other answer: ")
    assert len(text.split("\n")) == 9
    assert "<b>other" not in html and "<b>other" in unescape(html)
    assert len(swaps) == 6


def test_a_table_for_pandas(swaps):
    frame = swaps.to_pandas()
    assert list(frame.base) == [row.base for row in swaps.rows]
    assert list(frame.after) == [row.after.token for row in swaps.rows]
    assert list(frame.after_probability) == [row.after.probability for row in swaps.rows]
    assert list(frame.swapped) == [row.swapped for row in swaps.rows]


@pytest.mark.parametrize(
    ("changed", "given", "kind", "message"),
    [
        ({}, {"pairs": [("long", "lost")]}, errors.ArgumentError, r"pairs: expected names of cases, got \('long', 'lo"),
        ({}, {"pairs": [("long", "long")]}, errors.ArgumentError, "pairs: expected two cases with different answers"),
        ({}, {"pairs": []}, errors.ArgumentError, "pairs: expected at least two cases .* got 3 cases"),
        (
            {"node": [(0, 4, 1), (0, 5, 1)]},
            {},
            errors.InterventionError,
            "case 'long': expected features at one .* 4, 5",
        ),
        (
            {"node": Node("error", 1, 4)},
            {},
            errors.InterventionError,
            "case 'long': expected features .* an error node",
        ),
        ({"node": (0, 4, 99)}, {}, errors.NodeError, "feature of layer 0: expected 0 to 23, got 99"),
        ({"node": (0, 0, 9)}, {}, errors.IgnoredPositionError, "position: expected 1 to 8, got 0"),
        ({"node": []}, {}, errors.NoInterventionError, "node: expected at least one feature"),
        ({"answer": " New York"}, {}, errors.TargetError, "New York"),
        ({"prompt": ""}, {}, errors.EmptyPromptError, "prompt"),
        (
            {},
            {"strength": float("nan")},
            errors.InterventionValueError,
            "Set, value: expected a finite number, got nan",
        ),
        ({}, {"strength": 1e30}, errors.NotFiniteError, "impose less"),
        ({}, {"mode": "shut"}, errors.ArgumentError, "mode: expected"),
    ],
)
def test_refused(model, cases, changed, given, kind, message):
    before = model.module(torch.tensor([PROMPT])).logits
    bad = {**cases, "long": SwapCase(**{**vars(cases["long"]), **changed})}
    with pytest.raises(kind, match=message):
        swap(model, bad, progress=False, **given)
    assert torch.equal(model.module(torch.tensor([PROMPT])).logits, before)


def test_one_case_is_none(model, cases):
    with pytest.raises(errors.ArgumentError, match="at least two cases with different answers, got 1 cases"):
        swap(model, {"long": cases["long"]})
