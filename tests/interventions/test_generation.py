"""Generation under interventions: with a cache as without one, reproducible, stopping where it should."""

import pytest
import torch
from random_models import PROMPT, random_transcoder, with_transcoder

from gemma_circuits import Ablate, Add, Node, Set, Steer, attribute, errors, generate, intervene
from gemma_circuits.interventions import generation
from gemma_circuits.models.edit import run

IMPOSED = [Set((0, 3, 1), 5.0), Set((1, -1, 2), 8.0), Add(torch.ones(32), 0, -1, 0.3)]


@pytest.fixture
def steps(monkeypatch):
    """The logits of every step of a generation."""
    kept = []

    def recorded(*args, **settings):
        found = run(*args, **settings)
        kept.append(found.logits[0, -1])
        return found

    monkeypatch.setattr(generation, "run", recorded)
    return kept


@pytest.mark.parametrize("name", ["gemma2", "gemma3_text", "gemma3", "llama"])
@pytest.mark.parametrize("every_token", [True, False])
def test_a_cache_changes_nothing(random_model, steps, name, every_token):
    """Longer than the sliding windows; each step against a whole pass over all tokens so far."""
    model = with_transcoder(random_model(name), random_transcoder("clt affine", "mlp_in"))
    imposed = [*IMPOSED, Ablate(Node("error", 1, 8))]
    steps.clear()
    written = generate(model, PROMPT, imposed, max_new_tokens=8, every_token=every_token, temperature=2, seed=4)
    assert len(written.token_ids) == 8
    tokens = [*PROMPT, *written.token_ids]
    for count, logits in enumerate(steps):
        last = slice(8, 9 + count if every_token else 9)
        at_last = [Node("error", 1, position) for position in range(9 + count)[last]]
        whole = [Set((0, 3, 1), 5), Set((1, last, 2), 8), Add(torch.ones(32), 0, last, 0.3), Ablate(at_last)]
        expected = intervene(model, tokens[: 9 + count], whole, mode="open")
        assert (logits - expected.logits[-1]).abs().max() < 1e-4 * expected.logits.abs().max()


@pytest.mark.parametrize("every_token", [True, False])
def test_a_circuit_is_kept_on_every_token(model, steps, every_token):
    """What it keeps at the last position, it keeps on each token that follows."""
    circuit = attribute(model, PROMPT, progress=False).prune(0.97)
    nodes = circuit.nodes.where(kind=("feature", "error"))
    kept = {(n.layer, n.position, n.feature) for n in nodes}
    assert {n.position for n in nodes if n.kind == "feature"} >= {7, 8}
    assert any(feature == -1 and position == 8 for _, position, feature in kept)
    written = generate(model, PROMPT, Ablate(circuit), max_new_tokens=4, temperature=2, seed=1, every_token=every_token)
    tokens = [*PROMPT, *written.token_ids]
    for count, logits in enumerate(steps):
        positions = range(1, 9 + (count if every_token else 0))
        places = [(layer, p, f) for layer in range(3) for p in positions for f in range(-1, 24)]
        outside = [place for place in places if (place[0], min(place[1], 8), place[2]) not in kept]
        by_hand = [Node("error", *place) if place[2] < 0 else place for place in outside]
        expected = intervene(model, tokens[: 9 + count], Ablate(by_hand), mode="open")
        assert (logits - expected.logits[-1]).abs().max() < 1e-4 * expected.logits.abs().max()


def test_steering_holds_the_value_of_the_prompt(model, steps):
    node = attribute(model, PROMPT, progress=False).nodes.where(kind="feature", layer=0, position=8)[0]
    generate(model, PROMPT, Steer(node, 3), max_new_tokens=3, temperature=2, seed=1)
    held = list(steps)
    steps.clear()
    generate(model, PROMPT, Set(node, 3 * node.activation), max_new_tokens=3, temperature=2, seed=1)
    assert torch.allclose(torch.stack(held), torch.stack(steps), atol=1e-4)


