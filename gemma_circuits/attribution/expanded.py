"""Rows of edges as they are kept while more are computed: whole, or without the smallest edges from features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

WHOLE_BYTES = 2 * 2**30
"""Rows that take no more are kept whole unless asked otherwise: no machine that holds a model is short of it. An
accelerator gives a quarter of its free memory."""
LONG = 0.999
"""The share of each row that is kept of others."""
AT_ONCE = 16
"""Rows whose absolute values are taken together: few enough to stay in the processor's cache."""


class Packed(NamedTuple):
    """The entries of one row that are kept."""

    values: Tensor
    """(kept,) float32."""
    mask: Tensor
    """(ceil(columns / 8),) uint8: a bit for each entry, lowest first."""
    columns: int


@dataclass(frozen=True)
class Expanded:
    """Rows of one batch, ordered by layer, highest first."""

    features: Tensor
    """(rows,) int64: places in `Sources.active`; empty for logits."""
    layers: list[int]
    edges: Tensor
    """(rows, columns): all columns, or those of errors and tokens if the others are packed."""
    bias: Tensor
    """(rows,): what no column sends."""
    sizes: Tensor
    """(rows,): sum of |edge| over all columns, exact."""
    packed: tuple[Packed, ...] = ()
    """The columns of features."""
    rest: Tensor | None = None
    """(2, rows): sum and absolute sum of the entries that are not kept; None if all are."""

    @property
    def nbytes(self) -> int:
        """Of all edges."""
        return self.edges.nbytes + sum(row.values.nbytes + row.mask.nbytes for row in self.packed)

    def add_influence(self, reach: Tensor, weight: Tensor, start: int, stop: int) -> None:
        """Add to `reach` (features,) what rows `start` to `stop` pass on of their own influence `weight` (rows,)."""
        weight = weight / self.sizes[start:stop].clamp_min(torch.finfo(weight.dtype).tiny)
        if self.packed:
            for own, row in zip(weight, self.packed[start:stop]):
                reach[_unpack(row.mask, row.columns)] += own * row.values.abs()
            return
        edges = self.edges[start:stop, : len(reach)]
        for own, rows in zip(weight.split(AT_ONCE), edges.split(AT_ONCE)):
            reach.addmv_(rows.abs().T, own)

    def cut(self, chosen: Tensor, n_features: int) -> tuple[Tensor, Tensor]:
        """The graph's part.

        Args:
            chosen: (kept,) int64: features that stay columns.
            n_features: all that fire.

        Returns:
            edges (rows, kept features + errors + tokens), and (rows,): the sum of those left out.
        """
        if not self.packed:
            features, fixed = self.edges[:, :n_features], self.edges[:, n_features:]
            left_out = features.new_ones(n_features).index_fill_(0, chosen, 0)
            return torch.cat([features.index_select(1, chosen), fixed], 1), features @ left_out
        kept, left_out = [], []
        for row in self.packed:
            whole = self.edges.new_zeros(n_features)
            whole[_unpack(row.mask, row.columns)] = row.values
            kept.append(whole[chosen])
            whole[chosen] = 0
            left_out.append(whole.sum())
        return torch.cat([torch.stack(kept), self.edges], 1), torch.stack(left_out)


def keep_all(features: Tensor, layers: list[int], edges: Tensor, bias: Tensor) -> Expanded:
    """Rows with all their edges; arguments as the fields of `Expanded`, edges as `Backward` returns them."""
    edges = edges.contiguous()
    return Expanded(features, layers, edges, bias, torch.linalg.vector_norm(edges, ord=1, dim=1))


def keep_share(
    features: Tensor, layers: list[int], edges: Tensor, bias: Tensor, *, n_features: int, share: float
) -> Expanded:
    """Rows without the smallest edges from features, so that `share` of what errors and tokens send is not exceeded.

    Errors and tokens are in every graph, whichever features are: what is left out is at most `1 - share` of any
    graph's rows. Arguments as in `keep_all`; the first `n_features` columns are those of features.
    """
    fixed = edges[:, n_features:].clone(memory_format=torch.contiguous_format)
    allowed = (1 - share) * fixed.abs().sum(1, dtype=torch.float64)
    sizes, packed, rest = [], [], []
    # A few rows at a time: there may be no room for all of them by row beside all of them by column.
    for few, most in zip(edges.T.split(AT_ONCE, 1), allowed.split(AT_ONCE)):
        rows = few.contiguous().T.contiguous()
        sizes.append(torch.linalg.vector_norm(rows, ord=1, dim=1))
        for row, own in zip(rows[:, :n_features], most):
            kept, left_out = _pack(row, own)
            packed.append(kept)
            rest.append(left_out)
    return Expanded(features, layers, fixed, bias, torch.cat(sizes), tuple(packed), torch.stack(rest, 1).float())


def _pack(row: Tensor, allowed: Tensor) -> tuple[Packed, Tensor]:
    """Leave out the smallest entries while their absolute values sum to no more than `allowed`."""
    size = row.abs()
    # Positive floats order as their bits do; entries of one bin, alike to 1 in 256, stay or go together.
    bins = size.view(torch.int32) >> 15
    mass = torch.bincount(bins, size.double())
    small = (mass.cumsum(0) <= allowed)[bins]
    rest = torch.stack([row[small].sum(dtype=torch.float64), size[small].sum(dtype=torch.float64)])
    kept = ~small
    bits = torch.nn.functional.pad(kept, (0, -len(kept) % 8)).view(-1, 8).to(torch.uint8)
    places = torch.arange(8, dtype=torch.uint8, device=row.device)
    return Packed(row[kept], (bits << places).sum(1, dtype=torch.uint8), len(row)), rest


def _unpack(mask: Tensor, columns: int) -> Tensor:
    places = torch.arange(8, dtype=torch.uint8, device=mask.device)
    return ((mask[:, None] >> places) & 1).bool().flatten()[:columns]
