"""`load` opens what Hugging Face saves, with the very weights that were saved."""

import gc
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from random_models import (
    ARCHITECTURES,
    LAYERS,
    PROMPT,
    VOCABULARY,
    WIDTH,
    random_folder,
    random_network,
    random_transcoder,
)

from gemma_circuits import attribute, errors, load
from gemma_circuits.models import ReplacementModel, loading
from gemma_circuits.pocket import CLT

NAMES = {"gemma2": "Gemma 2", "gemma3_text": "Gemma 3 text", "gemma3": "Gemma 3", "llama": "Llama", "qwen3": "Qwen 3"}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_computes_what_the_saved_model_computes(random_model, architecture):
    model, saved = random_model(architecture), random_network(architecture)
    expected = saved(torch.tensor([PROMPT])).logits[0, -1]
    assert expected.std() > 0.1
    torch.testing.assert_close(model.capture(PROMPT).logits, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_describes_itself(random_model, architecture):
    model = random_model(architecture)
    assert (model.n_layers, model.d_model, model.vocabulary, model.context) == (LAYERS, WIDTH, VOCABULARY, 64)
    assert (model.dtype, model.device, model.name) == (torch.float32, torch.device("cpu"), architecture)
    first, second = repr(model).splitlines()
    assert first == f"ReplacementModel({architecture}: {NAMES[architecture]}, 3 layers, d 32, float32 on cpu)"
    assert (
        second == "  CLT of 3 layers x 24 features (JumpReLU, affine skip), d 32, reads mlp_in, writes mlp_out; memory"
    )
    assert not any(parameter.requires_grad for parameter in model.module.parameters())
    assert not model.module.training


def test_the_text_tower_of_a_conditional_model_is_found(random_model):
    model = random_model("gemma3")
    assert type(model.module).__name__ == "Gemma3ForConditionalGeneration"
    values = model.module.model.language_model.layers[2].self_attn.v_proj.weight
    assert model.layer(2).value is values
    torch.testing.assert_close(model.unembedding, model.module.model.language_model.embed_tokens.weight)


@pytest.mark.parametrize("architecture", ["gemma3", "llama"])
def test_weights_in_several_files(tmp_path, architecture):
    network = random_network(architecture)
    folder = random_folder(tmp_path / "model", architecture)
    (folder / "model.safetensors").unlink()
    network.save_pretrained(folder, max_shard_size="20KB")
    assert len(list(folder.glob("*.safetensors"))) > 2
    model = load(folder, random_transcoder())
    expected = network(torch.tensor([PROMPT])).logits[0, -1]
    torch.testing.assert_close(model.capture(PROMPT).logits, expected, rtol=1e-5, atol=1e-5)
    assert model.fingerprint


@pytest.mark.parametrize(
    ("asked", "got"),
    [
        (None, torch.float32),  # on a CPU, whatever the checkpoint's
        ("float32", torch.float32),
        ("bfloat16", torch.bfloat16),
        (torch.bfloat16, torch.bfloat16),
        ("float16", torch.float16),
    ],
)
def test_dtype(tmp_path, asked, got):
    random_network("gemma3_text").to(torch.bfloat16).save_pretrained(tmp_path)
    random_folder(tmp_path / "for_its_tokenizer", "gemma3_text")
    for file in (tmp_path / "for_its_tokenizer").glob("token*"):
        file.rename(tmp_path / file.name)
    assert load(tmp_path, random_transcoder(), dtype=asked, device="cpu").dtype == got


@pytest.mark.parametrize("architecture", ["gemma2", "gemma3", "llama"])
def test_bfloat16_graphs_are_float32_and_near(tmp_path, architecture):
    folder = random_folder(tmp_path / "model", architecture)
    dictionary = random_transcoder("clt affine")
    graph = attribute(load(folder, dictionary, dtype="bfloat16"), PROMPT, max_features=None, progress=False)
    for values in (graph.edges, graph.target_bias, graph.target_pre_activations, graph.adjacency):
        assert values.dtype == torch.float32
    assert 1e-5 < graph.check() < 2e-2
    assert graph.metadata["dtype"] == "bfloat16"
    assert graph.wiring.n_features > 100


@pytest.mark.parametrize("path", [str, lambda folder: folder], ids=["str", "Path"])
def test_folders_by_either_name(tmp_path, path):
    folder = random_folder(tmp_path / "mine", "llama")
    assert load(path(folder), random_transcoder(), device="auto").name == "mine"


@pytest.mark.parametrize("collecting", [True, False])
def test_garbage_is_collected_as_before(tmp_path, monkeypatch, collecting):
    before, meanwhile, opening = gc.isenabled(), [], loading.open_config
    monkeypatch.setattr(loading, "open_config", lambda where: meanwhile.append(gc.isenabled()) or opening(where))
    try:
        (gc.enable if collecting else gc.disable)()
        load(random_folder(tmp_path / "model", "gemma3_text"), random_transcoder())
        assert gc.isenabled() == collecting
        with pytest.raises(errors.MissingWeightsError):
            load(tmp_path / "nothing", random_transcoder())
        assert gc.isenabled() == collecting
        assert meanwhile == [False, False]
    finally:
        (gc.enable if before else gc.disable)()


def counted(opened, failures=()):
    """`load().opened_by_use` with what it was asked to open in `opened`."""
    network, failing = load(device="cpu"), list(failures)
    parts = network.module, network.tokenizer

    def opening():
        opened.append(failing[:1])
        time.sleep(0.05)  # long enough for others to ask meanwhile
        if failing:
            raise failing.pop(0)
        return parts

    return ReplacementModel.opened_by_use(opening, network.transcoder, name="counted", files=())


def test_a_network_is_opened_by_its_first_use_once():
    model = counted(opened := [])
    assert model.name == "counted" and model.transcoder.n_features and not opened
    with ThreadPoolExecutor(4) as pool:
        modules = list(pool.map(lambda _: model.module, range(4)))
    assert len(opened) == 1 and all(module is modules[0] for module in modules)
    assert model.n_layers == 6 and "Gemma 3" in repr(model)
    assert attribute(model, "The capital of the state containing Dallas is", progress=False).check() < 1e-4
    assert len(opened) == 1


def test_an_interrupted_opening_begins_anew():
    model = counted(opened := [], [KeyboardInterrupt()])
    with pytest.raises(KeyboardInterrupt):
        _ = model.tokenizer
    assert model.tokenizer is not None and len(opened) == 2


def test_pocket_model_by_use_is_the_one_opened_at_once():
    by_use, at_once = load(device="cpu"), load(transcoder=CLT, device="cpu")
    assert by_use.fingerprint == at_once.fingerprint and by_use.metadata == at_once.metadata
    assert all(torch.equal(a, b) for a, b in zip(by_use.module.parameters(), at_once.module.parameters()))
