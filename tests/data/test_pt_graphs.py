"""circuit-tracer's `.pt` files: read without its package, and without running anything in them."""

from __future__ import annotations

import os
import sys
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch

from gemma_circuits.data import Graph, Target
from gemma_circuits.data.errors import ArgumentError, GraphFileError, UnsafeFileError
from tests.goldens import reference


class Words:
    """A tokenizer."""

    def decode(self, token_ids: list[int]) -> str:
        return "".join(f" w{i}" for i in token_ids)


@pytest.fixture
def save(tmp_path, monkeypatch):
    """Save a dictionary with the classes that circuit-tracer puts there; they are gone again when it is read."""

    def saved(kind: str, module: str, value: dict[str, Any], **config: Any):
        class LogitTarget(NamedTuple):
            token_str: str
            vocab_idx: int

        places = {"circuit_tracer.attribution.targets": LogitTarget, module: type(kind, (), {})}
        with monkeypatch.context() as context:
            for name, made in places.items():
                made.__module__, made.__qualname__ = name, made.__name__
                parts = name.split(".")
                for i in range(len(parts)):
                    context.setitem(sys.modules, ".".join(parts[: i + 1]), ModuleType(parts[i]))
                setattr(sys.modules[name], made.__name__, made)
            value = dict(value)
            value["cfg"] = places[module]()
            vars(value["cfg"]).update(config)
            if isinstance(value.get("logit_targets"), list):
                value["logit_targets"] = [LogitTarget(*target) for target in value["logit_targets"]]
            torch.save(value, tmp_path / "graph.pt")
        assert "circuit_tracer" not in sys.modules
        return tmp_path / "graph.pt"

    return saved


UNIFIED = ("UnifiedConfig", "circuit_tracer.utils.tl_nnsight_mapping")
HOOKED = ("HookedTransformerConfig", "transformer_lens.HookedTransformerConfig")
CONFIG = {
    "n_layers": 4,
    "d_model": 64,
    "model_name": "tiny",
    "tokenizer_name": "tiny/model",
    "original_architecture": "Gemma3ForCausalLM",
    "dtype": torch.bfloat16,
}


def parts(name: str = "gemma3_affine") -> dict[str, Any]:
    found = reference(name)
    ids, size = found["logit_token_ids"].tolist(), len(found["active_features"]) + 5 * len(found["input_tokens"]) + 10
    return {
        "input_string": "a prompt",
        "adjacency_matrix": found["adjacency_matrix"][:size, :size],  # beyond lies nothing
        "active_features": found["active_features"],
        "logit_targets": [(f"t{i}", i) for i in ids],
        "logit_probabilities": found["logit_probabilities"],
        "vocab_size": 300,
        "input_tokens": found["input_tokens"],
        "selected_features": found.get("selected_features", torch.arange(len(found["active_features"]))),
        "activation_values": found["activation_values"],
        "scan": "someone/transcoder",
    }


def test_a_graph_is_read_whole(save):
    value = parts()
    graph = Graph.from_circuit_tracer(save(*UNIFIED, value, **CONFIG), tokenizer=Words())
    assert torch.equal(graph.adjacency, value["adjacency_matrix"])
    features = graph.nodes.where(kind="feature")
    places = torch.tensor([[n.layer, n.position, n.feature] for n in features])
    assert torch.equal(places, value["active_features"][value["selected_features"]])
    assert torch.equal(torch.tensor(features.activation), value["activation_values"][value["selected_features"]])
    assert graph.token_ids == tuple(value["input_tokens"].tolist())
    assert graph.tokens == tuple(f" w{i}" for i in graph.token_ids)
    expected = zip(value["logit_targets"], value["logit_probabilities"].tolist())
    assert graph.targets == tuple(Target(text, i, p) for (text, i), p in expected)
    assert (graph.prompt, graph.n_layers) == ("a prompt", 4)
    assert graph.metadata == {
        "model": "tiny/model",
        "transcoder": "someone/transcoder",
        "circuit_tracer": {"scan": "someone/transcoder", "backend": None, "token_scale": 1.0},
    }
    assert graph.prune().scores().replacement > 0


def test_features_out_of_order_are_sorted_with_their_edges(save):
    value, plain = parts(), parts()
    n = len(value["selected_features"])
    mixed = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    index = torch.cat([mixed, torch.arange(n, len(value["adjacency_matrix"]))])
    value["selected_features"] = value["selected_features"][mixed]
    value["adjacency_matrix"] = value["adjacency_matrix"][index][:, index]
    graph = Graph.from_circuit_tracer(save(*UNIFIED, value, **CONFIG))
    assert torch.equal(graph.adjacency, plain["adjacency_matrix"])
    activations = plain["activation_values"][plain["selected_features"]]
    assert torch.equal(torch.tensor(graph.nodes.activation[:n]), activations)


