"""What two graphs have in common and what not: prompts, checkpoints or transcoders side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from . import display
from .alignment import align
from .circuit import Circuit
from .errors import ArgumentError
from .graph import Graph
from .nodes import KINDS, Node, Nodes
from .streams import weights

SHOWN = 12
"""Rows of each table."""


@dataclass(frozen=True, eq=False, repr=False)
class Diff:
    """Two graphs or circuits, node by node. Rows are nodes of either, by kind, layer, column and feature.

    Example:
        >>> gmc.diff(dallas.prune(), oakland.prune()).appeared  # doctest: +SKIP
    """

    a: Graph | Circuit
    b: Graph | Circuit
    columns: tuple[tuple[int | None, int | None], ...]
    """Positions in `a` and `b` that stand for one another; None where one prompt has none."""
    comparable: bool
    """Whether a feature index means the same in both; if not, no feature is common to them."""
    column: np.ndarray
    """(rows,) int64: place in `columns`."""
    in_a: np.ndarray
    """(rows,) int64: place in `a.nodes`, -1 where it is not there."""
    in_b: np.ndarray
    """(rows,) int64: likewise."""

    @cached_property
    def influence_a(self) -> np.ndarray:
        """(rows,) float64: influence in `a`, of logits the probability; zero for nodes that are not there."""
        return np.where(self.in_a >= 0, weights(self.a)[self.in_a], 0)

    @cached_property
    def influence_b(self) -> np.ndarray:
        """(rows,) float64: likewise in `b`."""
        return np.where(self.in_b >= 0, weights(self.b)[self.in_b], 0)

    @property
    def change(self) -> np.ndarray:
        """(rows,) float64: influence in `b` minus that in `a`."""
        return self.influence_b - self.influence_a

    @property
    def vanished(self) -> Nodes:
        """Nodes of `a` that are not in `b`, the most influential first."""
        return self.a.nodes[self.in_a[self._strongest((self.in_b < 0), self.influence_a)]]

    @property
    def appeared(self) -> Nodes:
        """Nodes of `b` that are not in `a`, the most influential first."""
        return self.b.nodes[self.in_b[self._strongest((self.in_a < 0), self.influence_b)]]

    @property
    def common(self) -> tuple[Nodes, Nodes]:
        """Nodes that are in both, as `a` and as `b` have them; the largest changes of influence first."""
        rows = self._strongest((self.in_a >= 0) & (self.in_b >= 0), np.abs(self.change))
        return self.a.nodes[self.in_a[rows]], self.b.nodes[self.in_b[rows]]

    @property
    def differs(self) -> np.ndarray:
        """(rows,) bool: in one only, or with another influence or another token."""
        both = (self.in_a >= 0) & (self.in_b >= 0)
        texts = self.a.nodes.token[self.in_a] != self.b.nodes.token[self.in_b]
        return ~both | (self.change != 0) | texts

    def __len__(self) -> int:
        return int(self.differs.sum())

    def to_pandas(self) -> Any:
        """A pandas DataFrame of all rows: the node's kind, layer, feature, both positions, tokens and influences."""
        import pandas

        pairs = [self.pair(row) for row in range(len(self.column))]
        some = [a or b for a, b in pairs]
        found = {
            "kind": [node.kind for node in some if node],
            "layer": [node.layer for node in some if node],
            "feature": [node.feature for node in some if node],
            "position_a": [a.position if a else -1 for a, _ in pairs],
            "position_b": [b.position if b else -1 for _, b in pairs],
            "token_a": [a.token if a else "" for a, _ in pairs],
            "token_b": [b.token if b else "" for _, b in pairs],
            "influence_a": self.influence_a,
            "influence_b": self.influence_b,
            "change": self.change,
        }
        return pandas.DataFrame(found)

    def pair(self, row: int) -> tuple[Node | None, Node | None]:
        """The node of a row as `a` and as `b` have it."""
        first, second = int(self.in_a[row]), int(self.in_b[row])
        return self.a.nodes[first] if first >= 0 else None, self.b.nodes[second] if second >= 0 else None

    def column_text(self, column: int) -> tuple[str | None, str | None]:
        """The token of a column in either prompt."""
        first, second = self.columns[column]
        return None if first is None else self.a.tokens[first], None if second is None else self.b.tokens[second]

    def figure(self, **options: Any) -> Any:
        """A Plotly figure of both in one picture; options as of `figures.diff`."""
        return display.draw(self, **options)

    def __repr__(self) -> str:
        tables = (f"{name}\n{display.text_table(_HEADER, rows)}" for name, rows in self._tables().items())
        return "\n\n".join((self._title(), *tables))

    def _repr_html_(self) -> str:
        tables = {name: display.html_table(_HEADER, rows) for name, rows in self._tables().items()}
        return display.page(self._title(), "", tables)

    def _title(self) -> str:
        title = f"{display.shorten(self.a.prompt)} to {display.shorten(self.b.prompt)}: "
        if not len(self):
            return title + "no difference"
        only_a, only_b = int((self.in_b < 0).sum()), int((self.in_a < 0).sum())
        common = len(self.column) - only_a - only_b
        title += f"{only_a} nodes vanish, {only_b} appear, {common} stay"
        return title + "" if self.comparable else title + "; features of different transcoders have nothing in common"

    def _tables(self) -> dict[str, list[list[str] | None]]:
        both = (self.in_a >= 0) & (self.in_b >= 0)
        changed = both & self.differs
        parts = {
            "Vanish": self._strongest(self.in_b < 0, self.influence_a),
            "Appear": self._strongest(self.in_a < 0, self.influence_b),
            "Change": self._strongest(changed, np.abs(self.change)),
        }
        return {
            name: [*map(self._row, rows[:SHOWN].tolist()), *[None] * (len(rows) > SHOWN)]
            for name, rows in parts.items()
            if len(rows)
        }

    def _row(self, row: int) -> list[str]:
        first, second = self.pair(row)
        node = first or second
        assert node
        named = node.kind in ("token", "logit")
        texts = [part for part in self.column_text(int(self.column[row])) if part is not None]
        if node.kind == "logit":
            texts = [node.token]
        return [
            node.kind,
            "" if named else str(node.layer),
            " → ".join(display.shorten(text, 20) for text in dict.fromkeys(texts)),
            str(node.feature) if node.kind == "feature" else "",
            f"{self.influence_a[row]:.3g}" if first else "",
            f"{self.influence_b[row]:.3g}" if second else "",
            f"{self.change[row]:+.3g}",
        ]

    def _strongest(self, mask: np.ndarray, strength: np.ndarray) -> np.ndarray:
        rows = mask.nonzero()[0]
        return rows[np.argsort(-strength[rows], kind="stable")]


