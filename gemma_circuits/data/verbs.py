"""What graphs and circuits do alike: be searched, exported and shown."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil
from torch import Tensor

from . import display
from .annotations import Annotations, Supernode
from .errors import ArgumentError, NodeError
from .nodes import Node, Nodes, Target
from .pruning import Scores

if TYPE_CHECKING:
    import networkx

    from .paths import Paths
    from .streams import Streams


class Links(NamedTuple):
    """Edges as three parallel arrays, by target, then by source."""

    source: Tensor
    """(links,) int64: index of the source among the graph's nodes."""
    target: Tensor
    """(links,) int64: index of the target."""
    weight: Tensor
    """(links,) float32: direct effect of the source, as active as it is, on the target's pre-activation."""


def square(rectangle: Tensor, n_features: int) -> Tensor:
    """(targets, sources) to (nodes, nodes): zero rows for errors and tokens, zero columns for logits.

    Raises:
        ArgumentError: it does not fit in memory.
    """
    n_targets, n_sources = rectangle.shape
    n_nodes = n_sources + n_targets - n_features
    size, free = n_nodes**2 * rectangle.element_size(), psutil.virtual_memory().available
    if size > free:
        expected, got = (f"{count / 2**30:.1f} GiB" for count in (free, size))
        remedy = "use `edges` or `links()`, which hold what is not zero"
        raise ArgumentError("square of all nodes", expected=f"at most the free {expected}", got=got, remedy=remedy)
    out = rectangle.new_zeros(n_nodes, n_nodes)
    out[:n_features, :n_sources] = rectangle[:n_features]
    out[n_sources:, :n_sources] = rectangle[n_features:]
    return out


def find_links(edges: Tensor, mask: Tensor, n_features: int) -> Links:
    """Links of the edges under a mask, both (targets, sources)."""
    target, source = mask.nonzero(as_tuple=True)
    weight = edges[target, source]
    target[target >= n_features] += edges.shape[1] - n_features
    return Links(source, target, weight)


