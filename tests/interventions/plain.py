"""Hugging Face's own forward pass with a hook on every MLP's output: an engine to compare with."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import torch
from torch import Tensor

from gemma_circuits.models import ReplacementModel

Reads = dict[int, Tensor]
"""By layer (positions, d)."""


@torch.no_grad()
def forward(model: ReplacementModel, ids, change: Callable[[int, Reads, Tensor], Tensor | None]) -> Tensor:
    """(positions, vocabulary): logits with MLP outputs replaced.

    Args:
        model: its dictionary reads "mlp_in" and writes "mlp_out".
        ids: the prompt.
        change: from a layer, what the dictionary reads up to there, and the MLP output (positions, d), to a new one.
    """
    record = model.architecture
    reads: Reads = {}

    def write(layer):
        def hook(module, given, output):
            changed = change(layer, reads, output[0])
            return None if changed is None else changed[None]

        return hook

    with ExitStack() as stack:
        for index, layer in enumerate(model.module.get_decoder().layers):
            norm, out = getattr(layer, record.mlp_norm), getattr(layer, record.mlp_out)
            read = norm.register_forward_hook(lambda _, given, output, index=index: reads.update({index: output[0]}))
            stack.callback(read.remove)
            stack.callback(out.register_forward_hook(write(index)).remove)
        return model.module(torch.tensor([list(ids)])).logits[0]


def activations(model: ReplacementModel, layer: int, reads: Reads) -> Tensor:
    """(positions, features), of a JumpReLU."""
    tensors = model.transcoder.tensors(layer)
    pre = reads[layer] @ tensors.w_enc + tensors.b_enc
    return pre * ((pre > 0) & (pre > tensors.threshold))


def reconstruction(model: ReplacementModel, layer: int, reads: Reads, kept: Tensor | None = None) -> Tensor:
    """What the dictionary writes to a layer; `kept` (layers, positions, features) is 0 for features left out."""
    tensors = model.transcoder.tensors(layer)
    out = tensors.b_dec + (0 if tensors.skip is None else reads[layer] @ tensors.skip)
    for source in range(layer + 1):
        if layer in (written := model.transcoder.written(source)):
            vectors = model.transcoder.tensors(source).w_dec[:, written.index(layer)]
            out = out + (activations(model, source, reads) * (1 if kept is None else kept[source])) @ vectors
    return out
