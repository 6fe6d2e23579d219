"""The linear backward pass: from a vector at a target to its edges, without an autograd graph.

With attention patterns and norm denominators frozen, what a source adds to the residual stream reaches a target
through linear maps only; sending the target's vector through their transposes gives, at each place where sources
write, the vector whose inner product with a source is its edge.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..models import Capture, ReplacementModel, read_scale
from .sources import Sources


@dataclass(frozen=True)
class Rows:
    """Targets to send down together, ordered by layer, highest first.

    A target enters the batch at its own layer, so that nothing is computed above it.
    """

    layers: list[int]
    """Where each target reads; the number of layers for logits."""
    positions: Tensor
    """(rows,) int64."""
    vectors: Tensor
    """(rows, d): encoder vectors, or directions after the final norm."""

    def __len__(self) -> int:
        return len(self.layers)


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

    @torch.no_grad()
    def __call__(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Send targets down to the embeddings.

        Returns:
            edges (rows, columns) float32 in the order of `Sources` (features by position, errors layer-major, tokens),
            and (rows,) float32: what reaches the targets from `Sources.constants`.
        """
        sources, captured, count = self.sources, self.captured, len(rows)
        span = int(rows.positions.max()) + 1  # attention is causal: later positions do not reach back
        n_features, n_positions, n_layers = len(sources.active), sources.n_positions, sources.n_layers
        device = captured.final.device
        edges = captured.final.new_zeros(count, sources.n_columns)
        constant = captured.final.new_zeros(count)
        cotangent = captured.final.new_zeros(count, span, self.model.d_model)

        entered = 0

        def enter(layer: int, scale: Tensor | float) -> None:
            nonlocal entered
            stop = entered
            while stop < count and rows.layers[stop] == layer:
                stop += 1
            if stop == entered:
                return
            positions = rows.positions[entered:stop].to(device)
            factor = scale[positions] if isinstance(scale, Tensor) else scale
            places = torch.arange(entered, stop, device=device), positions
            cotangent[places] += rows.vectors[entered:stop].to(device) * factor
            entered = stop

        enter(n_layers, (captured.final_scale * self.model.final_gain).expand(span, -1))
        for layer in reversed(range(n_layers)):
            device = captured.mid[layer].device
            cotangent, edges, constant = (t.to(device) for t in (cotangent, edges, constant))
            weights = self.layers[layer]
            reading = read_scale(self.model.transcoder.reads, captured.mlp_scales[layer], weights.mlp_gain)
            if entered:
                flowing = cotangent[:entered]
                self._meet_writes(layer, flowing, edges[:entered], constant[:entered])
                if (skip := self.skips[layer]) is not None:
                    scale = reading[:span] if isinstance(reading, Tensor) else reading
                    flowing += (flowing @ skip.T) * scale
            enter(layer, reading)
            if entered:
                cotangent[:entered] += self._attention(layer, cotangent[:entered])
        first = n_features + n_layers * n_positions
        edges[:, first : first + span] = torch.einsum("npd,pd->np", cotangent, sources.tokens[:span].to(device))
        return edges, constant

    def _meet_writes(self, layer: int, cotangent: Tensor, edges: Tensor, constant: Tensor) -> None:
        """Inner products with everything that writes this layer's MLP output; fills `edges` and `constant` in place."""
        sources, span = self.sources, cotangent.shape[1]
        writes = sources.writes[layer]
        for position, (columns, rows) in enumerate(zip(writes.columns[:span], writes.rows)):
            edges[:, columns].addmm_(cotangent[:, position], writes.vectors[rows].T)
        first = len(sources.active) + layer * sources.n_positions
        edges[:, first : first + span] = torch.einsum("npd,pd->np", cotangent, sources.errors[layer][:span])
        constant += cotangent.flatten(1) @ sources.constants[layer][:span].flatten()

    def _attention(self, layer: int, cotangent: Tensor) -> Tensor:
        """Transpose of the attention block with frozen pattern and norms: (rows, span, d) to the same."""
        captured, weights = self.captured, self.layers[layer]
        count, span, _ = cotangent.shape
        flowing = cotangent
        out_scale, out_gain = captured.attention_out_scales[layer], weights.attention_out_gain
        if out_scale is not None and out_gain is not None:
            flowing = flowing * (out_scale[:span] * out_gain)
        flowing = flowing @ weights.output.float()  # (rows, queries, heads * width)
        pattern = captured.patterns[layer][:, :span, :span]
        width = flowing.shape[-1] // len(pattern)
        groups = weights.value.shape[0] // width
        # Heads of a group share their values, so one product sums over queries and heads: keys by (query, head).
        pattern = pattern.reshape(groups, -1, span, span).permute(0, 3, 2, 1).reshape(groups, span, -1)
        flowing = flowing.view(count, span, groups, -1, width).transpose(1, 2).reshape(count, groups, -1, width)
        flowing = (pattern @ flowing).transpose(1, 2).reshape(count, span, groups * width)
        return (flowing @ weights.value.float()) * (captured.attention_scales[layer][:span] * weights.attention_gain)
