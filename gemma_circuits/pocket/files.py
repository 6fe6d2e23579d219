"""Write and read the pocket dictionaries in Gemma Scope 2's layout: safetensors and a `config.json` beside them."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from gemma_circuits.pocket.dictionaries import Dictionary

MODEL_NAME = "gemma-circuits/pocket"
LARGE = {"w_enc", "w_dec", "affine_skip_connection"}
"""Tensors stored in half precision; biases and thresholds stay in single."""


def _config(folder: Path, where: str, width: int, kind: str, affine: bool, l0: float) -> None:
    config = {
        "hf_hook_point_in": f"model.layers.{where}.pre_feedforward_layernorm.output",
        "hf_hook_point_out": f"model.layers.{where}.post_feedforward_layernorm.output",
        "width": width,
        "model_name": MODEL_NAME,
        "architecture": "jump_relu",
        "l0": round(l0),
        "affine_connection": affine,
        "type": kind,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _layer(dictionary: Dictionary, layer: int, w_dec: Tensor) -> dict[str, Tensor]:
    tensors = {
        "w_enc": dictionary.w_enc[layer],
        "w_dec": w_dec,
        "b_enc": dictionary.b_enc[layer],
        "b_dec": dictionary.b_dec[layer],
        "threshold": dictionary.threshold[layer],
    }
    if dictionary.affine is not None:
        tensors["affine_skip_connection"] = dictionary.affine[layer]
    return {k: v.to(torch.float16 if k in LARGE else torch.float32).contiguous() for k, v in tensors.items()}


def write_clt(dictionary: Dictionary, folder: Path, l0: float) -> None:
    """One file a layer, `w_dec (F, L, d)` by absolute output layer; the width named is the total of all layers."""
    folder.mkdir(parents=True, exist_ok=True)
    for layer in range(len(dictionary.w_enc)):
        save_file(_layer(dictionary, layer, dictionary.w_dec[layer]), folder / f"params_layer_{layer}.safetensors")
    width = dictionary.b_enc.numel()
    _config(folder, "{all}", width, "clt", dictionary.affine is not None, l0)


def write_single(dictionary: Dictionary, pattern: str, l0: list[float]) -> None:
    """One folder a layer, `pattern` with `{L}` filled in, `w_dec (F, d)`."""
    for layer in range(len(dictionary.w_enc)):
        folder = Path(pattern.format(L=layer))
        folder.mkdir(parents=True, exist_ok=True)
        save_file(_layer(dictionary, layer, dictionary.w_dec[layer, :, layer]), folder / "params.safetensors")
        affine = dictionary.affine is not None
        _config(folder, str(layer), dictionary.b_enc.shape[1], "transcoder", affine, l0[layer])


def _stack(parts: list[dict[str, Tensor]], w_dec: Tensor) -> Dictionary:
    stacked = {k: torch.stack([p[k] for p in parts]).float() for k in parts[0] if k != "w_dec"}
    affine = stacked.pop("affine_skip_connection", None)
    return Dictionary(w_dec=w_dec, affine=affine, **stacked)


def read_clt(folder: Path) -> Dictionary:
    """What `write_clt` wrote, in float32."""
    parts = [load_file(f) for f in sorted(folder.glob("params_layer_*.safetensors"))]
    return _stack(parts, torch.stack([p["w_dec"] for p in parts]).float())


def read_single(pattern: str, n_layers: int) -> Dictionary:
    """What `write_single` wrote, in float32."""
    parts = [load_file(Path(pattern.format(L=k)) / "params.safetensors") for k in range(n_layers)]
    n_features, d = parts[0]["w_dec"].shape
    w_dec = torch.zeros(n_layers, n_features, n_layers, d)
    for k, p in enumerate(parts):
        w_dec[k, :, k] = p["w_dec"].float()
    return _stack(parts, w_dec)
