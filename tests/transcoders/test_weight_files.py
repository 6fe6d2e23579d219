"""Damaged, missing and foreign files: each its own error, with the place, what was expected and the remedy."""

import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from dictionaries import random_dictionary, write_circuit_tracer_config, write_gemma_scope_2_clt, write_single
from safetensors.torch import load_file, save_file

from gemma_circuits.data.errors import (
    MismatchError,
    MissingWeightsError,
    NotFiniteError,
    TruncatedWeightsError,
    UnsupportedModelError,
    WeightsDtypeError,
    WeightsShapeError,
)
from gemma_circuits.transcoders import convert, fingerprint, open_transcoder, weights


@pytest.fixture
def clt(tmp_path):
    write_gemma_scope_2_clt(tmp_path / "clt", skip=True)
    return tmp_path / "clt"


def change(path, **tensors):
    """Replace tensors of a file; None removes one."""
    kept = {name: value.clone() for name, value in load_file(path).items()} | tensors
    save_file({name: value for name, value in kept.items() if value is not None}, path)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_missing_layer_is_named_the_last_one_too(clt, number):
    (clt / f"params_layer_{number}.safetensors").unlink()
    with pytest.raises(MissingWeightsError, match=rf"params_layer_{number}\.safetensors: expected 3 files.*download"):
        open_transcoder(clt)


@pytest.mark.parametrize("name", ["W_enc_1", "W_dec_1", "W_dec_2"])
def test_a_missing_layer_of_circuit_tracers_clt_is_named(tmp_path, name):
    folder = convert(random_dictionary(), tmp_path / "clt", "circuit-tracer", progress=False)
    (folder / f"{name}.safetensors").unlink()
    with pytest.raises(MissingWeightsError, match=rf"clt/{name}\.safetensors: expected 3 files"):
        open_transcoder(folder)


def test_a_missing_layer_of_circuit_tracers_set_is_named(tmp_path):
    folder = convert(random_dictionary("transcoder"), tmp_path / "plt", "circuit-tracer", progress=False)
    (folder / "layer_1.safetensors").unlink()
    with pytest.raises(MissingWeightsError, match=r"plt/layer_1\.safetensors"):
        open_transcoder(folder)


def test_a_missing_layer_of_an_all_layers_set_is_named(tmp_path):
    for layer in (0, 1, 3):
        write_single(tmp_path / f"transcoder_all/layer_{layer}_width_6_l0_small", layer)
    with pytest.raises(MissingWeightsError, match="layer 2: expected every layer from 0 to 3, got none for 2"):
        open_transcoder(tmp_path / "transcoder_all/width_6_l0_small")


def test_a_single_layer_without_its_weights_is_named(tmp_path):
    for layer in (5, 9):
        write_single(tmp_path / f"layer_{layer}_width_6_l0_small", layer)
    (tmp_path / "layer_9_width_6_l0_small/params.safetensors").unlink()
    with pytest.raises(MissingWeightsError, match=r"layer_9_width_6_l0_small/params\.safetensors"):
        open_transcoder(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "config.yaml"])
def test_a_missing_description_is_named(clt, tmp_path, name):
    folder = clt
    if name == "config.yaml":
        folder = convert(random_dictionary(), tmp_path / "ct", "circuit-tracer", progress=False)
    (folder / name).unlink()
    with pytest.raises(MissingWeightsError, match=name):
        open_transcoder(folder)


@pytest.mark.parametrize(("name", "text"), [("config.json", "{"), ("config.json", "[1]"), ("config.yaml", "a: [")])
def test_a_damaged_description_is_named(clt, tmp_path, name, text):
    folder = clt
    if name == "config.yaml":
        folder = convert(random_dictionary(), tmp_path / "ct", "circuit-tracer", progress=False)
    (folder / name).write_text(text)
    with pytest.raises(TruncatedWeightsError, match=name):
        open_transcoder(folder)


@pytest.mark.parametrize("size", [0, 5, 100, -1])
def test_a_truncated_file_is_named(clt, size):
    path = clt / "params_layer_1.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(TruncatedWeightsError, match=r"clt/params_layer_1\.safetensors: expected a complete .*again"):
        open_transcoder(clt)


