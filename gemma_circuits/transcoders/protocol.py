"""What attribution and interventions ask of a dictionary, whatever files it came from."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Literal, NamedTuple, Protocol

from torch import Tensor

Kind = Literal["clt", "transcoder", "sae", "crosscoder"]


class Site(StrEnum):
    """A place in a transformer layer where a dictionary reads or writes."""

    RESID_MID = "resid_mid"
    """The residual stream between attention and MLP, before the MLP's norm."""
    MLP_IN = "mlp_in"
    """The output of the norm before the MLP, its gain included."""
    MLP_IN_NORMALIZED = "mlp_in_normalized"
    """The output of that norm without its gain: divided by the root mean square only."""
    MLP_OUT = "mlp_out"
    """What the MLP block adds to the residual stream (after its own norm where the model has one)."""
    RESID_POST = "resid_post"
    """The residual stream after the layer."""
    ATTN_OUT = "attn_out"
    """The heads' concatenated output, before the output projection."""


class Active(NamedTuple):
    """The features of one layer that fire on a prompt, in ascending order of (position, feature)."""

    positions: Tensor
    """(n,) int64."""
    features: Tensor
    """(n,) int64."""
    activations: Tensor
    """(n,) float32, never zero."""
    pre_activations: Tensor
    """(n,) float32: `x @ W_enc + b_enc` at those places, before the threshold."""


class Transcoder(Protocol):
    """A trained dictionary of one or more layers: a CLT, per-layer transcoders, SAEs or a crosscoder.

    Tensors come back in float32 on the device of the argument they answer to (CPU where there is none).
    `layers` are the model's layers that it covers, in ascending order; `layer` arguments are the model's too.
    """

    kind: Kind
    layers: tuple[int, ...]
    d_in: int
    d_out: int
    n_features: int
    """Features in each layer."""
    reads: Site
    writes: Site
    model_name: str | None
    """The model that it was trained on, as its files record it."""
    source: str
    """Where it was opened from: a hub id or a folder's name (never an absolute path)."""

    def encode(self, layer: int, x: Tensor) -> Active:
        """Features that fire on `x` (positions, d_in)."""
        ...

    def pre_activations(self, layer: int, x: Tensor) -> Tensor:
        """`x @ W_enc + b_enc` of every feature: (positions, n_features)."""
        ...

    def activate(self, layer: int, pre: Tensor) -> Tensor:
        """The activation function: (..., n_features) to the same, zero where a feature does not fire."""
        ...

    def encoder(self, layer: int, features: Tensor) -> Tensor:
        """Encoder vectors of the given features: (n, d_in)."""
        ...

    def encoder_bias(self, layer: int, features: Tensor) -> Tensor:
        """(n,)."""
        ...

    def written(self, layer: int) -> Sequence[int]:
        """The model's layers that features of `layer` write to, ascending."""
        ...

    def decoder(self, layer: int, features: Tensor) -> Tensor:
        """Decoder vectors of the given features, read row by row: (n, len(written(layer)), d_out)."""
        ...

    def decoder_bias(self, layer: int) -> Tensor:
        """(d_out,)."""
        ...

    def skip(self, layer: int) -> Tensor | None:
        """The affine skip `A` (d_in, d_out), used as `x @ A`; None where the release has none."""
        ...

    def release(self, layer: int) -> None:
        """Take what was read of a layer's file out of resident memory; the next use reads it again."""
        ...

    def fingerprint(self) -> str:
        """Hex digest that tells these weights from others."""
        ...
