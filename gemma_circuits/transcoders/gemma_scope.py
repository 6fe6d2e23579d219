"""Gemma Scope 2: single layers, sets of them, CLTs and crosscoders, each beside its `config.json`.

A CLT or crosscoder is one file a layer, `params_layer_{i}.safetensors`, with `w_enc (d, F)` and
`w_dec (F, L, d)` by absolute output layer. The rows of a CLT below its own layer are ignored when read and
written as zeros. A crosscoder is stored and computed as a CLT of its few layers, each with an encoder,
thresholds and features of its own (the release calls it weakly causal: it is not one latent vector that the
layers share). All its decoder rows are kept, so that one that writes backwards is right too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from ..data.errors import MismatchError, MissingWeightsError, UnsupportedModelError
from .protocol import Kind, Site
from .stored import Layer, StoredTranscoder
from .weights import numbered, open_weights, read_json, save_weights

HOOKS: dict[str, Site] = {
    "pre_feedforward_layernorm.output": Site.MLP_IN,
    "post_feedforward_layernorm.output": Site.MLP_OUT,
    "pre_feedforward_layernorm.input": Site.RESID_MID,
    "self_attn.o_proj.input": Site.ATTN_OUT,
    "output": Site.RESID_POST,
}
"""What follows `model.layers.{...}.` in a hook point."""
KINDS: tuple[Kind, ...] = ("clt", "transcoder", "sae", "crosscoder")
MULTI = "params_layer_{}.safetensors"
SKIP = "affine_skip_connection"


@dataclass(frozen=True)
class _Config:
    """What `config.json` says."""

    kind: Kind
    reads: Site
    writes: Site
    layers: tuple[int, ...]
    """Empty for `{all}`."""
    model_name: str | None
    l0: int | None
    affine: bool


def open_gemma_scope_2(folder: Path, source: str) -> StoredTranscoder:
    """Open one folder: `config.json` beside `params.safetensors` or every `params_layer_{i}.safetensors`.

    Raises:
        MissingWeightsError: a file, a tensor or a setting is missing.
        TruncatedWeightsError: a file is cut short or not of its format.
        WeightsShapeError: tensors that do not fit together.
        UnsupportedModelError: a hook point or kind that this package has no record of.
    """
    config = _read_config(folder)
    files = numbered(folder, MULTI, every=True)
    if files:
        written = open_weights(files[0]).take("w_dec", None, None, None).shape[1]
        files = numbered(folder, MULTI, every=True, count=max(written, len(files)))
        paths = [*files.values()]
    else:
        paths = [folder / "params.safetensors"]
    layers = config.layers or tuple(range(len(paths)))
    if len(layers) != len(paths):
        raise MissingWeightsError(
            f"{folder.name}: weight files",
            expected=f"one for each of layers {', '.join(map(str, layers))} of config.json",
            got=str(len(paths)),
            remedy="download what is missing",
        )
    return StoredTranscoder(
        config.kind,
        {layer: _layer(path, config, layers, i) for i, (layer, path) in enumerate(zip(layers, paths))},
        reads=config.reads,
        writes=config.writes,
        model_name=config.model_name,
        source=source,
        l0=config.l0,
        files=(*paths, folder / "config.json"),
    )


def open_gemma_scope_2_set(folders: Mapping[int, Path], source: str) -> StoredTranscoder:
    """Open single-layer folders, by layer number, as one dictionary.

    Raises:
        MismatchError: they are not of one set: kind, sites or the layer itself differ.
        WeightsError: as `open_gemma_scope_2`.
    """
    singles = {layer: open_gemma_scope_2(folder, source) for layer, folder in folders.items()}
    first = singles[min(singles)]
    for layer, single in singles.items():
        same = (first.kind, first.reads, first.writes, (layer,))
        if (found := (single.kind, single.reads, single.writes, single.layers)) != same:
            raise MismatchError(
                f"{folders[layer].name}/config.json",
                expected=str(same),
                got=str(found),
                remedy="one folder is misplaced",
            )
    return StoredTranscoder(
        first.kind,
        {layer: single.tensors(layer) for layer, single in singles.items()},
        reads=first.reads,
        writes=first.writes,
        model_name=first.model_name,
        source=source,
        l0=first.l0,
        files=tuple(file for single in singles.values() for file in single.files),
    )


def _read_config(folder: Path) -> _Config:
    place, config = f"{folder.name}/config.json", read_json(folder / "config.json")
    (reads, layers), (writes, _) = (
        parse_hook(str(config.get(key)), f"{place}: {key}") for key in ("hf_hook_point_in", "hf_hook_point_out")
    )
    kind = config.get("type")
    if kind not in KINDS or config.get("architecture", "jump_relu") != "jump_relu":
        raise UnsupportedModelError(
            place,
            expected=f"architecture 'jump_relu' and a type among {', '.join(KINDS)}",
            got=f"{config.get('architecture')!r} and {kind!r}",
        )
    return _Config(
        kind,
        reads,
        writes,
        layers,
        config.get("model_name"),
        round(l0) if isinstance(l0 := config.get("l0"), int | float) else None,
        bool(config.get("affine_connection")),
    )


def parse_hook(hook: str, place: str) -> tuple[Site, tuple[int, ...]]:
    """The site and the layers of a hook point such as `model.layers.{all}.pre_feedforward_layernorm.output`.

    Returns:
        The site, and the layer numbers: empty for `{all}`.

    Raises:
        UnsupportedModelError: a hook point that this package has no record of.
    """
    match = re.fullmatch(
        r"(?:model\.)?(?:language_model\.)?(?:model\.)?layers\.(\d+|\{all\}|\{\d+(?:,\s*\d+)*\})\.(.+)", hook
    )
    if not match or match[2] not in HOOKS:
        raise UnsupportedModelError(
            place,
            expected=f"model.layers.{{layer}}. with one of {', '.join(HOOKS)}",
            got=repr(hook),
            remedy="where a dictionary reads and writes cannot be guessed",
        )
    return HOOKS[match[2]], tuple(int(number) for number in re.findall(r"\d+", match[1]))


def _layer(path: Path, config: _Config, layers: tuple[int, ...], index: int) -> Layer:
    file = open_weights(path)
    d, features = file.take("w_enc", None, None).shape
    if config.kind in ("clt", "crosscoder"):
        first = index if config.kind == "clt" else 0
        rows = file.rows("w_dec", first)
        w_dec = file.take("w_dec", features, len(layers), None)[:, first:]
    else:
        w_dec, rows = file.take("w_dec", features, None)[:, None], file.rows("w_dec")
    return Layer(
        w_enc=file.take("w_enc", d, features),
        w_dec=w_dec,
        b_enc=file.take("b_enc", features),
        b_dec=file.take("b_dec", None),
        threshold=file.take("threshold", features),
        rows=rows,
        skip=file.take(SKIP, d, None) if config.affine else file.take_if_there(SKIP, d, None),
    )


def check_gemma_scope_2(transcoder: StoredTranscoder) -> None:
    """Refuse what this layout cannot hold: TopK, and what reads a norm's output without its gain.

    Raises:
        UnsupportedModelError: with the reason.
    """
    sites = {transcoder.reads, transcoder.writes}
    if transcoder.top_k is not None or not sites <= {*HOOKS.values()}:
        raise UnsupportedModelError(
            transcoder.source,
            expected=f"JumpReLU or ReLU between {', '.join(HOOKS.values())}",
            got=repr(transcoder),
            remedy="Gemma Scope 2's layout has no name for it: choose circuit-tracer's",
        )
    if transcoder.kind == "clt" and transcoder.layers != tuple(range(len(transcoder.layers))):
        raise UnsupportedModelError(
            transcoder.source,
            expected="a CLT of every layer",
            got=f"layers {', '.join(map(str, transcoder.layers))}",
        )


def write_gemma_scope_2(transcoder: StoredTranscoder, folder: Path, layer: int) -> None:
    """Write one layer into an existing folder, and `config.json` beside it.

    Several single layers become a set of `layer_{L}_{variant}` folders, the variant as the source calls it.
    A ReLU is written as a JumpReLU whose thresholds are zero, which is the same function.
    """
    stored, several = transcoder.tensors(layer), transcoder.kind in ("clt", "crosscoder")
    index, name = transcoder.layers.index(layer), "params.safetensors"
    w_dec, hooked = stored.w_dec, str(layer)
    if several:
        name, hooked = MULTI.format(index), "{" + ",".join(map(str, transcoder.layers)) + "}"
    if transcoder.kind == "clt":
        hooked, absent = "{all}", w_dec.new_zeros(w_dec.shape[0], index, w_dec.shape[2])
        w_dec = torch.cat([absent, w_dec], dim=1)
    elif not several:
        w_dec = w_dec[:, 0]
        if len(transcoder.layers) > 1:
            folder = folder / f"layer_{layer}_{_variant(transcoder)}"
            folder.mkdir()
    threshold = stored.b_enc.new_zeros(transcoder.n_features) if stored.threshold is None else stored.threshold
    tensors = {"w_enc": stored.w_enc, "w_dec": w_dec, "b_enc": stored.b_enc, "b_dec": stored.b_dec}
    save_weights(folder / name, {**tensors, "threshold": threshold, SKIP: stored.skip})
    hooks = {site: f"model.layers.{hooked}.{hook}" for hook, site in HOOKS.items()}
    config = {
        "hf_hook_point_in": hooks[transcoder.reads],
        "hf_hook_point_out": hooks[transcoder.writes],
        "width": transcoder.n_features * (len(transcoder.layers) if several else 1),
        "model_name": transcoder.model_name,
        "architecture": "jump_relu",
        "l0": transcoder.l0,
        "affine_connection": stored.skip is not None,
        "type": transcoder.kind,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")


def _variant(transcoder: StoredTranscoder) -> str:
    match = re.search(r"width_[^/]+$", transcoder.source)
    return match[0] if match else f"width_{transcoder.n_features}"
