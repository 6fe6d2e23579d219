"""Which ways influence takes: the strongest paths between nodes, and the nodes that most of it passes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import display
from .annotations import Supernode
from .errors import ArgumentError, NodeError
from .nodes import KINDS, Node, Nodes
from .streams import Streams
from .verbs import Verbs

MOST = 1000
"""Paths to list at most."""


@dataclass(frozen=True)
class Path:
    """One way from a source to a target, edge by edge."""

    nodes: tuple[Node, ...]
    """From source to target."""
    shares: tuple[float, ...]
    """Of each edge: its share of its target's input, `weight / sum |incoming|`; negative where it inhibits."""
    influence: float
    """Product of the |shares| times the target's own weight in the outputs (influence + w)."""
    share: float
    """Of all influence that runs from the sources to the targets."""

    @property
    def sign(self) -> int:
        """1 where the source raises the target along this path, -1 where it lowers it."""
        return int(np.prod(np.sign(self.shares)))

    def __repr__(self) -> str:
        return f"Path({self.share:.1%}: {' → '.join(map(repr, self.nodes))})"


@dataclass(frozen=True, eq=False, repr=False)
class Cut:
    """Nodes without which a share of the influence does not arrive."""

    nodes: Nodes
    """In the order found: each is passed by most of what the ones before it leave."""
    share: float
    """Of all influence from the sources to the targets: what passes these nodes."""
    fewest: int
    """No set of fewer nodes than this cuts the share that was asked for; equal to the number of nodes where these
    are proven to be the fewest."""

    def __repr__(self) -> str:
        proof = "no fewer do" if self.fewest == len(self.nodes) else f"at least {self.fewest} are needed"
        return (
            f"Cut of {self.share:.1%} by {len(self.nodes)} node{'s' * (len(self.nodes) != 1)} ({proof})\n{self.nodes!r}"
        )

    def _repr_html_(self) -> str:
        return display.page(repr(self).partition("\n")[0], "", {"Nodes": self.nodes._repr_html_()})


@dataclass(frozen=True, eq=False, repr=False)
class Paths:
    """The strongest paths between two sets of nodes, strongest first; no path passes a node of either on its way.

    Example:
        >>> graph.paths("token", "logit", k=3)[0].nodes  # doctest: +SKIP
    """

    prompt: str
    sources: Nodes
    targets: Nodes
    influence: float
    """What all paths carry together: the sum of `Path.influence` over every path, not only those listed."""
    paths: tuple[Path, ...]
    labels: Mapping[Node, str]
    """What people call nodes; used where a path is shown."""
    between: Between
    """All of the paths, as `cut` needs them."""

    def cut(self, share: float = 0.5) -> Cut:
        """Few nodes that this share of the influence passes: take them out, and it is gone.

        The fewest would take exponential time. Nodes are taken one by one, each the one that most of what is left
        passes, and dropped again where the others suffice; `Cut.fewest` bounds how many fewer could do.

        Args:
            share: above 0 to 1.

        Raises:
            ArgumentError: a share outside that range, or more than passes any node: direct edges cannot be cut.
        """
        return self.between.cut(share)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, item: int) -> Path:
        return self.paths[item]

    def __iter__(self) -> Iterator[Path]:
        return iter(self.paths)

    def __repr__(self) -> str:
        return f"{self._title()}\n{display.text_table(*self._table())}"

    def _repr_html_(self) -> str:
        return display.page(self._title(), self.prompt, {"Paths": display.html_table(*self._table())})

    def _title(self) -> str:
        covered = sum(path.share for path in self.paths)
        return (
            f"{len(self)} path{'s' * (len(self) != 1)} from {len(self.sources)} to {len(self.targets)} nodes: "
            f"{covered:.1%} of their influence {self.influence:.3g}"
        )

    def _table(self) -> tuple[list[str], list[list[str] | None]]:
        rows: list[list[str] | None] = [
            [f"{path.share:.1%}", f"{path.influence:.3g}", "-" if path.sign < 0 else "+", self._route(path)]
            for path in self.paths
        ]
        return ["share", "influence", "sign", "path"], rows

    def _route(self, path: Path) -> str:
        return " → ".join(display.shorten(self.labels.get(node) or _short(node), 24)[1:-1] for node in path.nodes)


