"""Edges say what an intervention in mode "direct" does, on every architecture and kind of dictionary."""

import pytest
import torch
from random_models import ARCHITECTURES, KINDS, PROMPT, READS, random_transcoder, with_transcoder

from gemma_circuits import Ablate, Set, Steer, attribute, intervene

CLOSE = 1e-5
"""Share of the largest pre-activation."""
CASES = [
    (architecture, kind, READS[(index + place) % len(READS)])
    for index, architecture in enumerate(ARCHITECTURES)
    for place, kind in enumerate(KINDS)
]


@pytest.fixture(scope="module")
def traced(random_model):
    kept = {}

    def trace(architecture, kind, reads):
        if (architecture, kind, reads) not in kept:
            model = with_transcoder(random_model(architecture), random_transcoder(kind, reads))
            kept[architecture, kind, reads] = model, attribute(model, PROMPT, max_features=None, progress=False)
        return kept[architecture, kind, reads]

    return trace


def arriving(model, graph, reads, raw_logits):
    """What a pass has at every target of the graph: (targets,)."""
    found = []
    for node in graph.nodes.where(kind="feature"):
        tensors = model.transcoder.tensors(node.layer)
        found.append(reads[node.layer][node.position] @ tensors.w_enc[:, node.feature] + tensors.b_enc[node.feature])
    logits = raw_logits[-1] - raw_logits[-1].mean()
    return torch.stack([*found, *(logits[target.token_id] for target in graph.targets)])


def moved(model, graph, effect):
    before = arriving(model, graph, effect.baseline_reads, effect.baseline_raw_logits)
    return arriving(model, graph, effect.reads, effect.raw_logits) - before


def assert_moved(model, graph, effect, expected):
    deviation, pre = (moved(model, graph, effect) - expected).abs(), graph.target_pre_activations.abs()
    for group in (slice(graph.wiring.n_features), slice(graph.wiring.n_features, None)):
        assert deviation[group].max() < CLOSE * max(pre[group].max(), expected[group].abs().max())


@pytest.mark.parametrize(("architecture", "kind", "reads"), CASES)
def test_every_edge_is_what_its_source_moves(traced, architecture, kind, reads):
    model, graph = traced(architecture, kind, reads)
    generator = torch.Generator().manual_seed(3)
    sources = graph.nodes.where(kind=("feature", "error"))
    sources = sources.where(position=range(1, len(PROMPT)))
    for index in torch.randperm(len(sources), generator=generator)[:8].tolist():
        node, factor = sources[index], torch.randn((), generator=generator).item() * 2
        effect = intervene(model, PROMPT, Steer(node, factor), mode="direct")
        assert_moved(model, graph, effect, graph.edges[:, node.index] * (factor - 1))


@pytest.mark.parametrize(("architecture", "kind", "reads"), CASES[::3])
def test_many_at_once_add_up(traced, architecture, kind, reads):
    model, graph = traced(architecture, kind, reads)
    features, errors = graph.nodes.where(kind="feature")[::3], graph.nodes.where(kind="error", layer=1)[2:]
    effect = intervene(model, PROMPT, [Ablate(features), Steer(errors, 2)], mode="direct")
    expected = graph.edges[:, errors.index].sum(1) - graph.edges[:, features.index].sum(1)
    assert_moved(model, graph, effect, expected)


@pytest.mark.parametrize("architecture", ["gemma2", "gemma3_text"])
def test_any_value_moves_in_proportion(traced, architecture):
    model, graph = traced(architecture, "clt affine", "mlp_in")
    node = graph.nodes.where(kind="feature", layer=0)[5]
    effect = intervene(model, PROMPT, Set(node, 7.5), mode="direct")
    assert_moved(model, graph, effect, graph.edges[:, node.index] * (7.5 - node.activation) / node.activation)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_circuit_keeps_its_nodes_only(traced, architecture):
    model, graph = traced(architecture, "clt affine", "mlp_in")
    circuit = graph.prune(0.97, 0.99)
    effect = intervene(model, PROMPT, Ablate(circuit), mode="direct")
    sources = graph.nodes.where(kind=("feature", "error"))
    outside = sources.index[~circuit.node_mask.numpy()[sources.index]]
    assert 20 < len(outside) < len(sources) - 20
    assert_moved(model, graph, effect, -graph.edges[:, outside].sum(1))
