"""Gemma Scope 1: `layer_{L}/width_{W}/average_l0_{N}/params.npz`; the repository's name tells the site."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from ..data.errors import ArgumentError, UnsupportedModelError, WeightsDtypeError
from .protocol import Site
from .stored import Layer, StoredTranscoder
from .weights import open_weights

SITES: dict[str, tuple[Site, Site]] = {
    "res": (Site.RESID_POST, Site.RESID_POST),
    "mlp": (Site.MLP_OUT, Site.MLP_OUT),
    "att": (Site.ATTN_OUT, Site.ATTN_OUT),
    "transcoders": (Site.MLP_IN_NORMALIZED, Site.MLP_OUT),
}
"""Last word of a repository's name, and where its dictionaries read and write."""


def open_gemma_scope_1(folders: Mapping[int, Path], source: str, site: Site | None = None) -> StoredTranscoder:
    """Open the `average_l0_{N}` folder of each layer as one dictionary.

    Args:
        folders: by layer.
        source: what the dictionary will call itself.
        site: where it reads, if no folder above ends in `-res`, `-mlp`, `-att` or `-transcoders`.

    Raises:
        MissingWeightsError: a file or a tensor is missing.
        TruncatedWeightsError: a file is cut short or not of its format.
        WeightsShapeError: tensors that do not fit together.
        UnsupportedModelError: the site is neither given nor named.
    """
    paths = {layer: folder / "params.npz" for layer, folder in folders.items()}
    place = f"{source}/{paths[min(paths)].absolute().as_posix()}"
    reads, writes = _sites(site, place, source)
    release = re.search(r"gemma-scope-(\d+b)-(pt|it)", place)
    l0 = re.search(r"average_l0_(\d+)/", place) if len(paths) == 1 else None
    return StoredTranscoder(
        "sae" if reads == writes else "transcoder",
        {layer: _layer(path) for layer, path in paths.items()},
        reads=reads,
        writes=writes,
        model_name=f"google/gemma-2-{release[1]}{'-it' * (release[2] == 'it')}" if release else None,
        source=source,
        l0=int(l0[1]) if l0 else None,
        files=tuple(paths.values()),
    )


def _sites(site: Site | None, place: str, source: str) -> tuple[Site, Site]:
    if site is not None:
        for sites in SITES.values():
            if sites[0] == site:
                return sites
    elif named := re.findall(rf"-({'|'.join(SITES)})(?=/)", place):
        return SITES[named[-1]]
    raise UnsupportedModelError(
        source,
        expected=f"a folder or repository named ...-{', ...-'.join(SITES)}",
        got="a Gemma Scope 1 file that does not say where it reads" if site is None else f"site {site}",
        remedy=f"pass site=, one of {', '.join(reads for reads, _ in SITES.values())}",
    )


def _layer(path: Path) -> Layer:
    file = open_weights(path)
    d, features = file.take("W_enc", None, None).shape
    return Layer(
        w_enc=file.take("W_enc", d, features),
        w_dec=file.take("W_dec", features, None)[:, None],
        b_enc=file.take("b_enc", features),
        b_dec=file.take("b_dec", None),
        threshold=file.take("threshold", features),
        rows=file.rows("W_dec"),
    )


def check_gemma_scope_1(transcoder: StoredTranscoder, destination: Path) -> None:
    """Refuse what this layout cannot hold, and a folder whose name does not say where the dictionary reads.

    Raises:
        UnsupportedModelError: a CLT, a crosscoder, an affine skip, a TopK or another pair of sites.
        WeightsDtypeError: bfloat16, which `.npz` has no name for.
        ArgumentError: the folder needs another name.
    """
    names = {sites: name for name, sites in SITES.items()}
    layers = [transcoder.tensors(layer) for layer in transcoder.layers]
    name = names.get((transcoder.reads, transcoder.writes))
    skips = any(layer.skip is not None for layer in layers)
    if transcoder.kind not in ("sae", "transcoder") or not name or skips or transcoder.top_k is not None:
        raise UnsupportedModelError(
            transcoder.source,
            expected="SAEs, or transcoders from the normalised MLP input, without affine skip or TopK",
            got=repr(transcoder),
            remedy="Gemma Scope 1's layout cannot hold it: choose another",
        )
    if any(layer.w_enc.dtype == torch.bfloat16 for layer in layers):
        raise WeightsDtypeError(
            transcoder.source, expected="float32 or float16", got="bfloat16", remedy="choose another layout"
        )
    if not destination.name.endswith(f"-{name}"):
        raise ArgumentError(
            destination.name,
            expected=f"a folder name that ends in -{name}",
            remedy="in this layout the folder's name says where the dictionary reads",
        )


def write_gemma_scope_1(transcoder: StoredTranscoder, folder: Path, layer: int) -> None:
    """Write one layer into an existing folder.

    An unknown average L0 is written as 0, a ReLU as a JumpReLU with zero thresholds (the same function).
    """
    stored = transcoder.tensors(layer)
    width = re.search(r"width_[^/_]+", transcoder.source)
    path = folder / f"layer_{layer}" / (width[0] if width else f"width_{transcoder.n_features}")
    path = path / f"average_l0_{transcoder.l0 or 0}"
    path.mkdir(parents=True)
    threshold = stored.b_enc.new_zeros(transcoder.n_features) if stored.threshold is None else stored.threshold
    tensors = {
        "W_enc": stored.w_enc,
        "W_dec": stored.w_dec[:, 0],
        "b_enc": stored.b_enc,
        "b_dec": stored.b_dec,
        "threshold": threshold,
    }
    arrays = {name: tensor.contiguous().numpy() for name, tensor in tensors.items()}
    np.savez(path / "params.npz", allow_pickle=False, **arrays)
