"""A forward pass that shows its sites to callbacks, lets them change what is written there, and freezes what is asked.

Its hooks are there for one pass only: they are gone when it ends, however it ends.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..transcoders.protocol import Site
from .architecture import Architecture
from .capture import read_scale
from .replacement import ReplacementModel

Look = Callable[[int, Tensor], "Tensor | None"]
"""Called with a layer and the value at a site, (batch, positions, width) float32; what it returns takes its place."""

READ_ONLY = (Site.RESID_MID, Site.MLP_IN, Site.MLP_IN_NORMALIZED)
"""Sites whose value cannot be replaced: nothing writes there."""


@dataclass(frozen=True)
class Run:
    """What one forward pass leaves behind."""

    raw_logits: Tensor
    """(batch, positions, vocabulary) float32, before a softcap."""
    logits: Tensor
    """Likewise as the model returns them; the same tensor where there is no softcap."""
    patterns: list[Tensor] = field(default_factory=list)
    """If recorded: per layer (batch, heads, queries, keys), in the model's dtype."""
    scales: dict[str, Tensor] = field(default_factory=dict)
    """If recorded: (batch, positions, 1) float32 by the norm's name: `rsqrt(mean(x^2) + eps)`."""
    cache: Any = None
    """Keys and values of all positions so far, if asked for."""


@torch.no_grad()
def run(
    model: ReplacementModel,
    token_ids: Tensor,
    looks: Sequence[tuple[Site, Look]] = (),
    *,
    patterns: Sequence[Tensor] | None = None,
    scales: Mapping[str, Tensor] | None = None,
    replaced: Collection[int] = (),
    record: bool = False,
    use_cache: bool = False,
    cache: Any = None,
    logits_to_keep: int = 0,
    rows: Sequence[int] | None = None,
) -> Run:
    """Run the model once.

    Args:
        model: the model; its lock is held throughout.
        token_ids: (batch, positions) int64.
        looks: callbacks at sites of every layer, called in this order where several stand at one site.
        patterns: attention patterns to impose, as an earlier run recorded them.
        scales: likewise norm denominators.
        replaced: layers whose MLP output a look replaces whole: it sees that of the first position only.
        record: keep attention patterns and norm denominators.
        use_cache: keep keys and values.
        cache: those of the positions before `token_ids`; it is extended in place.
        logits_to_keep: logits of the last so many positions only; 0 for all.
        rows: for each layer the size of the batch from there on, never smaller than before it; the last row stands
            for all that are still to come. None: as `token_ids` has it.

    Example:
        >>> run(model, torch.tensor([[2, 40, 41]])).logits.shape  # doctest: +SKIP
        torch.Size([1, 3, 262144])
    """
    architecture, module = model.architecture, model.module
    decoder = operator.attrgetter(architecture.decoder)(module)
    raw: list[Tensor] = []
    kept: list[Tensor] = []
    recorded: dict[str, Tensor] = {}
    with model.lock, ExitStack() as stack:

        def at(hook: Any, *, before: bool = False, of: Any) -> None:
            register = of.register_forward_pre_hook if before else of.register_forward_hook
            stack.callback(register(hook).remove)

        for name, norm in _norms(decoder, architecture):
            if scales is not None:
                at(_scaled(scales[name], architecture.gain_offset), of=norm)
            if record:
                at(lambda norm, given, _, name=name: recorded.update({name: _scale(given[0], model)}), of=norm)
        for index, layer in enumerate(decoder.layers):
            if rows is not None:
                at(_grown(rows[index]), before=True, of=layer)
            if index in replaced:
                at(_first_position, before=True, of=layer.mlp)
            if patterns is not None:
                _impose(patterns[index], layer.self_attn, at)
            if record:
                at(lambda _, given, output: kept.append(output[1]), of=layer.self_attn)
        for site, look in looks:
            for index, layer in enumerate(decoder.layers):
                _show(site, look, index, layer, model, scales, at)
        at(lambda _, given, output: raw.append(output), of=module.lm_head)
        output = module(
            token_ids.to(module.get_input_embeddings().weight.device),
            use_cache=use_cache,
            cache=cache,
            logits_to_keep=logits_to_keep,
        )
    raw_logits = raw[0].float()
    capped = output.logits is not raw[0]
    return Run(
        raw_logits,
        output.logits.float() if capped else raw_logits,
        kept,
        recorded,
        output.cache if use_cache else None,
    )


