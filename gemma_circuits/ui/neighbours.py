"""A node's edges, and the edges among some nodes, from the whole graph rather than from what is drawn of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..data import Graph, Links


class Neighbours(NamedTuple):
    """The strongest edges on one side of a node, falling by |share|."""

    nodes: list[int]
    """Index of each node at the other end."""
    weights: list[float]
    """Direct effect on the target's pre-activation, signed."""
    shares: list[float]
    """Weight over the sum of |weight| into the target, in the whole graph; signed."""
    count: int
    """Edges on this side that are not zero, also those that are not listed."""


def neighbours(graph: Graph, incoming: Tensor, node: int, count: int = 50) -> tuple[Neighbours, Neighbours]:
    """The strongest inputs and the strongest outputs of a node.

    Args:
        graph: the whole graph.
        incoming: `drawn.shares` of it.
        node: index.
        count: at most this many on either side.
    """
    n_features, n_sources = graph.wiring.n_features, graph.edges.shape[1]
    row = node if node < n_features else node - n_sources + n_features if node >= n_sources else None
    targets = torch.cat([torch.arange(n_features), torch.arange(n_sources, len(graph.nodes))])
    inputs = graph.edges[row] if row is not None else torch.zeros(n_sources)
    outputs = graph.edges[:, node] if node < n_sources else torch.zeros(len(targets))
    return (
        _strongest(torch.arange(n_sources), inputs, inputs / incoming[node], count),
        _strongest(targets, outputs, outputs / incoming[targets], count),
    )


def among(graph: Graph, nodes: Sequence[int]) -> Links:
    """All edges of the whole graph that run between these nodes.

    Args:
        graph: the whole graph.
        nodes: indices, each once.
    """
    n_features, n_sources = graph.wiring.n_features, graph.edges.shape[1]
    index = torch.tensor(sorted(nodes), dtype=torch.int64)
    sources, targets = index[index < n_sources], index[(index < n_features) | (index >= n_sources)]
    rows = torch.where(targets < n_features, targets, targets - n_sources + n_features)
    weight = graph.edges[rows][:, sources]
    target, source = weight.nonzero(as_tuple=True)
    return Links(sources[source], targets[target], weight[target, source])


def _strongest(nodes: Tensor, weight: Tensor, share: Tensor, count: int) -> Neighbours:
    found = int(weight.count_nonzero())
    best = share.abs().topk(min(count, found)).indices
    return Neighbours(nodes[best].tolist(), weight[best].tolist(), share[best].tolist(), found)
