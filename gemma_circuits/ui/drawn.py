"""Graphs as the arrays that the page draws; a node is its index in the graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..data import Circuit, Graph
from ..data.nodes import KINDS
from ..figures.layout import untangle
from ..interventions import Effect

MAX_EDGES = 50_000
"""Edges that are sent to be drawn, strongest first; a node's others come when it is asked for them."""
CHARACTER = 0.42
"""Width of a character of a token's text, in unit cells."""


def packed(array: Any, dtype: type) -> bytes:
    """An array's bytes: they travel as they are, not as text."""
    return np.asarray(array, dtype).tobytes()


def table(graph: Graph, incoming: torch.Tensor) -> dict[str, bytes]:
    """All nodes as columns; `kind` is the index into `KINDS`, `incoming` the `shares` of the graph."""
    nodes = graph.nodes
    columns = {name: packed(getattr(nodes, name), np.int32) for name in ("layer", "position", "feature")}
    numbers = {name: packed(getattr(nodes, name), np.float32) for name in ("activation", "probability")}
    return {
        "kind": packed([KINDS.index(kind) for kind in nodes.kind.tolist()], np.int32),
        **columns,
        **numbers,
        "influence": packed(graph.influence, np.float32),
        "incoming": packed(incoming, np.float32),
    }


def shares(graph: Graph) -> torch.Tensor:
    """(nodes,) float32: the sum of |weight| into a node in the whole graph, by which its edges are divided; never 0."""
    total = graph.incoming
    return graph.on_nodes(torch.where(total > 0, total, torch.ones(())))


def moved(graph: Graph, effect: Effect) -> np.ndarray:
    """(nodes,) float32: each feature's activation minus that before, as the encoder computes both; zero for others."""
    features = graph.nodes.where(kind="feature")
    out = np.zeros(len(graph.nodes), np.float32)
    out[features.index] = [row.changed - row.baseline for row in effect.activation(features)] if len(features) else []
    return out


def drawn(circuit: Circuit, incoming: torch.Tensor) -> dict[str, Any]:
    """The nodes that are kept with their places, and the strongest edges by growing strength.

    Args:
        circuit: what to draw.
        incoming: `shares` of its graph.
    """
    graph, nodes, links = circuit.graph, circuit.nodes, circuit.links()
    widths = [1 + CHARACTER * min(len(token), 16) for token in graph.tokens[: graph.n_positions]]
    places = untangle(nodes, links, graph.n_layers, graph.n_positions, min_widths=widths)
    share = links.weight / incoming[links.target]
    order = share.abs().argsort(stable=True)[-MAX_EDGES:]
    scores = circuit.scores()
    return {
        "kept": packed(nodes.index, np.int32),
        "x": packed(places.x, np.float32),
        "y": packed(places.y, np.float32),
        "influence": packed(circuit.influence[nodes.index], np.float32),
        "source": packed(links.source[order], np.int32),
        "target": packed(links.target[order], np.int32),
        "weight": packed(links.weight[order], np.float32),
        "share": packed(share[order], np.float32),
        "columns": packed(places.columns, np.float32),
        "rows": [list(row) for row in places.rows],
        "edges": len(links.weight),
        "counts": nodes.counts,
        "scores": {"replacement": scores.replacement, "completeness": scores.completeness},
    }