_HEADER = ["kind", "layer", "token", "feature", "influence before", "after", "change"]


def diff(
    a: Graph | Circuit, b: Graph | Circuit, *, match: Mapping[tuple[int, int], tuple[int, int]] | None = None
) -> Diff:
    """Compare two graphs or circuits: of two prompts, two checkpoints or two transcoders.

    Tokens are aligned by the fewest changes, the positions that outputs are read at with one another. A feature is
    the same in both if it has the same layer and index in aligned positions; so are error nodes and tokens by place,
    logits by their token.

    Args:
        a: before.
        b: after; another depth is allowed.
        match: which (layer, feature) of `b` a feature of `a` is, one to one, where dictionaries differ. None: the
            same, or none at all if the graphs record different transcoders.

    Raises:
        ArgumentError: a `match` of several features to one.

    Example:
        >>> gmc.diff(gmc.attribute(model, "one"), gmc.attribute(model, "two"))  # doctest: +SKIP
    """
    sides = [shown.graph if isinstance(shown, Circuit) else shown for shown in (a, b)]
    columns = align(*(side.tokens[: side.n_positions] for side in sides))
    hashes = {side.metadata.get("transcoder_hash") for side in sides} - {None}
    comparable = match is not None or len(hashes) < 2
    if match is not None and len({*match.values()}) < len(match):
        raise ArgumentError("match", expected="one feature for each", got="one of `b` for several of `a`")

    def rename(layer: int, feature: int) -> tuple[int, int, int]:
        if match is None:
            return layer, feature, 0 if comparable else -1
        return (*match[layer, feature], 0) if (layer, feature) in match else (layer, feature, -1)

    places: list[dict[tuple[Any, ...], int]] = []
    for side, (shown, name) in enumerate(((a, rename), (b, lambda layer, feature: (layer, feature, 0)))):
        column = {pair[side]: number for number, pair in enumerate(columns)}
        places.append({_key(node, column[node.position], name): place for place, node in enumerate(shown.nodes)})
    keys = sorted({*places[0], *places[1]})
    return Diff(
        a,
        b,
        tuple(columns),
        comparable,
        np.array([key[2] for key in keys], np.int64),
        *(np.array([found.get(key, -1) for key in keys], np.int64) for found in places),
    )


def _key(node: Node, column: int, name: Callable[[int, int], tuple[int, int, int]]) -> tuple[Any, ...]:
    """What makes two nodes the same: kind, layer, column, then feature or token; sorts as rows do."""
    kind = KINDS.index(node.kind)
    if node.kind == "feature":
        layer, feature, own = name(node.layer, node.feature)
        return kind, layer, column, feature, own
    if node.kind == "logit":
        return kind, 0, column, node.token_id, node.token
    return kind, node.layer, column, -1, 0
