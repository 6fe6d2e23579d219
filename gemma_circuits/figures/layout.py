"""Where the nodes of a circuit graph lie: token columns by layer rows, for every drawing of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..data import Links, Nodes
from ..data.errors import ArgumentError

SWEEPS = 2
"""Rounds of moving nodes towards their neighbours; more leave as many edges crossing."""


@dataclass(frozen=True, eq=False)
class Layout:
    """Places in unit cells: two nodes of one row are at least 1 apart, layers are 1 apart."""

    x: np.ndarray
    """(nodes,) float32: from 0, the left edge of the first column."""
    y: np.ndarray
    """(nodes,) float32: the layer; -1 for tokens, the number of layers for logits."""
    columns: np.ndarray
    """(positions + 1,) float32: edges of the token columns, ascending from 0."""
    rows: tuple[tuple[str, int], ...]
    """Name and y of every row from bottom to top: "token", "L0" to the last layer, "logit"."""


def layout(
    nodes: Nodes,
    n_layers: int,
    n_positions: int,
    *,
    order: np.ndarray | None = None,
    min_widths: float | Sequence[float] | np.ndarray = 1.0,
) -> Layout:
    """Spread the nodes over token columns (x) and layers (y).

    A column is as wide as its fullest row; the nodes of a (layer, position) cell divide it evenly, errors last.

    Args:
        nodes: of a graph or a circuit, in any order.
        n_layers: the model's layers.
        n_positions: columns; those without nodes count.
        order: (nodes,) numbers by which the nodes of a cell go from left to right, as of `untangle`; None for the
            order that they have.
        min_widths: least width of every column, or of each: what its token's text needs.

    Raises:
        ArgumentError: nodes outside the rows and columns, or numbers of another length.

    Example:
        >>> layout(graph.nodes, graph.n_layers, graph.n_positions).columns  # doctest: +SKIP
    """
    for name, values, low, high in (
        ("layer", nodes.layer, -1, n_layers),
        ("position", nodes.position, 0, n_positions - 1),
    ):
        if len(values) and (values.min() < low or values.max() > high):
            raise ArgumentError(f"layout, {name}", expected=f"{low} to {high}", got=f"{values.min()} to {values.max()}")
    order = np.zeros(len(nodes)) if order is None else order
    min_widths = np.broadcast_to(min_widths, n_positions) if np.isscalar(min_widths) else np.asarray(min_widths)
    for name, values, size in (("order", order, len(nodes)), ("min_widths", min_widths, n_positions)):
        if values.shape != (size,):
            raise ArgumentError(f"layout, {name}", expected=f"shape {(size,)}", got=str(values.shape))

    cell = (nodes.layer + 1) * n_positions + nodes.position
    sizes = np.bincount(cell, minlength=(n_layers + 2) * n_positions)
    widths = np.maximum(sizes.reshape(-1, n_positions).max(0), min_widths)
    columns = np.concatenate([[0.0], np.cumsum(widths)])

    sorted_nodes = np.lexsort((order, nodes.kind == "error", cell))
    rank = np.empty(len(nodes))
    rank[sorted_nodes] = np.arange(len(nodes)) - (np.cumsum(sizes) - sizes)[cell[sorted_nodes]]
    x = columns[nodes.position] + (rank + 0.5) / sizes[cell] * widths[nodes.position]
    names = ("token", *(f"L{layer}" for layer in range(n_layers)), "logit")
    return Layout(
        x.astype(np.float32),
        nodes.layer.astype(np.float32),
        columns.astype(np.float32),
        tuple(zip(names, range(-1, n_layers + 1))),
    )


def untangle(
    nodes: Nodes,
    links: Links,
    n_layers: int,
    n_positions: int,
    *,
    min_widths: float | Sequence[float] | np.ndarray = 1.0,
) -> Layout:
    """The layout in which nodes lie near what they are wired to, so that few edges cross.

    Every node moves, within its cell, towards the mean place of its neighbours weighted by |weight|, a few times over
    (the barycentre heuristic of Sugiyama, Tagawa and Toda 1981, on all rows at once). Logits keep their order. The same
    graph always gives the same layout.

    Args:
        nodes: of a graph or a circuit.
        links: its edges, by `nodes.index`; those with an end that is not among `nodes` are left out.
        n_layers: as `layout`.
        n_positions: as `layout`.
        min_widths: as `layout`.

    Raises:
        ArgumentError: as `layout`.
    """
    found = layout(nodes, n_layers, n_positions, min_widths=min_widths)
    place = np.full(1 + max(int(ends.max(initial=-1)) for ends in (nodes.index, *map(np.asarray, links[:2]))), -1)
    place[nodes.index] = np.arange(len(nodes))
    source, target = (place[np.asarray(ends)] for ends in links[:2])
    known = (source >= 0) & (target >= 0)
    source, target, pull = source[known], target[known], np.abs(np.asarray(links.weight)[known])
    ends, others, pulls = np.r_[source, target], np.r_[target, source], np.r_[pull, pull]
    total = np.bincount(ends, pulls, len(nodes))
    stays = (total == 0) | (nodes.kind == "logit")
    for _ in range(SWEEPS):
        pulled = np.bincount(ends, pulls * found.x[others], len(nodes)) / np.where(total == 0, 1, total)
        order = np.where(stays, found.x, pulled)
        found = layout(nodes, n_layers, n_positions, order=order, min_widths=min_widths)
    return found
