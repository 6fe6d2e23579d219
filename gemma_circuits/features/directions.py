"""Features as directions of the residual stream: what one writes there, and what it reads from there.

Norm denominators are scalars of one prompt and position. They are left out (taken as 1), so that both directions belong
to the feature alone; multiplied by the denominators of a prompt they give the effects on that prompt.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ..data import Node
from ..data.errors import NodeError
from ..models import ReplacementModel
from ..models.capture import read_scale
from ..transcoders.protocol import Site

LARGEST = 2**24
"""Numbers that one block of decoder vectors holds at most."""


def writes(model: ReplacementModel, layer: int, features: Tensor) -> Tensor:
    """What features add to the residual stream per unit of activation: (n,) int64 to (n, d) float32.

    Summed over the layers that they write to. A crosscoder writes the stream itself, at several depths: there only
    its last layer counts, since the same write would be counted several times. What is written before the attention
    output projection (`Site.ATTN_OUT`) passes that projection and the gain of the norm behind it.
    """
    transcoder = model.transcoder
    vectors = transcoder.decoder(layer, features)
    if transcoder.writes == Site.RESID_POST:
        return vectors[:, -1]
    if transcoder.writes == Site.ATTN_OUT:
        parts = zip(transcoder.written(layer), vectors.unbind(1))
        vectors = torch.stack([_projected(model, written, part) for written, part in parts], 1)
    return vectors.sum(1)


def reads(model: ReplacementModel, layer: int, features: Tensor) -> Tensor:
    """The direction of the residual stream that excites features most: (n,) int64 to (n, d) float32.

    The encoder vector, times the gain of the norm before the MLP where the dictionary reads behind it. What is read
    before the attention output projection (`Site.ATTN_OUT`) goes back through the heads' values, as if each head
    looked at this one token only. What reads an MLP's output (`Site.MLP_OUT`) is taken to read the stream itself.
    """
    transcoder = model.transcoder
    vectors = transcoder.encoder(layer, features)
    if transcoder.reads in (Site.RESID_POST, Site.MLP_OUT):
        return vectors
    weights = model.layer(layer)
    if transcoder.reads != Site.ATTN_OUT:
        one = torch.ones(1, device=vectors.device)
        return vectors * read_scale(transcoder.reads, one, weights.mlp_gain.to(vectors.device))
    heads, kv_heads = model.config.num_attention_heads, model.config.num_key_value_heads
    # Several query heads share one head of values.
    grouped = vectors.view(len(vectors), kv_heads, heads // kv_heads, -1).sum(2).flatten(1)
    return grouped @ weights.value.to(vectors) * weights.attention_gain.to(vectors)


def blocks(model: ReplacementModel, layer: int, *, decoders: bool) -> Iterator[Tensor]:
    """All features of a layer, in blocks whose vectors fit into `LARGEST` numbers."""
    transcoder = model.transcoder
    size = len(transcoder.written(layer)) * transcoder.d_out if decoders else transcoder.d_in
    yield from torch.arange(transcoder.n_features).split(max(1, LARGEST // size))


def place_of(model: ReplacementModel, node: Any) -> tuple[int, int]:
    """(layer, feature) of a feature node, `(layer, position, feature)` or `(layer, feature)`.

    Raises:
        NodeError: no such feature in the model's dictionary.
    """
    transcoder = model.transcoder
    if isinstance(node, Node):
        node = (node.layer, node.feature) if node.kind == "feature" else (-1, -1)
    try:
        layer, *_, feature = map(operator.index, node) if len(node) in (2, 3) else (-1, -1)
    except TypeError:
        layer, feature = -1, -1
    if layer not in transcoder.layers or not 0 <= feature < transcoder.n_features:
        raise NodeError(
            "feature",
            expected=f"(layer, feature) of {transcoder!r}",
            got=repr(node),
            remedy="is it a feature of another model or dictionary?",
        )
    return layer, feature


def _projected(model: ReplacementModel, layer: int, vectors: Tensor) -> Tensor:
    weights = model.layer(layer)
    out = vectors @ weights.output.to(vectors).T
    return out if weights.attention_out_gain is None else out * weights.attention_out_gain.to(out)
