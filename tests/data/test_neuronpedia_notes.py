"""Annotations through the viewers' JSON, files of the known writers, and the schema of what we write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from gemma_circuits.data import Graph, Target, neuronpedia
from tests.data import foreign_graphs
from tests.data.samples import HOSTILE, reference_graph, small_graph

SCHEMA = json.loads((Path(neuronpedia.__file__).parent / "graph.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA)


def valid(value: dict) -> dict:
    VALIDATOR.validate(json.loads(json.dumps(value, allow_nan=False)))
    return value


def back(graph: Graph, **options) -> Graph:
    return Graph.from_neuronpedia(json.loads(json.dumps(valid(graph.to_neuronpedia(**options)))))


def names(notes) -> list[tuple[str, list[str]]]:
    return [(group.name, [neuronpedia.node_id(node) for node in group.nodes]) for group in notes.supernodes]


def test_the_schema_is_one():
    Draft202012Validator.check_schema(SCHEMA)


def test_what_is_written_passes_the_schema():
    valid(reference_graph("gemma3_affine").prune(0.6).to_neuronpedia())
    for seed in range(5):
        valid(small_graph(seed, n_layers=4).to_neuronpedia(slug="a", scan="b", transcoders=["c"]))


@pytest.mark.parametrize(
    ("path", "new"),
    [
        ("metadata.slug", None),
        ("metadata.transcoder_list", "one"),
        ("qParams.pinnedIds", "0_1_1,0_2_1"),
        ("qParams.pinnedIds", None),
        ("qParams.supernodes", [["alone"]]),
        ("nodes", []),
        ("nodes.0.node_id", "0-1-1"),
        ("nodes.0.node_id", "0_-1_1"),
        ("nodes.0.layer", 0),
        ("nodes.0.clerp", None),
        ("nodes.0.feature_type", "logit"),
        ("nodes.0.influence", 1.5),
        ("nodes.0.colour", "red"),
        ("nodes.-1.clerp", "Austin"),
        ("nodes.-1.token_prob", None),
        ("links.0.weight", 0.0),
        ("links.0.weight", "1"),
        ("more", 1),
    ],
)
def test_the_schema_refuses_what_is_not_so(path, new):
    value = small_graph().to_neuronpedia()
    *parents, last = path.split(".")
    place = value
    for key in parents:
        place = place[int(key) if key.lstrip("-").isdecimal() else key]
    if new is None:
        del place[last]
    else:
        place[last] = new
    assert not VALIDATOR.is_valid(value)


def test_annotations_are_written_where_viewers_look():
    graph = small_graph(n_tokens=2)
    first, second, third = graph.nodes[0], graph.nodes[1], graph.nodes[2]
    error, token, logit = (graph.nodes.where(kind=kind)[0] for kind in ("error", "token", "logit"))
    graph.annotations.update(
        pinned=[logit, third],
        supernodes={"Texas, big": [second, first]},
        labels={first: "state", error: "lost", token: "start", logit: "capital"},
        positions={logit: (1, 2), third: (3.5, 4), "Texas, big": (5, 6), token: (7, 8)},
    )
    value = valid(graph.to_neuronpedia())
    ids = {node: neuronpedia.node_id(node) for node in graph.nodes}
    params, nodes = value["qParams"], {node["node_id"]: node for node in value["nodes"]}
    # viewers draw only pinned members of a group
    assert params["pinnedIds"] == [ids[node] for node in (logit, third, second, first)]
    assert params["supernodes"] == [["Texas, big", ids[second], ids[first]]]
    assert [nodes[ids[node]]["clerp"] for node in (first, error, token)] == ["state", "lost", "start"]
    assert nodes[ids[logit]]["clerp"] == 'Output " t0" (p=0.500)'
    assert nodes[ids[logit]]["localClerp"] == "capital"
    extra = {"unpinned": [ids[second], ids[first]], "nodes": {ids[token]: [7.0, 8.0]}}
    assert value["metadata"]["gemma_circuits"] == extra
    assert sorted(params["sg_pos"].split()) == ["1", "2", "3.5", "4", "5", "6"]


def test_places_are_in_the_order_of_the_viewers():
    """By the sorted characters of the members' feature numbers, as init-cg-subgraph.js of circuit-tracer has it."""
    graph = Graph.from_neuronpedia(foreign_graphs.neuronpedia())
    feature, other, error, token, last, logit = graph.nodes  # numbers 35, 13, -1, 0, 1, 55
    order = ["both", error, token, last, logit]  # " 1335", "-1", "0", "1", "55": a space sorts first
    graph.annotations.update(
        pinned=[logit, last, error, token],
        supernodes={"both": [feature, other]},
        positions={key: (i, 10 + i) for i, key in enumerate(order)},
    )
    assert graph.to_neuronpedia()["qParams"]["sg_pos"] == "0 10 1 11 2 12 3 13 4 14"


