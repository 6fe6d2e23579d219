"""Every way in which a checkpoint can be broken has its own error, which names the place and the remedy."""

import json
import shutil

import pytest
import torch
from random_models import PROMPT, random_folder, random_transcoder
from safetensors.torch import load_file, save_file

from gemma_circuits import attribute, errors, load

VALUES = "model.layers.1.self_attn.v_proj.weight"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return random_folder(tmp_path_factory.mktemp("checkpoints") / "whole", "gemma3_text")


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "model")


def rewrite(folder, **tensors):
    """Replace tensors of the weight file; None leaves one out."""
    file = folder / "model.safetensors"
    changed = {**load_file(file), **tensors}
    save_file({k: v for k, v in changed.items() if v is not None}, file, metadata={"format": "pt"})


def configure(folder, **settings):
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))


def refuse(folder, kind, *words):
    with pytest.raises(kind) as caught:
        load(folder, random_transcoder())
    assert type(caught.value) is kind
    for word in (folder.name, *words):
        assert word in str(caught.value)


def test_whole_ones_open(folder):
    assert load(folder, random_transcoder()).n_layers == 3


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_missing_file(folder, file):
    (folder / file).unlink()
    refuse(folder, errors.MissingWeightsError, "expected")


def test_missing_folder(tmp_path):
    refuse(tmp_path / "nowhere", errors.MissingWeightsError, "check the spelling")


def test_missing_hub_id():
    with pytest.raises(errors.MissingWeightsError, match=r"google/gemma-3-1b-it: .*check the spelling.*licence"):
        load("google/gemma-3-1b-it", random_transcoder())


def test_missing_tokenizer(folder):
    """Transformers would make one up that knows no words."""
    for file in folder.glob("tokenizer*"):
        file.unlink()
    refuse(folder, errors.MissingWeightsError, "tokenizer: expected tokenizer.json")


def test_damaged_tokenizer(folder):
    file = folder / "tokenizer.json"
    file.write_text(file.read_text()[:100])
    refuse(folder, errors.TruncatedWeightsError, "tokenizer: expected readable files", "download them again")


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_damaged_config(folder, text):
    (folder / "config.json").write_text(text)
    refuse(folder, errors.MissingWeightsError, "config.json")


@pytest.mark.parametrize("size", [0, 5, 1000, -1])
def test_truncated_weights(folder, size):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:size])
    refuse(folder, errors.TruncatedWeightsError, "model.safetensors", "whole safetensors file", "download it again")


def test_a_pointer_in_place_of_weights(folder):
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 12\n")
    refuse(folder, errors.TruncatedWeightsError, "model.safetensors")


def test_missing_shard(folder):
    index = {"metadata": {}, "weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    refuse(folder, errors.MissingWeightsError, "model-2.safetensors")


def test_pickles_are_not_opened(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    refuse(folder, errors.MissingWeightsError, "model.safetensors")


def test_missing_tensor(folder):
    rewrite(folder, **{VALUES: None})
    refuse(folder, errors.MissingWeightsError, f"expected tensor {VALUES}", "1 tensors missing")


def test_wrong_shape(folder):
    rewrite(folder, **{VALUES: torch.zeros(5, 32)})
    refuse(folder, errors.WeightsShapeError, f"tensor {VALUES}: expected shape (24, 32)", "got (5, 32)")


@pytest.mark.parametrize(("dtype", "name"), [(torch.int8, "I8"), (torch.float8_e4m3fn, "F8_E4M3")])
def test_wrong_dtype(whole, folder, dtype, name):
    rewrite(folder, **{VALUES: load_file(whole / "model.safetensors")[VALUES].to(dtype)})
    with pytest.raises(errors.WeightsDtypeError, match=f"tensor {VALUES}: .* got {name}; quantised checkpoints"):
        load(folder, random_transcoder())


@pytest.mark.parametrize("model_type", ["gpt2", "no_such_model"])
def test_architecture_without_a_record(folder, model_type):
    configure(folder, model_type=model_type)
    with pytest.raises(errors.UnsupportedModelError, match=model_type):
        load(folder, random_transcoder())


def test_attention_biases_have_no_node(folder):
    configure(folder, attention_bias=True)
    with pytest.raises(errors.UnsupportedModelError, match="expected attention_bias = false"):
        load(folder, random_transcoder())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    ("tensor", "place"),
    [
        (VALUES, "model, layer 1"),
        ("model.embed_tokens.weight", "model, layer 0"),
        ("model.layers.2.post_feedforward_layernorm.weight", "model, the final layer"),
        ("model.norm.weight", "model, the final layer"),
    ],
)
def test_weights_that_are_no_numbers(whole, folder, tensor, place, value):
    weights = load_file(whole / "model.safetensors")[tensor]
    rewrite(folder, **{tensor: torch.full_like(weights, value)})
    with pytest.raises(errors.NotFiniteError, match=f"{place}: expected finite values, got NaN or infinity; check"):
        attribute(load(folder, random_transcoder()), PROMPT, progress=False)


@pytest.mark.parametrize("device", ["qpu", "", "meta", 1.5, "cuda:99"])
def test_bad_device(whole, device):
    with pytest.raises(errors.ArgumentError, match=r"device: expected .*, got"):
        load(whole, random_transcoder(), device=device)


@pytest.mark.parametrize("dtype", ["float8", "torch.float32", torch.int8, torch.float64, 5, ""])
def test_bad_dtype(whole, dtype):
    with pytest.raises(errors.ArgumentError, match="dtype: expected one of float32, bfloat16, float16, got"):
        load(whole, random_transcoder(), dtype=dtype)


def test_unknown_keyword(whole):
    with pytest.raises(TypeError, match="devise"):
        load(whole, random_transcoder(), devise="cpu")
