"""The edges of a graph in an order in which influence can run along them, once, in either direction."""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from .errors import ArgumentError
from .nodes import Node

if TYPE_CHECKING:
    from .verbs import Verbs


class Streams:
    """Edges as shares of their target's input. Places are local to the nodes shown.

    Raises:
        ArgumentError: edges that run in a circle (a graph from elsewhere).
    """

    def __init__(self, shown: Verbs) -> None:
        self.nodes = nodes = shown.nodes
        links = shown.links()
        source, target = (np.searchsorted(nodes.index, ends.numpy()) for ends in links[:2])
        weight = links.weight.double().numpy()
        level = _levels(source, target, len(nodes))
        order = np.argsort(level[target], kind="stable")
        self.source, self.target = source[order], target[order]
        total = np.bincount(target, np.abs(weight), len(nodes)) + shown.rest.numpy()[nodes.index]
        self.share = (weight / total[target])[order]
        stops = np.searchsorted(level[self.target], np.arange(1, level.max(initial=0) + 2))
        self.steps = [slice(start, stop) for start, stop in pairwise(stops.tolist())]
        self.weight = weights(shown)

    @cached_property
    def places(self) -> dict[Node, int]:
        """Where each node stands among the nodes shown."""
        return {node: place for place, node in enumerate(self.nodes)}

    def up(self, start: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """(nodes,): what reaches each from `start` along all paths."""
        out = start.copy()
        for step in self.steps:
            np.add.at(out, self.target[step], shares[step] * out[self.source[step]])
        return out

    def down(self, start: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """(nodes,): what each sends to `start` along all paths."""
        out = start.copy()
        for step in self.steps[::-1]:
            np.add.at(out, self.source[step], shares[step] * out[self.target[step]])
        return out

    def best(self, start: np.ndarray, shares: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of the k strongest paths from `start` to each node: strength, last edge (-1: none), rank at its source.

        Returns:
            three (nodes, k) arrays.
        """
        value = np.zeros((len(start), k))
        edge, rank = np.full(value.shape, -1), np.zeros(value.shape, int)
        value[:, 0] = start
        for step in self.steps:
            strength = shares[step, None] * value[self.source[step]]
            which, nth = strength.nonzero()
            strength = strength[which, nth]
            ends = self.target[step][which]
            order = np.lexsort((-strength, ends))
            ends = ends[order]
            place = np.arange(len(ends)) - np.searchsorted(ends, ends)
            kept = place < k
            order, at = order[kept], (ends[kept], place[kept])
            value[at], edge[at], rank[at] = strength[order], which[order] + step.start, nth[order]
        return value, edge, rank


def weights(shown: Verbs) -> np.ndarray:
    """(nodes,) float64, of those shown: influence, of logits the probability (`influence + w`)."""
    return shown.influence.double().numpy()[shown.nodes.index] + np.nan_to_num(shown.nodes.probability)


def _levels(source: np.ndarray, target: np.ndarray, n_nodes: int) -> np.ndarray:
    """(nodes,): edges of the longest path to each node."""
    level = np.zeros(n_nodes, int)
    for _ in range(n_nodes + 1):
        higher = np.zeros(n_nodes, int)
        np.maximum.at(higher, target, level[source] + 1)
        if (higher == level).all():
            return level
        level = higher
    raise ArgumentError("edges", expected="a graph without circles", got="edges that run in a circle")
