"""One forward pass that records what attribution freezes. The only module that speaks to nnsight."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..data.errors import NotFiniteError
from ..transcoders.protocol import Site
from .architecture import Architecture
from .attention import Attention, in_blocks


@dataclass(frozen=True)
class Capture:
    """The values of one forward pass on one prompt of `P` positions, in float32, each on its layer's device."""

    embeddings: Tensor
    """(P, d): token embeddings as the model adds them (Gemma scales by sqrt(d))."""
    attentions: tuple[Attention, ...]
    """Per layer: makes attention patterns, a block of positions at a time."""
    attention_scales: tuple[Tensor, ...]
    """Per layer (P, 1): `rsqrt(mean(x^2) + config.rms_norm_eps)` of the norm before attention."""
    attention_out_scales: tuple[Tensor | None, ...]
    """Likewise of the norm after attention; None where there is none."""
    mlp_scales: tuple[Tensor, ...]
    """Likewise of the norm before the MLP."""
    mid: tuple[Tensor, ...]
    """Per layer (P, d): the residual stream between attention and MLP."""
    mlp_out: tuple[Tensor, ...]
    """Per layer (P, d): what the MLP block adds to the residual stream."""
    final: Tensor
    """(d,): the residual stream at the last position, before the final norm."""
    final_scale: Tensor
    """(1,): of the final norm, at the last position."""
    logits: Tensor
    """(vocabulary,): at the last position, as the model returns them (after a softcap)."""

    def read(self, layer: int, site: Site, gain: Tensor) -> Tensor:
        """What a dictionary reads at `site` of `layer`: (P, d); `gain` is that of the norm before the MLP."""
        return self.mid[layer] * read_scale(site, self.mlp_scales[layer], gain)


def read_scale(site: Site, scale: Tensor, gain: Tensor) -> Tensor | float:
    """The frozen factor between the residual stream and a reading site; broadcasts over (P, d)."""
    if site == Site.RESID_MID:
        return 1.0
    return scale * gain if site == Site.MLP_IN else scale


def capture(envoy: Any, architecture: Architecture, config: Any, token_ids: tuple[int, ...]) -> Capture:
    """Run the model once under nnsight and keep what is needed.

    Args:
        envoy: the nnsight model; nobody else uses it meanwhile.
        architecture: its record.
        config: the configuration of its text decoder.
        token_ids: the prompt.

    Raises:
        NotFiniteError: the model computes NaN or infinity on this prompt.
    """
    decoder = operator.attrgetter(architecture.decoder)(envoy)
    count = len(decoder.layers)

    def scale(x: Tensor) -> Any:
        # As the norms do it, in float32; bit-identical to their own.
        return torch.rsqrt(x[0].float().pow(2).mean(-1, keepdim=True) + config.rms_norm_eps)

    embeddings = torch.empty(0)
    in_scales, out_scales, mids, mlp_outs = ([torch.empty(0)] * count for _ in range(4))
    attentions = [Attention(embeddings, embeddings, 1.0)] * count
    ids = torch.tensor([token_ids])
    # Modules are read in the order in which they run: nnsight refuses any other.
    with torch.no_grad(), in_blocks(config), envoy.trace(ids, use_cache=False, logits_to_keep=1):
        for index in range(count):
            layer = decoder.layers[index]
            if index == 0:
                embeddings = layer.input.save()
            in_scales[index] = scale(layer.input).save()
            attended, attention = layer.self_attn.output
            out_scales[index], attentions[index] = scale(attended).save(), attention.save()
            mids[index] = getattr(layer, architecture.mlp_norm).input.save()
            mlp_outs[index] = getattr(layer, architecture.mlp_out).output.save()
        final = decoder.norm.input.save()
        logits = envoy.output.logits.save()

    has_out_norm = architecture.attention_out_norm is not None
    captured = Capture(
        embeddings=embeddings[0].float(),
        attentions=tuple(attentions),
        attention_scales=tuple(in_scales),
        attention_out_scales=tuple(out_scales if has_out_norm else [None] * count),
        mlp_scales=tuple(scale(x) for x in mids),
        mid=tuple(x[0].float() for x in mids),
        mlp_out=tuple(x[0].float() for x in mlp_outs),
        final=final[0, -1].float(),
        final_scale=scale(final)[-1],
        logits=logits[0, -1].float(),
    )
    for index, x in enumerate((*captured.mid, captured.final, captured.logits)):
        if not x.isfinite().all():
            place = f"layer {index}" if index < count else "the final layer"
            raise NotFiniteError(
                f"model, {place}",
                expected="finite values",
                got="NaN or infinity",
                remedy="check the weight files; float16 overflows on Gemma, bfloat16 does not",
            )
    return captured
