"""A model and a transcoder that do not belong together."""

import warnings

import pytest
import torch
from random_models import LAYERS, PROMPT, WIDTH, random_folder, random_transcoder, with_transcoder

from gemma_circuits import attribute, errors, load
from gemma_circuits.models import MismatchWarning, loading
from gemma_circuits.transcoders.protocol import Site
from gemma_circuits.transcoders.stored import StoredTranscoder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return random_folder(tmp_path_factory.mktemp("google") / "gemma-3-270m", "gemma3_text")


@pytest.mark.parametrize(
    ("dictionary", "message"),
    [
        (
            lambda: random_transcoder(width=WIDTH * 2),
            "expected input width 32, got 64; is it a release for another size",
        ),
        (lambda: random_transcoder(layers=LAYERS + 1), "expected 3 layers, got 4, up to layer 3"),
        (lambda: random_transcoder(layers=LAYERS - 1), "expected 3 layers, got 2, up to layer 1"),
        (lambda: random_transcoder("transcoder", layers=LAYERS + 1), "expected 3 layers, got 4, up to layer 3"),
    ],
)
def test_shapes_that_do_not_fit_are_refused_before_weights_are_read(folder, monkeypatch, dictionary, message):
    monkeypatch.setattr(loading, "open_checkpoint", lambda *_: pytest.fail("weights were read"))
    with pytest.raises(errors.MismatchError, match=f"transcoder memory on gemma-3-270m: {message}"):
        load(folder, dictionary())


@pytest.mark.parametrize("recorded", ["google/gemma-3-270m", "gemma-3-270m", "google/Gemma-3-270m", None])
def test_the_recorded_model_is_accepted(folder, recorded):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(folder, random_transcoder(model_name=recorded))


def test_another_recorded_model_only_warns(folder):
    with pytest.warns(
        MismatchWarning, match="trained on google/gemma-3-270m-pt, and is used here on gemma-3-270m"
    ) as got:
        model = load(folder, random_transcoder(model_name="google/gemma-3-270m-pt"))
    assert got[0].filename == __file__
    assert attribute(model, PROMPT, progress=False).check() < 1e-5


def sae(writes=Site.RESID_POST):
    layer = {
        "w_enc": torch.eye(WIDTH), "w_dec": torch.eye(WIDTH)[:, None],
        "b_enc": torch.zeros(WIDTH), "b_dec": torch.zeros(WIDTH),
    }  # fmt: skip
    return StoredTranscoder.from_tensors("sae", dict.fromkeys(range(LAYERS), layer), reads=writes, writes=writes)


@pytest.mark.parametrize(
    ("dictionary", "got"),
    [
        (sae, "got a sae of 3 layers writing resid_post"),
        (lambda: sae(Site.MLP_OUT), "got a sae of 3 layers writing mlp_out"),
        (lambda: random_transcoder("transcoder", layers=LAYERS - 1), "got a transcoder of 2 layers"),
    ],
)
def test_attribution_needs_a_stand_in_for_every_mlp(model, dictionary, got):
    with pytest.raises(errors.MismatchError, match=f"{got}.*; attribution needs a stand-in for every MLP"):
        attribute(with_transcoder(model, dictionary()), PROMPT, progress=False)
