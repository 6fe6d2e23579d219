"""The linear backward pass: from a vector at a target to its edges, without an autograd graph.

With attention patterns and norm denominators frozen, what a source adds to the residual stream reaches a target
through linear maps only; sending the target's vector through their transposes gives, at each place where sources
write, the vector whose inner product with a source is its edge.

Attention is causal, so that a block of positions can be finished, through all layers, before an earlier one begins:
all that earlier positions need of it are the heads' values that its queries attended to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..models import Capture, ReplacementModel, read_scale
from . import sources as _sources
from .sources import Sources


@dataclass(frozen=True)
class Rows:
    """Targets to send down together, ordered by layer, highest first.

    A target enters the batch at its own layer, so that nothing is computed above it.
    """

    layers: list[int]
    """Where each target reads; the number of layers for logits."""
    positions: list[int]
    vectors: Tensor
    """(rows, d): encoder vectors, or directions after the final norm."""

    def __len__(self) -> int:
        return len(self.layers)

    def reading(self, layer: int) -> int:
        """How many read at `layer` or above: the first ones."""
        return sum(own >= layer for own in self.layers)


class Carried(NamedTuple):
    """What blocks of queries send to the values of earlier positions."""

    first: int
    """The earliest position."""
    values: Tensor
    """(rows, groups, positions, width): from `first` up to the last block."""


class Entering(NamedTuple):
    """Targets whose vectors join those from above at one layer, each at one position."""

    rows: Tensor
    """(targets,) int64, like the next."""
    positions: Tensor
    """In the block."""
    vectors: Tensor
    """(targets, d), as they stand in the residual stream."""

    def add_to(self, flowing: Tensor) -> Tensor:
        """Add them to (rows, positions, d), in place."""
        flowing[self.rows, self.positions] += self.vectors
        return flowing


class Backward:
    """Computes edges of any targets on one prompt.

    Args:
        model: the model.
        captured: what is frozen.
        sources: what can act on a target.
    """

    def __init__(self, model: ReplacementModel, captured: Capture, sources: Sources) -> None:
        self.model, self.captured, self.sources = model, captured, sources
        self.layers = [model.layer(index) for index in range(model.n_layers)]
        skips = [model.transcoder.skip(index) for index in range(model.n_layers)]
        self.skips = [s if s is None else s.to(mid.device) for s, mid in zip(skips, captured.mid)]
        readings = [
            read_scale(model.transcoder.reads, scale, weights.mlp_gain)
            for scale, weights in zip(captured.mlp_scales, self.layers)
        ]
        readings.append((captured.final_scale * model.final_gain).expand(sources.n_positions, -1))
        ones = captured.final.new_ones(sources.n_positions, 1)
        self.readings = [own if isinstance(own, Tensor) else ones for own in readings]
        self.activations = sources.active.activations.to(captured.final.device)
        self._folded: dict[int, tuple[Tensor, Tensor]] = {}

    @torch.no_grad()
    def __call__(self, rows: Rows, done: Callable[[float], object] = lambda share: None) -> tuple[Tensor, Tensor]:
        """Send targets down to the embeddings.

        Args:
            rows: the targets.
            done: told after every block of positions what share of them is done.

        Returns:
            edges (rows, columns) float32 in the order of `Sources` (features by position, errors layer-major, tokens),
            which lie in memory by column, and (rows,) float32: what reaches the targets from `Sources.constants`.
        """
        home, span, first = self.captured.final.device, max(rows.positions) + 1, min(rows.positions)
        constant = self.captured.final.new_zeros(len(rows))
        devices = {home, *(mid.device for mid in self.captured.mid)}
        # By column: with few rows, products that end in whole columns take four fifths of the time.
        edges = {device: constant.new_zeros(self.sources.n_columns, len(rows), device=device) for device in devices}
        carried: list[Carried | None] = [None] * len(self.layers)
        for start in reversed(range(0, span, _sources.BLOCK)):
            block = slice(start, min(start + _sources.BLOCK, span))
            flowing = self._descend(rows, block, carried)
            if first >= start and all(own is None for own in flowing):
                break  # nothing reaches further back
            if any(own is not None for own in flowing):
                self._meet(block, flowing, edges, constant)
            done(1 - start / span)
        total = edges.pop(home)
        for other in edges.values():
            total += other.to(home)
        total[: len(self.activations)] *= self.activations[:, None]
        return total.T, constant

    def _descend(self, rows: Rows, block: slice, carried: list[Carried | None]) -> list[Tensor | None]:
        """Send a block of positions through all layers; fills `carried` for the blocks before it.

        Returns:
            per layer, at the MLP's output, then at the embeddings: (rows that read above it, positions, d), or None
            where all are zero.
        """
        captured, size = self.captured, block.stop - block.start
        flowing: list[Tensor | None] = [None] * (len(self.layers) + 1)
        now, (*reading, logits) = None, self._entering(rows, block)
        if logits is not None:
            now = logits.add_to(logits.vectors.new_zeros(rows.reading(len(self.layers)), size, self.model.d_model))
        for layer in reversed(range(len(self.layers))):
            device = captured.mid[layer].device
            now = flowing[layer] = None if now is None else now.to(device)
            if now is not None and (skip := self.skips[layer]) is not None:
                now = torch.addcmul(now, now @ skip.T, self.readings[layer][block].to(device))
            arriving = self._attend(rows, layer, now, entering := reading[layer], block, carried)
            if arriving is None:
                continue
            arriving = arriving.transpose(1, 2).flatten(2) @ self._projections(layer)[1]
            if now is not None:
                arriving[: len(now)] += now
            now = arriving if entering is None else entering.add_to(arriving)
        flowing[-1] = None if now is None else now.to(captured.embeddings.device)
        return flowing

    def _entering(self, rows: Rows, block: slice) -> list[Entering | None]:
        """The targets in this block, by the layer where they read; the last: logits; None where there are none."""
        inside = [row for row, position in enumerate(rows.positions) if block.start <= position < block.stop]
        counts = Counter(rows.layers[row] for row in inside)
        places = torch.tensor([inside, [rows.positions[row] - block.start for row in inside]], dtype=torch.int64)
        places = places.to(rows.vectors.device, non_blocking=True)  # at once: an accelerator does not wait again
        layers = sorted(counts, reverse=True)
        found: list[Entering | None] = [None] * (len(self.layers) + 1)
        for layer, at in zip(layers, places.split([counts[layer] for layer in layers], 1)):
            device = self.captured.mid[min(layer, len(self.layers) - 1)].device
            own, positions = at.to(device)
            readings = self.readings[layer][block].to(device)[positions]
            found[layer] = Entering(own, positions, rows.vectors[at[0]].to(device) * readings)
        return found

    def _attend(
        self,
        rows: Rows,
        layer: int,
        now: Tensor | None,
        entering: Entering | None,
        block: slice,
        carried: list[Carried | None],
    ) -> Tensor | None:
        """Transpose of the heads' mixing: from a block of queries to the values of its own positions.

        Returns:
            (rows, groups, positions, width), or None where all are zero; what goes further back is in `carried`.
        """
        attention, before = self.captured.attentions[layer], carried[layer]
        carried[layer] = None
        silent = now is None and entering is None
        if silent and before is None:
            return None
        out, into = self._projections(layer)
        groups = len(attention.key)
        width = len(into) // groups
        reach = before.first if before is not None and silent else attention.first(block.start)
        first = min(reach, block.start)
        if before is not None and before.first == first:
            total = before.values
        else:
            total = into.new_zeros(rows.reading(layer), groups, block.stop - first, width)
            if before is not None:
                total[:, :, before.first - first :] = before.values
        if not silent:
            mixing = self._mixing(layer, block).unflatten(0, (groups, -1))
        if now is not None:
            heads = (now @ out).unflatten(2, (groups, -1, width))
            # Heads of a group share their values, so one product sums over queries and heads: keys by (query, head).
            by_key = mixing.permute(0, 3, 2, 1).flatten(2)
            for group in range(groups):
                own = heads[:, :, group].flatten(1, 2)
                total[: len(now), group].baddbmm_(by_key[group].expand(len(now), -1, -1), own)
        if entering is not None:  # at one position each, so far
            heads = (entering.vectors @ out).unflatten(1, (groups, -1, width))
            total[entering.rows] += torch.einsum("ghnk,nghw->ngkw", mixing[:, :, entering.positions], heads)
        if first < block.start:
            carried[layer] = Carried(first, total[:, :, : block.start - first])
        return total[:, :, block.start - first :]

    def _mixing(self, layer: int, block: slice) -> Tensor:
        """(heads, queries, keys): attention patterns with the norms' denominators on both sides, the cheapest place."""
        attention, after = self.captured.attentions[layer], self.captured.attention_out_scales[layer]
        pattern = attention.pattern(block.start, block.stop).float()
        pattern = pattern * self.captured.attention_scales[layer][attention.first(block.start) : block.stop].mT
        return pattern if after is None else pattern * after[block]

    def _projections(self, layer: int) -> tuple[Tensor, Tensor]:
        """(d, heads * width) and (groups * width, d) float32: output and value weights with the norms' gains."""
        if layer in self._folded:
            return self._folded[layer]
        weights = self.layers[layer]
        out, gain = weights.output.float(), weights.attention_out_gain
        folded = out if gain is None else out * gain[:, None], weights.value.float() * weights.attention_gain
        if weights.output.dtype == torch.float32:  # others take less space, and GPUs fold in no time
            self._folded[layer] = folded
        return folded

    def _meet(
        self, block: slice, flowing: list[Tensor | None], edges: dict[torch.device, Tensor], constant: Tensor
    ) -> None:
        """Inner products with everything that writes in a block of positions; fills `edges` and `constant` in place."""
        sources = self.sources
        n_features, n_positions = len(sources.active), sources.n_positions
        written = (*sources.errors, sources.tokens)
        for layer, (own, vectors) in enumerate(zip(flowing, written)):
            if own is not None:
                first = n_features + layer * n_positions
                products = torch.einsum("npd,pd->pn", own, vectors[block])
                edges[own.device][first + block.start : first + block.stop, : len(own)] = products
        for own, vectors in zip(flowing, sources.constants):
            if own is not None:
                constant[: len(own)] += (own.flatten(1) @ vectors[block].flatten()).to(constant.device)
        for inner, writes in sources.decoders.within(block.start, block.stop):
            for own, (vectors, columns, places) in zip(flowing, writes):
                if own is None:
                    continue
                ours = edges[own.device][:, : len(own)]
                for position, column, place in zip(range(inner.start - block.start, own.shape[1]), columns, places):
                    ours[column].addmm_(vectors[place], own[:, position].T)