@pytest.mark.parametrize("name", ["gemma2", "chat"])
def test_without_interventions_it_is_the_model_s_own(random_model, name):
    model = random_model(name)
    own = model.module.generate(
        torch.tensor([PROMPT]), attention_mask=torch.ones(1, 9), max_new_tokens=6, do_sample=False, pad_token_id=0
    )
    ids = own[0, 9:].tolist()
    written = generate(model, PROMPT, max_new_tokens=6)
    assert list(written.token_ids) == (ids[: ids.index(1)] if 1 in ids else ids)
    assert written.tokens == tuple(model.tokenizer.decode([i]) for i in written.token_ids)
    assert str(written) == written.text == model.tokenizer.decode(list(written.token_ids))


def test_seeds(model):
    def draw(seed, **settings):
        return generate(model, PROMPT, IMPOSED, max_new_tokens=12, temperature=1.5, seed=seed, **settings).token_ids

    state = torch.get_rng_state()
    assert draw(7) == draw(7)
    assert len({draw(seed) for seed in range(5)}) > 1
    assert len({draw(None) for _ in range(5)}) > 1
    assert torch.equal(torch.get_rng_state(), state)
    greedy = generate(model, PROMPT, IMPOSED, max_new_tokens=12).token_ids
    assert draw(3, top_p=1e-6) == greedy
    assert draw(3, top_p=1.0) == draw(3)


def test_draws_follow_the_probabilities():
    logits, draw = torch.tensor([1.0, 3.0, 2.0, -1.0]), torch.Generator().manual_seed(0)
    drawn = torch.tensor([generation._choose(logits, 2.0, 1.0, draw) for _ in range(4000)])
    assert torch.allclose(drawn.bincount(minlength=4) / 4000, (logits / 2).softmax(-1), atol=0.03)
    drawn = torch.tensor([generation._choose(logits, 2.0, 0.7, draw) for _ in range(2000)])
    kept = torch.tensor([0, 1.5, 1.0, 0]).exp() * torch.tensor([0, 1, 1, 0])  # 0.49 + 0.30 reach 0.7
    assert torch.allclose(drawn.bincount(minlength=4) / 2000, kept / kept.sum(), atol=0.03)


@pytest.mark.parametrize("stop", ["<eos>", "<end_of_turn>"])
def test_stops_at_the_end_of_a_turn(random_model, stop, monkeypatch):
    model = random_model("chat")
    planned = iter([40, 41, model.tokenizer.convert_tokens_to_ids(stop), 42])
    monkeypatch.setattr(generation, "_choose", lambda *_: next(planned))
    heard = []
    assert generate(model, PROMPT, on_token=heard.append).token_ids == (40, 41)
    assert heard == [" w40", " w41"]


def test_stops_where_the_context_is_full(model):
    written = generate(model, [2, *range(20, 79)], max_new_tokens=20, temperature=5, seed=0)
    assert len(written.token_ids) <= 5 == model.context - 60 + 1


def test_a_callback_may_stop_it(model):
    def stop(token):
        raise KeyboardInterrupt

    before = model.module(torch.tensor([PROMPT])).logits
    with pytest.raises(KeyboardInterrupt):
        generate(model, PROMPT, IMPOSED, on_token=stop)
    assert torch.equal(model.module(torch.tensor([PROMPT])).logits, before)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens: expected 1 or more, got 0"),
        ({"temperature": -1}, "temperature: expected 0 or more, got -1"),
        ({"temperature": float("nan")}, "temperature: expected 0 or more, got nan"),
        ({"top_p": 0}, "top_p: expected a share above 0 and at most 1, got 0"),
        ({"top_p": 1.1}, "top_p: expected a share above 0 and at most 1, got 1.1"),
    ],
)
def test_refused(model, settings, message):
    with pytest.raises(errors.ArgumentError, match=message):
        generate(model, PROMPT, **settings)