class Between:
    """Influence between two sets of nodes; places are local to the circuit's nodes."""

    def __init__(self, streams: Streams, sources: np.ndarray, targets: np.ndarray) -> None:
        self.streams = streams
        self.ends = sources | targets
        weight = np.where(targets, streams.weight, 0)
        self.start, self.weight = sources.astype(float), weight if weight.any() else targets.astype(float)
        self.shares = np.where(targets[streams.source] | sources[streams.target], 0, np.abs(streams.share))
        self.total = float(streams.up(self.start, self.shares) @ self.weight)

    def strongest(self, k: int) -> list[tuple[list[int], list[float], float]]:
        """Places, signed shares and influence of the k strongest paths."""
        streams = self.streams
        value, edge, rank = streams.best(self.start, self.shares, k)
        carried = self.weight[:, None] * value
        out = []
        for flat in np.argsort(-carried, axis=None, kind="stable")[:k].tolist():
            place, nth = divmod(flat, value.shape[1])
            if not carried[place, nth]:
                break
            places, shares = [place], []
            while (step := edge[place, nth]) >= 0:
                shares.append(float(streams.share[step]))
                place, nth = int(streams.source[step]), rank[place, nth]
                places.append(place)
            out.append((places[::-1], shares[::-1], float(carried.flat[flat])))
        return out

    def cut(self, share: float) -> Cut:
        """See `Paths.cut`."""
        if not 0 < share <= 1:
            raise ArgumentError("cut", expected="a share above 0, up to 1", got=repr(share))
        if not self.total:
            raise ArgumentError("cut", expected="influence from sources to targets", got="none")
        needed = share * self.total * (1 - 1e-9)
        passing = self._passing(self.shares)
        fewest = int(np.searchsorted(np.cumsum(np.sort(passing)[::-1]), needed)) + 1
        chosen: list[int] = []
        lost = 0.0
        while lost < needed:
            passing = self._passing(self._without(chosen))
            best = int(passing.argmax())
            if not passing[best]:
                remedy = "the rest runs straight from sources to targets"
                raise ArgumentError("cut", expected=f"at most {lost / self.total:.4f}", got=repr(share), remedy=remedy)
            chosen.append(best)
            lost = self._lost(chosen)
        for place in tuple(chosen):
            others = [other for other in chosen if other != place]
            if self._lost(others) >= needed:
                chosen = others
        return Cut(self.streams.nodes[chosen], self._lost(chosen) / self.total, fewest)

    def _without(self, places: list[int]) -> np.ndarray:
        gone = np.zeros(len(self.start), bool)
        gone[places] = True
        return np.where(gone[self.streams.source] | gone[self.streams.target], 0, self.shares)

    def _lost(self, places: list[int]) -> float:
        return self.total - float(self.streams.up(self.start, self._without(places)) @ self.weight)

    def _passing(self, shares: np.ndarray) -> np.ndarray:
        """(nodes,): influence that passes each, zero for sources and targets."""
        passing = self.streams.up(self.start, shares) * self.streams.down(self.weight, shares)
        return np.where(self.ends, 0, passing)


def find_paths(shown: Verbs, streams: Streams, source: Any, target: Any, k: int) -> Paths:
    """See `Verbs.paths`; `streams` are those of `shown`."""
    if not 1 <= k <= MOST:
        raise ArgumentError("k", expected=f"1 to {MOST}", got=repr(k))
    targets = _resolve(shown, streams, target, "target")
    sources = _resolve(shown, streams, source, "source") & ~targets
    if not sources.any():
        raise ArgumentError("source", expected="a node that is no target", got="none")
    between = Between(streams, sources, targets)
    found = tuple(
        Path(tuple(shown.nodes[place] for place in places), tuple(shares), influence, influence / between.total)
        for places, shares, influence in between.strongest(k)
    )
    labels = dict(shown.annotations.notes.labels)
    return Paths(shown.prompt, shown.nodes[sources], shown.nodes[targets], between.total, found, labels, between)


def _resolve(shown: Verbs, streams: Streams, wanted: Any, name: str) -> np.ndarray:
    """(nodes,) bool: those of a kind or of a supernode (as far as they were not pruned), or those given."""
    if isinstance(wanted, str) and wanted in KINDS:
        return shown.nodes.kind == wanted
    mask = np.zeros(len(shown.nodes), bool)
    for node, grouped in _members(shown, shown.supernode(wanted) if isinstance(wanted, str) else wanted):
        place = streams.places.get(node)
        if place is not None:
            mask[place] = True
        elif not grouped:
            raise NodeError(name, expected=f"nodes of this {type(shown).__name__.lower()}", got=repr(node))
    if not mask.any():
        raise NodeError(name, expected="a node, nodes, a supernode or a kind that is here", got=repr(wanted))
    return mask


def _members(shown: Verbs, wanted: Any, grouped: bool = False) -> Iterator[tuple[Node, bool]]:
    """Each node, and whether it stands in a supernode."""
    match wanted:
        case Node():
            yield wanted, grouped
        case Supernode():
            for member in wanted.nodes:
                yield from _members(shown, member, True)
        case int() | (int(), int(), int()):
            yield shown.annotations.node(wanted), grouped
        case Iterable():
            for member in wanted:
                yield from _members(shown, member, grouped)
        case _:
            raise NodeError("paths", expected="a node, nodes, a supernode or a kind", got=repr(wanted))


def _short(node: Node) -> str:
    match node.kind:
        case "feature":
            return f"L{node.layer} p{node.position} #{node.feature}"
        case "error":
            return f"error L{node.layer} p{node.position}"
    return node.token or f"#{node.token_id}"
