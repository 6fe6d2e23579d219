"""Where Neuronpedia shows a dictionary; cases are lines of SAELens 6.54's list."""

import pytest

from gemma_circuits.transcoders.neuronpedia import neuronpedia_source

SCOPE = "google/gemma-scope-2-"


@pytest.mark.parametrize(
    "dictionary, layer, wanted",
    [
        ("4b-it/transcoder_all/width_262k_l0_small_affine", 9, ("gemma-3-4b-it", "9-gemmascope-2-transcoder-262k")),
        (
            "4b-it/transcoder_all/layer_9_width_16k_l0_small_affine",
            9,
            ("gemma-3-4b-it", "9-gemmascope-2-transcoder-16k"),
        ),
        ("4b-it/transcoder_all/width_16k_l0_small_affine", 12, ("gemma-3-4b-it", "12-gemmascope-2-transcoder-16k")),
        ("27b-it/transcoder_all/width_262k_l0_small_affine", 61, ("gemma-3-27b-it", "61-gemmascope-2-transcoder-262k")),
        ("4b-pt/resid_post/layer_17_width_16k_l0_medium", 17, ("gemma-3-4b", "17-gemmascope-2-res-16k")),
        ("1b-it/resid_post/layer_7_width_65k_l0_medium", 7, ("gemma-3-1b-it", "7-gemmascope-2-res-65k")),
        ("4b-it/transcoder_all/width_16k_l0_small_affine", 5, None),
        ("4b-it/transcoder_all/width_16k_l0_small", 12, None),
        ("4b-it/transcoder_all/width_16k_l0_big_affine", 12, None),
        ("1b-it/transcoder_all/width_16k_l0_small_affine", 5, None),
        ("1b-it/resid_post/layer_7_width_1m_l0_medium", 7, None),
        ("1b-it/clt/width_262k_l0_medium_affine", 5, None),
    ],
)
def test_ids(dictionary, layer, wanted):
    assert neuronpedia_source(SCOPE + dictionary, layer) == wanted


def test_a_local_folder_has_none():
    assert neuronpedia_source("my/clt", 0) is None
