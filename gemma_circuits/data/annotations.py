"""What people add to a graph: pins, groups, labels, places. Views of one graph share it, files keep it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from .errors import ArgumentError, NodeError
from .nodes import Node, Nodes


@dataclass(frozen=True)
class Supernode:
    """A named set of nodes, read and intervened on as one.

    Example:
        >>> Supernode("Texas", [(3, 6, 120), (4, 6, 7)])
        Supernode('Texas', 2 nodes)
    """

    name: str
    nodes: Sequence[Any]
    """Nodes, `(layer, position, feature)` or further supernodes; kept as a tuple."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", tuple(self.nodes))

    def __repr__(self) -> str:
        return f"Supernode({self.name!r}, {len(self.nodes)} node{'s' * (len(self.nodes) != 1)})"


@dataclass(frozen=True)
class Notes:
    """One state of a graph's annotations; every node is one of the graph's."""

    pinned: tuple[Node, ...] = ()
    """Nodes put aside to look at, in the order of pinning."""
    supernodes: tuple[Supernode, ...] = ()
    """Groups with distinct names; a node is in at most one."""
    labels: Mapping[Node, str] | tuple[()] = ()
    """What a node is called, where a person said so."""
    positions: Mapping[Node | str, tuple[float, float]] | tuple[()] = ()
    """Where a node, or the group of this name, lies in a drawing; in its units."""

    def to_json(self) -> dict[str, Any]:
        """As JSON values, nodes by index; `Annotations.parse` reads them."""
        return {
            "pinned": [node.index for node in self.pinned],
            "supernodes": [[group.name, [node.index for node in group.nodes]] for group in self.supernodes],
            "labels": [[node.index, text] for node, text in dict(self.labels).items()],
            "positions": [
                [key if isinstance(key, str) else key.index, *place] for key, place in dict(self.positions).items()
            ],
        }


class Annotations:
    """The annotations of one graph: a current `Notes`, changed as a whole, and who wants to know of it.

    Example:
        >>> graph.annotations.update(pinned=[graph.node(3, 6, 120)])  # doctest: +SKIP
        >>> graph.group("Texas", graph.nodes.where(layer=3, position=6))  # doctest: +SKIP
    """

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._observers: list[Callable[[Notes], object]] = []
        self.notes = Notes(labels={}, positions={})

    def update(
        self,
        *,
        pinned: Iterable[Any] | None = None,
        supernodes: Iterable[Supernode] | Mapping[str, Iterable[Any]] | None = None,
        labels: Mapping[Any, str] | None = None,
        positions: Mapping[Any, tuple[float, float]] | None = None,
    ) -> Notes:
        """Replace some parts; those who observe are told once, and only if anything changed.

        Args:
            pinned: nodes; a node is a `Node`, its `(layer, position, feature)` or its index.
            supernodes: groups, or members by name.
            labels: text by node; an empty text takes the label away.
            positions: (x, y) by node or name of a group.

        Raises:
            NodeError: a node of another graph.
            ArgumentError: two groups of one name, a node in two groups, a place that is not two finite numbers.
        """
        return self.restore(self.revised(pinned, supernodes, labels, positions))

    def restore(self, notes: Notes) -> Notes:
        """Go to another state of this graph's annotations."""
        if notes != self.notes:
            self.notes = notes
            for observer in tuple(self._observers):
                observer(notes)
        return notes

    def observe(self, observer: Callable[[Notes], object]) -> Callable[[], None]:
        """Call `observer` with the notes after every change; call what is returned to end that."""
        self._observers.append(observer)
        return lambda: self._observers.remove(observer) if observer in self._observers else None

    def node(self, node: Any) -> Node:
        """The graph's own node for a `Node`, a `(layer, position, feature)` or an index.

        Raises:
            NodeError: there is none.
        """
        if isinstance(node, int) and 0 <= node < len(self._nodes):
            return self._nodes[node]
        if isinstance(node, tuple) and len(node) == 3:
            node = Node("feature", *node)
        if isinstance(node, Node):
            key = {"kind": node.kind, "layer": node.layer, "position": node.position, "feature": node.feature}
            found = self._nodes.where(**key, token_id=node.token_id)
            if len(found):
                return found[0]
        raise NodeError("node", expected="a node of this graph", got=repr(node))

    def parse(self, value: Mapping[str, Any]) -> Notes:
        """What `Notes.to_json` made of this graph's annotations, as notes; `restore` puts them in force.

        Raises:
            NodeError, ArgumentError: as `update`.
        """
        try:
            groups = [Supernode(str(name), members) for name, members in value["supernodes"]]
            places = {key: (x, y) for key, x, y in value["positions"]}
            pinned, labels = value["pinned"], dict(value["labels"])
        except (LookupError, TypeError, ValueError) as error:
            raise ArgumentError("annotations", expected="what to_json made", got=f"{error}") from error
        return self.revised(pinned, groups, labels, places)

    def revised(self, pinned: Any = None, supernodes: Any = None, labels: Any = None, positions: Any = None) -> Notes:
        """The notes that `update` would put in force, with the same arguments and errors."""
        parts: dict[str, Any] = {}
        if pinned is not None:
            parts["pinned"] = tuple(dict.fromkeys(map(self.node, pinned)))
        if supernodes is not None:
            if isinstance(supernodes, Mapping):
                groups = [Supernode(str(name), tuple(nodes)) for name, nodes in supernodes.items()]
            else:
                groups = list(supernodes)
            parts["supernodes"] = self._groups(groups)
        if labels is not None:
            parts["labels"] = {self.node(node): str(text) for node, text in labels.items() if text}
        if positions is not None:
            parts["positions"] = {
                key if isinstance(key, str) else self.node(key): _place(place) for key, place in positions.items()
            }
        return Notes(**{**vars(self.notes), **parts})

    def _groups(self, groups: Iterable[Supernode]) -> tuple[Supernode, ...]:
        out: dict[str, Supernode] = {}
        owner: dict[Node, str] = {}
        for group in groups:
            if group.name in out:
                raise ArgumentError("supernodes", expected="distinct names", got=f"{group.name!r} twice")
            members = tuple(dict.fromkeys(self._members(group)))
            for node in members:
                if node in owner:
                    got = f"{node!r} in {owner[node]!r} and {group.name!r}"
                    raise ArgumentError("supernodes", expected="a node in one group at most", got=got)
                owner[node] = group.name
            if members:
                out[group.name] = Supernode(group.name, members)
        return tuple(out.values())

    def _members(self, group: Supernode) -> Iterable[Node]:
        for node in group.nodes:
            yield from self._members(node) if isinstance(node, Supernode) else [self.node(node)]

    def __repr__(self) -> str:
        notes = self.notes
        return (
            f"Annotations: {len(notes.pinned)} pinned, {len(notes.labels)} labelled, "
            f"{len(notes.supernodes)} supernodes{': ' * bool(notes.supernodes)}"
            + ", ".join(group.name for group in notes.supernodes)
        )


def _place(place: Any) -> tuple[float, float]:
    try:
        x, y = map(float, place)
    except (TypeError, ValueError) as error:
        raise ArgumentError("positions", expected="two numbers", got=repr(place)) from error
    if not (isfinite(x) and isfinite(y)):
        raise ArgumentError("positions", expected="finite numbers", got=repr(place))
    return x, y
