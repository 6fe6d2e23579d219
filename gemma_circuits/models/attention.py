"""Frozen attention of prompts of any length: patterns are made a block of queries at a time, never held whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

NAME = "gemma_circuits"
"""What transformers knows `attend` by."""
BLOCK = 256
"""Queries whose pattern the forward pass holds at a time."""


@dataclass(frozen=True)
class Attention:
    """What the attention patterns of one layer on one prompt of `P` positions are computed from."""

    query: Tensor
    """(heads, P, width), in the model's dtype, normed and rotated."""
    key: Tensor
    """(groups, P, width): each serves heads / groups heads."""
    scaling: float
    """Multiplies inner products."""
    window: int | None = None
    """Positions that a query sees, its own included; None for all up to its own."""
    softcap: float | None = None
    """Of the scaled inner products."""

    def first(self, start: int) -> int:
        """The first key that queries from `start` on see."""
        return 0 if self.window is None else max(0, start - self.window + 1)

    def pattern(self, start: int, stop: int) -> Tensor:
        """Attention of the queries `start` to `stop` to the keys `first(start)` to `stop`: (heads, queries, keys)."""
        first = self.first(start)
        keys = _for_heads(self.key[:, first:stop], self.query)
        scores = self.query[:, start:stop] @ keys.mT * self.scaling
        if self.softcap is not None:
            scores = (scores / self.softcap).tanh() * self.softcap
        places = torch.arange(first, stop, device=scores.device)
        distance = places[start - first :, None] - places
        unseen = distance < 0 if self.window is None else (distance < 0) | (distance >= self.window)
        scores.masked_fill_(unseen, -torch.inf)
        return scores.softmax(-1, dtype=torch.float32).to(scores.dtype)


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[Tensor, Attention]:
    """Causal attention of one prompt as transformers calls it: what "eager" computes, in blocks of queries.

    Returns:
        output (1, P, heads, width), and in place of the pattern what it is computed from.
    """
    frozen = Attention(query[0], key[0], scaling, sliding_window, softcap)
    values, count = _for_heads(value[0], query[0]), query.shape[2]
    blocks = [
        frozen.pattern(start, stop) @ values[:, frozen.first(start) : stop]
        for start, stop in ((start, min(start + BLOCK, count)) for start in range(0, count, BLOCK))
    ]
    return torch.cat(blocks, 1).transpose(0, 1)[None].contiguous(), frozen


@contextmanager
def in_blocks(config: Any) -> Iterator[None]:
    """Let models with this text configuration attend by `attend`; hold the model's lock meanwhile."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attend)
    before = config._attn_implementation
    config._attn_implementation = NAME  # transformers makes no (P, P) mask for a name that it has none for
    try:
        yield
    finally:
        config._attn_implementation = before


def _for_heads(groups: Tensor, query: Tensor) -> Tensor:
    return groups.repeat_interleave(len(query) // len(groups), 0)
