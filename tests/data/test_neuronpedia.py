from __future__ import annotations

import copy
import json
import math
import re
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gemma_circuits.data import Graph, Target, neuronpedia
from gemma_circuits.data.errors import ArgumentError, GraphFileError
from gemma_circuits.data.pruning import cumulative
from tests.data.samples import EXACT, HOSTILE, reference_graph, small_graph


@given(st.integers(0, 10**6), st.integers(0, 10**12))
def test_pairing_is_undone(layer, feature):
    assert neuronpedia.unpair(neuronpedia.pair(layer, feature)) == (layer, feature)


def test_pairing_is_cantors():
    assert [neuronpedia.pair(*it) for it in ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2))] == list(range(6))


def test_nodes_and_links_are_as_the_viewers_read_them():
    graph = small_graph(n_layers=3, n_tokens=2)
    value = graph.to_neuronpedia(slug="mine", scan="gemma", transcoders=["a", "b"])
    assert value["metadata"] == {
        "slug": "mine",
        "scan": "gemma",
        "transcoder_list": ["a", "b"],
        "schema_version": 1,
        "prompt_tokens": ["t0", "t1"],
        "prompt": "one two",
    }
    nodes = {node["node_id"]: node for node in value["nodes"]}
    assert len(nodes) == len(graph.nodes)
    first = graph.nodes[0]
    share = cumulative(graph.influence)
    identity = f"{first.layer}_{first.feature}_{first.position}"
    assert nodes[identity] == {
        "node_id": identity,
        "feature": neuronpedia.pair(first.layer, first.feature),
        "layer": str(first.layer),
        "ctx_idx": first.position,
        "feature_type": "cross layer transcoder",
        "jsNodeId": f"{first.layer}_{first.feature}-{first.position}",
        "clerp": "",
        "influence": share[0].item(),
        "activation": first.activation,
    }
    assert nodes["2_-1_1"]["feature_type"] == "mlp reconstruction error"
    assert (nodes["2_-1_1"]["feature"], nodes["2_-1_1"]["layer"]) == (-1, "2")
    assert nodes["E_11_1"] == {
        "node_id": "E_11_1",
        "feature": 1,
        "layer": "E",
        "ctx_idx": 1,
        "feature_type": "embedding",
        "jsNodeId": "E_11-1",
        "clerp": 'Emb: "t1"',
        "influence": share[graph.nodes.where(kind="token", position=1).index[0]].item(),
    }
    assert nodes["4_51_1"] == {
        "node_id": "4_51_1",
        "feature": 51,
        "layer": "4",
        "ctx_idx": 1,
        "feature_type": "logit",
        "jsNodeId": "4_51-1",
        "clerp": 'Output " t1" (p=0.250)',
        "token_prob": 0.25,
        "is_target_logit": False,
    }
    assert nodes["4_50_1"]["is_target_logit"]
    assert len(value["links"]) == len(graph.links().weight)
    ids = [node["node_id"] for node in value["nodes"]]
    for link in value["links"]:
        assert link["weight"] == graph.adjacency[ids.index(link["target"]), ids.index(link["source"])]


def test_low_influence_is_important():
    graph = reference_graph("gemma3_affine")
    shares = [node.get("influence", 1) for node in graph.to_neuronpedia()["nodes"]]
    assert shares[int(graph.influence.argmax())] == min(shares) < 0.2
    assert max(shares) <= 1 + 1e-9


def test_a_circuit_is_written_without_what_was_dropped():
    circuit = small_graph().prune(0.6, 0.9)
    value = circuit.to_neuronpedia()
    assert len(value["nodes"]) == len(circuit.nodes)
    assert len(value["links"]) == len(circuit.links().weight)
    assert value["metadata"]["node_threshold"] == 0.6
    assert value["metadata"]["pruning_settings"] == {"node_threshold": 0.6, "edge_threshold": 0.9}
    assert value["metadata"]["scan"] == "gemma-3-1b-it"
    assert value["metadata"]["transcoder_list"] == ["google/gemma-scope-2-1b-it/clt"]


