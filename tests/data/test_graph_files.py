from __future__ import annotations

import json
import math
import os
import pickle
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from gemma_circuits.data import Circuit, Graph, files
from gemma_circuits.data.errors import (
    ArgumentError,
    GraphFileError,
    NewerSchemaError,
    StorageError,
    UnsafeFileError,
)
from tests.data.samples import EXACT, HOSTILE, reference_graph, small_graph

fuzz = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def assert_same(one: Graph, other: Graph) -> None:
    for name in ("edges", "target_bias", "target_pre_activations"):
        assert torch.equal(getattr(one, name), getattr(other, name))
    for name in ("prompt", "tokens", "token_ids", "targets", "metadata"):
        assert getattr(one, name) == getattr(other, name)
    for name in ("kind", "layer", "position", "feature", "token_id", "token", "index"):
        assert getattr(one.nodes, name).tolist() == getattr(other.nodes, name).tolist()
    for name in ("activation", "probability"):
        assert getattr(one.nodes, name).tobytes() == getattr(other.nodes, name).tobytes()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def parts(path: Path) -> tuple[dict[str, torch.Tensor], dict]:
    with safe_open(path, "pt") as file:
        return load_file(path), json.loads(file.metadata()["gemma_circuits"])


def rewrite(path: Path, tensors: dict[str, torch.Tensor], text: object) -> None:
    save_file(tensors, path, {"gemma_circuits": json.dumps(text)})


@pytest.fixture
def saved(tmp_path) -> Path:
    return small_graph().save(tmp_path / "graph.safetensors")


@pytest.mark.parametrize("name", EXACT)
def test_a_graph_comes_back_bit_by_bit(tmp_path, name):
    graph = reference_graph(name)
    assert_same(Graph.load(graph.save(tmp_path / "graph")), graph)
    assert names(tmp_path) == ["graph"]


def test_texts_of_any_kind_come_back(tmp_path):
    metadata = {"nested": {"list": [1, 2.5, None, True, HOSTILE]}, "model_hash": "ab" * 32}
    graph = small_graph(prompt=HOSTILE, tokens=(HOSTILE, ""), metadata=metadata)
    assert_same(Graph.load(graph.save(tmp_path / "graph")), graph)


def test_a_graph_whose_tensors_share_memory_can_be_saved(tmp_path):
    graph = small_graph()
    unknown = torch.full_like(graph.target_bias, torch.nan)
    larger = torch.cat([graph.edges, graph.edges])
    graph = small_graph(edges=larger[: len(unknown)], target_bias=unknown, target_pre_activations=unknown)
    again = Graph.load(graph.save(tmp_path / "graph"))
    assert torch.equal(again.edges, graph.edges)
    assert again.target_bias.isnan().all()


def test_a_circuit_comes_back_with_its_graph(tmp_path):
    circuit = small_graph().prune(0.7, 0.9)
    path = circuit.save(tmp_path / "circuit")
    again = Circuit.load(path)
    assert torch.equal(again.node_mask, circuit.node_mask)
    assert torch.equal(again.kept_edges, circuit.kept_edges)
    assert (again.node_threshold, again.edge_threshold) == (0.7, 0.9)
    assert_same(again.graph, circuit.graph)
    assert_same(Graph.load(path), circuit.graph)


def test_a_graph_is_no_circuit(saved):
    with pytest.raises(GraphFileError, match=r"prune\(\)"):
        Circuit.load(saved)


def test_the_file_says_what_it_is(saved):
    _, text = parts(saved)
    assert text["schema"] == 1
    assert text["metadata"]["model"] == "google/gemma-3-1b-it"


def test_a_file_from_a_newer_version_says_so(saved):
    tensors, text = parts(saved)
    rewrite(saved, tensors, text | {"schema": files.SCHEMA + 1, "package": "9.1"})
    with pytest.raises(NewerSchemaError, match=r"written by version 9\.1; upgrade"):
        Graph.load(saved)


class Trap:
    def __reduce__(self):
        return os.mkdir, ("sprung",)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: torch.save(Trap(), path),
        lambda path: torch.save(Trap(), path, _use_new_zipfile_serialization=False),
        lambda path: path.write_bytes(pickle.dumps(Trap())),
    ],
    ids=["zip", "legacy", "pickle"],
)
def test_a_pickle_is_refused_unopened(tmp_path, monkeypatch, write):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "graph.pt"
    write(path)
    with pytest.raises(UnsafeFileError, match="from_neuronpedia"):
        Graph.load(path)
    assert names(tmp_path) == ["graph.pt"]


@pytest.mark.parametrize(("length", "modulus"), [(0x80, 0x100), (0x4B50, 0x10000)], ids=["pickle", "zip"])
def test_a_header_whose_length_begins_like_a_pickle_is_read(tmp_path, length, modulus):
    def save(padding: int) -> tuple[Path, int]:
        path = small_graph(metadata={"padding": "x" * padding}).save(tmp_path / "graph")
        return path, int.from_bytes(path.read_bytes()[:8], "little")

    path, found = save((length - save(0)[1]) % modulus)
    assert found % modulus == length
    assert Graph.load(path).prompt == "one two"


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (b"", "whole safetensors"),
        (b"\x00" * 64, "whole safetensors"),
        (b'{"metadata": {}, "nodes": []}', "from_neuronpedia"),
        (bytes(range(256)) * 16, "whole safetensors"),
    ],
    ids=["empty", "zeros", "json", "noise"],
)
def test_files_of_another_kind_are_refused(tmp_path, content, hint):
    path = tmp_path / "graph"
    path.write_bytes(content)
    with pytest.raises(GraphFileError, match=hint):
        Graph.load(path)