def _norms(decoder: Any, architecture: Architecture) -> Iterator[tuple[str, Any]]:
    """Every norm that linear paths pass through, with its name."""
    yield "norm", decoder.norm
    for index, layer in enumerate(decoder.layers):
        for name in (architecture.attention_norm, architecture.attention_out_norm, architecture.mlp_norm):
            if name:
                yield f"layers.{index}.{name}", getattr(layer, name)


def _scale(x: Tensor, model: ReplacementModel) -> Tensor:
    return torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + model.config.rms_norm_eps)


def _scaled(scale: Tensor, offset: float) -> Any:
    def norm(module: Any, given: tuple[Tensor], output: Tensor) -> Tensor:
        return (given[0].float() * scale * (offset + module.weight.float())).to(output.dtype)

    return norm


def _grown(size: int) -> Any:
    """Repeats the last row of a layer's input until there are so many."""

    def grow(module: Any, given: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        x, *rest = given
        return None if len(x) == size else (torch.cat([x, x[-1:].expand(size - len(x), -1, -1)]), *rest)

    return grow


def _first_position(module: Any, given: tuple[Tensor]) -> tuple[Tensor]:
    """Spares most of the work of a module whose output is not used."""
    return (given[0][:, :1],)


def _impose(pattern: Tensor, attention: Any, at: Any) -> None:
    """Let the heads mix the current values by `pattern`."""
    values: list[Tensor] = []

    def mix(module: Any, given: tuple[Tensor]) -> tuple[Tensor]:
        value, (batch, count, width) = values.pop(), given[0].shape
        value = value.view(batch, count, -1, width // pattern.shape[1]).transpose(1, 2)
        value = value.repeat_interleave(pattern.shape[1] // value.shape[1], dim=1)
        return ((pattern @ value).transpose(1, 2).reshape(batch, count, width),)

    for projection in (attention.q_proj, attention.k_proj):  # what they make is not used: it need not be right
        at(_first_position, before=True, of=projection)
        at(lambda _, given, output: output.expand(-1, pattern.shape[-1], -1), of=projection)
    at(lambda _, given, output: values.append(output), of=attention.v_proj)
    at(mix, before=True, of=attention.o_proj)


def _show(
    site: Site,
    look: Look,
    index: int,
    layer: Any,
    model: ReplacementModel,
    scales: Mapping[str, Tensor] | None,
    at: Any,
) -> None:
    """Register `look` at a site of one layer."""
    record = model.architecture

    def seen(value: Tensor) -> Tensor | None:
        changed = look(index, value.float())
        return None if changed is None else changed.to(value.dtype)

    if site in READ_ONLY:
        gain, name = model.layer(index).mlp_gain, f"layers.{index}.{record.mlp_norm}"

        def read(module: Any, given: tuple[Tensor]) -> None:
            scale = _scale(given[0], model) if scales is None else scales[name]
            look(index, given[0].float() * read_scale(site, scale, gain))

        at(read, before=True, of=getattr(layer, record.mlp_norm))
    elif site == Site.ATTN_OUT:

        def before(module: Any, given: tuple[Tensor]) -> Any:
            changed = seen(given[0])
            return None if changed is None else (changed,)

        at(before, before=True, of=layer.self_attn.o_proj)
    else:
        at(lambda _, given, output: seen(output), of=getattr(layer, record.mlp_out) if site == Site.MLP_OUT else layer)
