"""Which features to expand next: influence on the targets while only some rows are known."""

from __future__ import annotations

import torch
from torch import Tensor


class Ranking:
    """Influence of every source through the rows known so far.

    The same series as `data.pruning.influence`, kept ready for being asked again and again: rows are normalised once,
    when they come.

    Args:
        edges: (targets, columns): rows of the targets.
        weights: (targets,): their probabilities.
        n_layers: the model's layers.
    """

    def __init__(self, edges: Tensor, weights: Tensor, n_layers: int) -> None:
        self._direct = weights @ _shares(edges)
        self._known: list[list[tuple[Tensor, Tensor]]] = [[] for _ in range(n_layers)]

    def add(self, layers: list[int], columns: Tensor, edges: Tensor) -> None:
        """Take in rows of features, ordered by layer: their layers, columns (rows,) and edges (rows, columns)."""
        shares, start = _shares(edges), 0
        while start < len(layers):
            stop = start + layers[start:].count(layers[start])
            self._known[layers[start]].append((columns[start:stop].to(edges.device), shares[start:stop]))
            start = stop

    def influence(self) -> Tensor:
        """(columns,) float32."""
        reach = self._direct.clone()
        for known in reversed(self._known):  # features of a layer have edges from lower layers only
            for columns, shares in known:
                reach += reach[columns] @ shares
        return reach


def _shares(edges: Tensor) -> Tensor:
    shares = edges.abs()
    return shares / shares.sum(1, keepdim=True).clamp_min_(torch.finfo(shares.dtype).tiny)
