"""What can act on a target: active features with their decoder vectors, errors, tokens, and what is constant."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..data.errors import MismatchError
from ..models import Capture, ReplacementModel
from ..transcoders import Transcoder
from ..transcoders.protocol import Site
from .progress import Progress


class ActiveFeatures(NamedTuple):
    """All features that fire on the prompt, ordered by (position, layer, feature).

    In this order the features at one position that write to one layer stand side by side, so that their edges are one
    matrix product.
    """

    layers: Tensor
    """(n,) int64, like the next two; on the CPU."""
    positions: Tensor
    features: Tensor
    activations: Tensor
    """(n,) float32, like the next."""
    pre_activations: Tensor

    def __len__(self) -> int:
        return len(self.layers)


class Writes(NamedTuple):
    """What features write to one layer's MLP output."""

    vectors: Tensor
    """(rows, d) float32: decoder vectors times activations, ordered by (position, layer, feature)."""
    columns: tuple[slice, ...]
    """Per position: the features that these rows belong to, as places in `ActiveFeatures`."""
    rows: tuple[slice, ...]
    """Per position: the rows."""


@dataclass(frozen=True)
class Sources:
    """Everything that a cotangent is multiplied with on its way down."""

    active: ActiveFeatures
    writes: tuple[Writes, ...]
    """Per layer."""
    errors: tuple[Tensor, ...]
    """Per layer (P, d): true MLP output minus the transcoder's; zero at ignored positions."""
    constants: tuple[Tensor, ...]
    """Per layer (P, d): the decoder bias; at ignored positions what the MLP writes beyond the skip."""
    tokens: Tensor
    """(P, d): embeddings as the model adds them."""

    @property
    def n_positions(self) -> int:
        """P."""
        return len(self.tokens)

    @property
    def n_layers(self) -> int:
        """L."""
        return len(self.writes)

    @property
    def n_columns(self) -> int:
        """Features, errors and tokens."""
        return len(self.active) + (self.n_layers + 1) * self.n_positions


def check_traceable(model: ReplacementModel) -> None:
    """Refuse dictionaries that do not stand in for every MLP.

    Raises:
        MismatchError: an SAE, a crosscoder, or transcoders of some layers only.
    """
    transcoder = model.transcoder
    if (
        transcoder.kind not in ("clt", "transcoder")
        or transcoder.writes != Site.MLP_OUT
        or tuple(transcoder.layers) != tuple(range(model.n_layers))
    ):
        raise MismatchError(
            f"transcoder {transcoder.source}",
            expected=f"a CLT or per-layer transcoders of all {model.n_layers} layers, writing the MLP outputs",
            got=f"a {transcoder.kind} of {len(transcoder.layers)} layers writing {transcoder.writes}",
            remedy="attribution needs a stand-in for every MLP",
        )


def encode(model: ReplacementModel, captured: Capture, ignored: int, progress: Progress) -> ActiveFeatures:
    """Find the features that fire; none at the first `ignored` positions."""
    transcoder, columns = model.transcoder, []
    for layer in progress.steps(range(model.n_layers), "encode"):
        found = transcoder.encode(layer, _inputs(model, captured, layer))
        keep = found.positions >= ignored
        positions, features, activations, pre = (tensor[keep].cpu() for tensor in found)
        columns.append((torch.full_like(positions, layer), positions, features, activations, pre))
    joined = [torch.cat(parts) for parts in zip(*columns)]
    order = joined[1].argsort(stable=True)  # by position; within one they come by (layer, feature) already
    return ActiveFeatures(*(column[order] for column in joined))


def gather(
    model: ReplacementModel, captured: Capture, active: ActiveFeatures, ignored: int, progress: Progress
) -> Sources:
    """Read the decoder vectors of the active features and split every MLP output into its sources."""
    transcoder, n_positions = model.transcoder, len(captured.embeddings)
    ranges = _ranges(transcoder, active, n_positions)
    vectors = [
        captured.mlp_out[layer].new_empty(rows[-1].stop if rows else 0, model.d_model)
        for layer, (_, rows, _) in enumerate(ranges)
    ]
    for layer in progress.steps(range(model.n_layers), "decoders"):
        mine = (active.layers == layer).nonzero().squeeze(1)
        if not len(mine):
            continue
        decoders = transcoder.decoder(layer, active.features[mine]) * active.activations[mine, None, None]
        for output, rows in zip(transcoder.written(layer), decoders.unbind(1)):
            places = ranges[output][2][mine].to(vectors[output].device)
            vectors[output][places] = rows.to(vectors[output].device)

    errors, constants = [], []
    for layer in range(model.n_layers):
        _columns, rows, _ = ranges[layer]
        true = captured.mlp_out[layer]
        skipped = torch.zeros_like(true)
        if (skip := transcoder.skip(layer)) is not None:
            skipped = _inputs(model, captured, layer) @ skip.to(true.device)
        constant = transcoder.decoder_bias(layer).to(true.device).expand_as(true).clone()
        written = torch.stack([vectors[layer][span].sum(0) for span in rows])
        error = true - constant - skipped - written
        constant[:ignored] = true[:ignored] - skipped[:ignored]
        error[:ignored] = 0
        errors.append(error)
        constants.append(constant)
    writes = tuple(Writes(v, columns, rows) for v, (columns, rows, _) in zip(vectors, ranges))
    return Sources(active, writes, tuple(errors), tuple(constants), captured.embeddings)


def _inputs(model: ReplacementModel, captured: Capture, layer: int) -> Tensor:
    return captured.read(layer, model.transcoder.reads, model.layer(layer).mlp_gain)


def _ranges(
    transcoder: Transcoder, active: ActiveFeatures, n_positions: int
) -> list[tuple[tuple[slice, ...], tuple[slice, ...], Tensor]]:
    """Per output layer: columns and rows of each position, and each active feature's row (meaningless for others)."""
    ranges = []
    for output in transcoder.layers:
        writers = torch.tensor([layer for layer in transcoder.layers if output in transcoder.written(layer)])
        writing = torch.isin(active.layers, writers)
        row_of = writing.cumsum(0) - 1
        counts = torch.bincount(active.positions[writing], minlength=n_positions).tolist()
        firsts = torch.searchsorted(
            active.positions * (len(transcoder.layers) + 1) + active.layers,
            torch.arange(n_positions) * (len(transcoder.layers) + 1) + writers.min(),
        ).tolist()
        columns = tuple(slice(first, first + count) for first, count in zip(firsts, counts))
        starts = [0, *torch.tensor(counts).cumsum(0).tolist()]
        rows = tuple(slice(a, b) for a, b in itertools.pairwise(starts))
        ranges.append((columns, rows, row_of))
    return ranges
