"""Random dictionaries, and files of them written by hand from the tables of the formats."""

import json
from pathlib import Path

import torch
import yaml
from hypothesis import strategies as st
from safetensors.torch import save_file

from gemma_circuits.transcoders import Site, StoredTranscoder

DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def random_dictionary(
    kind="clt",
    layers=(0, 1, 2),
    features=7,
    d_in=5,
    d_out=5,
    dtype=torch.float32,
    skip=False,
    jump=True,
    reads=Site.MLP_IN,
    writes=Site.MLP_OUT,
    seed=0,
    **keywords,
):
    """A dictionary in memory; `layers` are the model's."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(shape, generator=generator).to(dtype)

    def written(index):
        return {"clt": len(layers) - index, "crosscoder": len(layers)}.get(kind, 1)

    tensors = {
        layer: {
            "w_enc": random(d_in, features),
            "w_dec": random(features, written(index), d_out),
            "b_enc": random(features),
            "b_dec": random(d_out),
            "threshold": random(features).abs() if jump else None,
            "skip": random(d_in, d_out) if skip else None,
        }
        for index, layer in enumerate(layers)
    }
    return StoredTranscoder.from_tensors(kind, tensors, reads=reads, writes=writes, **keywords)


@st.composite
def dictionaries(draw, kinds=("clt", "transcoder", "sae"), skips=True, dtypes=DTYPES):
    """Small dictionaries of every shape, over the first layers of a model."""
    kind = draw(st.sampled_from(kinds))
    site = Site.RESID_POST if kind in ("sae", "crosscoder") else None
    d_in = draw(st.integers(1, 5))
    return random_dictionary(
        kind,
        layers=tuple(range(draw(st.integers(1, 4)))),
        features=draw(st.integers(1, 6)),
        d_in=d_in,
        d_out=d_in if site else draw(st.integers(1, 5)),
        dtype=draw(st.sampled_from(dtypes)),
        skip=skips and draw(st.booleans()),
        jump=draw(st.booleans()),
        reads=site or draw(st.sampled_from((Site.MLP_IN, Site.RESID_MID))),
        writes=site or Site.MLP_OUT,
        model_name=draw(st.sampled_from((None, "google/gemma-3-270m-pt"))),
        seed=draw(st.integers(0, 2**16)),
    )


def assert_same_bits(one: StoredTranscoder, other: StoredTranscoder):
    """Same sites, layers, dtypes and bits; a ReLU equals a JumpReLU with zero thresholds."""
    assert (one.kind, one.layers, one.reads, one.writes) == (other.kind, other.layers, other.reads, other.writes)
    assert one.model_name == other.model_name
    for layer in one.layers:
        ours, theirs = one.tensors(layer), other.tensors(layer)
        assert one.written(layer) == other.written(layer)
        for name in ("w_enc", "w_dec", "b_enc", "b_dec", "threshold", "skip"):
            a, b = getattr(ours, name), getattr(theirs, name)
            if name == "threshold":
                a, b = (torch.zeros_like(ours.b_enc) if value is None else value for value in (a, b))
            assert (a is None) == (b is None), name
            if a is not None:
                assert a.dtype == b.dtype and bits(a) == bits(b), name


def bits(tensor):
    return tuple(tensor.shape), tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def gemma_scope_2_config(folder: Path, **changes):
    config = {
        "hf_hook_point_in": "model.layers.{all}.pre_feedforward_layernorm.output",
        "hf_hook_point_out": "model.layers.{all}.post_feedforward_layernorm.output",
        "width": 18,
        "model_name": "google/gemma-3-270m-pt",
        "architecture": "jump_relu",
        "l0": 50,
        "affine_connection": False,
        "type": "clt",
    }
    (folder / "config.json").write_text(json.dumps(config | changes))


def write_gemma_scope_2_clt(folder: Path, layers=3, features=6, d=4, skip=False, **changes):
    """A CLT as DESIGN's table has it, the rows below a layer's own not even zero; returns the tensors."""
    folder.mkdir(parents=True)
    written = []
    for index in range(layers):
        tensors = {
            "w_enc": torch.randn(d, features),
            "w_dec": torch.randn(features, layers, d),
            "b_enc": torch.randn(features),
            "b_dec": torch.randn(d),
            "threshold": torch.rand(features),
        }
        if skip:
            tensors["affine_skip_connection"] = torch.randn(d, d)
        save_file(tensors, folder / f"params_layer_{index}.safetensors")
        written.append(tensors)
    gemma_scope_2_config(folder, affine_connection=skip, **changes)
    return written


def write_single(folder: Path, layer: int, features=6, d=4, skip=False, **changes):
    """One layer of Gemma Scope 2; returns the tensors."""
    folder.mkdir(parents=True)
    tensors = {
        "w_enc": torch.randn(d, features),
        "w_dec": torch.randn(features, d),
        "b_enc": torch.randn(features),
        "b_dec": torch.randn(d),
        "threshold": torch.rand(features),
    }
    if skip:
        tensors["affine_skip_connection"] = torch.randn(d, d)
    save_file(tensors, folder / "params.safetensors")
    gemma_scope_2_config(
        folder,
        **{
            "hf_hook_point_in": f"model.layers.{layer}.pre_feedforward_layernorm.output",
            "hf_hook_point_out": f"model.layers.{layer}.post_feedforward_layernorm.output",
            "type": "transcoder",
            "affine_connection": skip,
        }
        | changes,
    )
    return tensors


def write_circuit_tracer_config(folder: Path, **changes):
    config = {
        "model_name": "tiny",
        "model_kind": "transcoder_set",
        "feature_input_hook": "mlp.hook_in",
        "feature_output_hook": "hook_mlp_out",
        "scan": "tiny",
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config | changes))
