"""Which tokens a feature promotes and suppresses, and which token embeddings excite it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..data import display
from ..data.errors import ArgumentError
from ..models import ReplacementModel
from ..models.prompt import token_text
from .directions import place_of, reads, writes

ROWS = 16384
"""Token vectors that are widened to float32 at a time."""


class TokenEffect(NamedTuple):
    """One token, and how strongly it and a feature are tied."""

    token: str
    token_id: int
    value: float


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LogitEffects:
    """What a feature does to the logits by itself, and what the token embeddings do to it."""

    layer: int
    feature: int
    logits: Tensor
    """(vocabulary,) float32: what one unit of activation adds to each token's raw logit (before any softcap) minus the
    vocabulary mean, straight through the residual stream, times the final norm's denominator."""
    inputs: Tensor
    """(vocabulary,) float32: what each token's embedding adds to the feature's pre-activation at its own position,
    straight through the residual stream, times the denominator of the norm that the feature reads behind."""
    promoted: tuple[TokenEffect, ...]
    """The largest of `logits`, largest first."""
    suppressed: tuple[TokenEffect, ...]
    """The smallest of `logits`, smallest first."""
    excited_by: tuple[TokenEffect, ...]
    """The largest of `inputs`, largest first."""

    def __repr__(self) -> str:
        sections = "\n".join(
            f"  {name}: " + ", ".join(f"{display.shorten(t.token, 20)} {t.value:+.3g}" for t in tokens)
            for name, tokens in self._sections().items()
        )
        return f"Feature L{self.layer} #{self.feature}\n{sections}"

    def _repr_html_(self) -> str:
        sections = {
            name: display.html_table(["token", "effect"], [[repr(t.token), f"{t.value:+.3g}"] for t in tokens])
            for name, tokens in self._sections().items()
        }
        return display.page(f"Feature L{self.layer} #{self.feature}", "direct effects, norm denominators 1", sections)

    def _sections(self) -> dict[str, tuple[TokenEffect, ...]]:
        return {"promotes": self.promoted, "suppresses": self.suppressed, "excited by": self.excited_by}


def logit_effects(model: ReplacementModel, node: Any, k: int = 10) -> LogitEffects:
    """The tokens that a feature promotes and suppresses most, and those whose embeddings excite it most.

    Output side: the decoder vectors, summed over the layers written to, times the gain of the final norm, times the
    unembedding minus its mean (as in a graph's logit targets). Input side: the token embeddings as the model adds
    them, times the gain of the norm before the encoder where it reads behind one, times the encoder. Norm denominators
    are those of no prompt, so they are taken as 1: multiplied by a prompt's `rsqrt(mean(x^2) + eps)` at the position
    (and the activation), the values are the direct effects there. Order and signs are the same on every prompt.
    Only the residual stream is followed: what later attention heads, MLPs or affine skips make of the write is not in
    it. See `writes` and `reads` in `features/directions.py` for SAEs and crosscoders.

    Args:
        model: from `load`.
        node: a feature node, `(layer, feature)` or `(layer, position, feature)`.
        k: how many tokens to list on each side, at least 1.

    Raises:
        NodeError: no such feature.
        ArgumentError: `k` below 1.

    Example:
        >>> logit_effects(load(), (5, 120)).promoted[0].token  # doctest: +SKIP
        ' Austin'
    """
    if k < 1:
        raise ArgumentError("k", expected="1 or more", got=str(k))
    layer, feature = place_of(model, node)
    index = torch.tensor([feature])
    ((logits,), (inputs,)) = on_logits(model, layer, index), from_embeddings(model, layer, index)
    return LogitEffects(
        layer=layer,
        feature=feature,
        logits=logits,
        inputs=inputs,
        promoted=top_tokens(model, logits, k),
        suppressed=top_tokens(model, logits, k, largest=False),
        excited_by=top_tokens(model, inputs, k),
    )


def on_logits(model: ReplacementModel, layer: int, features: Tensor) -> Tensor:
    """`LogitEffects.logits` of many features: (n,) int64 to (n, vocabulary) on the CPU."""
    return unembed(model, writes(model, layer, features))


@torch.no_grad()
def unembed(model: ReplacementModel, directions: Tensor) -> Tensor:
    """What directions of the residual stream add to raw logits minus their mean: (n, d) to (n, vocabulary) on the CPU.

    The final norm's denominator is taken as 1.
    """
    directions = directions.to(model.device) * model.final_gain.to(model.device)
    mean = directions @ model.mean_unembedding
    rows = model.unembedding.split(ROWS)
    return torch.cat([directions @ part.float().T - mean[:, None] for part in rows], 1).cpu()


@torch.no_grad()
def from_embeddings(model: ReplacementModel, layer: int, features: Tensor) -> Tensor:
    """`LogitEffects.inputs` of many features: (n,) int64 to (n, vocabulary) on the CPU."""
    embedding = model.module.get_input_embeddings()
    directions = reads(model, layer, features).to(embedding.weight.device)
    ids = torch.arange(model.vocabulary, device=directions.device).split(ROWS)
    return torch.cat([directions @ embedding(part).float().T for part in ids], 1).cpu()


def top_tokens(model: ReplacementModel, effects: Tensor, k: int, *, largest: bool = True) -> tuple[TokenEffect, ...]:
    """The `k` tokens of largest (or smallest) effect, (vocabulary,), strongest first."""
    values, ids = effects.topk(min(k, len(effects)), largest=largest)
    return tuple(
        TokenEffect(token_text(model.tokenizer, token_id), token_id, value)
        for token_id, value in zip(ids.tolist(), values.tolist())
    )


def promoted_tokens(model: ReplacementModel, layer: int, features: Tensor, k: int) -> Iterator[tuple[TokenEffect, ...]]:
    """`LogitEffects.promoted` of many features of one layer, in bounded memory."""
    for part in features.split(max(1, 2**25 // model.vocabulary)):
        for row in on_logits(model, layer, part):
            yield top_tokens(model, row, k)
