"""The circuit is real: a state's features carry the capital, and another state's bring another capital.

Random (city, other state) pairs; the supernode of 8 features is found without the city under test.
Everything is recomputed after a change, attention patterns included, unless a setting says "constrained".
"""

import pytest
import torch

from gemma_circuits import Set, attribute, intervene, load
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
    assert not features.members("Texas", without="Dallas")[features.cities.index("Dallas")]
    forged = swaps.CityFeatures(features.cities, features.activations.clone(), features.norms)
    forged.activations[features.cities.index("Dallas")] = 1e6  # whatever Dallas does, Texas without it stays the same
    found, again = (f.supernode(home["Dallas"], without="Dallas") for f in (features, forged))
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
        places, _ = features.supernode(home[city], without=city)
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
    texas, _ = features.supernode("Texas", without="Dallas")
    california, values = features.supernode("California")
    new = dict.fromkeys(texas.tolist(), 0.0)
    new |= dict(zip(california.tolist(), (2 * values).tolist(), strict=True))
    changes = [Set((place // width, position, place % width), value) for place, value in new.items()]
    for mode in ("frozen-attention", "open"):
        effect = intervene(opened, graph.prompt, changes, mode=mode)
        assert tok.decode(effect.logits[-1].argmax()) == " Sacramento"
