"""Interventions as values: what to change, not how. One list of them is one experiment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from ..data import Circuit, Graph, Node, Nodes, Supernode
from ..data.errors import InterventionValueError
from ..models import PromptLike

Triple: TypeAlias = tuple[int, "int | slice", int]
"""`(layer, position, feature)` of a feature, active or not; its position may be negative (from the end) or a slice
(those of its positions that are not ignored)."""
NodeLike: TypeAlias = "Node | Triple | Supernode | Nodes | Sequence[Node | Triple | Supernode]"
"""A feature or error node, a `Triple`, a supernode, or several of these."""


@dataclass(frozen=True)
class Ablate:
    """Set features, or error vectors, to zero; given a `Circuit`, everything outside of it.

    A circuit ablates, at the positions that its graph traced, every feature and error that is not a node of it. What
    is kept is left to follow from the rest.

    Example:
        >>> Ablate((3, 6, 120))
        Ablate(node=(3, 6, 120))
    """

    node: NodeLike | Circuit

    def __post_init__(self) -> None:
        _keep(self, node=_frozen(self.node))


@dataclass(frozen=True)
class Steer:
    """Multiply features, or error vectors: their value on the prompt, before any intervention, times `factor`."""

    node: NodeLike
    factor: float
    """0 ablates, 1 holds them at their value, 2 doubles, -1 inverts."""

    def __post_init__(self) -> None:
        _keep(self, node=_frozen(self.node), factor=_number("Steer, factor", self.factor))


@dataclass(frozen=True)
class Set:
    """Give features a value, in the units of their activations."""

    node: NodeLike
    value: float

    def __post_init__(self) -> None:
        _keep(self, node=_frozen(self.node), value=_number("Set, value", self.value))


@dataclass(frozen=True)
class Patch:
    """Give features, or errors, the value that they have elsewhere.

    Each node takes the value of the same node there: a position from 0 is the same position, one from the end (as in
    `(3, -1, 120)`) is counted from the end there too.

    Example:
        >>> Patch((3, -1, 120), "The capital of the state containing Oakland is")
        Patch(node=(3, -1, 120), source='The capital of the state containing Oakland is', position=None)
    """

    node: NodeLike
    source: PromptLike | Graph | Circuit | int
    """Another prompt; the graph of one (read by running its tokens); or another position of the same prompt."""
    position: int | None = None
    """Where to read in the source, if not at the node's own position."""

    def __post_init__(self) -> None:
        _keep(self, node=_frozen(self.node))


@dataclass(frozen=True, eq=False)
class Add:
    """Add `scale * direction` to what the dictionary's site of a layer holds (the MLP output, of a transcoder).

    Raises:
        InterventionValueError: numbers that are not finite, or a direction that is not a vector.
    """

    direction: Tensor
    """(d,): of the residual stream's width."""
    layer: int
    position: int | slice = -1
    """One from the end is negative; a slice means those of its positions that are not ignored."""
    scale: float = 1.0

    def __post_init__(self) -> None:
        direction = torch.as_tensor(self.direction).detach().float()
        if direction.ndim != 1 or not direction.isfinite().all():
            got = "NaN or infinity" if direction.ndim == 1 else f"shape {tuple(direction.shape)}"
            raise InterventionValueError("Add, direction", expected="a vector of finite numbers", got=got)
        _keep(self, direction=direction, scale=_number("Add, scale", self.scale))

    def __repr__(self) -> str:
        size = self.direction.norm().item()
        return f"Add(direction of length {size:.3g}, layer={self.layer}, position={self.position}, scale={self.scale})"


Intervention: TypeAlias = Ablate | Steer | Set | Patch | Add


def _keep(intervention: Any, /, **fields: Any) -> None:
    for name, field in fields.items():
        object.__setattr__(intervention, name, field)


def _frozen(node: Any) -> Any:
    return tuple(_frozen(part) for part in node) if isinstance(node, list) else node


def _number(place: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise InterventionValueError(place, expected="a number", got=repr(value)) from error
    if not math.isfinite(number):
        raise InterventionValueError(place, expected="a finite number", got=repr(number))
    return number
