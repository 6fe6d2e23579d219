"""Experiments by hand: what they change, what was predicted and measured, and code that does the same."""

from __future__ import annotations

import json

import numpy as np
import pytest

import gemma_circuits as gmc
from gemma_circuits.data.errors import ArgumentError, NodeError
from gemma_circuits.ui.code import as_code
from gemma_circuits.ui.experiments import Change, Experiment, conduct, place, read_change, read_experiment

PROMPT = "The capital of the state containing Dallas is"
OTHER = "The capital of the state containing Oakland is"


@pytest.fixture(scope="module")
def model():
    return gmc.load()


@pytest.fixture(scope="module")
def graph(model):
    return gmc.attribute(model, PROMPT, progress=False)


@pytest.fixture(scope="module")
def at_city(graph):
    return tuple(graph.nodes.where(kind="feature", position=graph.tokens.index(" Dallas"), layer=(0, 1)))


def test_in_direct_mode_the_edge_is_what_is_measured(model, graph, at_city):
    error = graph.nodes.where(kind="error", layer=4)[-1]
    late = graph.nodes.where(kind="feature", layer=5)[0]
    for change in (
        Change("ablate", (*at_city[:3], error)),
        Change("steer", (at_city[3], late), value=-1.5),
        Change("set", (late,), value=1.0),
        Change("patch", (late,), prompt=OTHER),
    ):
        outcome = conduct(model, graph, Experiment((change,), "direct")).outcome
        assert len(outcome.nodes) == len(change.nodes)
        for effect in outcome.nodes:
            assert effect.measured == pytest.approx(effect.predicted, abs=2e-4)
    edge = graph.adjacency[-1, late.index].item()
    assert outcome.nodes[0].predicted == pytest.approx(edge * (outcome.nodes[0].new / late.activation - 1), rel=1e-6)


def test_over_all_paths_the_prediction_is_the_sum_over_the_linear_graph(model, graph, at_city):
    outcome = conduct(model, graph, Experiment((Change("ablate", at_city[:4]),))).outcome
    features = graph.nodes.kind == "feature"
    linear = np.zeros((len(graph.nodes),) * 2)
    linear[features] = graph.adjacency.numpy()[features] / graph.nodes.activation[features, None]
    total = graph.adjacency.numpy()[-1].astype(float) @ np.linalg.inv(np.eye(len(linear)) - linear)
    for effect, node in zip(outcome.nodes, at_city[:4]):
        assert effect.predicted == pytest.approx(-total[node.index], rel=1e-4, abs=1e-6)


def test_what_is_measured_is_what_intervene_measures(model, graph, at_city):
    change = Change("ablate", at_city[:3], name="Texas")
    outcome = conduct(model, graph, Experiment((change,), "open", 2)).outcome
    whole = gmc.intervene(model, PROMPT, gmc.Ablate([place(node) for node in at_city[:3]]), mode="open")
    assert outcome.kl == pytest.approx(whole.kl_divergence())
    top = [(token.token, pytest.approx(token.probability)) for token in whole.top(6).changed]
    assert list(outcome.after) == top
    assert outcome.targets[0][2] == pytest.approx(whole.probabilities[-1, graph.targets[0].token_id].item())
    for effect, node in zip(outcome.nodes, at_city):
        one = gmc.intervene(model, PROMPT, gmc.Ablate(place(node)), mode="open")
        moved = [x[-1, graph.targets[0].token_id] - x[-1].mean() for x in (one.raw_logits, one.baseline_raw_logits)]
        assert effect.measured == pytest.approx((moved[0] - moved[1]).item(), abs=1e-4)
    changed = whole.activations - whole.baseline_activations
    features = graph.nodes.where(kind="feature")
    wanted = changed[features.layer, features.position, features.feature]
    np.testing.assert_allclose(outcome.changes[features.index], wanted, atol=1e-5)
    assert outcome.texts[1] == gmc.generate(model, PROMPT, whole.interventions, max_new_tokens=2).text


def test_every_node_is_measured_however_many(model, graph):
    nodes = tuple(graph.nodes.where(kind="feature"))[:70]
    outcome = conduct(model, graph, Experiment((Change("ablate", nodes),), "direct")).outcome
    assert [effect.node for effect in outcome.nodes] == [node.index for node in nodes]


def test_patching_the_places_of_the_state_brings_the_other_capital(model, graph, at_city):
    assert (
        conduct(model, graph, Experiment((Change("patch", at_city, prompt=OTHER),))).outcome.after[0][0]
        == " Sacramento"
    )


@pytest.mark.parametrize(
    "kind, extra", [("ablate", {}), ("set", {"value": 2.5}), ("steer", {"value": -1.0}), ("patch", {"prompt": OTHER})]
)
def test_its_code_gives_the_same_numbers(model, graph, at_city, kind, extra):
    error = graph.nodes.where(kind="error", layer=2)[-1]
    nodes = at_city[:4] if kind == "set" else (*at_city[:4], error)
    experiment = conduct(model, graph, Experiment((Change(kind, nodes, name="Texas <b>", **extra),), "open"))
    code = as_code(model, graph, experiment)
    found = {}
    exec(code, found)
    assert found["effect"].kl_divergence() == pytest.approx(experiment.outcome.kl, rel=1e-5)
    assert "gmc.load()" in code


def test_a_prompt_that_text_does_not_give_again_is_told_by_its_tokens(model):
    ids = (*model.prompt(PROMPT).token_ids, 5, 9)
    graph = gmc.attribute(model, ids, position=-3, progress=False)
    node = graph.nodes.where(kind="feature")[0]
    experiment = conduct(model, graph, Experiment((Change("ablate", (node,)),)))
    code = as_code(model, graph, experiment)
    assert str(list(ids[:-2])) in code
    found = {}
    exec(code, found)
    assert found["effect"].kl_divergence() == pytest.approx(experiment.outcome.kl, rel=1e-5)


def test_experiments_survive_json(model, graph, at_city):
    experiment = conduct(model, graph, Experiment((Change("ablate", at_city[:2], name="Texas"),), "direct", 1))
    again = read_experiment(graph, json.loads(json.dumps(experiment.to_json(), allow_nan=False)))
    assert again == experiment
    np.testing.assert_array_equal(again.outcome.changes, experiment.outcome.changes)


@pytest.mark.parametrize(
    "wrong, error",
    [
        ({"kind": "explode", "nodes": [0]}, ArgumentError),
        ({"kind": "ablate", "nodes": []}, ArgumentError),
        ({"kind": "ablate", "nodes": [10**7]}, NodeError),
        ({"kind": "set", "nodes": [0], "value": "much"}, ArgumentError),
        ({"nodes": [0]}, ArgumentError),
    ],
)
def test_what_is_no_change_is_refused(graph, wrong, error):
    with pytest.raises(error):
        read_change(graph, wrong)


def test_tokens_and_logits_cannot_be_changed(graph):
    with pytest.raises(ArgumentError, match="features or errors"):
        Change("ablate", (graph.nodes.where(kind="token")[0],))