def test_tensors_of_another_program_are_refused(tmp_path):
    save_file({"weight": torch.zeros(2)}, tmp_path / "model")
    with pytest.raises(GraphFileError, match="other tensors"):
        Graph.load(tmp_path / "model")


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        Graph.load(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["edges", "bias", "pre_activations", "kind", "layer", "activation"])
def test_missing_and_misshapen_tensors_are_refused(saved, name):
    tensors, text = parts(saved)
    rewrite(saved, {key: value for key, value in tensors.items() if key != name}, text)
    with pytest.raises(GraphFileError, match="whole graph"):
        Graph.load(saved)
    rewrite(saved, tensors | {name: tensors[name][1:].clone()}, text)
    with pytest.raises(GraphFileError, match="whole graph"):
        Graph.load(saved)


@pytest.mark.parametrize("name", ["edges", "bias", "pre_activations", "activation"])
def test_numbers_that_are_none_are_refused(saved, name):
    tensors, text = parts(saved)
    tensors[name].view(-1)[0] = torch.nan
    rewrite(saved, tensors, text)
    with pytest.raises(GraphFileError, match="NaN"):
        Graph.load(saved)


@pytest.mark.parametrize(
    "change",
    [
        {"tokens": None},
        {"tokens": ["a"]},
        {"targets": [{"token": "a"}]},
        {"targets": 3},
        {"targets": [{"token": 3, "token_id": 50, "probability": 0.5}] * 2},
        {"targets": [{"token": "a", "token_id": 50, "probability": [0.5]}] * 2},
        {"token_ids": [math.inf, 2]},
        {"metadata": [1]},
        {"schema": "one"},
        {"prompt": 3},
        {"token_ids": ["a", "b"]},
    ],
    ids=str,
)
def test_a_damaged_text_is_refused(saved, change):
    tensors, text = parts(saved)
    rewrite(saved, tensors, text | change)
    with pytest.raises(GraphFileError):
        Graph.load(saved)
    rewrite(saved, tensors, {key: value for key, value in text.items() if key not in change})
    with pytest.raises(GraphFileError):
        Graph.load(saved)


@pytest.mark.parametrize("text", [None, 3, [], {}])
def test_a_text_of_another_form_is_refused(saved, text):
    tensors, _ = parts(saved)
    rewrite(saved, tensors, text)
    with pytest.raises(GraphFileError):
        Graph.load(saved)


@pytest.mark.parametrize("kept", [[[0, 999]], [[-999, 0]], [[0, 0, 0]], [[0]]], ids=str)
def test_a_circuit_whose_edges_are_nowhere_is_refused(tmp_path, kept):
    path = small_graph().prune().save(tmp_path / "circuit")
    tensors, text = parts(path)
    rewrite(path, tensors | {"kept_edges": torch.tensor(kept)}, text)
    with pytest.raises(GraphFileError):
        Circuit.load(path)


@fuzz
@given(data=st.data())
def test_a_file_cut_anywhere_is_refused(saved, data):
    content = saved.read_bytes()
    cut = saved.with_name("cut")
    cut.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(GraphFileError):
        Graph.load(cut)


@fuzz
@given(data=st.data())
def test_a_file_with_a_changed_byte_is_read_or_refused(saved, data):
    content = bytearray(saved.read_bytes())
    header = int.from_bytes(content[:8], "little")
    content[data.draw(st.integers(0, header + 7))] = data.draw(st.integers(0, 255))
    changed = saved.with_name("changed")
    changed.write_bytes(content)
    try:
        graph = Graph.load(changed)
    except GraphFileError:
        return
    assert repr(graph)
    assert graph._repr_html_()


def test_a_full_disk_leaves_the_old_file(saved):
    before = saved.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(StorageError, match="untouched"):
            small_graph(1).save(saved)
        with pytest.raises(StorageError, match="untouched"):
            small_graph(1).to_neuronpedia(saved)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert saved.read_bytes() == before
    assert names(saved.parent) == [saved.name]


def test_a_place_that_cannot_be_written_is_told(saved, tmp_path):
    with pytest.raises(StorageError, match=r"create .*nowhere first"):
        small_graph().save(tmp_path / "nowhere" / "graph")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError):
        small_graph().save(tmp_path / "folder")
    assert names(tmp_path) == ["folder", saved.name]


@pytest.mark.parametrize("value", [{1, 2}, float("nan"), object()], ids=["set", "nan", "object"])
def test_metadata_that_json_cannot_hold_is_refused(tmp_path, value):
    with pytest.raises(ArgumentError, match="metadata"):
        small_graph(metadata={"a": value}).save(tmp_path / "graph")
    assert not names(tmp_path)


KILLED = """
import os, signal, sys
from gemma_circuits.data import files
from tests.data.samples import small_graph

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def half(tensors, path, header, whole=files.save_file):
    whole(tensors, path, header)
    os.truncate(path, os.path.getsize(path) // 2)
    die()

for place, name, killer in ((files, "save_file", half), (os, "fsync", die)):
    child = os.fork()
    if not child:
        setattr(place, name, killer)
        small_graph(1).save(sys.argv[1])
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
"""


def test_a_kill_while_saving_leaves_the_old_file(saved):
    subprocess.run([sys.executable, "-c", KILLED, str(saved)], check=True, cwd=Path(__file__).parents[2])
    assert_same(Graph.load(saved), small_graph())
    assert len(names(saved.parent)) == 3  # both kills came while a temporary file was there