def test_a_pointer_in_place_of_a_file_is_named(clt):
    (clt / "params_layer_0.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(TruncatedWeightsError, match=r"params_layer_0"):
        open_transcoder(clt)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("w_enc", (5, 6)),
        ("w_enc", (24,)),
        ("w_dec", (6, 2, 4)),
        ("w_dec", (6, 3, 5)),
        ("b_enc", (7,)),
        ("b_dec", (4, 1)),
        ("threshold", (1,)),
        ("affine_skip_connection", (5, 4)),
    ],
)
def test_a_wrong_shape_is_named(clt, name, shape):
    change(clt / "params_layer_1.safetensors", **{name: torch.zeros(shape)})
    with pytest.raises(WeightsShapeError, match=r"layer[_ ]1.*: expected shape \(.*\), got \("):
        open_transcoder(clt)


def test_a_layer_of_another_width_is_named(clt):
    change(
        clt / "params_layer_2.safetensors",
        w_enc=torch.zeros(4, 8),
        w_dec=torch.zeros(8, 3, 4),
        b_enc=torch.zeros(8),
        threshold=torch.zeros(8),
    )
    with pytest.raises(WeightsShapeError, match=r"layer 2: w_enc: expected shape \(4, 6\), got \(4, 8\)"):
        open_transcoder(clt)


@pytest.mark.parametrize("name", ["w_enc", "w_dec", "b_enc", "b_dec", "threshold", "affine_skip_connection"])
def test_a_missing_tensor_is_named(clt, name):
    change(clt / "params_layer_1.safetensors", **{name: None})
    with pytest.raises(MissingWeightsError, match=rf"clt/params_layer_1\.safetensors: {name}: expected a tensor"):
        open_transcoder(clt)


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.bool])
def test_a_dtype_that_holds_no_real_numbers_is_named(clt, dtype):
    change(clt / "params_layer_1.safetensors", w_enc=torch.zeros(4, 6, dtype=dtype))
    with pytest.raises(WeightsDtypeError, match=rf"params_layer_1\.safetensors: w_enc: .*got {str(dtype)[6:]}"):
        open_transcoder(clt)


def test_a_nan_in_a_file_is_found_when_it_is_used_not_before(clt):
    w_dec = load_file(clt / "params_layer_1.safetensors")["w_dec"]
    w_dec[3, 2, 0] = float("nan")
    change(clt / "params_layer_1.safetensors", w_dec=w_dec)
    opened = open_transcoder(clt)
    opened.decoder(1, torch.tensor([0, 1, 2, 4, 5]))
    with pytest.raises(NotFiniteError, match=r"clt, layer 1: w_dec: expected finite numbers, got NaN"):
        opened.decoder(1, torch.tensor([3]))


def test_a_misplaced_layer_is_named(tmp_path):
    write_single(tmp_path / "layer_5_width_6_l0_small", 5)
    write_single(tmp_path / "layer_9_width_6_l0_small", 8)
    with pytest.raises(MismatchError, match=r"layer_9_width_6_l0_small/config\.json"):
        open_transcoder(tmp_path)


def test_a_layer_more_or_less_than_the_config_names_is_refused(clt, tmp_path):
    hook = "model.layers.{5,9}.output"
    write_gemma_scope_2_clt(tmp_path / "cc", 3, type="crosscoder", hf_hook_point_in=hook, hf_hook_point_out=hook)
    with pytest.raises(MissingWeightsError, match="expected one for each of layers 5, 9"):
        open_transcoder(tmp_path / "cc")


def npz(folder, **arrays):
    path = folder / "some-res/layer_0/width_6/average_l0_9"
    path.mkdir(parents=True)
    names = {"W_enc": (4, 6), "W_dec": (6, 4), "b_enc": (6,), "b_dec": (4,), "threshold": (6,)}
    np.savez(path / "params.npz", **{name: np.ones(shape, np.float32) for name, shape in names.items()} | arrays)
    return path / "params.npz"


def test_npz_arrays_are_mapped_in_either_order(tmp_path):
    encoder = np.asfortranarray(np.arange(24, dtype=np.float16).reshape(4, 6))
    opened = open_transcoder(npz(tmp_path, W_enc=encoder).parent)
    assert opened.tensors(0).w_enc.equal(torch.arange(24, dtype=torch.float16).reshape(4, 6))
    if (maps := Path("/proc/self/maps")).exists():
        assert "average_l0_9/params.npz" in maps.read_text()


