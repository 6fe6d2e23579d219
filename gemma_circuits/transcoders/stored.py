"""The one class of dictionaries: canonical per-layer tensors, mapped from any layout."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

from ..data.errors import ArgumentError, NotFiniteError
from .activations import Activation, JumpReLU, ReLU, TopK
from .protocol import Active, Kind, Site
from .weights import Rows, Weights, drop_pages, fingerprint

BLOCK = 4096
"""Features whose encoder vectors are widened to float32 at a time."""
LARGEST_PRE = 2**23
"""Pre-activations that `encode` holds at a time."""

NAMES: dict[Kind, str] = {
    "clt": "CLT",
    "transcoder": "Transcoder",
    "sae": "SAE",
    "crosscoder": "Crosscoder",
}


@dataclass(frozen=True, eq=False)
class Layer:
    """The tensors of one layer as its file stores them: any real dtype, mapped, possibly transposed views."""

    w_enc: Tensor
    """(d_in, n_features)."""
    w_dec: Tensor
    """(n_features, n_written, d_out), by the layers written to, ascending."""
    b_enc: Tensor
    """(n_features,)."""
    b_dec: Tensor
    """(d_out,)."""
    threshold: Tensor | None = None
    """(n_features,) of a JumpReLU; None for a ReLU or a TopK."""
    skip: Tensor | None = None
    """(d_in, d_out), used as `x @ skip`; None where the release has none."""
    rows: Rows | None = None
    """Reads `w_dec` row by row; None for tensors in memory."""


class StoredTranscoder:
    """A dictionary of one or more layers whose weights stay where they are until they are used.

    Implements `protocol.Transcoder`. Decoder vectors are read for the features asked for; encoders are read
    whole, a layer at a time; float16 and bfloat16 are widened to float32 for what is used only. What the
    methods return must not be written to: on a CPU it may be the stored tensor itself.

    Args:
        kind: "clt", "transcoder", "sae" or "crosscoder".
        layers: the tensors of each of the model's layers that it covers.
        reads: where the encoder reads.
        writes: where the decoder writes.
        top_k: `k` of a TopK; None for JumpReLU (layers with a threshold) and ReLU (without).
        model_name: the model that it was trained on.
        source: hub id or folder name.
        l0: average number of features that fire per token and layer, if the release says so.
        files: what it was opened from, for the fingerprint; empty for tensors in memory.

    Raises:
        WeightsShapeError: tensors that do not fit together.
        WeightsDtypeError: tensors of integers.
        ArgumentError: no layers, or a `top_k` below 1.
    """

    def __init__(
        self,
        kind: Kind,
        layers: Mapping[int, Layer],
        *,
        reads: Site,
        writes: Site,
        top_k: int | None = None,
        model_name: str | None = None,
        source: str = "memory",
        l0: int | None = None,
        files: tuple[Path, ...] = (),
    ) -> None:
        if not layers or (top_k is not None and top_k < 1):
            raise ArgumentError(source, expected="at least one layer, and top_k at least 1 or None")
        self.kind: Kind = kind
        self.reads, self.writes = Site(reads), Site(writes)
        self.model_name, self.source, self.l0, self.files = model_name, source, l0, tuple(files)
        self.layers = tuple(sorted(layers))
        first = self._weights(self.layers[0], layers[self.layers[0]])
        self.d_in, self.n_features = first.take("w_enc", None, None).shape
        (self.d_out,) = first.take("b_dec", None).shape
        self.top_k = top_k
        self._layers = {layer: self._fitting(layer, layers[layer]) for layer in self.layers}
        self._held: dict[int, Tensor] = {}
        self._vectors: dict[tuple[int, str, torch.device], Tensor] = {}
        self._fingerprint = ""

    @classmethod
    def from_tensors(
        cls, kind: Kind, layers: Mapping[int, Mapping[str, Tensor]], *, reads: Site, writes: Site, **keywords
    ) -> StoredTranscoder:
        """A dictionary from tensors in memory: for each layer the fields of `Layer` by name.

        Example:
            >>> layer = {"w_enc": torch.eye(4), "w_dec": torch.eye(4)[:, None], "b_enc": torch.zeros(4),
            ...          "b_dec": torch.zeros(4)}
            >>> StoredTranscoder.from_tensors("transcoder", {0: layer}, reads="mlp_in", writes="mlp_out")
            Transcoder of 1 layer x 4 features (ReLU), d 4, reads mlp_in, writes mlp_out; memory
        """
        detached = {
            layer: Layer(rows=None, **{k: v.detach() for k, v in tensors.items() if isinstance(v, Tensor)})
            for layer, tensors in layers.items()
        }
        return cls(kind, detached, reads=reads, writes=writes, **keywords)

    def tensors(self, layer: int) -> Layer:
        """The stored tensors of a layer, mapped, in the file's dtype.

        Raises:
            ArgumentError: the dictionary does not cover that layer.
        """
        if layer not in self._layers:
            covered = ", ".join(map(str, self.layers))
            raise ArgumentError(f"{self.source}: layer", expected=f"one of {covered}", got=str(layer))
        return self._layers[layer]

    def release(self, layer: int) -> None:
        """Take what was read of a layer's file out of resident memory; the next use reads it again."""
        tensors = self.tensors(layer)
        if tensors.rows is not None:
            drop_pages(tensors.w_enc)
            drop_pages(tensors.w_dec)

    def hold_encoders(self, device: torch.device | str) -> None:
        """Keep a copy of the encoders on `device`, in the file's dtype, instead of sending them there each time.

        Encoders are the only weights that every prompt needs whole: d_in * n_features numbers a layer.
        """
        self._held = {layer: tensors.w_enc.to(device) for layer, tensors in self._layers.items()}

    def encode(self, layer: int, x: Tensor) -> Active:
        """Features that fire on `x` (positions, d_in), in ascending order of (position, feature).

        Raises:
            NotFiniteError: NaN or infinity in the weights or in `x`.
        """
        found = []
        rows = max(1, LARGEST_PRE // self.n_features)
        for start in range(0, len(x), rows):
            pre = self.pre_activations(layer, x[start : start + rows])
            activations = self.activate(layer, pre)
            positions, features = activations.nonzero(as_tuple=True)
            found.append((positions + start, features, activations[positions, features], pre[positions, features]))
        if not found:
            none, nothing = x.new_empty(0, dtype=torch.int64), x.new_empty(0, dtype=torch.float32)
            return Active(none, none, nothing, nothing)
        return Active(*(torch.cat(parts) for parts in zip(*found)))

    def pre_activations(self, layer: int, x: Tensor) -> Tensor:
        """`x @ W_enc + b_enc` of every feature: (positions, d_in) to (positions, n_features), float32.

        Raises:
            NotFiniteError: NaN or infinity in the weights or in `x`.
        """
        weights, x = self._encoder(layer), x.float()
        if weights.dtype == torch.float32 and weights.device == x.device:
            pre = x @ weights
        else:
            pre = torch.cat([x @ block.to(x.device).float() for block in weights.split(BLOCK, dim=1)], dim=1)
        pre += self._vector(layer, "b_enc", x.device)
        if not pre.sum().isfinite() and not pre.isfinite().all():
            for block in weights.split(BLOCK, dim=1):
                self._checked(layer, "w_enc", block.float())
            raise NotFiniteError(
                f"{self.source}, layer {layer}",
                expected="finite inputs",
                got="NaN or infinity in what the encoder reads",
                remedy="the model itself overflows: try bfloat16 or float32",
            )
        return pre

    def activate(self, layer: int, pre: Tensor) -> Tensor:
        """The activation function: (..., n_features) to the same, zero where a feature does not fire."""
        return self.activation(layer, pre.device)(pre)

    def activation(self, layer: int, device: torch.device | str = "cpu") -> Activation:
        """The activation function of a layer, its threshold on `device`."""
        if self.top_k is not None:
            return TopK(self.top_k)
        if self.tensors(layer).threshold is None:
            return ReLU()
        return JumpReLU(self._vector(layer, "threshold", torch.device(device)))

    def encoder(self, layer: int, features: Tensor) -> Tensor:
        """Encoder vectors of the given features: (n,) int64 to (n, d_in)."""
        weights = self._encoder(layer)
        rows = weights.T[features.to(weights.device)].float()
        if layer not in self._held:  # `encode` looked at all of those; asking again would wait for the accelerator
            self._checked(layer, "w_enc", rows)
        return rows.to(features.device)

    def encoder_bias(self, layer: int, features: Tensor) -> Tensor:
        """(n,) int64 to (n,)."""
        return self._vector(layer, "b_enc", features.device)[features]

    def written(self, layer: int) -> tuple[int, ...]:
        """The model's layers that features of `layer` write to, ascending.

        A CLT's write to their own layer and all later ones, a crosscoder's to all of its layers.
        """
        if self.kind == "crosscoder":
            return self.layers
        return tuple(m for m in self.layers if m >= layer) if self.kind == "clt" else (layer,)

    def decoder(self, layer: int, features: Tensor) -> Tensor:
        """Decoder vectors, read row by row: (n,) int64 to (n, len(written(layer)), d_out)."""
        tensors = self.tensors(layer)
        if tensors.rows is not None:
            rows = tensors.rows.read(features.cpu()).float().view(len(features), *tensors.w_dec.shape[1:])
        else:
            rows = tensors.w_dec[features.to(tensors.w_dec.device)].float()
        return self._checked(layer, "w_dec", rows).to(features.device)

    def decoder_bias(self, layer: int) -> Tensor:
        """(d_out,)."""
        return self._vector(layer, "b_dec", torch.device("cpu"))

    def skip(self, layer: int) -> Tensor | None:
        """The affine skip (d_in, d_out), used as `x @ skip`; None where the release has none."""
        skip = self.tensors(layer).skip
        return None if skip is None else self._checked(layer, "skip", skip.float()).cpu()

    def fingerprint(self) -> str:
        """Hex digest: of the files (see `weights.fingerprint`), or of every byte of tensors in memory."""
        if not self._fingerprint:
            self._fingerprint = fingerprint(self.files) if self.files else self._digest()
        return self._fingerprint

    def _digest(self) -> str:
        digest = hashlib.sha256(f"{self.kind} {self.reads} {self.writes} {self.top_k}".encode())
        for layer, tensors in self._layers.items():
            for name, tensor in _named(tensors):
                digest.update(f"\0{layer} {name} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
                digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def _weights(self, layer: int, tensors: Layer) -> Weights:
        return Weights(f"{self.source}, layer {layer}", dict(_named(tensors)))

    def _fitting(self, layer: int, tensors: Layer) -> Layer:
        weights = self._weights(layer, tensors)
        weights.take("w_enc", self.d_in, self.n_features)
        weights.take("b_enc", self.n_features)
        weights.take("w_dec", self.n_features, len(self.written(layer)), self.d_out)
        weights.take("b_dec", self.d_out)
        weights.take_if_there("threshold", self.n_features)
        weights.take_if_there("skip", self.d_in, self.d_out)
        return tensors

    def _encoder(self, layer: int) -> Tensor:
        return self._held[layer] if layer in self._held else self.tensors(layer).w_enc

    def _vector(self, layer: int, name: str, device: torch.device) -> Tensor:
        """A bias or threshold in float32 on `device`, read and checked once."""
        if (layer, name, device) not in self._vectors:
            stored = getattr(self.tensors(layer), name)
            self._vectors[layer, name, device] = self._checked(layer, name, stored.float()).to(device)
        return self._vectors[layer, name, device]

    def _checked(self, layer: int, name: str, values: Tensor) -> Tensor:
        # The sum takes one pass and no memory; only where it overflows must every value be looked at.
        if not values.sum().isfinite() and not values.isfinite().all():
            raise NotFiniteError(
                f"{self.source}, layer {layer}: {name}",
                expected="finite numbers",
                got="NaN" if values.isnan().any() else "infinity",
                remedy="the file is damaged: download it again",
            )
        return values

    def __repr__(self) -> str:
        layers, first = self.layers, self._layers[self.layers[0]]
        function = type(self.activation(layers[0])).__name__ + (f" {self.top_k}" if self.top_k else "")
        width = str(self.d_in) if self.d_in == self.d_out else f"{self.d_in} to {self.d_out}"
        return "; ".join(
            part
            for part in (
                f"{NAMES[self.kind]} of {len(layers)} layer{'s' * (len(layers) > 1)} x {self.n_features:,} "
                f"features ({function}{', affine skip' * (first.skip is not None)}), d {width}, "
                f"reads {self.reads}, writes {self.writes}",
                (self.model_name or "").removeprefix("google/"),
                self.source,
            )
            if part
        )


def _named(tensors: Layer) -> list[tuple[str, Tensor]]:
    """The tensors that are there, by name."""
    pairs = ((field.name, getattr(tensors, field.name)) for field in fields(tensors))
    return [(name, tensor) for name, tensor in pairs if isinstance(tensor, Tensor)]