def test_places_of_equal_numbers_are_in_the_order_of_layers_and_tokens_come_last():
    graph = small_graph(n_layers=2, n_tokens=10)
    errors = graph.nodes.where(kind="error", position=0)
    feature = graph.nodes.where(kind="feature", layer=0)[0]
    token = graph.nodes.where(kind="token", position=neuronpedia.pair(0, feature.feature))[0]
    order = [*errors, feature, token]
    graph.annotations.update(pinned=reversed(order), positions={node: (i, i) for i, node in enumerate(order)})
    assert graph.to_neuronpedia()["qParams"]["sg_pos"] == "0 0 1 1 2 2 3 3"


def test_places_of_a_part_of_the_subgraph_are_kept_beside_it():
    graph = small_graph()
    graph.annotations.update(pinned=[0, 1], positions={0: (1, 2), "gone": (3, 4)})
    value = valid(graph.to_neuronpedia())
    assert value["qParams"]["sg_pos"] == ""  # viewers take all or nothing
    assert Graph.from_neuronpedia(value).annotations.notes == graph.annotations.notes


indices = st.integers(0, 9)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    [HOSTILE, 'Err: mlp "a"', "0_1_1"]
)
places = st.tuples(st.floats(-1e6, 1e6), st.floats(0, 1000) | st.integers(0, 1000))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(indices),
    st.dictionaries(texts, st.lists(indices, min_size=1), max_size=4),
    st.dictionaries(indices, texts),
    st.dictionaries(indices | texts, places),
    st.booleans(),
)
def test_annotations_come_back(pinned, groups, labels, positions, from_file):
    graph = small_graph(
        3, n_layers=2, n_targets=1, tokens=(HOSTILE, '" (p=0.5)'), targets=(Target('(p=1) "', 50, 0.5),)
    )
    taken = set()
    for name, members in groups.items():
        groups[name] = [i for i in members if i not in taken]
        taken.update(members)
    last = len(graph.nodes) - 1
    graph.annotations.update(
        pinned=[min(i, last) for i in pinned], supernodes=groups, labels=labels, positions=positions
    )
    if from_file:
        graph.metadata["neuronpedia"] = {"metadata": {"slug": "s"}, "qParams": {"clickedId": "0_0_0"}}
    again = Graph.from_neuronpedia(json.loads(json.dumps(graph.to_neuronpedia(), allow_nan=False)))
    assert again.annotations.notes == graph.annotations.notes
    assert again.to_neuronpedia()["qParams"] == graph.to_neuronpedia()["qParams"]


def test_a_circuit_takes_the_notes_of_its_nodes_along():
    graph = reference_graph("gemma3_affine")
    circuit = graph.prune(0.5, 0.9)
    inside = circuit.nodes.where(kind="feature")[0]
    outside = next(node for node in graph.nodes if node not in set(circuit.nodes))
    graph.annotations.update(
        pinned=[outside, inside],
        supernodes={"out": [outside]},
        labels={inside: "a", outside: "b"},
        positions={inside: (1, 1)},
    )
    notes = back(circuit).annotations.notes
    assert (notes.pinned, notes.supernodes) == ((inside,), ())
    assert (dict(notes.labels), dict(notes.positions)) == ({inside: "a"}, {inside: (1.0, 1.0)})


@pytest.mark.parametrize("writer", foreign_graphs.WRITERS)
def test_files_of_every_writer_are_read_alike(writer, tmp_path):
    path = tmp_path / "graph.json"
    path.write_text(json.dumps(writer()))
    graph = Graph.from_neuronpedia(path)
    assert [neuronpedia.node_id(node) for node in graph.nodes] == [
        "0_7_1",
        "1_3_1",
        "1_-1_1",
        "E_2_0",
        "E_90_1",
        "3_55_1",
    ]
    assert graph.targets == (Target(" Austin", 55, 0.625),)
    assert (graph.n_layers, graph.token_ids, graph.tokens) == (2, (2, 90), ("<bos>", " Dallas"))
    assert graph.edges.tolist() == [[0, 0, 0, -0.25, 1.5], [2, 0, 0, 0, 0], [0, 3, 0.5, 0, 0]]
    again = back(graph)
    assert torch.equal(again.edges, graph.edges)
    assert (list(again.nodes), again.targets) == (list(graph.nodes), graph.targets)
    assert again.annotations.notes == graph.annotations.notes
    for part, said in graph.metadata["neuronpedia"].items():
        said.pop("sg_pos", None)  # of fewer nodes than are pinned on writing
        assert said.items() <= again.metadata["neuronpedia"][part].items()
    assert again.to_neuronpedia() == graph.to_neuronpedia()


