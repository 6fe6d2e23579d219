"""The nodes of an attribution graph: one row each, as a struct of arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args, overload

import numpy as np
import torch

from . import display
from .errors import ArgumentError

Kind = Literal["feature", "error", "token", "logit"]
KINDS: tuple[str, ...] = get_args(Kind)


@dataclass(frozen=True)
class Target:
    """What a graph explains: an output token, or a direction in place of one."""

    token: str
    """The token as text, or the name of the direction."""
    token_id: int
    """Vocabulary index; directions have the vocabulary's size plus their place among the targets."""
    probability: float
    """Share of the full softmax (not renormalised over the targets); the weight `w` of influence."""


@dataclass(frozen=True)
class Node:
    """One node. Nodes of different graphs are equal when they stand for the same thing.

    Equality and hash look at kind, layer, position, feature and token id, not at this prompt's activation.
    """

    kind: Kind
    layer: int
    """The model's layer; -1 for tokens, the number of layers for logits."""
    position: int
    """Token position; logits have the position that they are read at."""
    feature: int = -1
    """Feature index within its layer; -1 for all but features."""
    token_id: int = -1
    """Vocabulary index; -1 for features and errors."""
    activation: float = field(default=float("nan"), compare=False)
    """Activation on this prompt; NaN for all but features."""
    probability: float = field(default=float("nan"), compare=False)
    """Probability of a logit's token; NaN for all but logits."""
    token: str = field(default="", compare=False)
    """Text of a token or logit."""
    index: int = field(default=-1, compare=False)
    """Row and column in the graph's `adjacency`."""

    def __repr__(self) -> str:
        if self.kind == "feature":
            return f"feature L{self.layer} p{self.position} #{self.feature} act {self.activation:.3g}"
        if self.kind == "error":
            return f"error L{self.layer} p{self.position}"
        name = repr(self.token) if self.token else f"#{self.token_id}"
        odds = f" (p={self.probability:.3f})" if self.kind == "logit" else ""
        return f"{self.kind} p{self.position} {name}{odds}"


