"""Interventions as values: what to change, not how. One list of them is one experiment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from ..data import Circuit, Graph, Node, Nodes, Supernode
from ..data.errors import InterventionError, InterventionValueError
from ..models import PromptLike

Triple: TypeAlias = tuple[int, "int | slice", int]
"""`(layer, position, feature)` of a feature, active or not; its position may be negative (from the end) or a slice
(those of its positions that are not ignored)."""
NodeLike: TypeAlias = "Node | Triple | Supernode | Nodes | Sequence[Node | Triple | Supernode]"
"""A feature or error node, a `Triple`, a supernode, or several of these."""


@dataclass(frozen=True)
class Ablate:
    """Set features, or error vectors, to zero or to their mean; given a `Circuit`, everything outside of it.

    A circuit ablates, at the positions that its graph traced, every feature and error that is not a node of it. What
    is kept is left to follow from the rest.

    Zero takes away what a node says at all; the mean takes away what it says of this prompt, and leaves what later
    layers have learned to expect (Wang et al. 2022, "Interpretability in the Wild", section 2.1, on knocking out by
    the mean). The mean is one number for a feature, one vector for a layer's errors: over all positions that are not
    ignored, so that reference prompts may be of any length.

    Raises:
        InterventionError: another `to`, or reference prompts that are not asked for.

    Example:
        >>> Ablate((3, 6, 120))
        Ablate((3, 6, 120))
        >>> Ablate((3, 6, 120), to="mean", over=["The capital of France is", "The capital of Japan is"])
        Ablate((3, 6, 120), to='mean' over 2 prompts)
    """

    node: NodeLike | Circuit
    to: Literal["zero", "mean"] = "zero"
    over: Sequence[PromptLike] = ()
    """With "mean": the reference prompts; none for the prompt itself."""

    def __post_init__(self) -> None:
        _keep(self, node=_frozen(self.node), over=_frozen(self.over))
        if self.to not in ("zero", "mean"):
            raise InterventionError("Ablate, to", expected="'zero' or 'mean'", got=repr(self.to))
        if self.over and (self.to == "zero" or isinstance(self.over, str)):
            got = repr(self.over) if isinstance(self.over, str) else "to='zero'"
            raise InterventionError("Ablate, over", expected="a list of prompts to take the mean of", got=got)

    def __repr__(self) -> str:
        over = f" over {len(self.over)} prompt{'s' * (len(self.over) != 1)}" if self.over else ""
        return f"Ablate({describe(self.node)}{', to=' + repr(self.to) if self.to != 'zero' else ''}{over})"


@dataclass(frozen=True)
class Steer:
    """Multiply features, or error vectors: their value on the prompt, before any intervention, times `factor`."""

    node: NodeLike
    factor: float
    """0 ablates, 1 holds them at their value, 2 doubles, -1 inverts."""

    def __post_init__(self) -> None:
        _keep(self, node=_frozen(self.node), factor=_number("Steer, factor", self.factor))

    def __repr__(self) -> str:
        return f"Steer({describe(self.node)}, {self.factor:g})"


@dataclass(frozen=True)
class Set:
    """Give features a value, in the units of their activations."""

    node: NodeLike
    value: float

    def __post_init__(self) -> None:
        _keep(self, node=_frozen(self.node), value=_number("Set, value", self.value))

    def __repr__(self) -> str:
        return f"Set({describe(self.node)}, {self.value:g})"


@dataclass(frozen=True)
class Patch:
    """Give features, or errors, the value that they have elsewhere.

    Each node takes the value of the same node there: a position from 0 is the same position, one from the end (as in
    `(3, -1, 120)`) is counted from the end there too.

    Example:
        >>> Patch((3, -1, 120), "The capital of the state containing Oakland is")
        Patch((3, -1, 120), 'The capital of the state containing Oakland is')
    """

    node: NodeLike
    source: PromptLike | Graph | Circuit | int
    """Another prompt; the graph of one (read by running its tokens); or another position of the same prompt."""
    position: int | None = None
    """Where to read in the source, if not at the node's own position."""

    def __post_init__(self) -> None:
        _keep(self, node=_frozen(self.node))

    def __repr__(self) -> str:
        at = "" if self.position is None else f", position={self.position}"
        return f"Patch({describe(self.node)}, {describe(self.source)}{at})"


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


def describe(node: Any) -> str:
    """A node, several or a source of values in one line."""
    match node:
        case Node(kind="feature"):
            return f"L{node.layer} p{node.position} #{node.feature}"
        case Node(kind="error"):
            return f"error L{node.layer} p{node.position}"
        case Circuit():
            return f"circuit of {len(node.nodes)} nodes"
        case Graph():
            return f"graph of {node.prompt!r}"
        case Nodes():
            return f"{len(node)} node{'s' * (len(node) != 1)}"
        case tuple() | list() if len(node) > 1 and not isinstance(node[0], int):
            return f"{len(node)} nodes"
        case _:
            return repr(node)


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
