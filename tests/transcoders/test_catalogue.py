"""The released dictionaries of a model."""

import pytest

from gemma_circuits.data.errors import ArgumentError, UnsupportedModelError
from gemma_circuits.transcoders import catalogue, recommended
from gemma_circuits.transcoders.hub import parse_address


def test_the_recommended_dictionary_comes_first():
    for size, path in (
        ("270m", "clt/width_262k_l0_medium_affine"),
        ("1b", "clt/width_262k_l0_medium_affine"),
        ("4b", "transcoder_all/width_16k_l0_small_affine"),
        ("27b", "transcoder_all/width_16k_l0_small_affine"),
    ):
        for stage in ("pt", "it"):
            entries = catalogue(f"google/gemma-3-{size}-{stage}")
            assert (
                entries[0].id == recommended(f"gemma-3-{size}-{stage}") == f"google/gemma-scope-2-{size}-{stage}/{path}"
            )
            assert [entry.recommended for entry in entries] == [True] + [False] * (len(entries) - 1)
    assert recommended("google/gemma-2-2b") == "google/gemma-scope-2b-pt-transcoders/width_16k"
    assert recommended("gemma-2-9b") is None and recommended("gpt2") is None


def test_only_the_two_smallest_have_clts():
    assert len(catalogue("gemma-3-1b-it").where(kind="clt")) == 8
    assert catalogue("gemma-3-1b-it").where(kind="clt")[0].layers == tuple(range(26))
    assert not catalogue("gemma-3-4b-it").where(kind="clt")
    crosscoder = catalogue("gemma-3-27b-pt").where(kind="crosscoder", width="65k", l0="big")
    assert crosscoder[0].id == "google/gemma-scope-2-27b-pt/crosscoder/layer_16_31_40_53_width_65k_l0_big"


def test_entries_are_ids_that_open_understands():
    for model in ("gemma-3-12b-it", "gemma-2-2b", "gemma-2-9b-it", "gemma-2-27b"):
        entries = catalogue(model)
        assert len({entry.id for entry in entries}) == len(entries) > 0
        assert all(parse_address(entry.id).folder for entry in entries)


def test_it_filters_slices_and_refuses_misspelt_fields():
    entries = catalogue("gemma-3-270m-pt")
    affine = entries.where(site="mlp_in", affine=True, kind="transcoder")
    assert affine and all(entry.id.endswith("_affine") for entry in affine)
    assert list(entries[:2]) == [entries[0], entries[1]] and len(entries[:2]) == 2
    with pytest.raises(ArgumentError, match=r"expected fields among id, kind.*got sites"):
        entries.where(sites="mlp_in")


def test_it_is_shown_as_a_table():
    entries = catalogue("gemma-2-2b")
    text, page = repr(entries), entries._repr_html_()
    assert text.splitlines()[0] == "7 dictionaries of gemma-2-2b" and len(text.splitlines()) == 9
    assert "recommended" in text.splitlines()[2]
    assert page.count("<tr>") == 8 and entries[0].id in page
    assert "30 shown; filter with .where(...)" in repr(catalogue("gemma-3-1b-it"))


def test_an_unknown_model_is_refused_with_close_names():
    with pytest.raises(UnsupportedModelError, match=r"did you mean gemma-3-1b-(pt|it) or gemma-3-1b-(pt|it)\?"):
        catalogue("google/gemma-3-1b")
    with pytest.raises(UnsupportedModelError, match=r"expected one of gemma-3-270m-pt.*got 'gpt2'; open other"):
        catalogue("gpt2")
