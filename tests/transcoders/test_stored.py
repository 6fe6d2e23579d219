"""What a dictionary computes, against its definition written out."""

import pytest
import torch
from dictionaries import dictionaries, random_dictionary
from hypothesis import given, settings

from gemma_circuits.data.errors import ArgumentError, NotFiniteError, WeightsDtypeError, WeightsShapeError
from gemma_circuits.transcoders import StoredTranscoder, stored
from gemma_circuits.transcoders.activations import JumpReLU, ReLU, TopK

X = torch.randn(9, 5, generator=torch.Generator().manual_seed(1))


def dense(transcoder, layer, x):
    tensors = transcoder.tensors(layer)
    pre = x @ tensors.w_enc.float() + tensors.b_enc.float()
    floor = 0 if tensors.threshold is None else tensors.threshold.float()
    return pre, pre.clamp(min=0) * (pre > floor)


@given(dictionaries(kinds=("clt", "transcoder", "sae", "crosscoder")))
@settings(max_examples=40, deadline=None)
def test_encoding_is_the_definition_and_what_fires_comes_in_order(transcoder):
    x = torch.randn(4, transcoder.d_in, generator=torch.Generator().manual_seed(2))
    for layer in transcoder.layers:
        pre, activations = dense(transcoder, layer, x)
        torch.testing.assert_close(transcoder.pre_activations(layer, x), pre)
        active = transcoder.encode(layer, x)
        positions, features = activations.nonzero(as_tuple=True)
        assert active.positions.equal(positions) and active.features.equal(features)
        torch.testing.assert_close(active.activations, activations[positions, features])
        torch.testing.assert_close(active.pre_activations, pre[positions, features])
        assert active.activations.dtype == torch.float32


@given(dictionaries(kinds=("clt", "transcoder", "crosscoder")))
@settings(max_examples=40, deadline=None)
def test_vectors_of_features_are_rows_of_the_stored_tensors_in_float32(transcoder):
    features = torch.arange(transcoder.n_features).flip(0)
    for layer in transcoder.layers:
        tensors = transcoder.tensors(layer)
        assert transcoder.decoder(layer, features).equal(tensors.w_dec.float().flip(0))
        assert transcoder.encoder(layer, features).equal(tensors.w_enc.float().T.flip(0))
        assert transcoder.encoder_bias(layer, features).equal(tensors.b_enc.float().flip(0))
        assert transcoder.decoder_bias(layer).equal(tensors.b_dec.float())
        skip = transcoder.skip(layer)
        assert (skip is None) == (tensors.skip is None)
        assert skip is None or skip.equal(tensors.skip.float())


