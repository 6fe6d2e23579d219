"""Graphs against reference results; `tests/golden/README.md` says where they come from."""

import numpy as np
import pytest
import torch
from goldens import GOLDEN, arguments, reference

from gemma_circuits import attribute, load

EXACT = {
    "gemma2": "width_96_l0_medium",
    "gemma2_affine": "width_96_l0_medium_affine",
    "gemma3_affine": "width_96_l0_medium_affine",
}
TINY = ("clt_hook_resid_mid", "clt_mlp_hook_in", "plt_hook_resid_mid", "plt_mlp_hook_in")
CLOSE = 1e-5
"""Share of the largest entry."""


def assert_close(found, expected):
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < CLOSE * expected.abs().max()


@pytest.fixture(scope="module", params=EXACT)
def exact(request):
    folder = GOLDEN / request.param
    model = load(folder / "model", folder / "clt" / EXACT[request.param])
    expected = reference(request.param)
    return attribute(model, expected["input_tokens"], max_features=None, progress=False), expected


@pytest.fixture(scope="module", params=TINY)
def tiny(request):
    """A whole graph of circuit-tracer's, of which the adjacency keeps some rows."""
    name = f"{request.param}_p1_all"
    expected, settings = reference(name), arguments(name)
    model = load(GOLDEN / "tiny/model", GOLDEN / "tiny" / request.param)
    given = settings["attribute_args"]
    graph = attribute(
        model,
        settings["prompt_tokens"],
        max_logits=given["max_n_logits"],
        logit_mass=given["desired_logit_prob"],
        batch_size=given["batch_size"],
        max_features=None,
        progress=False,
    )
    return graph, expected, settings


def places(graph):
    nodes = graph.nodes.where(kind="feature")
    return torch.from_numpy(np.stack([nodes.layer, nodes.position, nodes.feature], 1))


def assert_same_nodes(graph, expected):
    features = graph.nodes.where(kind="feature")
    assert torch.equal(places(graph), expected["active_features"])
    assert_close(torch.from_numpy(features.activation), expected["activation_values"])
    assert graph.token_ids == tuple(expected["input_tokens"].tolist())
    assert [target.token_id for target in graph.targets] == expected["logit_token_ids"].tolist()
    assert_close(torch.tensor([target.probability for target in graph.targets]), expected["logit_probabilities"])


def test_nodes_against_autograd(exact):
    assert_same_nodes(*exact)


def test_edges_bias_and_pre_activations_against_autograd(exact):
    graph, expected = exact
    n = len(graph.nodes)  # the reference is padded by a row and a column of zeros
    assert not expected["adjacency_matrix"][n:].any()
    assert_close(graph.adjacency, expected["adjacency_matrix"][:n, :n])
    assert_close(graph.bias, expected["bias"][:n])
    assert_close(graph.pre_activations, expected["pre_activations"][:n])


def test_nodes_against_circuit_tracer(tiny):
    graph, expected, _ = tiny
    assert_same_nodes(graph, expected)


def test_edges_against_circuit_tracer(tiny):
    graph, expected, _ = tiny
    assert_close(graph.adjacency[expected["adjacency_rows"]], expected["adjacency_matrix"])


def test_influence_and_scores_against_circuit_tracer(tiny):
    graph, expected, settings = tiny
    assert_close(graph.influence, expected["node_influence"])
    assert graph.scores().replacement == pytest.approx(settings["replacement_score"], rel=CLOSE)
    assert graph.scores().completeness == pytest.approx(settings["completeness_score"], rel=CLOSE)


def test_pruning_against_circuit_tracer(tiny):
    graph, expected, settings = tiny
    circuit = graph.prune(settings["node_threshold"], settings["edge_threshold"])
    assert torch.equal(circuit.node_mask, expected["prune_node_mask"])
    assert torch.equal(circuit.edge_mask, expected["prune_edge_mask"])


@pytest.mark.parametrize("name", ["clt_hook_resid_mid", "clt_mlp_hook_in"])
def test_strongest_features_against_circuit_tracer(name):
    """Which features are kept depends a little on how often they are ranked anew; edges do not."""
    expected, settings = reference(f"{name}_p0_max200"), arguments(f"{name}_p0_max200")
    model = load(GOLDEN / "tiny/model", GOLDEN / "tiny" / name)
    graph = attribute(model, settings["prompt_tokens"], max_features=200, progress=False)
    theirs = [tuple(row) for row in expected["active_features"][expected["selected_features"]].tolist()]
    ours = [tuple(row) for row in places(graph).tolist()]
    assert graph.metadata["active_features"] == settings["n_active"]
    shared = sorted(set(ours) & set(theirs))
    assert len(ours) == 200
    assert len(shared) >= 180
    others = range(200, len(graph.nodes))  # errors, tokens and logits: the same in both
    mine = torch.tensor([*map(ours.index, shared), *others])
    yours = torch.tensor([*map(theirs.index, shared), *others])
    assert_close(graph.adjacency[mine][:, mine], expected["adjacency_matrix"][yours][:, yours])
