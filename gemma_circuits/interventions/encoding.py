"""What a dictionary makes of a few positions: chosen activations, and the sum that it writes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..transcoders import Transcoder


def activations_at(transcoder: Transcoder, layer: int, x: Tensor, rows: Tensor, features: Tensor) -> Tensor:
    """Activations of chosen features.

    Args:
        transcoder: the dictionary.
        layer: where it reads.
        x: (n, d_in) float32: what it reads.
        rows: (places,) int64: which row of `x`.
        features: (places,) int64: which feature there.

    Returns:
        (places,) float32 on the device of `x`.
    """
    needed, place = rows.to(x.device).unique(return_inverse=True)
    return transcoder.activate(layer, transcoder.pre_activations(layer, x[needed]))[place, features.to(x.device)]


def written_from(transcoder: Transcoder, layer: int) -> list[tuple[int, int]]:
    """Where features of `layer` write in a forward pass: (place in their decoder, the model's layer).

    What a crosscoder writes to layers before its own cannot land in the same pass: it is left to the errors there.
    """
    return [(place, to) for place, to in enumerate(transcoder.written(layer)) if to >= layer]


def reconstruct(transcoder: Transcoder, layer: int, reads: Mapping[int, Tensor]) -> Tensor:
    """What the dictionary writes to `layer`: `b_dec + x @ A +` the decoder vectors of all that fires.

    Args:
        transcoder: the dictionary.
        layer: where it writes.
        reads: by layer (n, d_in) float32: what it reads at the same n places.

    Returns:
        (n, d_out) float32.
    """
    x = reads[layer]
    out = transcoder.decoder_bias(layer).to(x.device).expand(len(x), -1).clone()
    if (skip := transcoder.skip(layer)) is not None:
        out += x @ skip.to(x.device)
    for source in transcoder.layers:
        for place in (place for place, to in written_from(transcoder, source) if to == layer):
            active = transcoder.encode(source, reads[source])
            vectors = transcoder.decoder(source, active.features)[:, place]
            out.index_add_(0, active.positions.to(x.device), (vectors * active.activations[:, None]).to(x.device))
    return out


def dense(transcoder: Transcoder, reads: Mapping[int, Tensor], ignored: int) -> Tensor:
    """All activations: (layers of the dictionary, positions, features) on the CPU, zero at ignored positions."""
    layers = []
    for layer in transcoder.layers:
        layers.append(transcoder.activate(layer, transcoder.pre_activations(layer, reads[layer])).cpu())
        layers[-1][:ignored] = 0
    return torch.stack(layers)