def test_damaged_npz_files_are_named(tmp_path):
    path = npz(tmp_path)
    whole = path.read_bytes()
    for size in (0, 10, len(whole) // 2, len(whole) - 5):
        path.write_bytes(whole[:size])
        with pytest.raises(TruncatedWeightsError, match=r"average_l0_9/params\.npz"):
            open_transcoder(path.parent)


class Unwanted:
    def __reduce__(self):
        return pytest.fail, ("a pickle was opened",)


def test_a_pickle_inside_an_npz_is_refused_unopened(tmp_path):
    path = npz(tmp_path, W_enc=np.array([Unwanted()], dtype=object))
    with pytest.raises(WeightsDtypeError, match=r"params\.npz: W_enc: .*never opened"):
        open_transcoder(path.parent)


def test_npz_with_integers_another_shape_or_no_tensor_is_named(tmp_path):
    with pytest.raises(WeightsDtypeError, match="W_dec"):
        open_transcoder(npz(tmp_path / "a", W_dec=np.ones((6, 4), np.int8)).parent)
    with pytest.raises(WeightsShapeError, match=r"b_enc: expected shape \(6\)"):
        open_transcoder(npz(tmp_path / "b", b_enc=np.ones(5, np.float32)).parent)
    path = npz(tmp_path / "c")
    np.savez(path, W_enc=np.ones((4, 6), np.float32))
    with pytest.raises(MissingWeightsError, match="W_dec: expected a tensor"):
        open_transcoder(path.parent)


@pytest.mark.parametrize("name", ["model.safetensors", "clt.pt", "cfg.json"])
def test_an_unknown_layout_is_refused_with_what_is_there(tmp_path, name):
    (tmp_path / name).write_bytes(pickle.dumps(Unwanted) if name.endswith("pt") else b"{}")
    with pytest.raises(UnsupportedModelError, match=rf"expected a dictionary of Gemma Scope 1.*got {name}"):
        open_transcoder(tmp_path)


def test_config_yaml_alone_is_no_dictionary(tmp_path):
    write_circuit_tracer_config(tmp_path)
    with pytest.raises(UnsupportedModelError, match=r"got config\.yaml"):
        open_transcoder(tmp_path)


def test_a_change_of_name_size_or_content_changes_the_fingerprint(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "WHOLE", 2**20)
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(bytes(1000))
    large.write_bytes(bytes(3 * 2**20))
    prints = {fingerprint([small, large])}
    assert fingerprint([large, small]) in prints
    for path, position in ((small, 999), (large, 0), (large, 3 * 2**20 - 1), (large, 2 * 2**20)):
        with path.open("r+b") as file:
            file.seek(position)
            file.write(bytes([255]) * 8192 if position == 2 * 2**20 else b"x")
        prints.add(fingerprint([small, large]))
    with large.open("ab") as file:
        file.write(b"x")
    prints.add(fingerprint([small, large]))
    small.rename(tmp_path / "smaller")
    prints.add(fingerprint([tmp_path / "smaller", large]))
    assert len(prints) == 7


def test_a_moved_folder_keeps_its_fingerprint(clt):
    before = open_transcoder(clt).fingerprint()
    clt.rename(clt.with_name("moved"))
    assert open_transcoder(clt.with_name("moved")).fingerprint() == before
    change(clt.with_name("moved") / "params_layer_2.safetensors", b_enc=torch.zeros(6))
    assert open_transcoder(clt.with_name("moved")).fingerprint() != before


def test_a_header_that_lies_about_the_size_is_a_truncated_file(tmp_path):
    header = b'{"w_enc":{"dtype":"F32","shape":[4,6],"data_offsets":[0,96]}}'
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(40))
    with pytest.raises(TruncatedWeightsError, match=r"x\.safetensors"):
        weights.open_weights(tmp_path / "x.safetensors")
    with pytest.raises(MissingWeightsError, match=r"y\.safetensors: expected a weight file"):
        weights.open_weights(tmp_path / "y.safetensors")
