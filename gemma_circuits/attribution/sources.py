"""What can act on a target: active features with their decoder vectors, errors, tokens, and what is constant."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..data.errors import MismatchError
from ..models import Capture, ReplacementModel
from ..transcoders.protocol import Site
from .decoders import ActiveFeatures, Decoders
from .progress import Progress

BLOCK = 64
"""Positions that a cotangent passes together."""


@dataclass(frozen=True)
class Sources:
    """Everything that a cotangent is multiplied with on its way down."""

    active: ActiveFeatures
    decoders: Decoders
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
        return len(self.errors)

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
    devices = [true.device for true in captured.mlp_out]
    decoders = Decoders(transcoder, active, devices, n_positions, BLOCK)
    if not decoders.held:  # room for rows: of the encoders, only some rows are read again
        for layer in transcoder.layers:
            transcoder.release(layer)
    errors, constants = [], []
    for layer, true in enumerate(captured.mlp_out):
        error = true.clone()
        if (skip := transcoder.skip(layer)) is not None:
            error -= _inputs(model, captured, layer) @ skip.to(true.device)
        constant = transcoder.decoder_bias(layer).to(true.device).expand_as(true).clone()
        constant[:ignored] = error[:ignored]
        errors.append(error.sub_(constant))
        constants.append(constant)
    for block in progress.steps(decoders.blocks, "decoders"):
        for _, writes in decoders.within(block.start, block.stop):
            for error, (vectors, columns, rows) in zip(errors, writes):
                for position, of, own in zip(range(block.start, block.stop), columns, rows):
                    error[position].addmv_(vectors[own].T, active.activations[of].to(error.device), alpha=-1)
    return Sources(active, decoders, tuple(errors), tuple(constants), captured.embeddings)


def _inputs(model: ReplacementModel, captured: Capture, layer: int) -> Tensor:
    return captured.read(layer, model.transcoder.reads, model.layer(layer).mlp_gain)
