"""Every layout, read from files written by hand and written back."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from dictionaries import (
    assert_same_bits,
    dictionaries,
    gemma_scope_2_config,
    random_dictionary,
    write_circuit_tracer_config,
    write_gemma_scope_2_clt,
    write_single,
)
from hypothesis import given, settings
from safetensors.torch import load_file, save_file

from gemma_circuits.data.errors import UnsupportedModelError
from gemma_circuits.transcoders import Site, convert, open_transcoder

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize("skip", [False, True])
def test_a_gemma_scope_2_clt_keeps_its_last_layer_and_its_absolute_decoders(tmp_path, skip):
    files = write_gemma_scope_2_clt(tmp_path / "clt", skip=skip)
    clt = open_transcoder(tmp_path / "clt")
    assert (clt.kind, clt.layers, clt.reads, clt.writes) == ("clt", (0, 1, 2), Site.MLP_IN, Site.MLP_OUT)
    assert (clt.model_name, clt.l0, clt.n_features) == ("google/gemma-3-270m-pt", 50, 6)
    features = torch.tensor([5, 1])
    for layer, tensors in enumerate(files):
        assert clt.written(layer) == tuple(range(layer, 3))
        assert clt.decoder(layer, features).equal(tensors["w_dec"][features][:, layer:])
        assert clt.encoder(layer, features).equal(tensors["w_enc"].T[features])
        assert (skip_of := clt.skip(layer)) is None or skip_of.equal(tensors["affine_skip_connection"])
        assert (skip_of is not None) == skip


def test_a_crosscoder_covers_the_layers_that_its_config_names(tmp_path):
    hook = "model.layers.{5,9,12,15}.output"
    files = write_gemma_scope_2_clt(
        tmp_path / "layer_5_9_12_15_width_24_l0_big",
        4,
        type="crosscoder",
        hf_hook_point_in=hook,
        hf_hook_point_out=hook,
    )
    crosscoder = open_transcoder(tmp_path / "layer_5_9_12_15_width_24_l0_big")
    assert (crosscoder.kind, crosscoder.layers, crosscoder.reads) == ("crosscoder", (5, 9, 12, 15), Site.RESID_POST)
    assert crosscoder.written(12) == (5, 9, 12, 15)
    assert crosscoder.decoder(12, torch.tensor([3])).equal(files[2]["w_dec"][[3]])


def test_circuit_tracers_clt_is_ragged_and_its_skip_is_not_transposed(tmp_path):
    write_circuit_tracer_config(tmp_path, model_kind="cross_layer_transcoder", feature_input_hook="hook_resid_mid")
    skips, decoders = torch.randn(3, 4, 4), [torch.randn(6, 3 - i, 4) for i in range(3)]
    for i in range(3):
        encoder = {"W_enc": torch.randn(6, 4), "b_enc": torch.randn(6), "b_dec": torch.randn(4), "W_skip": skips[i]}
        save_file({f"{name}_{i}": value for name, value in encoder.items()}, tmp_path / f"W_enc_{i}.safetensors")
        save_file({f"W_dec_{i}": decoders[i]}, tmp_path / f"W_dec_{i}.safetensors")
    clt = open_transcoder(tmp_path)
    assert "CLT of 3 layers x 6 features (ReLU, affine skip), d 4, reads resid_mid, writes mlp_out; tiny" in repr(clt)
    for i in range(3):
        assert clt.decoder(i, torch.arange(6)).equal(decoders[i])
        assert clt.skip(i).equal(skips[i])


def test_circuit_tracers_per_layer_skip_is_transposed(tmp_path):
    write_circuit_tracer_config(tmp_path)
    tensors = {
        "W_enc": torch.randn(6, 4),
        "W_dec": torch.randn(6, 4),
        "b_enc": torch.randn(6),
        "b_dec": torch.randn(4),
        "W_skip": torch.randn(4, 4),
    }
    save_file(tensors, tmp_path / "layer_0.safetensors")
    transcoder, x = open_transcoder(tmp_path), torch.randn(2, 4)
    torch.testing.assert_close(x @ transcoder.skip(0), x @ tensors["W_skip"].T)
    torch.testing.assert_close(transcoder.pre_activations(0, x), x @ tensors["W_enc"].T + tensors["b_enc"])
    assert transcoder.decoder(0, torch.tensor([2])).equal(tensors["W_dec"][[2]][:, None])


@pytest.mark.parametrize(
    ("name", "reads", "writes"),
    [
        ("gemma-scope-2b-pt-res", Site.RESID_POST, Site.RESID_POST),
        ("gemma-scope-2b-pt-mlp", Site.MLP_OUT, Site.MLP_OUT),
        ("gemma-scope-9b-it-att", Site.ATTN_OUT, Site.ATTN_OUT),
        ("gemma-scope-2b-pt-transcoders", Site.MLP_IN_NORMALIZED, Site.MLP_OUT),
    ],
)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_gemma_scope_1_says_its_site_in_the_repositorys_name(tmp_path, name, reads, writes, save):
    folder = tmp_path / name / "layer_5/width_16k/average_l0_76"
    folder.mkdir(parents=True)
    tensors = {"W_enc": torch.randn(4, 6), "W_dec": torch.randn(6, 4), "b_enc": torch.randn(6)}
    tensors |= {"b_dec": torch.randn(4), "threshold": torch.rand(6)}
    save(folder / "params.npz", **{key: value.numpy() for key, value in tensors.items()})
    sae = open_transcoder(folder)
    assert (sae.layers, sae.reads, sae.writes, sae.l0) == ((5,), reads, writes, 76)
    assert sae.model_name == ("google/gemma-2-9b-it" if "9b" in name else "google/gemma-2-2b")
    assert sae.decoder(5, torch.tensor([4])).equal(tensors["W_dec"][[4]][:, None])
    assert sae.encoder(5, torch.tensor([4])).equal(tensors["W_enc"].T[[4]])
    assert sae.source == f"{name}/layer_5/width_16k/average_l0_76"


def test_gemma_scope_1_without_such_a_name_wants_the_site(tmp_path):
    convert(saes(), tmp_path / "some-res", "gemma-scope-1", progress=False)
    (tmp_path / "some-res").rename(tmp_path / "renamed")
    with pytest.raises(UnsupportedModelError, match="pass site="):
        open_transcoder(tmp_path / "renamed")
    assert open_transcoder(tmp_path / "renamed", site=Site.ATTN_OUT).writes == Site.ATTN_OUT
    with pytest.raises(UnsupportedModelError, match="got site mlp_in;"):
        open_transcoder(tmp_path / "renamed", site=Site.MLP_IN)


def saes(**changes):
    return random_dictionary("sae", reads=Site.RESID_POST, writes=Site.RESID_POST, **changes)


def round_trip(transcoder, layout, name="dictionary"):
    with tempfile.TemporaryDirectory() as folder:
        opened = open_transcoder(convert(transcoder, Path(folder) / name, layout, progress=False))
        assert_same_bits(opened, transcoder)
        assert opened.fingerprint() == open_transcoder(Path(folder) / name).fingerprint()


@given(dictionaries(kinds=("clt", "transcoder", "sae", "crosscoder")))
@settings(max_examples=40, deadline=None)
def test_gemma_scope_2_written_and_read_has_the_same_bits(transcoder):
    round_trip(transcoder, "gemma-scope-2")


@given(dictionaries())
@settings(max_examples=40, deadline=None)
def test_circuit_tracer_written_and_read_has_the_same_bits(transcoder):
    round_trip(transcoder, "circuit-tracer")


@given(dictionaries(kinds=("sae",), skips=False, dtypes=(torch.float32, torch.float16)))
@settings(max_examples=20, deadline=None)
def test_gemma_scope_1_written_and_read_has_the_same_bits(transcoder):
    with tempfile.TemporaryDirectory() as folder:
        path = convert(transcoder, Path(folder) / "some-res", "gemma-scope-1", progress=False)
        opened = open_transcoder(path)
        opened.model_name = transcoder.model_name  # this layout does not record it
        assert_same_bits(opened, transcoder)


@given(dictionaries())
@settings(max_examples=20, deadline=None)
def test_ragged_to_absolute_and_back_has_the_same_bits(transcoder):
    with tempfile.TemporaryDirectory() as folder:
        ragged = convert(transcoder, Path(folder) / "ragged", "circuit-tracer", progress=False)
        absolute = convert(ragged, Path(folder) / "absolute", "gemma-scope-2", progress=False)
        again = convert(absolute, Path(folder) / "again", "circuit-tracer", progress=False)
        assert_same_bits(open_transcoder(absolute), transcoder)
        assert_same_bits(open_transcoder(again), transcoder)


def test_what_is_written_is_the_table_of_the_format(tmp_path):
    transcoder = random_dictionary(skip=True)
    folder = convert(transcoder, tmp_path / "absolute", "gemma-scope-2", progress=False)
    files = [load_file(folder / f"params_layer_{i}.safetensors") for i in range(3)]
    assert [tuple(file["w_dec"].shape) for file in files] == [(7, 3, 5)] * 3
    assert not files[2]["w_dec"][:, :2].any()
    assert files[1]["affine_skip_connection"].equal(transcoder.skip(1))
    folder = convert(transcoder, tmp_path / "ragged", "circuit-tracer", progress=False)
    assert load_file(folder / "W_dec_1.safetensors")["W_dec_1"].shape == (7, 2, 5)
    assert load_file(folder / "W_enc_1.safetensors")["W_enc_1"].equal(transcoder.tensors(1).w_enc.T)


@pytest.mark.parametrize("hook", ["hook_resid_mid", "mlp_hook_in"])
def test_golden_circuit_tracer_folders_open(hook):
    reads = {"hook_resid_mid": Site.RESID_MID, "mlp_hook_in": Site.MLP_IN}[hook]
    for kind in ("clt", "plt"):
        folder = GOLDEN / "tiny" / f"{kind}_{hook}"
        transcoder = open_transcoder(folder)
        assert (transcoder.layers, transcoder.n_features, transcoder.reads) == ((0, 1, 2, 3), 128, reads)
        assert transcoder.skip(3) is None and transcoder.model_name == "tiny"
        file = load_file(folder / ("W_dec_3.safetensors" if kind == "clt" else "layer_3.safetensors"))
        rows = file["W_dec_3" if kind == "clt" else "W_dec"].reshape(128, 1, 64)
        assert transcoder.decoder(3, torch.arange(128)).equal(rows)


@pytest.mark.parametrize("name", ["gemma2", "gemma2_affine", "gemma3_affine"])
def test_golden_gemma_scope_2_folders_open(name):
    (folder,) = (GOLDEN / name / "clt").iterdir()
    clt = open_transcoder(folder)
    assert (clt.kind, clt.layers, clt.n_features, clt.d_in) == ("clt", (0, 1, 2, 3), 24, 32)
    file = load_file(folder / "params_layer_3.safetensors")
    assert clt.decoder(3, torch.arange(24)).equal(file["w_dec"][:, 3:])
    skip = clt.skip(2)
    assert (skip is not None) == name.endswith("affine")
    assert skip is None or not skip.allclose(skip.T)


def test_the_set_of_single_layers_is_the_single_layers(tmp_path):
    files = {layer: write_single(tmp_path / f"layer_{layer}_width_6_l0_small", layer, skip=True) for layer in (9, 5)}
    both = open_transcoder(tmp_path)
    assert both.layers == (5, 9)
    for layer, tensors in files.items():
        assert both.skip(layer).equal(tensors["affine_skip_connection"])
        assert both.decoder(layer, torch.arange(6)).equal(tensors["w_dec"][:, None])
        assert_same_bits(
            open_transcoder(tmp_path / f"layer_{layer}_width_6_l0_small"),
            open_transcoder(one_of(tmp_path, layer)),
        )


def one_of(root, layer):
    alone = root.with_name(f"alone_{layer}")
    shutil.copytree(root / f"layer_{layer}_width_6_l0_small", alone)
    return alone


@pytest.mark.parametrize(
    ("hook", "site"),
    [
        ("model.layers.3.output", Site.RESID_POST),
        ("model.language_model.layers.3.output", Site.RESID_POST),
        ("language_model.model.layers.3.self_attn.o_proj.input", Site.ATTN_OUT),
        ("model.layers.3.post_feedforward_layernorm.output", Site.MLP_OUT),
        ("model.layers.3.pre_feedforward_layernorm.input", Site.RESID_MID),
    ],
)
def test_hook_points_name_their_site(tmp_path, hook, site):
    write_single(tmp_path / "sae", 3, type="sae", hf_hook_point_in=hook, hf_hook_point_out=hook)
    sae = open_transcoder(tmp_path / "sae")
    assert (sae.kind, sae.layers, sae.reads, sae.writes) == ("sae", (3,), site, site)


@pytest.mark.parametrize(
    "changes",
    [
        {"hf_hook_point_in": "model.layers.{all}.mlp.gate_proj.output"},
        {"hf_hook_point_out": None},
        {"type": "lorsa"},
        {"architecture": "topk"},
    ],
)
def test_what_config_json_says_is_not_guessed_at(tmp_path, changes):
    write_gemma_scope_2_clt(tmp_path / "clt")
    gemma_scope_2_config(tmp_path / "clt", **changes)
    with pytest.raises(UnsupportedModelError, match=r"clt/config\.json"):
        open_transcoder(tmp_path / "clt")


def test_circuit_tracers_hooks_are_not_guessed_at(tmp_path):
    folder = convert(random_dictionary(), tmp_path / "clt", "circuit-tracer", progress=False)
    write_circuit_tracer_config(folder, feature_output_hook="mlp.hook_out")
    with pytest.raises(UnsupportedModelError, match=r"feature_output_hook: expected one of .*got 'mlp.hook_out'"):
        open_transcoder(folder)
