"""A sweep is what its experiments are one by one."""

import sys
from html import unescape

import pytest
import torch
from random_models import PROMPT

from gemma_circuits import Ablate, Add, Node, Set, Steer, attribute, errors, intervene, sweep
from gemma_circuits.data import errors as wrong
from gemma_circuits.interventions import sweeps

ADD = Add(torch.ones(32), 0, 2, 1.0)
EXPERIMENTS = {
    "steer": (Steer((0, 3, 1), 1), [-2, 0, 1, 3.5]),
    "set": (Set((1, slice(2, None), 2), 0), [0.0, 4.0, 9.0]),
    "add": (ADD, [-1.0, 0.5]),
    "ablate": (Ablate, [(0, 3, 1), (1, 8, 2), Node("error", 1, 5), [(2, 8, f) for f in range(24)]]),
    "unordered": (Ablate, [(2, 3, 4), Node("error", 2, 5), (0, 7, 1), Node("error", 0, 2), (1, 4, 2), (0, 3, 1)]),
    "layers": (lambda layer: Add(torch.ones(32), layer, 3), [2, 0, 1, 0]),
    "several": (lambda v: [Set((0, 3, 1), v), Steer((1, 4, 5), -v), Add(torch.ones(32), 2, 8, v)], [1.0, 2.0]),
}


@pytest.mark.parametrize("mode", ["direct", "frozen-attention", "open"])
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_one_by_one(random_model, name, mode):
    model = random_model("gemma2")  # it has a softcap
    intervention, values = EXPERIMENTS[name]
    found = sweep(model, PROMPT, intervention, values, mode=mode)
    assert len(found) == len(values) == len(found.logits)
    for row, items in enumerate(found.interventions):
        effect = intervene(model, PROMPT, items, mode=mode)
        assert torch.allclose(found.logits[row], effect.logits[-1], atol=1e-5)
        assert torch.allclose(found.raw_logits[row], effect.raw_logits[-1], atol=1e-5)
        assert found.kl_divergence[row].item() == pytest.approx(effect.kl_divergence(), abs=1e-6)
        difference = found.logit_difference(" Austin", 12)[row].item()
        assert difference == pytest.approx(effect.logit_difference(" Austin", 12).changed, abs=1e-5)
        assert torch.equal(found.baseline_logits, effect.baseline_logits[-1])
        assert torch.equal(found.baseline_raw_logits, effect.baseline_raw_logits[-1])


def test_batches_change_nothing(model):
    nodes = attribute(model, PROMPT, progress=False).nodes.where(kind="feature")[:11]
    whole = sweep(model, PROMPT, Ablate, nodes)
    parts = sweep(model, PROMPT, Ablate, nodes, batch_size=4, progress=False)
    assert torch.allclose(whole.logits, parts.logits, atol=1e-5)
    assert torch.allclose(whole.probabilities.sum(-1), torch.ones(11))
    assert whole.values == tuple(nodes)


def test_an_experiment_joins_where_it_begins(model):
    """Below the first layer that it changes, the last row of the batch stands for it."""
    sizes, layers = [], model.module.model.layers
    handles = [layer.register_forward_hook(lambda _, given, out: sizes.append(len(out))) for layer in layers]
    sweep(model, PROMPT, Ablate, [(2, 3, 1), (1, 3, 1), (0, 3, 1), (2, 4, 1), (2, 5, 1)], progress=False)
    for handle in handles:
        handle.remove()
    assert sizes == [1, 1, 1, 2, 3, 5]  # the prompt as it is, then the experiments


def test_circuits_and_layers(model):
    graph = attribute(model, PROMPT, progress=False)
    circuits = [graph.prune(share) for share in (0.5, 0.8, 0.99)]
    found = sweep(model, PROMPT, Ablate, circuits, mode="direct")
    for row, circuit in enumerate(circuits):
        effect = intervene(model, PROMPT, Ablate(circuit), mode="direct")
        assert torch.allclose(found.logits[row], effect.logits[-1], atol=1e-4)
    found = sweep(model, PROMPT, Set((0, 3, 1), 0), [2.0, 5.0], layers=range(2))
    for row, value in enumerate((2.0, 5.0)):
        effect = intervene(model, PROMPT, Set((0, 3, 1), value), layers=range(2))
        assert torch.allclose(found.logits[row], effect.logits[-1], atol=1e-5)


