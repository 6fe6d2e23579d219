"""How the viewers' JSON names nodes, and the order in which it lists a subgraph's places."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isqrt

from ..nodes import Kind, Node

KIND_OF: dict[str, Kind] = {
    "cross layer transcoder": "feature",
    "mlp reconstruction error": "error",
    "embedding": "token",
    "logit": "logit",
}
TYPE_OF = {kind: name for name, kind in KIND_OF.items()}
KIND_OF["unexplored node"] = "feature"  # Anthropic's, of features that were not expanded


def pair(layer: int, feature: int) -> int:
    """Cantor's number of a pair: one integer for layer and feature."""
    return (layer + feature) * (layer + feature + 1) // 2 + feature


def unpair(number: int) -> tuple[int, int]:
    """The (layer, feature) of Cantor's number."""
    diagonal = (isqrt(8 * number + 1) - 1) // 2
    feature = number - diagonal * (diagonal + 1) // 2
    return diagonal - feature, feature


def node_id(node: Node) -> str:
    """The node's id in such files: unique within a graph."""
    if node.kind == "token":
        return f"E_{node.token_id}_{node.position}"
    if node.kind == "logit":
        return f"{node.layer + 1}_{node.token_id}_{node.position}"
    return f"{node.layer}_{node.feature}_{node.position}"


def feature_number(node: Node) -> int:
    """The `feature` of a node: Cantor's number, position of a token, token id of a logit, -1 of an error."""
    numbers = {"feature": pair(node.layer, node.feature), "token": node.position, "logit": node.token_id}
    return numbers.get(node.kind, -1)


def subgraph_order(pinned: Iterable[Node], groups: Sequence[tuple[str, Iterable[Node]]]) -> list[Node | str]:
    """Nodes and names of groups as circuit-tracer 0.5's viewer orders them in `sg_pos`.

    It sorts them by the sorted characters of their members' feature numbers (init-cg-subgraph.js).

    Args:
        pinned: pinned nodes in the order of the file; members of a group are left out.
        groups: names and members.
    """
    members = {node: name for name, nodes in groups for node in nodes}
    alone = [node for node in pinned if node not in members]
    # logits lie above the last layer there, and tokens, whose layer is no number, come last
    alone.sort(key=lambda node: (node.kind == "token", node.layer))
    shown: list[tuple[Node | str, Iterable[Node]]] = [*((node, [node]) for node in alone), *groups]
    return [key for key, nodes in sorted(shown, key=lambda item: _slug(item[1]))]


def _slug(nodes: Iterable[Node]) -> str:
    return ",".join(sorted(" ".join(str(feature_number(node)) for node in nodes)))