def test_numbers_of_features_are_paired_on_writing_whatever_the_file_had():
    value = foreign_graphs.anthropic()
    value["metadata"]["schema_version"] = 0
    written = Graph.from_neuronpedia(value).to_neuronpedia()
    assert [node["feature"] for node in written["nodes"][:2]] == list(foreign_graphs.PAIRED.values())
    assert written["metadata"]["schema_version"] == 1


def test_an_index_that_is_also_a_number_of_its_layer_is_the_index():
    value = foreign_graphs.anthropic()
    feature = next(node for node in value["nodes"] if node["node_id"] == "1_3_1")
    feature |= {"feature": 1, "node_id": "1_1_1"}  # 1 is the number of layer 1, feature 0
    for link in value["links"]:
        link |= {end: link[end].replace("1_3_1", "1_1_1") for end in ("source", "target")}
    assert Graph.from_neuronpedia(value).nodes.feature[1] == 1


def test_what_circuit_tracers_viewer_saves_is_read():
    graph = Graph.from_neuronpedia(foreign_graphs.circuit_tracer_saved())
    feature, other, _, _, token, logit = graph.nodes
    notes = graph.annotations.notes
    assert notes.pinned == (logit, other, feature, token)
    assert names(notes) == [("supernode", ["1_3_1", "0_7_1"])]
    assert dict(notes.labels) == {other: "say a capital"}
    # "  1335" of the group, "1" of the token, "55" of the logit
    assert dict(notes.positions) == {"supernode": (100, 200), token: (300, 400), logit: (500, 620)}
    assert graph.metadata["neuronpedia"]["qParams"] == {
        "linkType": None,
        "clickedId": "3_55_1",
        "pruningThreshold": "0.6",
        "clerps": '[["999", "elsewhere"]]',
    }
    assert graph.to_neuronpedia()["qParams"]["sg_pos"] == "100 200 300 400 500 620"


def test_what_could_not_be_read_is_written_again():
    graph = Graph.from_neuronpedia(foreign_graphs.neuronpedia())
    notes = graph.annotations.notes
    assert [neuronpedia.node_id(node) for node in notes.pinned] == ["1_3_1"]
    assert names(notes) == [("Texas", ["0_7_1"]), ("Texas (2)", ["1_3_1"])]
    assert dict(notes.labels) == {graph.nodes[1]: "say Austin"}
    unread = {"pinnedIds": ["8_8_8"], "supernodes": [["Texas", "9_9_9"], ["again", "1_3_1"]], "densityThreshold": 0.99}
    assert graph.metadata["neuronpedia"]["qParams"] == {**unread, "linkType": "both", "clickedId": ""}
    value = graph.to_neuronpedia()
    assert value["qParams"]["supernodes"] == [["Texas", "0_7_1", "9_9_9"], ["Texas (2)", "1_3_1"], ["again", "1_3_1"]]
    assert value["qParams"]["pinnedIds"] == ["1_3_1", "0_7_1", "8_8_8"]
    assert value["metadata"]["info"]["generator"]["version"] == "3f0965b6"


def test_groups_joined_by_commas_are_read():
    notes = Graph.from_neuronpedia(foreign_graphs.anthropic()).annotations.notes
    assert names(notes) == [("capital / city, state", ["0_7_1", "1_3_1"])]
    assert sorted(dict(notes.labels).values()) == ["Texas", "say a capital"]
    value = foreign_graphs.circuit_tracer()
    value["qParams"]["supernodes"] = "state,0_7_1,say, a capital,1_3_1,8_8_8"
    graph = Graph.from_neuronpedia(value)
    assert names(graph.annotations.notes) == [("state", ["0_7_1"]), ("say, a capital", ["1_3_1"])]
    assert graph.metadata["neuronpedia"]["qParams"]["supernodes"] == [["say, a capital", "8_8_8"]]


@pytest.mark.parametrize("places", ["1 2 3", "a b", "nan 2", "1,2", [1, "x"], {}, "1 2 3 4 5 6 7 8"])
def test_places_that_fit_nothing_are_kept_but_not_handed_on(places):
    value = foreign_graphs.circuit_tracer()
    value["qParams"] |= {"pinnedIds": ["0_7_1"], "sg_pos": places}
    graph = Graph.from_neuronpedia(value)
    assert not graph.annotations.notes.positions
    assert graph.metadata["neuronpedia"]["qParams"].get("sg_pos", {}) == places
    assert graph.to_neuronpedia()["qParams"]["sg_pos"] == ""  # viewers would put nodes in the places of others


def test_hundreds_of_labels_are_read_at_once():
    """Nodes are not searched one by one."""
    value = reference_graph("gemma3_affine").to_neuronpedia()
    for node in value["nodes"]:
        if node["feature_type"] == "cross layer transcoder":
            node["clerp"] = "x"
    graph = Graph.from_neuronpedia(value)
    assert len(graph.annotations.notes.labels) == graph.wiring.n_features > 100
