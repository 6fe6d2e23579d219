"""Full replacement and ablation of all MLPs, against hooks on Hugging Face's own forward pass."""

import math

import pytest
import torch
from linear import linear_model
from plain import forward, reconstruction
from random_models import PROMPT, random_transcoder, with_transcoder

from gemma_circuits.attribution.progress import Progress
from gemma_circuits.interventions.faithfulness.replacements import FullReplacement, full_replacement

TEXTS = (PROMPT, (2, 77, 41, 30), (2, 55))


def run(model, texts):
    return full_replacement(model, [model.prompt(text) for text in texts], Progress(False))


@pytest.mark.parametrize("kind", ["clt affine", "transcoder"])
@pytest.mark.parametrize("architecture", ["gemma2", "gemma3_text"])
def test_against_hooks(random_model, architecture, kind):
    model = with_transcoder(random_model(architecture), random_transcoder(kind, "mlp_in"))
    outs = [dict[int, torch.Tensor]() for _ in TEXTS]
    logits = {
        "own": [forward(model, ids, lambda i, _, out, to=to: to.update({i: out})) for ids, to in zip(TEXTS, outs)]
    }
    means = [torch.cat([out[i][1:] for out in outs]).mean(0) for i in range(3)]

    def imposing(make):
        def change(layer, reads, out):
            return torch.cat([out[:1], make(layer, reads, out)[1:]])  # <bos> keeps its own

        return [forward(model, ids, change) for ids in TEXTS]

    logits["zero"] = imposing(lambda layer, reads, out: 0 * out)
    logits["mean"] = imposing(lambda layer, reads, out: means[layer].expand_as(out))

    def replaced(layer, reads, out):
        kept = torch.ones(3, len(out), 24)
        kept[:, 0] = 0  # no features at <bos>
        return reconstruction(model, layer, reads, kept)

    logits["replaced"] = imposing(replaced)
    log = {name: [x[1:].log_softmax(-1).double() for x in runs] for name, runs in logits.items()}
    joined = {name: torch.cat(parts) for name, parts in log.items()}

    def entropy(name):
        found = [x[range(len(ids) - 2), ids[2:]] for x, ids in zip(log[name], TEXTS)]
        return -torch.cat(found).mean().item()

    found = run(model, TEXTS)
    assert found[:2] == (3, 12)
    own, other = joined["own"], joined["replaced"]
    assert found.top1 == pytest.approx((own.argmax(-1) == other.argmax(-1)).double().mean().item())
    assert found.kl == pytest.approx((own.exp() * (own - other)).sum(-1).mean().item(), rel=1e-4)
    entropies = [entropy(name) for name in ("own", "replaced", "zero", "mean")]
    assert found[4:] == pytest.approx(entropies, rel=1e-5)
    assert len({round(value, 2) for value in entropies}) == 4


def test_a_perfect_dictionary():
    found = run(linear_model("clt affine"), TEXTS)
    assert found.top1 == 1
    assert found.kl < 1e-9
    assert found.replaced == pytest.approx(found.cross_entropy, rel=1e-6)


def test_shares_of_what_ablation_costs():
    found = FullReplacement(1, 5, 1.0, 0.1, cross_entropy=2.0, replaced=3.0, zeroed=6.0, averaged=2.0)
    assert found.recovered_from_zero == pytest.approx(0.75)
    assert math.isnan(found.recovered_from_mean)


def test_one_token_has_no_next(model):
    found = run(model, [(2, 55)])
    assert found.positions == 1
    assert math.isnan(found.cross_entropy) and math.isnan(found.recovered_from_zero)


def test_texts_are_pooled(model):
    """Positions count alike, texts do not."""
    apart = [run(model, [text]) for text in TEXTS]
    together = run(model, TEXTS)
    for name in ("kl", "top1"):
        pooled = sum(getattr(part, name) * part.positions for part in apart) / 12
        assert getattr(together, name) == pytest.approx(pooled)
