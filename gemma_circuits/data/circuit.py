"""What is left of a graph after pruning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import pruning
from .annotations import Annotations
from .errors import ArgumentError
from .graph import Graph
from .nodes import Nodes, Target
from .pruning import Scores, Wiring
from .verbs import Links, Verbs, find_links, square


@dataclass(frozen=True, eq=False, repr=False)
class Circuit(Verbs):
    """The nodes and edges of a graph that carry most of the influence on its targets.

    Nodes keep the index that they have in the graph. Influence and scores are those of the pruned graph:
    edges outside the mask count as zero.

    Raises:
        ArgumentError: masks whose shape is not the graph's, or edges kept at nodes that are not.
    """

    graph: Graph
    """The graph that was pruned."""
    node_mask: Tensor
    """(nodes,) bool: nodes kept; all tokens and logits are."""
    kept_edges: Tensor
    """(targets, sources) bool: edges kept, as `graph.edges` lies."""
    node_threshold: float | None = None
    """Share of the nodes' influence that `prune` was asked to keep."""
    edge_threshold: float | None = None
    """Share of the edge scores."""

    def __post_init__(self) -> None:
        for part, mask, shape in (
            ("node_mask", self.node_mask, (len(self.graph.nodes),)),
            ("kept_edges", self.kept_edges, tuple(self.graph.edges.shape)),
        ):
            if mask.dtype != torch.bool or tuple(mask.shape) != shape:
                raise ArgumentError(
                    f"circuit, {part}", expected=f"bool {shape}", got=f"{mask.dtype} {tuple(mask.shape)}"
                )
        if bool(self.kept_edges[~self._targets].any()) or bool(self.kept_edges[:, ~self._sources].any()):
            raise ArgumentError("circuit, kept_edges", expected="edges between kept nodes only")

    @property
    def _sources(self) -> Tensor:
        return self.node_mask[: self.graph.edges.shape[1]]

    @property
    def _targets(self) -> Tensor:
        n_features, n_sources = self.graph.wiring.n_features, self.graph.edges.shape[1]
        return torch.cat([self.node_mask[:n_features], self.node_mask[n_sources:]])

    @property
    def prompt(self) -> str:
        """The text that was traced."""
        return self.graph.prompt

    @property
    def tokens(self) -> tuple[str, ...]:
        """Tokens as text."""
        return self.graph.tokens

    @property
    def token_ids(self) -> tuple[int, ...]:
        """Vocabulary indices of `tokens`."""
        return self.graph.token_ids

    @property
    def targets(self) -> tuple[Target, ...]:
        """What the graph explains."""
        return self.graph.targets

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The graph's."""
        return self.graph.metadata

    @property
    def annotations(self) -> Annotations:
        """The graph's."""
        return self.graph.annotations

    @cached_property
    def nodes(self) -> Nodes:
        """The nodes kept, with the index that they have in the graph."""
        return self.graph.nodes[self.node_mask]

    @property
    def edge_mask(self) -> Tensor:
        """(nodes, nodes) bool, made anew: edges kept, row = target, column = source."""
        return square(self.kept_edges, self.graph.wiring.n_features)

    @property
    def adjacency(self) -> Tensor:
        """(nodes, nodes) float32, made anew: the graph's, zero outside `edge_mask`."""
        return square(self.graph.edges * self.kept_edges, self.graph.wiring.n_features)

    @property
    def wiring(self) -> Wiring:
        """Kept edges between kept nodes: smaller than the graph's."""
        whole, targets, sources = self.graph.wiring, self._targets, self._sources
        return Wiring(
            self.graph.edges[targets][:, sources] * self.kept_edges[targets][:, sources],
            whole.layers[sources[: whole.n_features]],
            int(sources[whole.n_features : whole.n_hidden].sum()),
            whole.weights,
        )

    @property
    def rest(self) -> Tensor:
        """(nodes of the graph,) zero: only kept edges count."""
        return torch.zeros(len(self.node_mask), dtype=torch.float32)

    @cached_property
    def influence(self) -> Tensor:
        """(nodes,) float32, nodes of the graph: influence in the pruned graph, zero for what was dropped."""
        out = torch.zeros(len(self.node_mask), dtype=torch.float32)
        out[: len(self._sources)][self._sources] = self._reach.float()
        return out

    @cached_property
    def _reach(self) -> Tensor:
        return pruning.influence(self.wiring)

    def scores(self) -> Scores:
        """Replacement and completeness score of the pruned graph."""
        return self._scores

    @cached_property
    def _scores(self) -> Scores:
        return pruning.scores(self.wiring, self._reach)

    def check(self) -> float:
        """The identity of the graph that was pruned: see `Graph.check`."""
        return self.graph.check()

    def prune(self, node_threshold: float = 0.8, edge_threshold: float = 0.98) -> Circuit:
        """Prune further, by the influence within this circuit; arguments as `Graph.prune`."""
        sources, edges = pruning.prune(self.wiring, self._reach, node_threshold, edge_threshold)
        node_mask, kept_edges = self.node_mask.clone(), torch.zeros_like(self.kept_edges)
        node_mask[: len(self._sources)][self._sources] = sources
        kept_edges[self._targets.nonzero(), self._sources.nonzero().T] = edges
        return Circuit(self.graph, node_mask, kept_edges, node_threshold, edge_threshold)

    def links(self) -> Links:
        """Kept edges that are not zero."""
        return find_links(self.graph.edges, self.kept_edges & (self.graph.edges != 0), self.graph.wiring.n_features)

    def save(self, path: str | PathLike[str]) -> Path:
        """Write graph and masks to one file; as `Graph.save`."""
        from . import files

        return files.save(path, self)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Circuit:
        """Read a saved circuit; errors as `Graph.load`, `GraphFileError` also for a graph without masks."""
        from . import files

        return files.load_circuit(path)