def test_a_clt_writes_its_own_layer_and_later_ones_a_crosscoder_all_a_transcoder_one():
    assert random_dictionary("clt").written(1) == (1, 2)
    assert random_dictionary("clt").written(2) == (2,)
    assert random_dictionary("crosscoder", layers=(5, 9, 12)).written(9) == (5, 9, 12)
    assert random_dictionary("transcoder", layers=(5, 9)).written(9) == (9,)
    assert random_dictionary("clt").decoder(2, torch.tensor([0])).shape == (1, 1, 5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_encoding_in_blocks_changes_nothing(monkeypatch, dtype):
    transcoder = random_dictionary(features=11, dtype=dtype)
    whole = transcoder.encode(1, X)
    monkeypatch.setattr(stored, "BLOCK", 3)
    monkeypatch.setattr(stored, "LARGEST_PRE", 25)
    for one, other in zip(whole, transcoder.encode(1, X)):
        torch.testing.assert_close(one, other)


def test_half_precision_weights_lose_nothing_more():
    transcoder = random_dictionary(dtype=torch.bfloat16, features=64)
    exact = X.double() @ transcoder.tensors(0).w_enc.double() + transcoder.tensors(0).b_enc.double()
    assert (transcoder.pre_activations(0, X) - exact).abs().max() < 1e-5


def test_held_encoders_compute_the_same():
    transcoder, features = random_dictionary(dtype=torch.bfloat16), torch.tensor([3, 0])
    before = transcoder.encode(0, X), transcoder.encoder(0, features)
    transcoder.hold_encoders("cpu")
    assert all(a.equal(b) for a, b in zip(before[0], transcoder.encode(0, X)))
    assert before[1].equal(transcoder.encoder(0, features))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_accelerator_computes_the_same(dtype, held):
    transcoder, features = random_dictionary(dtype=dtype, skip=True), torch.tensor([3, 0])
    here = transcoder.encode(0, X), transcoder.encoder(0, features), transcoder.decoder(0, features)
    if held:
        transcoder.hold_encoders("cuda")
    active, there = transcoder.encode(0, X.cuda()), features.cuda()
    assert all(part.is_cuda for part in active)
    for one, other in zip(here[0], active):
        torch.testing.assert_close(one, other.cpu())
    for one, other in zip(here[1:], (transcoder.encoder(0, there), transcoder.decoder(0, there))):
        assert other.is_cuda and one.equal(other.cpu())
    assert transcoder.encoder_bias(0, there).is_cuda


def test_activation_functions():
    pre = torch.tensor([[-1.0, 0.5, 2.0, 3.0]])
    assert ReLU()(pre).tolist() == [[0, 0.5, 2, 3]]
    assert JumpReLU(torch.tensor([-2.0, 1.0, 1.0, 3.0]))(pre).tolist() == [[0, 0, 2, 0]]
    assert TopK(2)(pre).tolist() == [[0, 0, 2, 3]]
    assert TopK(9)(pre).tolist() == [[0, 0.5, 2, 3]]
    assert (random_dictionary(jump=False, top_k=2).activate(0, torch.rand(3, 7)) > 0).sum(-1).tolist() == [2, 2, 2]


def test_no_positions_and_no_features():
    transcoder = random_dictionary()
    active = transcoder.encode(0, X[:0])
    assert [tuple(part.shape) for part in active] == [(0,)] * 4 and active.positions.dtype == torch.int64
    assert transcoder.decoder(0, active.features).shape == (0, 3, 5)
    assert transcoder.encoder(0, active.features).shape == (0, 5)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("w_enc", lambda t: t.encode(1, X)),
        ("w_enc", lambda t: t.encoder(1, torch.tensor([0]))),
        ("b_enc", lambda t: t.encode(1, X)),
        ("threshold", lambda t: t.encode(1, X)),
        ("w_dec", lambda t: t.decoder(1, torch.tensor([0]))),
        ("b_dec", lambda t: t.decoder_bias(1)),
        ("skip", lambda t: t.skip(1)),
    ],
)
def test_a_weight_that_is_no_number_is_named_when_it_is_used(name, use, value):
    transcoder = random_dictionary(skip=True, source="some/release")
    getattr(transcoder.tensors(1), name).view(-1)[0] = value
    with pytest.raises(NotFiniteError, match=rf"some/release, layer 1: {name}: .*download it again"):
        use(transcoder)
    transcoder.encode(0, X)


def test_an_input_that_is_no_number_is_not_blamed_on_the_weights():
    with pytest.raises(NotFiniteError, match="what the encoder reads"):
        random_dictionary().encode(0, X * float("nan"))


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("w_dec", (7, 3, 5)),
        ("b_enc", (6,)),
        ("b_dec", (5, 1)),
        ("threshold", (1,)),
        ("skip", (5, 4)),
        ("w_enc", (7, 5)),
    ],
)
def test_tensors_that_do_not_fit_are_refused(name, shape):
    layers = {i: vars(random_dictionary(skip=True).tensors(i)) for i in range(3)}
    with pytest.raises(WeightsShapeError, match=rf"memory, layer 1: {name}: expected shape .*got \("):
        StoredTranscoder.from_tensors(
            "clt", {**layers, 1: {**layers[1], name: torch.zeros(shape)}}, reads="mlp_in", writes="mlp_out"
        )


def test_integers_no_layers_and_foreign_layers_are_refused():
    layer = {**vars(random_dictionary("sae", layers=(0,)).tensors(0)), "b_enc": torch.zeros(7, dtype=torch.int8)}
    with pytest.raises(WeightsDtypeError, match=r"b_enc: expected float32.*got int8"):
        StoredTranscoder.from_tensors("sae", {0: layer}, reads="resid_post", writes="resid_post")
    with pytest.raises(ArgumentError, match="at least one layer"):
        StoredTranscoder("sae", {}, reads="resid_post", writes="resid_post")
    with pytest.raises(ArgumentError, match="expected one of 0, 1, 2, got 3"):
        random_dictionary().encode(3, X)


def test_fingerprints_tell_dictionaries_apart():
    one, same, other = (random_dictionary(seed=seed).fingerprint() for seed in (0, 0, 1))
    assert one == same != other
    assert one != random_dictionary(reads="resid_mid").fingerprint()


def test_it_says_what_it_is():
    transcoder = random_dictionary(skip=True, model_name="google/gemma-3-270m-pt", source="org/repo/clt")
    assert repr(transcoder) == (
        "CLT of 3 layers x 7 features (JumpReLU, affine skip), d 5, reads mlp_in, writes mlp_out; "
        "gemma-3-270m-pt; org/repo/clt"
    )
    assert "SAE of 1 layer x 7 features (TopK 2), d 5" in repr(
        random_dictionary("sae", layers=(4,), top_k=2, reads="resid_post", writes="resid_post")
    )
