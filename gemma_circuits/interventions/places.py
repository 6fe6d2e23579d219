"""From what a user calls a node to features and errors at positions, each checked to exist."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any, NamedTuple

from ..data import Node, Nodes, Supernode
from ..data.errors import IgnoredPositionError, NodeError, NoInterventionError, PositionError
from ..models import Prompt, ReplacementModel


class Place(NamedTuple):
    """One feature at one position, or one error vector (feature -1)."""

    layer: int
    position: int
    feature: int = -1

    def __str__(self) -> str:
        feature = "error" if self.feature < 0 else f"feature {self.feature}"
        return f"{feature} of layer {self.layer} at position {self.position}"


def expand(model: ReplacementModel, prompt: Prompt, node: Any) -> list[Place]:
    """What a node stands for on this prompt.

    Args:
        model: whose layers and features there are.
        prompt: whose positions there are.
        node: see `NodeLike`.

    Raises:
        NodeError: a layer or feature that does not exist, a token or a logit, or something that is no node.
        PositionError: a position outside the prompt, or one that dictionaries ignore.
        NoInterventionError: nothing at all.
    """
    places = list(_expand(model, prompt, node))
    if not places:
        raise NoInterventionError("node", expected="at least one feature or error", got=repr(node))
    return places


def _expand(model: ReplacementModel, prompt: Prompt, node: Any) -> Iterable[Place]:
    if isinstance(node, Node):
        if node.kind not in ("feature", "error"):
            raise NodeError("node", expected="a feature or an error", got=repr(node))
        return _at(model, prompt, node.layer, node.position, node.feature)
    if isinstance(node, Supernode):
        return [place for part in node.nodes for place in _expand(model, prompt, part)]
    if isinstance(node, tuple) and len(node) == 3 and _is_integer(node[0]):
        layer, own, feature = node
        if not (_is_integer(feature) and (isinstance(own, slice) or _is_integer(own))):
            raise NodeError("node", expected="(layer, position, feature)", got=repr(node))
        if operator.index(feature) < 0:
            raise NodeError("node", expected=f"a feature from 0 to {model.transcoder.n_features - 1}", got=repr(node))
        return _at(model, prompt, operator.index(layer), own, operator.index(feature))
    if isinstance(node, (Nodes, list, tuple)):
        return [place for part in node for place in _expand(model, prompt, part)]
    raise NodeError(
        "node", expected="a feature or error node, (layer, position, feature), or a Supernode of them", got=repr(node)
    )


def _at(model: ReplacementModel, prompt: Prompt, layer: int, position: Any, feature: int) -> Iterable[Place]:
    transcoder = model.transcoder
    check_layer(model, layer)
    if feature >= transcoder.n_features:
        raise NodeError(
            f"feature of layer {layer}",
            expected=f"0 to {transcoder.n_features - 1}",
            got=str(feature),
            remedy="is it a node of another model or dictionary?",
        )
    return [Place(layer, at, feature) for at in positions(prompt, position)]


def check_layer(model: ReplacementModel, layer: Any) -> None:
    """Refuse a layer that the dictionary does not cover.

    Raises:
        NodeError: it does not.
    """
    if layer not in model.transcoder.layers:
        covered = model.transcoder.layers
        among = f"{covered[0]} to {covered[-1]}" if len(covered) > covered[-1] - covered[0] else str(covered)
        raise NodeError("layer", expected=among, got=str(layer), remedy="is it a node of another model or dictionary?")


def positions(prompt: Prompt, position: int | slice) -> Iterable[int]:
    """Positions from 0, of one counted from either end or of those of a slice that are not ignored.

    Raises:
        PositionError: none such in the prompt.
        IgnoredPositionError: dictionaries ignore it.
    """
    if isinstance(position, slice):
        chosen = range(len(prompt))[position]
        found = [at for at in chosen if at >= prompt.ignored]
        if not found:
            kind = IgnoredPositionError if len(chosen) else PositionError
            raise kind("position", expected=f"some of {prompt.ignored} to {len(prompt) - 1}", got=str(position))
        return found
    at = operator.index(position)
    if not -len(prompt) <= at < len(prompt):
        raise PositionError("position", expected=f"{-len(prompt)} to {len(prompt) - 1}", got=str(at))
    if at % len(prompt) < prompt.ignored:
        raise IgnoredPositionError(
            "position",
            expected=f"{prompt.ignored} to {len(prompt) - 1}",
            got=str(at),
            remedy="dictionaries are not trained on the first positions: there are no features",
        )
    return [at % len(prompt)]


def _is_integer(value: Any) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool)
