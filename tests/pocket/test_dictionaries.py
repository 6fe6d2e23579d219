"""The shipped dictionaries: Gemma Scope 2's files, and as faithful and sparse as the card says."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from gemma_circuits import pocket
from gemma_circuits.pocket import card, teach
from gemma_circuits.pocket.measure import collect, fidelity

HOOKS = "model.layers.{}.{}_feedforward_layernorm.output"


def test_clt_files(model):
    n_layers, d = model.config.num_hidden_layers, model.config.hidden_size
    config = json.loads((pocket.CLT / "config.json").read_text())
    assert config["hf_hook_point_in"] == HOOKS.format("{all}", "pre")
    assert config["hf_hook_point_out"] == HOOKS.format("{all}", "post")
    assert (config["type"], config["architecture"], config["affine_connection"]) == ("clt", "jump_relu", False)
    total = 0
    for layer in range(n_layers):
        tensors = load_file(pocket.CLT / f"params_layer_{layer}.safetensors")
        width = tensors["threshold"].numel()
        total += width
        shapes = {k: tuple(v.shape) for k, v in tensors.items()}
        assert shapes == {
            "w_enc": (d, width), "w_dec": (width, n_layers, d), "b_enc": (width,), "b_dec": (d,),
            "threshold": (width,),
        }  # fmt: skip
        assert not tensors["w_dec"][:, :layer].any()
        assert (tensors["threshold"] >= 0).all()
    assert config["width"] == total


@pytest.mark.parametrize(("pattern", "affine"), [(pocket.TRANSCODER, False), (pocket.SKIP_TRANSCODER, True)])
def test_single_files(model, pattern: Path, affine: bool):
    d = model.config.hidden_size
    for layer in range(model.config.num_hidden_layers):
        folder = Path(str(pattern).format(L=layer))
        config = json.loads((folder / "config.json").read_text())
        assert config["hf_hook_point_in"] == HOOKS.format(layer, "pre")
        assert config["hf_hook_point_out"] == HOOKS.format(layer, "post")
        assert (config["type"], config["affine_connection"], config["width"]) == ("transcoder", affine, 512)
        tensors = load_file(folder / "params.safetensors")
        assert tensors["w_dec"].shape == (512, d) and tensors["w_enc"].shape == (d, 512)
        assert ("affine_skip_connection" in tensors) == affine


@pytest.fixture(scope="module")
def read_and_written(model, tok, held_out):
    return collect(model, [ids for ids, _ in held_out], tok.pad_token_id, tok.convert_tokens_to_ids("<start_of_turn>"))


def test_clt_is_faithful_and_sparse(clt, read_and_written):
    unexplained, l0, _ = fidelity(clt, *read_and_written)
    assert sum(unexplained) / len(unexplained) <= 0.05
    assert max(l0) <= 15


def test_clt_stands_in_for_the_model(model, tok, clt, held_out):
    turn = tok.convert_tokens_to_ids("<start_of_turn>")
    assert card.agreement(model, clt, held_out, tok.pad_token_id, turn) >= 0.95


def test_singles_are_there_to_compare(singles, read_and_written):
    for dictionary in singles.values():
        unexplained, l0, _ = fidelity(dictionary, *read_and_written)
        assert sum(unexplained) / len(unexplained) <= 0.05
        assert max(l0) <= 20  # a layer of its own has to write what the CLT's earlier layers write too


def test_decoding_is_the_formula(clt):
    """y_m = b_dec[m] + sum over l <= m of a_l @ W_dec[l -> m], spelled out."""
    x = torch.randn(6, 4, clt.w_enc.shape[1]) * 3
    activations = []
    for layer in range(6):
        pre = torch.einsum("nd,df->nf", x[layer], clt.w_enc[layer]) + clt.b_enc[layer]
        activations.append(torch.where(pre > clt.threshold[layer], pre, 0.0).clamp_min(0))
        torch.testing.assert_close(clt.encode(x[layer], layer), activations[-1])
        y = clt.b_dec[layer] + sum(activations[k] @ clt.w_dec[k, :, layer] for k in range(layer + 1))
        torch.testing.assert_close(clt.decode(activations, x[layer], layer), y)


def test_labels_cover_answers_only(tok, held_out):
    ids, labels = held_out[0]
    assert ((labels == teach.NO_LABEL) | (labels == ids)).all()
