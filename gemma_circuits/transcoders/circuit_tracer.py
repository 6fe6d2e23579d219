"""The two layouts of circuit-tracer, and its `config.yaml`.

A CLT is `W_enc_{i}.safetensors` (`W_enc_{i} (F, d)`, `b_enc_{i}`, `b_dec_{i}`, optional `threshold_{i}`
and `W_skip_{i}`, used as `x @ W_skip`) beside `W_dec_{i}.safetensors` (`W_dec_{i} (F, L - i, d)`: ragged,
the first row is the layer's own). A set of per-layer transcoders or SAEs is `layer_{i}.safetensors`
(`W_enc (F, d)`, `W_dec (F, d)`, `b_enc`, `b_dec`, optional `activation_function.threshold` and `W_skip`,
used transposed).
"""

from __future__ import annotations

from pathlib import Path

import yaml
from torch import Tensor

from ..data.errors import MissingWeightsError, TruncatedWeightsError, UnsupportedModelError
from .protocol import Site
from .stored import Layer, StoredTranscoder
from .weights import numbered, open_weights, save_weights

HOOKS: dict[str, Site] = {
    "hook_resid_mid": Site.RESID_MID,
    "mlp.hook_in": Site.MLP_IN,
    "ln2.hook_normalized": Site.MLP_IN_NORMALIZED,
    "hook_mlp_out": Site.MLP_OUT,
    "hook_resid_post": Site.RESID_POST,
    "attn.hook_z": Site.ATTN_OUT,
}
"""Hook names of `config.yaml`, relative to a block."""
THRESHOLD = "activation_function.threshold"


def open_circuit_tracer(folder: Path, source: str) -> StoredTranscoder:
    """Open a folder of either layout; `source` is what the dictionary will call itself.

    Raises:
        MissingWeightsError: no `config.yaml`, or a layer's file is missing.
        TruncatedWeightsError: a file is cut short or not of its format.
        WeightsShapeError: tensors that do not fit together.
        UnsupportedModelError: a hook that this package has no record of.
    """
    config, place = _read_config(folder)
    reads, writes = (_site(config, place, f"feature_{end}put_hook") for end in ("in", "out"))
    name = config.get("model_name")
    if clt := numbered(folder, "W_enc_{}.safetensors", every=True):
        decoders = numbered(folder, "W_dec_{}.safetensors", every=True, count=len(clt))
        layers = {i: _clt_layer(i, clt[i], decoders[i], len(clt)) for i in clt}
        kind, files = "clt", [*clt.values(), *decoders.values()]
    else:
        single = numbered(folder, "layer_{}.safetensors", every=True)
        layers = {i: _single_layer(path) for i, path in single.items()}
        kind, files = "sae" if reads == writes else "transcoder", [*single.values()]
    return StoredTranscoder(
        kind,
        layers,
        reads=reads,
        writes=writes,
        model_name=name,
        source=source,
        files=(*files, folder / "config.yaml"),
    )


def _read_config(folder: Path) -> tuple[dict, str]:
    path, place = folder / "config.yaml", f"{folder.name}/config.yaml"
    if not path.is_file():
        raise MissingWeightsError(
            place,
            expected="feature_input_hook and feature_output_hook",
            got="no such file",
            remedy="it says where the dictionary reads and writes: copy it from the release",
        )
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise TruncatedWeightsError(place, expected="YAML", got=str(error)) from error
    if not isinstance(config, dict):
        raise TruncatedWeightsError(place, expected="a YAML mapping", got=type(config).__name__)
    return config, place


def _site(config: dict, place: str, key: str) -> Site:
    hook = config.get(key)
    if hook not in HOOKS:
        raise UnsupportedModelError(
            f"{place}: {key}",
            expected=f"one of {', '.join(HOOKS)}",
            got=repr(hook),
            remedy="where a dictionary reads and writes cannot be guessed",
        )
    return HOOKS[hook]


def _clt_layer(i: int, encoder: Path, decoder: Path, n_layers: int) -> Layer:
    file, decoders = open_weights(encoder), open_weights(decoder)
    features, d = file.take(f"W_enc_{i}", None, None).shape
    return Layer(
        w_enc=file.take(f"W_enc_{i}", features, d).T,
        w_dec=decoders.take(f"W_dec_{i}", features, n_layers - i, None),
        b_enc=file.take(f"b_enc_{i}", features),
        b_dec=file.take(f"b_dec_{i}", None),
        threshold=file.take_if_there(f"threshold_{i}", features),
        skip=file.take_if_there(f"W_skip_{i}", d, None),
        rows=decoders.rows(f"W_dec_{i}"),
    )


def _single_layer(path: Path) -> Layer:
    file = open_weights(path)
    features, d = file.take("W_enc", None, None).shape
    skip = file.take_if_there("W_skip", None, d)
    return Layer(
        w_enc=file.take("W_enc", features, d).T,
        w_dec=file.take("W_dec", features, None)[:, None],
        b_enc=file.take("b_enc", features),
        b_dec=file.take("b_dec", None),
        threshold=file.take_if_there(THRESHOLD, features),
        skip=None if skip is None else skip.T,
        rows=file.rows("W_dec"),
    )


def check_circuit_tracer(transcoder: StoredTranscoder) -> None:
    """Refuse what these layouts cannot hold: crosscoders, TopK, and sets with a layer left out.

    Raises:
        UnsupportedModelError: with the reason.
    """
    if transcoder.kind == "crosscoder" or transcoder.top_k is not None:
        raise UnsupportedModelError(
            transcoder.source,
            expected="a CLT, transcoders or SAEs with ReLU or JumpReLU",
            got=repr(transcoder),
            remedy="circuit-tracer's layouts cannot hold it",
        )
    if transcoder.layers != tuple(range(len(transcoder.layers))):
        raise UnsupportedModelError(
            transcoder.source,
            expected="every layer from 0",
            got=f"layers {', '.join(map(str, transcoder.layers))}",
            remedy="circuit-tracer's layouts cannot hold it",
        )


def write_circuit_tracer(transcoder: StoredTranscoder, folder: Path, layer: int) -> None:
    """Write one layer into an existing folder, and `config.yaml` with the first."""
    stored = transcoder.tensors(layer)
    if transcoder.kind == "clt":
        save_weights(folder / f"W_dec_{layer}.safetensors", {f"W_dec_{layer}": stored.w_dec})
        tensors: dict[str, Tensor | None] = {
            "W_enc": stored.w_enc.T,
            "b_enc": stored.b_enc,
            "b_dec": stored.b_dec,
            "threshold": stored.threshold,
            "W_skip": stored.skip,
        }
        save_weights(
            folder / f"W_enc_{layer}.safetensors",
            {f"{name}_{layer}": value for name, value in tensors.items()},
        )
    else:
        tensors = {
            "W_enc": stored.w_enc.T,
            "W_dec": stored.w_dec[:, 0],
            "b_enc": stored.b_enc,
            "b_dec": stored.b_dec,
            THRESHOLD: stored.threshold,
            "W_skip": None if stored.skip is None else stored.skip.T,
        }
        save_weights(folder / f"layer_{layer}.safetensors", tensors)
    if layer == transcoder.layers[0]:
        hooks = {site: hook for hook, site in HOOKS.items()}
        config = {
            "model_name": transcoder.model_name,
            "model_kind": "cross_layer_transcoder" if transcoder.kind == "clt" else "transcoder_set",
            "feature_input_hook": hooks[transcoder.reads],
            "feature_output_hook": hooks[transcoder.writes],
            "scan": transcoder.source,
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
