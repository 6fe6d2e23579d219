"""The feature card's kernel side: its numbers are the store's and the model's, and a label reaches both."""

from __future__ import annotations

import json

import pytest

import gemma_circuits as gmc
from gemma_circuits.data.errors import ArgumentError, NodeError
from gemma_circuits.ui.card import content


@pytest.fixture(scope="module")
def model():
    return gmc.load()


@pytest.fixture(scope="module")
def graph(model):
    return gmc.attribute(model, "The capital of the state containing Dallas is", progress=False)


@pytest.fixture
def store(model, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))  # the first label copies the store that is shipped to there
    with gmc.features.open(model=model) as store:
        yield store


@pytest.fixture
def card(graph, model, store):
    card = gmc.FeatureCard(graph, model=model, store=store)
    yield card
    card.close()
    card.session.close()
    graph.annotations.update(labels={})


def strongest(graph):
    features = graph.nodes.where(kind="feature")
    return features[int(graph.influence[features.index].argmax())]


def test_its_numbers_are_the_stores_and_the_models(card, graph, model, store):
    node = strongest(graph)
    told = card.session.reply("card", [node.layer, node.feature])[0]
    json.dumps(told, allow_nan=False)
    known = store[node.layer, node.feature]
    assert told["statistics"] == {
        "count": known.count,
        "frequency": known.frequency,
        "mean": known.mean,
        "max": known.max,
    }
    assert [example["activations"] for example in told["examples"]] == [e.activations for e in known.examples[:8]]
    assert sum(told["histogram"]["counts"]) == known.count
    effects = gmc.features.logit_effects(model, node, 8)
    assert told["logits"]["promoted"] == [[token.token, token.value] for token in effects.promoted]
    assert told["logits"]["suppressed"] == [[token.token, token.value] for token in effects.suppressed]
    assert told["missing"] == [] and told["link"] is None


def test_a_label_reaches_graph_store_and_every_view(card, graph, store):
    node = strongest(graph)
    told = card.session.reply("label", [node.layer, node.feature, "says a capital"])[0]
    label = store.label(node.layer, node.feature)
    assert (label.text, label.source) == ("says a capital", "hand") and label.author
    assert told["label"]["text"] == "says a capital"
    same = graph.nodes.where(kind="feature", layer=node.layer, feature=node.feature)
    assert {n.index for n in same} == {n.index for n in graph.annotations.notes.labels}
    assert [node.index, "says a capital"] in card.session.known
    card.session.undo()
    assert not graph.annotations.notes.labels
    card.session.reply("label", [node.layer, node.feature, ""])
    assert store.label(node.layer, node.feature) is None
    assert [entry.text for entry in store.labels(node.layer, node.feature)] == ["", "says a capital"]


def test_without_store_and_model_it_says_what_is_missing(graph):
    card = gmc.FeatureCard(graph)
    card.session.store = card.session.model = None
    node = strongest(graph)
    told = content(card.session, node.layer, node.feature)
    assert told["examples"] == [] and told["logits"] is None
    assert len(told["missing"]) == 2
    card.session.reply("label", [node.layer, node.feature, "x"])
    assert set(graph.annotations.notes.labels.values()) == {"x"}
    graph.annotations.update(labels={})
    card.close()
    card.session.close()


def test_it_links_to_neuronpedia_where_the_release_is_shown_there(card, graph, monkeypatch):
    release = "google/gemma-scope-2-4b-it/transcoder_all/width_262k_l0_small_affine"
    monkeypatch.setitem(graph.metadata, "transcoder", release)
    address = "https://www.neuronpedia.org/gemma-3-4b-it/3-gemmascope-2-transcoder-262k/7"
    assert content(card.session, 3, 7)["link"] == address


def test_only_features_of_the_graph_have_one(graph):
    with pytest.raises(ArgumentError, match="a feature"):
        gmc.FeatureCard(graph, graph.nodes.where(kind="token")[0])
    with pytest.raises(NodeError):
        gmc.FeatureCard(graph, (99, 0, 0))