@pytest.mark.parametrize("name", EXACT)
def test_a_graph_comes_back(tmp_path, name):
    graph = reference_graph(name)
    path = tmp_path / "graph.json"
    value = graph.to_neuronpedia(path)
    assert json.loads(path.read_text()) == value
    again = Graph.from_neuronpedia(path)
    assert torch.equal(again.edges, graph.edges)
    assert again.targets == graph.targets
    assert list(again.nodes) == list(graph.nodes)
    assert again.nodes.activation[:9].tolist() == graph.nodes.activation[:9].tolist()
    assert (again.prompt, again.tokens, again.token_ids) == (graph.prompt, graph.tokens, graph.token_ids)
    assert math.isnan(again.check())
    assert again.to_neuronpedia() == value


def test_texts_of_any_kind_come_back():
    targets = (Target(HOSTILE, 50, 0.5), Target('" (p=0.5)', 51, 0.25))
    graph = small_graph(tokens=(HOSTILE, '" (p=0.5)'), targets=targets)
    value = json.loads(json.dumps(graph.to_neuronpedia()))
    again = Graph.from_neuronpedia(value)
    assert again.tokens == graph.tokens
    assert again.targets == targets
    assert re.fullmatch(r"[\w-]+", value["metadata"]["slug"])


def test_a_circuit_comes_back_as_a_graph():
    circuit = small_graph(4).prune(0.7, 0.9)
    graph = Graph.from_neuronpedia(circuit.to_neuronpedia())
    index = circuit.nodes.index
    assert torch.equal(graph.adjacency, circuit.adjacency[index][:, index])
    assert graph.influence.numpy() == pytest.approx(circuit.influence[index].numpy(), rel=1e-5)


@pytest.fixture
def value() -> dict:
    return small_graph(4).to_neuronpedia()


def test_files_of_circuit_tracer_and_anthropic_are_read(value):
    graph, old = Graph.from_neuronpedia(value), copy.deepcopy(value)
    renamed = {}
    for node in old["nodes"]:
        if node["feature_type"] == "mlp reconstruction error":
            # features of layer 0 stay below 4, so that these cannot be taken for one of them
            renamed[node["node_id"]] = f"0_{int(node['layer']) + 10}_{node['ctx_idx']}"
            node["node_id"] = renamed[node["node_id"]]
        if node["feature_type"] == "logit":
            del node["token_prob"]
        node.pop("influence", None)
        node["clerp"] = node["clerp"] or None
    for link in old["links"]:
        link["source"] = renamed.get(link["source"], link["source"])
    old["nodes"].reverse()
    again = Graph.from_neuronpedia(old)
    assert set(again.nodes) == set(graph.nodes)
    logits = slice(again.wiring.n_features, None)
    assert torch.equal(again.edges[logits].flip(0), graph.edges[logits])
    assert torch.equal(again.edges[: logits.start], graph.edges[: logits.start])


def test_features_that_are_not_paired_and_a_last_layer_called_l_are_read(value):
    graph = Graph.from_neuronpedia(value)
    for node in value["nodes"]:
        if node["feature_type"] == "cross layer transcoder":
            node["feature"] = int(node["node_id"].split("_")[1])
            if node["layer"] == str(neuronpedia.unpair(node["feature"])[0]):
                node["feature"] = neuronpedia.pair(int(node["layer"]), node["feature"])
        elif node["feature_type"] == "logit":
            node["layer"] = "L"
    again = Graph.from_neuronpedia(value)
    assert list(again.nodes) == list(graph.nodes)
    assert again.n_layers == 3


def test_links_of_an_id_of_two_nodes_are_told_apart_by_their_order(value):
    plain = Graph.from_neuronpedia(value)
    feature, error = 0, plain.nodes.where(kind="error", layer=2, position=0).index[0]
    assert value["nodes"][0]["node_id"] == "0_2_0"
    next(node for node in value["nodes"] if node["node_id"] == "2_-1_0")["node_id"] = "0_2_0"
    for link in value["links"]:
        link["source"] = link["source"].replace("2_-1_0", "0_2_0")
    with pytest.warns(UserWarning, match="0_2_0 each name a feature and an error"):
        graph = Graph.from_neuronpedia(value)
    both = (plain.edges[:, [feature, error]] != 0).all(1)
    assert both.any()
    assert torch.equal(graph.edges[both], plain.edges[both])
    only_error = (plain.edges[:, error] != 0) & ~both
    assert torch.equal(graph.edges[only_error, feature], plain.edges[only_error, error])


