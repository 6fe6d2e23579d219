"""The circuit is real: a state's features carry the capital, and another state's bring another capital.

Random (city, other state) pairs; the supernode of 8 features is found without the city under test.
Everything is recomputed after a change, attention patterns included, unless a setting says "constrained".
"""

import importlib.util
from pathlib import Path

import pytest
import torch

from gemma_circuits import Set, SwapCase, attribute, intervene, load, swap
from gemma_circuits.pocket import card, corpus, swaps

COUNT = 240


@pytest.fixture(scope="module")
def features(model, tok, clt):
    return swaps.city_features(model, clt, tok)


@pytest.fixture(scope="module")
def rates(model, tok, clt, features):
    tried = ("off 0, in 2", "off 0, in 2, random features")
    return {k: swaps.swap_rates(model, clt, tok, features, COUNT, **card.SETTINGS[k]) for k in tried}


def test_supernodes_are_small_and_found_without_the_city(features):
    assert swaps.SIZE <= 12 and COUNT >= 200
    home = corpus.state_of()
    assert not features.members("Texas", without=("Dallas",))[features.cities.index("Dallas")]
    forged = swaps.CityFeatures(features.cities, features.activations.clone(), features.norms)
    forged.activations[features.cities.index("Dallas")] = 1e6  # whatever Dallas does, Texas without it stays the same
    found, again = (f.supernode(home["Dallas"], without=("Dallas",)) for f in (features, forged))
    assert all(torch.equal(a, b) for a, b in zip(found, again, strict=True))


def test_turning_a_state_off_removes_its_capital(rates):
    assert rates["off 0, in 2"]["kept"] >= 0.97
    assert rates["off 0, in 2"]["removed"] >= 0.60


def test_another_state_brings_its_capital(rates):
    assert rates["off 0, in 2"]["swapped"] >= 0.90


def test_random_features_do_not(rates):
    null = rates["off 0, in 2, random features"]
    assert null["removed"] < 0.05
    assert null["swapped"] < 0.05


def test_supernode_carries_influence_in_the_graph(clt, features):
    """A sixth of the nodes carries over a quarter of the influence of the features at the city on the capital."""
    opened = load()
    home, shares, crowd = corpus.state_of(), [], []
    for city, _ in swaps.pairs(24, seed=3):
        prompt = corpus.QUESTIONS["capital"].format(city)
        graph = attribute(opened, prompt, targets=[corpus.answer(home[city], "capital")], progress=False)
        places, _ = features.supernode(home[city], without=(city,))
        chosen = {(p // clt.b_enc.shape[1], p % clt.b_enc.shape[1]) for p in places.tolist()}
        nodes, influence = graph.nodes, graph.influence.numpy()
        here = (nodes.kind == "feature") & (nodes.position == len(graph.tokens) - 2)
        here &= nodes.layer < swaps.CITY_LAYERS
        inside = here & [place in chosen for place in zip(nodes.layer, nodes.feature, strict=True)]
        shares.append(influence[inside].sum() / influence[here].sum())
        crowd.append(inside.sum() / here.sum())
    assert sum(shares) / len(shares) > 0.25
    assert sum(shares) > 1.5 * sum(crowd)


def test_scores_of_the_demo_prompt():
    scores = attribute(load(), corpus.DEMO, progress=False).scores()
    assert scores.replacement >= 0.8
    assert scores.completeness >= 0.9


def test_the_notebook_way(tok, clt, features):
    """Dallas by hand with `attribute` and `intervene`: Texas out, California in, Sacramento."""
    opened = load()
    graph = attribute(opened, corpus.DEMO, progress=False)
    assert graph.targets[0].token == " Austin"
    position, width = len(graph.tokens) - 2, clt.b_enc.shape[1]
    texas, _ = features.supernode("Texas", without=("Dallas",))
    california, values = features.supernode("California")
    new = dict.fromkeys(texas.tolist(), 0.0)
    new |= dict(zip(california.tolist(), (2 * values).tolist(), strict=True))
    changes = [Set((place // width, position, place % width), value) for place, value in new.items()]
    for mode in ("frozen-attention", "open"):
        effect = intervene(opened, graph.prompt, changes, mode=mode)
        assert tok.decode(effect.logits[-1].argmax()) == " Sacramento"


def test_the_verb_agrees_with_plain_hooks(model, tok, clt, features):
    """`swap` against `swaps.spliced`, which knows nothing of it, in the mode where all is recomputed."""
    drawn, width = ("Dallas", "Oakland", "Miami", "Seattle"), clt.b_enc.shape[1]
    home, question = corpus.state_of(), corpus.QUESTIONS["capital"]
    flat = {city: features.activations[features.cities.index(city)].flatten() for city in drawn}
    places = {city: features.supernode(home[city], without=(city,))[0] for city in drawn}
    cases = {
        city: SwapCase(
            question.format(city),
            [(place // width, -2, place % width) for place in places[city].tolist()],
            corpus.answer(home[city], "capital"),
        )
        for city in drawn
    }
    for row in swap(load(), cases, strength=2, mode="open", progress=False).rows:
        new = torch.full_like(flat[row.base], float("nan"))
        new[places[row.base]] = 0
        new[places[row.source]] = 2 * flat[row.source][places[row.source]]
        ids = tok([question.format(row.base)], return_tensors="pt").input_ids
        new = new.view(1, *features.activations.shape[1:])
        logits = swaps.spliced(model, clt, ids, ids.shape[1] - 2, new)[0]
        assert row.after.token_id == logits.argmax()
        assert row.after.probability == pytest.approx(logits.softmax(-1).max().item(), abs=1e-4)


@pytest.fixture(scope="module")
def benchmark():
    path = Path(__file__).parents[2] / "benchmarks" / "swaps.py"
    spec = importlib.util.spec_from_file_location("benchmark_of_swaps", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_fifty_cities_by_ten_states(benchmark):
    """The benchmark's figure; its supernodes are found without any of the fifty cities."""
    opened, drawn = load(), benchmark.drawn_cities(seed=1)
    cases, pairs = benchmark.found_cases(opened, drawn, swaps.SIZE), benchmark.drawn_pairs(drawn, 10, seed=1)
    assert len(cases) == 50 and len(set(pairs)) == 500
    assert all(corpus.state_of()[city] == state for state, city in drawn.items())
    assert all(len(case.node.nodes) == swaps.SIZE for case in cases.values())
    found = swap(opened, cases, pairs, **benchmark.JUDGED, progress=False)
    assert found.rate.total == 500
    assert found.rate.share >= 0.8
    null = benchmark.random_cases(opened, cases, 1)
    null = swap(opened, null, pairs[::5], **benchmark.JUDGED, progress=False)
    assert null.rate.share < 0.3


def test_cities_left_out_are_not_looked_at(features):
    drawn = ("Dallas", "Oakland", "Miami")
    forged = swaps.CityFeatures(features.cities, features.activations.clone(), features.norms)
    for city in drawn:
        forged.activations[features.cities.index(city)] = 1e6
    for state in ("Texas", "Florida", "Ohio"):
        found, again = (f.supernode(state, without=drawn) for f in (features, forged))
        assert all(torch.equal(a, b) for a, b in zip(found, again, strict=True))