def test_a_choice_of_features_is_looked_up_among_the_active(save):
    value = parts()
    n, size = len(value["selected_features"]), len(value["adjacency_matrix"])
    chosen = torch.arange(1, n, 2)
    index = torch.cat([chosen, torch.arange(n, size)])
    value["selected_features"] = value["selected_features"][chosen]
    value["adjacency_matrix"] = value["adjacency_matrix"][index][:, index]
    graph = Graph.from_circuit_tracer(save(*UNIFIED, value, **CONFIG))
    assert torch.tensor(graph.nodes.feature[:3]).tolist() == value["active_features"][chosen[:3], 2].tolist()
    assert graph.nodes.activation[:3].tolist() == value["activation_values"][chosen[:3]].tolist()


@pytest.mark.parametrize("targets", ["logit_targets", "logit_tokens"])
def test_older_files_are_read(save, targets):
    """Ids instead of targets, and the configuration of TransformerLens."""
    value = parts()
    del value["logit_targets"]
    value[targets] = reference("gemma3_affine")["logit_token_ids"]
    graph = Graph.from_circuit_tracer(save(*HOOKED, value, **CONFIG))
    assert [(t.token, t.token_id) for t in graph.targets] == [(f"#{i}", i) for i in value[targets].tolist()]
    assert graph.tokens[0] == f"#{graph.token_ids[0]}"


def test_token_edges_of_the_nnsight_back_end_are_corrected_on_request(save):
    value = parts()
    file = save(*UNIFIED, value, **CONFIG | {"model_name": "tiny/model"})
    with pytest.warns(UserWarning, match=r"8\.0 times too small.*backend='nnsight'"):
        plain = Graph.from_circuit_tracer(file)
    graph = Graph.from_circuit_tracer(file, backend="nnsight")
    tokens = graph.nodes.where(kind="token").index
    others = graph.nodes.index[: tokens[0]]
    assert torch.equal(graph.adjacency[:, tokens], 8 * plain.adjacency[:, tokens])
    assert torch.equal(graph.adjacency[:, others], plain.adjacency[:, others])
    assert plain.adjacency[:, tokens].any()
    assert graph.metadata["circuit_tracer"]["token_scale"] == 8.0
    same = Graph.from_circuit_tracer(file, backend="transformerlens")
    assert torch.equal(same.adjacency, plain.adjacency)


def test_embeddings_of_other_models_have_no_scale(save):
    changed = {"model_name": "tiny/model", "original_architecture": "LlamaForCausalLM"}
    file = save(*UNIFIED, parts(), **CONFIG | changed)
    assert torch.equal(Graph.from_circuit_tracer(file, backend="nnsight").adjacency, parts()["adjacency_matrix"])


def test_another_back_end_is_refused(save):
    with pytest.raises(ArgumentError, match="backend"):
        Graph.from_circuit_tracer("x.pt", backend="jax")


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("bomb",)


@pytest.mark.parametrize("content", [Bomb(), {"cfg": Bomb()}, SimpleNamespace(a=1), {"cfg": SimpleNamespace(a=Bomb())}])
def test_what_is_not_plain_is_refused_and_not_run(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    torch.save(content, tmp_path / "graph.pt")
    with pytest.raises(UnsafeFileError, match=r"create_graph_files.*from_neuronpedia"):
        Graph.from_circuit_tracer(tmp_path / "graph.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["graph.pt"]


def test_the_plain_door_refuses_and_shows_the_way(save):
    file = save(*UNIFIED, parts(), **CONFIG)
    with pytest.raises(UnsafeFileError, match="from_circuit_tracer"):
        Graph.load(file)


@pytest.mark.parametrize(
    "change",
    [
        {"adjacency_matrix": torch.zeros(3, 3)},
        {"adjacency_matrix": torch.ones_like(parts()["adjacency_matrix"])},
        {"adjacency_matrix": parts()["adjacency_matrix"] * torch.inf},
        {"active_features": torch.zeros(2)},
        {"selected_features": torch.tensor([10**6])},
        {"logit_targets": torch.tensor([1])},
        {"logit_targets": 3},
        {"logit_probabilities": None},
        {"input_tokens": "text"},
        {"input_string": None},
    ],
)
def test_damaged_graphs_are_refused(save, change):
    with pytest.raises(GraphFileError, match=r"graph\.pt"):
        Graph.from_circuit_tracer(save(*UNIFIED, parts() | change, **CONFIG))


@pytest.mark.parametrize("config", [{}, {"n_layers": "4"}, {"n_layers": 3}])
def test_damaged_configurations_are_refused(save, config):
    with pytest.raises(GraphFileError):
        Graph.from_circuit_tracer(save(*UNIFIED, parts(), **config))


@pytest.mark.parametrize("content", [b"", b"PK", b"\x80\x02K\x01.", b"text", [], {"adjacency_matrix": 1}])
def test_other_files_are_refused(tmp_path, content):
    file = tmp_path / "graph.pt"
    torch.save(content, file) if not isinstance(content, bytes) else file.write_bytes(content)
    with pytest.raises(GraphFileError):
        Graph.from_circuit_tracer(file)


def test_a_cut_file_is_refused(save):
    file = save(*UNIFIED, parts(), **CONFIG)
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(GraphFileError):
        Graph.from_circuit_tracer(file)


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        Graph.from_circuit_tracer(tmp_path / "nothing.pt")