def test_shown(model):
    found = sweep(model, PROMPT, Steer((0, 3, 1), 1), [float(v) for v in range(25)])
    text, html = repr(found), found._repr_html_()
    assert text.startswith("Sweep of 25 experiments (frozen-attention)\n'<bos>")
    assert text.endswith("...") and len(text.split("\n")) == 25
    assert "<bos>" not in html and "<bos>" in unescape(html)
    assert "Sweep of 1 experiment (" in repr(sweep(model, PROMPT, Ablate, [(0, 3, 1)]))


def test_a_table_for_pandas(model):
    found = sweep(model, PROMPT, Set((0, slice(1, None), 1), 0), [0.0, 300.0, 600.0])
    before = int(found.baseline_logits.argmax())
    assert found.leading[0] == before
    assert set(found.leading) == {before, *found.logits.argmax(-1).tolist()}
    assert len(set(found.leading)) == len(found.leading) > 1
    frame = found.to_pandas()
    assert list(frame.value) == [value for value in found.values for _ in found.leading]
    assert list(frame.token_id) == 3 * list(found.leading)
    chosen = found.to_pandas([" Austin", 12])
    assert list(chosen.token) == 3 * [" Austin", " Dallas"]
    for at, row in enumerate(chosen.itertuples()):
        experiment, token = at // 2, (11, 12)[at % 2]
        assert row.logit == found.logits[experiment, token]
        assert row.probability == found.logits[experiment].softmax(-1)[token]
        assert row.baseline_logit == found.baseline_logits[token]
        assert row.baseline_probability == found.baseline_logits.softmax(-1)[token]
        assert row.kl_divergence == found.kl_divergence[experiment]
    with pytest.raises(errors.TargetError):
        found.to_pandas([" New York"])


@pytest.mark.parametrize("count", [0, 1, 2])
def test_interrupted(model, monkeypatch, count):
    before, calls = model.module(torch.tensor([PROMPT])).logits, iter(range(count))

    def interrupted(*args, **given):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return real(*args, **given)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(sweeps, "spliced", interrupted)
        sweep(model, PROMPT, Steer((0, 3, 1), 1), range(5), batch_size=2)
    assert torch.equal(model.module(torch.tensor([PROMPT])).logits, before)
    assert model.lock.acquire(timeout=1)
    model.lock.release()


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ({"values": []}, errors.ArgumentError, "values: expected at least one, got none"),
        ({"batch_size": 0}, errors.ArgumentError, "batch_size: expected 1 or more, or None, got 0"),
        ({"mode": "shut"}, errors.ArgumentError, "mode: expected"),
        (
            {"intervention": 3},
            wrong.InterventionError,
            "sweep: expected Steer, Set, Add or a function of a value, got 3",
        ),
        ({"intervention": lambda v: []}, wrong.NoInterventionError, "expected at least one, got none"),
        ({"intervention": lambda v: v}, wrong.InterventionError, "expected Ablate, Steer, Set, Patch or Add, got 1"),
        (
            {"values": [1, float("nan")]},
            wrong.InterventionValueError,
            "Steer, factor: expected a finite number, got nan",
        ),
        ({"intervention": Ablate, "values": [(0, 3, 1), (0, 3, 99)]}, errors.NodeError, "expected 0 to 23, got 99"),
        ({"intervention": Ablate, "values": [(2, 3, 1)], "layers": range(1)}, wrong.DroppedInterventionError, "layers"),
        ({"intervention": Set((1, 4, 5), 1), "values": [1, 1e30]}, errors.NotFiniteError, "impose less"),
    ],
)
def test_refused(model, given, kind, message):
    before = model.module(torch.tensor([PROMPT])).logits
    with pytest.raises(kind, match=message):
        sweep(model, PROMPT, **{"intervention": Steer((0, 3, 1), 1), "values": [1, 2], **given})
    assert torch.equal(model.module(torch.tensor([PROMPT])).logits, before)


def test_batches_fit_into_memory(model, monkeypatch):
    sizes = []
    monkeypatch.setattr(sweeps, "spliced", lambda *args, **given: sizes.append(len(args[1])) or real(*args, **given))
    monkeypatch.setattr(sys.modules["psutil"], "virtual_memory", lambda: type("Memory", (), {"available": free})())
    free = 2_000_000
    assert len(sweep(model, PROMPT, Steer((0, 3, 1), 1), range(9))) == 9
    assert 1 < sizes[0] < 9
    free = 0
    sweep(model, PROMPT, Steer((0, 3, 1), 1), range(2))
    assert sizes[-2:] == [1, 1]


real = sweeps.spliced