@dataclass(frozen=True, eq=False, repr=False)
class Nodes:
    """Nodes as parallel numpy arrays, each `(nodes,)`, in the order of the graph's `adjacency`.

    `nodes[3]` is a `Node`; a slice, a list of indices or a mask gives `Nodes`, which keep their `index`.

    Example:
        >>> graph.nodes.where(kind="feature", layer=3).activation.max()  # doctest: +SKIP
    """

    kind: np.ndarray
    """str: "feature", "error", "token" or "logit"."""
    layer: np.ndarray
    """int64: the model's layer; -1 for tokens, the number of layers for logits."""
    position: np.ndarray
    """int64: token position; logits have the position that they are read at."""
    feature: np.ndarray
    """int64: index within the layer; -1 for all but features."""
    activation: np.ndarray
    """float32; NaN for all but features."""
    token_id: np.ndarray
    """int64; -1 for features and errors."""
    probability: np.ndarray
    """float32: share of the full softmax; NaN for all but logits."""
    token: np.ndarray = field(default_factory=lambda: np.empty(0, object))
    """Text (object array of str) of tokens and logits, "" for others; a graph fills it in."""
    index: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    """int64: place in the graph."""

    def __post_init__(self) -> None:
        n = len(self.kind)
        if not len(self.token):
            object.__setattr__(self, "token", np.full(n, "", object))
        if not len(self.index):
            object.__setattr__(self, "index", np.arange(n))
        for name, dtype in _DTYPES.items():
            column = _column(getattr(self, name), dtype)
            if column.shape != (n,):
                raise ArgumentError(f"nodes, {name}", expected=f"shape {(n,)}", got=str(column.shape))
            object.__setattr__(self, name, column)

    @classmethod
    def of(cls, nodes: Iterable[Node]) -> Nodes:
        """Nodes one by one, with the index that each has."""
        nodes = list(nodes)
        return cls(**{name: np.array([getattr(n, name) for n in nodes], t) for name, t in _DTYPES.items()})

    @classmethod
    def build(
        cls,
        *,
        features: Any,
        activations: Any,
        error_layers: Iterable[int],
        token_ids: Sequence[int],
        targets: Sequence[Target],
        n_layers: int,
    ) -> Nodes:
        """The nodes of a whole graph in their order: features, errors (layer-major), tokens, logits.

        Args:
            features: (n, 3) integers: layer, position, feature; ascending in that order.
            activations: (n,).
            error_layers: layers that have error nodes, ascending; one node at each traced position.
            token_ids: ids of the traced positions.
            targets: one logit each, read at the last traced position.
            n_layers: the model's number of layers.
        """
        features = _column(features, np.int64).reshape(-1, 3)
        layers, n_tokens = _column(list(error_layers), np.int64), len(token_ids)
        positions = np.arange(n_tokens)
        sizes = (len(features), len(layers) * n_tokens, n_tokens, len(targets))

        def join(*parts: Any) -> np.ndarray:
            return np.concatenate([np.broadcast_to(part, size) for part, size in zip(parts, sizes)])

        return cls(
            kind=np.repeat(KINDS, sizes),
            layer=join(features[:, 0], layers.repeat(n_tokens), -1, n_layers),
            position=join(features[:, 1], np.tile(positions, len(layers)), positions, n_tokens - 1),
            feature=join(features[:, 2], -1, -1, -1),
            activation=join(_column(activations, np.float32), np.nan, np.nan, np.nan),
            token_id=join(-1, -1, _column(token_ids, np.int64), [target.token_id for target in targets]),
            probability=join(np.nan, np.nan, np.nan, [target.probability for target in targets]),
        )

    def where(
        self,
        *,
        kind: Kind | Iterable[Kind] | None = None,
        layer: int | Iterable[int] | None = None,
        position: int | Iterable[int] | None = None,
        feature: int | Iterable[int] | None = None,
        token_id: int | Iterable[int] | None = None,
        token: str | Iterable[str] | None = None,
    ) -> Nodes:
        """The nodes that answer to every condition given; a collection allows any of its values.

        Raises:
            ArgumentError: a kind that does not exist.
        """
        given = {
            "kind": kind,
            "layer": layer,
            "position": position,
            "feature": feature,
            "token_id": token_id,
            "token": token,
        }
        mask = np.ones(len(self), bool)
        for name, wanted in given.items():
            if wanted is None:
                continue
            values = _values(wanted)
            if name == "kind" and not values <= set(KINDS):
                raise ArgumentError("nodes.where(kind=...)", expected=" or ".join(map(repr, KINDS)), got=repr(wanted))
            column = getattr(self, name)
            mask &= np.fromiter((value in values for value in column.tolist()), bool, len(column))
        return self[mask]

    def __len__(self) -> int:
        return len(self.kind)

    @overload
    def __getitem__(self, item: int) -> Node: ...
    @overload
    def __getitem__(self, item: Any) -> Nodes: ...
    def __getitem__(self, item: Any) -> Node | Nodes:
        if not isinstance(item, slice):
            item = np.asarray(item)
            if not item.size and item.dtype != bool:
                item = item.astype(np.int64)  # an empty list reads as float
        picked = {name: getattr(self, name)[item] for name in _DTYPES}
        if isinstance(item, np.ndarray) and item.ndim == 0:
            return Node(**{name: getattr(value, "item", lambda v=value: v)() for name, value in picked.items()})
        return Nodes(**picked)

    def __iter__(self) -> Iterator[Node]:
        return (self[i] for i in range(len(self)))

    @property
    def counts(self) -> str:
        """How many there are of each kind, in words."""
        sizes = [(int((self.kind == kind).sum()), kind) for kind in KINDS]
        return ", ".join(f"{size} {kind}{'s' * (size != 1)}" for size, kind in sizes)

    def __repr__(self) -> str:
        return f"{len(self)} nodes ({self.counts})\n" + display.text_table(*self._table())

    def _repr_html_(self) -> str:
        return display.html_table(*self._table())

    def _table(self) -> tuple[list[str], list[list[str] | None]]:
        """Header and rows as text; a row that is None stands for those left out."""
        shown = list(range(len(self)))
        if len(self) > _SHOWN:
            shown = [*shown[: _SHOWN - 5], -1, *shown[-5:]]
        rows = [None if i < 0 else _row(self[i]) for i in shown]
        return ["index", "kind", "layer", "position", "feature", "activation", "token", "probability"], rows


_SHOWN = 30
_DTYPES: dict[str, Any] = dict.fromkeys((f.name for f in fields(Nodes)), np.int64) | {
    "kind": np.str_,
    "token": object,
    "activation": np.float32,
    "probability": np.float32,
}


def _row(node: Node) -> list[str]:
    feature, logit = node.kind == "feature", node.kind == "logit"
    return [
        str(node.index),
        node.kind,
        "" if node.kind in ("token", "logit") else str(node.layer),
        str(node.position),
        str(node.feature) if feature else "",
        f"{node.activation:.3g}" if feature else "",
        (repr(node.token) if node.token else str(node.token_id)) if node.token_id >= 0 else "",
        f"{node.probability:.3f}" if logit else "",
    ]


def _column(values: Any, dtype: Any) -> np.ndarray:
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().float() if values.dtype == torch.bfloat16 else values.detach().cpu()
    return np.asarray(values, dtype)


def _values(wanted: Any) -> set[Any]:
    if isinstance(wanted, torch.Tensor):
        wanted = wanted.tolist()
    return {wanted} if isinstance(wanted, str) or not isinstance(wanted, Iterable) else set(wanted)