def test_a_link_given_twice_is_refused(value):
    value["links"].append(value["links"][0])
    with pytest.raises(GraphFileError, match="each link once"):
        Graph.from_neuronpedia(value)


def test_a_graph_without_links_comes_back(tmp_path):
    path = tmp_path / "graph.json"
    value = small_graph(density=0.0).to_neuronpedia(path)
    assert not any("influence" in node for node in value["nodes"])  # it is a share of nothing
    assert not Graph.from_neuronpedia(path).edges.any()


def test_metadata_that_json_cannot_hold_is_refused(tmp_path):
    value = small_graph().to_neuronpedia()
    value["metadata"]["info"] = {"time": math.inf}
    with pytest.raises(ArgumentError, match="JSON values"):
        Graph.from_neuronpedia(value).to_neuronpedia(tmp_path / "graph.json")
    assert not list(tmp_path.iterdir())


def test_the_nan_of_python_writers_is_read_as_null(tmp_path):
    value = small_graph().to_neuronpedia()
    value["nodes"][0]["activation"] = value["metadata"]["node_threshold"] = math.nan
    path = tmp_path / "graph.json"
    path.write_text(json.dumps(value))
    graph = Graph.from_neuronpedia(path)
    assert math.isnan(graph.nodes.activation[0])
    assert graph.to_neuronpedia(path)["metadata"]["node_threshold"] is None


def test_no_id_of_ours_means_two_nodes():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for seed in range(20):
            graph = small_graph(seed, n_layers=5, n_tokens=3)
            assert len(Graph.from_neuronpedia(graph.to_neuronpedia()).nodes) == len(graph.nodes)


def change(value: dict, path: str, new: object) -> dict:
    *parents, last = path.split(".")
    place = value
    for key in parents:
        place = place[int(key) if key.isdecimal() else key]
    if new is None:
        del place[last]
    else:
        place[int(last) if last.isdecimal() else last] = new
    return value


@pytest.mark.parametrize(
    ("path", "new"),
    [
        ("metadata", None),
        ("metadata.prompt_tokens", None),
        ("metadata.prompt_tokens", ["one"]),
        ("nodes", None),
        ("nodes", []),
        ("nodes", {}),
        ("links", None),
        ("nodes.0", "text"),
        ("nodes.0.node_id", None),
        ("nodes.1.node_id", "2_-1_1"),
        ("nodes.0.feature_type", "attention head"),
        ("nodes.0.ctx_idx", "here"),
        ("nodes.0.ctx_idx", 99),
        ("nodes.0.ctx_idx", 10**30),
        ("nodes.0.feature", math.inf),
        ("nodes.0.ctx_idx", -1),
        ("nodes.0.layer", "first"),
        ("nodes.-1.token_prob", "likely"),
        ("links.0.source", "9_9_9"),
        ("links.0.source", "4_50_1"),
        ("links.0.target", "E_10_0"),
        ("links.0.weight", "heavy"),
        ("links.0.weight", math.nan),
        ("links.0.weight", 1e300),
        ("links.0", 3),
        ("qParams", "text"),
        ("qParams.supernodes", "[oops"),
    ],
)
def test_damaged_graphs_are_refused(value, path, new):
    if path == "nodes.-1.token_prob":
        path = f"nodes.{len(value['nodes']) - 1}.token_prob"
    with pytest.raises(GraphFileError):
        Graph.from_neuronpedia(change(value, path, new))


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[]", b"3", b"null", b'{"metadata"', b"[" * 10**5])
def test_files_of_another_kind_are_refused(tmp_path, content):
    path = tmp_path / "graph.json"
    path.write_bytes(content)
    with pytest.raises(GraphFileError, match=r"graph\.json"):
        Graph.from_neuronpedia(path)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(GraphFileError, match="IsADirectory"):
        Graph.from_neuronpedia(tmp_path)


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        Graph.from_neuronpedia(tmp_path / "nothing")
