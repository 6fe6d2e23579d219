"""Edges and biases against Hugging Face's own forward pass with attention patterns and norm denominators frozen."""

import pytest
import torch
from frozen import FrozenSources
from random_models import ARCHITECTURES, KINDS, PROMPT, READS, random_transcoder, with_transcoder

from gemma_circuits import attribute

CLOSE = 1e-5
"""Share of the largest pre-activation."""

every_model_and_dictionary = pytest.mark.parametrize(
    ("architecture", "kind", "reads"),
    [(architecture, kind, reads) for architecture in ARCHITECTURES for kind in KINDS for reads in READS],
)


@pytest.fixture(scope="module")
def traced(random_model):
    """The model, its graph of all active features, and the graph's sources in the frozen forward pass."""
    kept = {}

    def trace(architecture, kind, reads):
        if (architecture, kind, reads) not in kept:
            model = with_transcoder(random_model(architecture), random_transcoder(kind, reads))
            graph = attribute(model, PROMPT, max_features=None, progress=False)
            kept[architecture, kind, reads] = model, graph, FrozenSources(model, graph)
        return kept[architecture, kind, reads]

    return trace


def assert_close(found, expected, graph, tolerance=CLOSE):
    assert found.shape == expected.shape
    deviation = (found - expected).abs().view(-1, len(graph.edges)).amax(0)
    features = graph.wiring.n_features
    pre = graph.target_pre_activations.abs()
    for group in (slice(features), slice(features, None)):
        assert deviation[group].max() < tolerance * pre[group].max()


@every_model_and_dictionary
def test_identity(traced, architecture, kind, reads):
    _, graph, _ = traced(architecture, kind, reads)
    assert graph.wiring.n_features > 100
    assert graph.check() < 1e-5


@every_model_and_dictionary
def test_removing_a_source_moves_every_target_by_its_edge(traced, architecture, kind, reads):
    _, graph, sources = traced(architecture, kind, reads)
    n_sources = graph.edges.shape[1]
    everything = torch.ones(1, n_sources)
    moved = sources.arriving(everything) - sources.arriving(1 - torch.eye(n_sources))
    assert_close(moved, graph.edges.T, graph)


@every_model_and_dictionary
def test_bias_is_what_arrives_with_every_source_off(traced, architecture, kind, reads):
    _, graph, sources = traced(architecture, kind, reads)
    n_sources = graph.edges.shape[1]
    assert graph.target_bias.abs().max() > 0.01 * graph.target_pre_activations.abs().max()
    assert_close(sources.arriving(torch.zeros(1, n_sources))[0], graph.target_bias, graph)
    assert_close(sources.arriving(torch.eye(n_sources)), graph.edges.T + graph.target_bias, graph)


@every_model_and_dictionary
def test_pre_activations_are_what_arrives_with_every_source_on(traced, architecture, kind, reads):
    _, graph, sources = traced(architecture, kind, reads)
    n_sources = graph.edges.shape[1]
    assert_close(sources.arriving(torch.ones(1, n_sources))[0], graph.target_pre_activations, graph)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_features_left_out_go_to_the_bias(traced, architecture):
    model, whole, sources = traced(architecture, "clt affine", "mlp_in")
    graph = attribute(model, PROMPT, max_features=40, progress=False)
    kept = [whole.node(n.layer, n.position, n.feature).index for n in graph.nodes.where(kind="feature")]
    assert len(kept) == 40
    left_out = torch.ones(1, whole.edges.shape[1])
    left_out[:, whole.wiring.n_features :] = 0
    left_out[:, kept] = 0
    rows = [*kept, *range(whole.wiring.n_features, len(whole.edges))]
    assert_close(sources.arriving(left_out)[0, rows], graph.target_bias, graph)
    assert graph.check() < 1e-5


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_rows_of_errors_and_tokens_are_zero(traced, architecture):
    _, graph, _ = traced(architecture, "transcoder", "resid_mid")
    empty = torch.from_numpy((graph.nodes.kind == "error") | (graph.nodes.kind == "token"))
    assert not graph.adjacency[empty].any()
    assert not graph.bias[empty].any()
    assert not graph.pre_activations[empty].any()
    logits = torch.from_numpy(graph.nodes.kind == "logit")
    assert not graph.adjacency[:, logits].any()
