"""What a graph says about where it came from."""

import shutil

import pytest
import torch
from random_models import FEATURES, PROMPT, random_folder, random_transcoder, with_transcoder
from safetensors.torch import load_file, save_file

from gemma_circuits import attribute, load


def metadata(model, **settings):
    return attribute(model, PROMPT, progress=False, **settings).metadata


def test_settings_and_sizes(model):
    found = metadata(model, position=5, max_features=30, max_logits=3, logit_mass=0.5)
    active = len(attribute(model, PROMPT[:6], max_features=None, progress=False).nodes.where(kind="feature"))
    assert found | {"model_hash": "", "transcoder_hash": ""} == {
        "model": "gemma3_text",
        "model_hash": "",
        "dtype": "float32",
        "transcoder": "memory",
        "transcoder_hash": "",
        "transcoder_kind": "clt",
        "features_per_layer": FEATURES,
        "position": 5,
        "active_features": active,
        "max_features": 30,
        "max_logits": 3,
        "logit_mass": 0.5,
        "keep": 1.0,
        "precision": "float32",
    }


@pytest.mark.parametrize("architecture", ["gemma3", "qwen3"])
def test_one_changed_weight_changes_the_models_hash(tmp_path, architecture):
    folder = random_folder(tmp_path / "one", architecture)
    copied, changed = (shutil.copytree(folder, tmp_path / name) for name in ("copied", "changed"))
    tensors = load_file(changed / "model.safetensors")
    name = next(name for name in tensors if "layers.2.mlp.up_proj" in name)
    tensors[name][3, 4] += 1e-3
    save_file(tensors, changed / "model.safetensors", metadata={"format": "pt"})
    hashes = [metadata(load(path, random_transcoder()))["model_hash"] for path in (folder, copied, changed)]
    assert len(hashes[0]) == 64
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize("name", ["w_enc", "w_dec", "b_enc", "b_dec", "threshold", "skip"])
def test_one_changed_weight_changes_the_dictionarys_hash(model, name):
    same, other = random_transcoder("clt affine"), random_transcoder("clt affine")
    getattr(other.tensors(2), name).view(-1)[-1:].add_(1e-3)
    hashes = [metadata(with_transcoder(model, one))["transcoder_hash"] for one in (same, model.transcoder, other)]
    assert len(hashes[0]) == 64
    assert hashes[0] == hashes[1] != hashes[2]


def test_prompt_and_tokens(model):
    graph = attribute(model, "Hello Austin w40", progress=False)
    assert (graph.prompt, graph.tokens) == ("Hello Austin w40", ("<bos>", "Hello", " Austin", " w40"))
    again = attribute(model, graph.token_ids, progress=False)
    assert torch.equal(again.edges, graph.edges)
    assert again.prompt == "<bos>Hello Austin w40"
