"""What a graph says of chosen features: their effect on all others and on the logits, summed over every path."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ...data import Graph
from ...data.pruning import incoming


class Paths(NamedTuple):
    """Sums over the paths from chosen features (columns), the direct edge among them."""

    features: Tensor
    """(features, chosen) float64: on every feature of the graph."""
    logits: Tensor
    """(targets, chosen) float64: on every logit."""


def effects(graph: Graph, chosen: Tensor) -> Paths:
    """Signed effects in the local replacement model made linear: what goes away when a feature does.

    A feature answers to its input with slope 1, as long as it stays active; attention patterns, norm denominators and
    errors stay as they are. Effects on features are shares of their activations, those on logits are in logits: with
    `a` the activations, `(I - diag(1/a) A)^-1` has them, less the identity.

    Args:
        graph: whose edges run from lower to higher layers.
        chosen: (n,) int64: indices of features.
    """
    activations = torch.from_numpy(graph.nodes.activation[: graph.wiring.n_features]).double()
    return _summed(graph, graph.edges, torch.cat([1 / activations, activations.new_ones(len(graph.targets))]), chosen)


def influences(graph: Graph, chosen: Tensor) -> Paths:
    """Unsigned influences, as `Graph.influence` sums them: |edges| as shares of all that a target receives.

    Args:
        graph: whose edges run from lower to higher layers.
        chosen: (n,) int64: indices of features.
    """
    received = incoming(graph.wiring)
    return _summed(graph, graph.edges.abs(), torch.where(received > 0, 1 / received, 0.0), chosen)


def _summed(graph: Graph, edges: Tensor, scales: Tensor, chosen: Tensor) -> Paths:
    """`M (I - M)^-1` of chosen columns, `M` being the edges with each row times its scale."""
    n_features = graph.wiring.n_features
    out = torch.zeros(n_features, len(chosen), dtype=torch.float64)
    out[chosen, torch.arange(len(chosen))] = 1

    def received(rows: slice, below: int) -> Tensor:
        return (edges[rows, :below].double() * scales[rows, None]) @ out[:below]

    start = 0
    for size in torch.unique_consecutive(graph.wiring.layers, return_counts=True)[1].tolist():
        block = slice(start, start + size)
        out[block] += received(block, start)  # features receive from lower layers only
        start += size
    logits = received(slice(n_features, None), n_features)
    out[chosen, torch.arange(len(chosen))] -= 1
    return Paths(out, logits)
