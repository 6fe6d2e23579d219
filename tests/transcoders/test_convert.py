"""Conversion refuses what a layout cannot hold, and leaves nothing half written."""

import errno

import pytest
import torch
from dictionaries import random_dictionary

from gemma_circuits.data.errors import ArgumentError, StorageError, UnsupportedModelError, WeightsDtypeError
from gemma_circuits.transcoders import Site, circuit_tracer, convert, open_transcoder

RESIDUAL = {"reads": Site.RESID_POST, "writes": Site.RESID_POST}


@pytest.mark.parametrize(
    ("layout", "transcoder"),
    [
        ("gemma-scope-1", random_dictionary("clt")),
        ("gemma-scope-1", random_dictionary("transcoder", skip=True, reads=Site.MLP_IN_NORMALIZED)),
        ("gemma-scope-1", random_dictionary("transcoder")),
        ("gemma-scope-1", random_dictionary("sae", top_k=2, **RESIDUAL)),
        ("gemma-scope-2", random_dictionary("transcoder", reads=Site.MLP_IN_NORMALIZED)),
        ("gemma-scope-2", random_dictionary("clt", top_k=2)),
        ("gemma-scope-2", random_dictionary("clt", layers=(1, 2))),
        ("circuit-tracer", random_dictionary("crosscoder", **RESIDUAL)),
        ("circuit-tracer", random_dictionary("sae", top_k=2, **RESIDUAL)),
        ("circuit-tracer", random_dictionary("transcoder", layers=(5, 9))),
    ],
)
def test_what_a_layout_cannot_hold_is_refused(tmp_path, layout, transcoder):
    with pytest.raises(UnsupportedModelError, match=r"memory: expected .*got "):
        convert(transcoder, tmp_path / "x-transcoders", layout)
    assert not list(tmp_path.iterdir())


def test_bfloat16_has_no_npz(tmp_path):
    sae = random_dictionary("sae", dtype=torch.bfloat16, **RESIDUAL)
    with pytest.raises(WeightsDtypeError, match="got bfloat16"):
        convert(sae, tmp_path / "x-res", "gemma-scope-1")


def test_bad_arguments_are_refused(tmp_path):
    sae = random_dictionary("sae", **RESIDUAL)
    with pytest.raises(ArgumentError, match=r"layout: expected one of gemma-scope-1, .*got 'saelens'"):
        convert(sae, tmp_path / "x", "saelens")
    with pytest.raises(ArgumentError, match="expected a folder name that ends in -res"):
        convert(sae, tmp_path / "x", "gemma-scope-1")
    (tmp_path / "there").mkdir()
    with pytest.raises(ArgumentError, match="there: expected a folder that does not exist yet"):
        convert(sae, tmp_path / "there", "circuit-tracer")


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    save, left = circuit_tracer.save_weights, iter([True, True, False])

    def full(path, tensors):
        if not next(left):
            raise OSError(errno.ENOSPC, "No space left on device")
        save(path, tensors)

    monkeypatch.setattr(circuit_tracer, "save_weights", full)
    with pytest.raises(StorageError, match=r"x: got .*No space left.*free some space"):
        convert(random_dictionary(), tmp_path / "x", "circuit-tracer", progress=False)
    assert not list(tmp_path.iterdir())


def test_a_destination_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        convert(random_dictionary(), tmp_path / "file/x", "circuit-tracer", progress=False)


def test_paths_are_opened_and_progress_is_shown(tmp_path, capsys):
    first = convert(random_dictionary(), tmp_path / "one", "gemma-scope-2")
    assert "write one" in capsys.readouterr().err
    second = convert(str(first), str(tmp_path / "deep/two"), "circuit-tracer", progress=False)
    assert second == tmp_path / "deep/two" and open_transcoder(second).kind == "clt"
    assert not capsys.readouterr().err


def test_gemma_scope_1_transcoders_become_circuit_tracers(tmp_path):
    transcoder = random_dictionary("transcoder", reads=Site.MLP_IN_NORMALIZED, l0=80)
    first = convert(transcoder, tmp_path / "x-transcoders", "gemma-scope-1", progress=False)
    assert (first / "layer_2/width_7/average_l0_80/params.npz").is_file()
    second = convert(first, tmp_path / "two", "circuit-tracer", progress=False)
    assert "feature_input_hook: ln2.hook_normalized" in (second / "config.yaml").read_text()
    assert open_transcoder(second).skip(1) is None
