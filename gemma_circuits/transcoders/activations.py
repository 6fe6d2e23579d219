"""What turns pre-activations into activations."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ReLU:
    """`max(pre, 0)`."""

    def __call__(self, pre: Tensor) -> Tensor:
        """(..., n_features) to the same shape."""
        return pre.relu()


@dataclass(frozen=True, eq=False)
class JumpReLU:
    """`pre` where it is positive and above the feature's own threshold, else 0."""

    threshold: Tensor
    """(n_features,) in the units of the pre-activation."""

    def __call__(self, pre: Tensor) -> Tensor:
        """(..., n_features) to the same shape."""
        return pre.relu() * (pre > self.threshold.to(pre.device))


@dataclass(frozen=True)
class TopK:
    """The `k` largest positive pre-activations of each position, the others 0."""

    k: int
    """At least 1."""

    def __call__(self, pre: Tensor) -> Tensor:
        """(..., n_features) to the same shape."""
        values, features = pre.relu().topk(min(self.k, pre.shape[-1]), dim=-1)
        return torch.zeros_like(pre).scatter(-1, features, values)


Activation = ReLU | JumpReLU | TopK
