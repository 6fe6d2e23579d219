"""Which features to expand next: influence on the targets while only some rows are known."""

from __future__ import annotations

from itertools import groupby

from torch import Tensor

from .expanded import Expanded


class Ranking:
    """Influence of every feature through the rows known so far.

    The same series as `data.pruning.influence`.

    Args:
        targets: rows of the targets.
        weights: (targets,): their probabilities.
        n_features: those that fire.
        n_layers: the model's layers.
    """

    def __init__(self, targets: Expanded, weights: Tensor, n_features: int, n_layers: int) -> None:
        self._direct = weights.new_zeros(n_features)
        targets.add_influence(self._direct, weights, 0, len(weights))
        self._known: list[list[tuple[Expanded, Tensor, int]]] = [[] for _ in range(n_layers)]

    def add(self, rows: Expanded) -> None:
        """Take in rows of features."""
        start, places = 0, rows.features.to(self._direct.device)
        for layer, group in groupby(rows.layers):
            stop = start + len(list(group))
            self._known[layer].append((rows, places[start:stop], start))
            start = stop

    def influence(self) -> Tensor:
        """(features,) float32."""
        reach = self._direct.clone()
        for known in reversed(self._known):  # features of a layer have edges from lower layers only
            for rows, places, start in known:
                rows.add_influence(reach, reach[places], start, start + len(places))
        return reach