class Verbs(ABC):
    """Base of `Graph` and `Circuit`."""

    prompt: str
    tokens: tuple[str, ...]
    targets: tuple[Target, ...]
    nodes: Nodes
    influence: Tensor
    rest: Tensor
    """(nodes of the graph,) float32: sum of |edge| of each node's input that is not stored."""
    annotations: Annotations

    @abstractmethod
    def scores(self) -> Scores:
        """Replacement and completeness score."""

    @abstractmethod
    def links(self) -> Links:
        """All edges that are not zero."""

    def node(self, layer: int, position: int, feature: int) -> Node:
        """The feature at this place.

        Raises:
            NodeError: it is not among the nodes (also a KeyError).
        """
        found = self.nodes.where(kind="feature", layer=layer, position=position, feature=feature)
        if not len(found):
            raise NodeError(
                f"node(layer={layer}, position={position}, feature={feature})",
                expected=f"a feature of this {type(self).__name__.lower()}",
                got="none there",
                remedy="list them with nodes.where(kind='feature', layer=..., position=...)",
            )
        return found[0]

    def group(self, name: str, nodes: Iterable[Any]) -> Supernode:
        """Store a supernode with the graph; one of that name is replaced, its members leave other groups.

        Args:
            name: its name; shown in drawings.
            nodes: `Nodes`, or nodes as `Annotations.update` takes them.

        Raises:
            NodeError: a node of another graph.
            ArgumentError: no nodes.
        """
        group = Supernode(name, tuple(map(self.annotations.node, nodes)))
        if not group.nodes:
            raise ArgumentError(f"group({name!r})", expected="at least one node", got="none")
        others = (other for other in self.annotations.notes.supernodes if other.name != name)
        kept = [Supernode(o.name, tuple(n for n in o.nodes if n not in group.nodes)) for o in others]
        return self.annotations.update(supernodes=[*kept, group]).supernodes[-1]

    def supernode(self, name: str) -> Supernode:
        """The supernode of this name that is stored with the graph.

        Raises:
            NodeError: there is none (also a KeyError).
        """
        groups = {group.name: group for group in self.annotations.notes.supernodes}
        if name not in groups:
            raise NodeError("supernode", expected=" or ".join(map(repr, groups)) or "a stored one", got=repr(name))
        return groups[name]

    def paths(self, source: Any = "token", target: Any = "logit", k: int = 5) -> Paths:
        """The strongest paths from some nodes to others, and what share of the influence each carries.

        A path is as strong as the product of its edges' shares of their targets' input, times the weight of its end
        (influence + w). It starts at the last source that it passes and ends at the first target, so that no influence
        counts twice: all paths from one node to the logits add up to its `influence`. Prune large graphs first.

        Args:
            source: a kind ("token", "feature", "error"), a node, nodes, a supernode or the name of a stored one.
            target: likewise; nodes that are both are targets.
            k: paths to list, 1 to 1000.

        Returns:
            paths, strongest first, and `cut`, which finds nodes that a share of the influence passes.

        Raises:
            NodeError: a node that is not here.
            ArgumentError: another k, no source besides the targets, or edges that run in a circle.

        Example:
            >>> circuit.paths(circuit.supernode("Texas"), "logit").cut(0.8).nodes  # doctest: +SKIP
        """
        from .paths import find_paths

        return find_paths(self, self._streams, source, target, k)

    @cached_property
    def _streams(self) -> Streams:
        from .streams import Streams

        return Streams(self)

    def figure(self, **options: Any) -> Any:
        """A Plotly figure; options as of `figures.draw`."""
        return display.draw(self, **options)

    def to_networkx(self) -> networkx.DiGraph:
        """Nodes by index with their fields and influence; edges from source to target with their weight."""
        import networkx

        out = networkx.DiGraph(prompt=self.prompt)
        influence = self.influence.tolist()
        for node in self.nodes:
            out.add_node(node.index, **vars(node), influence=influence[node.index])
        out.add_weighted_edges_from(zip(*(column.tolist() for column in self.links())))
        return out

    def to_neuronpedia(self, path: str | PathLike[str] | None = None, **options: Any) -> dict[str, Any]:
        """The graph as Neuronpedia's JSON, written to `path` if given; options as of `neuronpedia.export`.

        Every edge becomes a link: prune large graphs first.
        """
        from . import neuronpedia

        return neuronpedia.export(self, path, **options)

    def _size(self) -> str:
        return self.nodes.counts

    def __repr__(self) -> str:
        targets = ", ".join(f"{display.shorten(t.token, 20)} {t.probability:.3f}" for t in self.targets)
        return f"{type(self).__name__} of {display.shorten(self.prompt)}: {self._size()}\n  targets: {targets}"

    def _repr_html_(self) -> str:
        scores = self.scores()
        features = self.nodes.where(kind="feature")
        order = self.influence[features.index].argsort(descending=True)[:10].tolist()
        top = [
            [
                str(node.layer),
                str(node.position),
                display.shorten(self.tokens[node.position], 20),
                str(node.feature),
                f"{node.activation:.3g}",
                f"{self.influence[node.index]:.3f}",
            ]
            for node in (features[i] for i in order)
        ]
        return display.page(
            f"{type(self).__name__}: {self._size()}",
            self.prompt,
            {
                "Targets": display.html_table(
                    ["token", "probability"],
                    [[display.shorten(t.token, 20), f"{t.probability:.3f}"] for t in self.targets],
                ),
                "Scores": display.html_table(
                    ["score", "value"],
                    [
                        ["replacement", f"{scores.replacement:.3f}"],
                        ["completeness", f"{scores.completeness:.3f}"],
                    ],
                ),
                "Top features by influence": display.html_table(
                    ["layer", "position", "token", "feature", "activation", "influence"], top
                ),
            },
        )

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return display.mimebundle(self)
