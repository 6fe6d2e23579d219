"""Features in and out of circuit-tracer's and Neuronpedia's layouts."""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gemma_circuits as gmc
from gemma_circuits.data.errors import ArgumentError, FeatureError, FeatureFileError, StorageError, StoreMismatchError
from gemma_circuits.data.neuronpedia import pair
from gemma_circuits.features import exchange
from gemma_circuits.features.dashboards import Dashboard, Explanation, Passage, PassageGroup
from gemma_circuits.features.feature_folders import FeatureFolder, write_folder
from gemma_circuits.features.neuronpedia_batches import read_batches, write_batches
from gemma_circuits.features.records import Histogram


@pytest.fixture(scope="module")
def store(model, tmp_path_factory):
    texts = [f" w{20 + i} w{30 + 2 * i} w{90 - i} w{40 + i}" for i in range(30)]
    folder = tmp_path_factory.mktemp("exchange") / "store"
    made = gmc.features.collect(model, texts, folder, context=8, window=6, examples=4, samples=6, progress=False)
    made.set_label(*made.keys()[0], "colours", author="ann", source="hand")
    return made


@pytest.fixture
def empty(model, tmp_path):
    return gmc.features.open(tmp_path / "empty", model=model, create=True)


def sample(layer: int = 3, feature: int = 120, **parts: Any) -> Dashboard:
    top = PassageGroup(
        "Top activations", (Passage(("The", " red"), (0.0, 4.0), 1), Passage((" blue",), (3.0,), 0, True))
    )
    chosen = {
        "transcoder": "clt",
        "groups": (top, PassageGroup("Activations 1 to 2", (Passage(("\ud83d", "a"), (2.0, 1.0), 1),))),
        "top_logits": (" red", " blue"),
        "bottom_logits": (" the",),
        "act_min": 0.0,
        "act_max": 4.0,
        "quantile_values": tuple(4.0 * i / 100 for i in range(1, 101)),
        "histogram": (5.0, 2.0, 0.0, 1.0),
        "frequency": 0.0625,
    }
    return Dashboard(layer=layer, feature=feature, **chosen | parts)


def test_a_dashboard_says_what_the_store_knows(store):
    for feature in list(store)[:20]:
        shown = Dashboard.of(feature, transcoder="mine")
        assert [(p.tokens, p.activations, p.peak) for p in shown.groups[0].passages] == [
            (e.tokens, e.activations, e.peak) for e in feature.examples
        ]
        parts = [group.passages[0].activations[group.passages[0].peak] for group in shown.groups[1:]]
        assert parts == [q.highest for q in reversed(feature.quantiles)]
        assert sum(shown.histogram) == pytest.approx(feature.count)
        assert (shown.act_max, shown.frequency, shown.transcoder) == (feature.max, feature.frequency, "mine")
        assert list(shown.quantile_values) == sorted(shown.quantile_values)
        assert (len(shown.quantile_values), shown.quantile_values[-1]) == (100, feature.max)
        assert shown.quantile_values[49] == min(feature.histogram.quantile(0.5), feature.max)
    first = store[store.keys()[0]]
    assert Dashboard.of(first).explanations == (Explanation("colours", "ann", "hand"),)


@pytest.mark.parametrize(
    ("edges", "counts", "largest", "low", "parts"),
    [
        ((0.0, 2.0), (100,), 2.0, 0.0, {0: 2.0, 25: 2.0, 49: 2.0}),  # an even spread stays even
        ((1.0, 2.0, 4.0), (50, 100), 3.0, 1.0, {0: 2.0, 24: 2.0, 25: 4.0, 49: 4.0}),  # the last bin ends at the largest
        ((1.0, 2.0), (3,), 0.5, 0.0, {0: 0.06, 49: 0.06}),  # the lowest bin has what lies below it
        ((1.0, 2.0), (7,), 9.0, 1.0, {0: 7 * 0.16, 20: 0.0}),  # and the highest what lies above
    ],
)
def test_histograms_are_spread_over_equal_bins(store, edges, counts, largest, low, parts):
    feature = replace(store[store.keys()[0]], histogram=Histogram(edges, counts), max=largest)
    shown = Dashboard.of(feature)
    assert shown.act_min == low
    assert len(shown.histogram) == 50
    assert sum(shown.histogram) == pytest.approx(sum(counts))
    assert {i: shown.histogram[i] for i in parts} == pytest.approx(parts)


def test_a_feature_that_never_fired_is_shown_as_such(empty):
    shown = Dashboard.of(empty[0, 0])
    assert (shown.groups, shown.histogram, shown.quantile_values, shown.act_max) == ((), (), (), 0.0)


def viewers(folder: Path, layer: int, feature: int) -> Any:
    """Read as circuit-tracer's viewer does: its HTTP range includes the byte at its end."""
    entry = json.loads(gzip.decompress((folder / "index.json.gz").read_bytes()))[str(layer)]
    start, end = entry["offsets"][feature : feature + 2]
    chunk = (folder / entry["filename"]).read_bytes()[start : end + 1]
    return json.loads(zlib.decompress(chunk[4 : 4 + int.from_bytes(chunk[:4], "little")], 47))


FIELDS = {
    "transcoder_id": str,
    "index": int,
    "examples_quantiles": list,
    "top_logits": list,
    "bottom_logits": list,
    "act_min": float,
    "act_max": float,
    "quantile_values": list,
    "histogram": list,
    "activation_frequency": float,
}


def test_circuit_tracers_viewer_finds_features(tmp_path):
    shown = [sample(0, 2), sample(0, 5, frequency=0.5), sample(3, 0, explanations=(Explanation("red", "ann"),))]
    folder = write_folder(tmp_path / "features", shown)
    for dashboard in shown:
        value = viewers(folder, dashboard.layer, dashboard.feature)
        assert value == dashboard.to_json()
        assert {name: type(value[name]) for name in FIELDS} == FIELDS
        example = value["examples_quantiles"][0]["examples"][0]
        assert example == {
            "tokens": ["The", " red"],
            "tokens_acts_list": [0.0, 4.0],
            "train_token_ind": 1,
            "is_repeated_datapoint": False,
        }
    found = FeatureFolder(tmp_path)  # the folder above will do
    assert list(found.items()) == [((d.layer, d.feature), d) for d in shown]
    assert len(found) == 3
    for absent in ((0, 3), (0, 6), (0, -1), (1, 0), (9, 9), "x"):
        assert absent not in found
        with pytest.raises(FeatureError):
            found[absent]


def test_single_files_are_named_by_pairs(tmp_path):
    shown = [sample(0, 2), sample(2, 7)]
    folder = write_folder(tmp_path / "one", shown, packed=False)
    assert sorted(path.name for path in folder.iterdir()) == sorted([f"{pair(0, 2)}.json", f"{pair(2, 7)}.json"])
    assert dict(FeatureFolder(folder)) == {(d.layer, d.feature): d for d in shown}
    with pytest.raises(FeatureError):
        FeatureFolder(folder)[0, 3]


def test_a_folder_of_others_is_read(tmp_path):
    """Layers in a list, zlib instead of gzip, fields missing or null, NaN."""
    value = {"examples_quantiles": [{"quantile_name": "Top", "examples": [{"tokens": ["a"], "tokens_acts_list": [1]}]}]}
    content = zlib.compress(json.dumps(value | {"act_min": float("nan"), "top_logits": None}).encode())
    (tmp_path / "l1.bin").write_bytes(b"junk" + len(content).to_bytes(4, "little") + content)
    index = [{}, {"filename": "l1.bin", "offsets": [4, 4, 8 + len(content)]}]
    (tmp_path / "index.json.gz").write_bytes(gzip.compress(json.dumps(index).encode()))
    shown = Dashboard(layer=1, feature=1, groups=(PassageGroup("Top", (Passage(("a",), (1.0,), 0),)),))
    assert dict(FeatureFolder(tmp_path)) == {(1, 1): shown}


def test_only_its_own_bytes_are_read(tmp_path):
    """A damaged feature does not harm the others."""
    folder = write_folder(tmp_path / "features", [sample(0, i) for i in range(3)])
    offsets = json.loads(gzip.decompress((folder / "index.json.gz").read_bytes()))["0"]["offsets"]
    content = bytearray((folder / "layer_0.bin").read_bytes())
    content[offsets[1] + 20 : offsets[2]] = bytes(offsets[2] - offsets[1] - 20)
    (folder / "layer_0.bin").write_bytes(content)
    found = FeatureFolder(folder)
    assert (found[0, 0], found[0, 2]) == (sample(0, 0), sample(0, 2))
    with pytest.raises(FeatureFileError, match=r"layer_0\.bin, feature 0/1"):
        found[0, 1]


def index_of(folder: Path, value: Any) -> None:
    (folder / "index.json.gz").write_bytes(gzip.compress(json.dumps(value).encode()))


@pytest.mark.parametrize(
    "index",
    [
        3,
        {"0": {"filename": "../secret.bin", "offsets": [0, 9]}},
        {"0": {"filename": "/etc/passwd", "offsets": [0, 9]}},
        {"0": {"filename": "a.bin", "offsets": [9, 0]}},
        {"0": {"filename": "a.bin", "offsets": [-9, 0]}},
        {"0": {"filename": "a.bin", "offsets": "many"}},
        {"0": {"filename": "a.bin"}},
        {"zero": {"filename": "a.bin", "offsets": [0, 9]}},
    ],
)
def test_a_bad_index_is_refused(tmp_path, index):
    index_of(tmp_path, index)
    with pytest.raises(FeatureFileError, match=r"index\.json\.gz"):
        FeatureFolder(tmp_path)


@pytest.mark.parametrize(("name", "offsets"), [("none.bin", [0, 9]), ("a.bin", [0, 10**6]), ("a.bin", [0, 2])])
def test_what_the_index_promises_and_is_not_there_is_an_error(tmp_path, name, offsets):
    (tmp_path / "a.bin").write_bytes(b"\xff\xff\xff\x7f")
    index_of(tmp_path, {"0": {"filename": name, "offsets": offsets}})
    with pytest.raises(FeatureFileError):
        FeatureFolder(tmp_path)[0, 0]


NEURONPEDIA = {"transcoder": "set", "quantile_values": ()}
"""What its exports do not hold."""


def test_neuronpedias_batches_come_back(tmp_path):
    said = (Explanation("colours", "gpt", "auto"), Explanation("a colour", "ann", ""))
    shown = [
        sample(0, 2, top_values=(2.0, 1.5), bottom_values=(-1.0,), explanations=said, **NEURONPEDIA),
        sample(0, 1100, groups=(), **NEURONPEDIA),
        sample(3, 0, **NEURONPEDIA),
    ]
    for i, dashboard in enumerate(shown):  # intervals are named by the activations in them
        groups = [replace(g, passages=tuple(replace(p, repeated=False) for p in g.passages)) for g in dashboard.groups]
        if groups:
            groups[1] = replace(groups[1], name="Activations 1 to 1")
        shown[i] = replace(dashboard, groups=tuple(groups))
    folder = write_batches(tmp_path / "out", shown, model="gemma-3-1b-it", source_set="set")
    assert sorted(path.name for path in folder.iterdir()) == ["0-set", "3-set"]
    found = sorted(read_batches(folder), key=lambda d: (d.layer, d.feature))
    assert found == shown
    assert list(read_batches(folder / "3-set")) == shown[2:]
    rows = gzip.decompress((folder / "0-set" / "features" / "batch-0.jsonl.gz").read_bytes()).splitlines()
    assert json.loads(rows[0]) == {
        "modelId": "gemma-3-1b-it",
        "layer": "0-set",
        "index": "2",
        "sourceSetName": "set",
        "maxActApprox": 4.0,
        "frac_nonzero": 0.0625,
        "freq_hist_data_bar_heights": [5.0, 2.0, 0.0, 1.0],
        "freq_hist_data_bar_values": [0.5, 1.5, 2.5, 3.5],
        "pos_str": [" red", " blue"],
        "pos_values": [2.0, 1.5],
        "neg_str": [" the"],
        "neg_values": [-1.0],
    }


def test_batches_have_1024_features(tmp_path):
    folder = write_batches(tmp_path / "out", [sample(1, i, groups=()) for i in range(1030)], model="m", source_set="s")
    lines = [
        gzip.decompress((folder / "1-s" / "features" / f"batch-{i}.jsonl.gz").read_bytes()).count(b"\n") for i in (0, 1)
    ]
    assert lines == [1024, 6]
    assert [d.feature for d in read_batches(folder)] == list(range(1030))


def lines(file: Path, *rows: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"".join(gzip.compress(json.dumps(row).encode() + b"\n") for row in rows))


def test_an_export_of_neuronpedia_is_read(tmp_path):
    """Batches that do not run alike, nulls, labels without figures, examples from several intervals."""
    source = tmp_path / "20-gemmascope-res-16k"
    key = {"modelId": "gemma-2-2b", "layer": "20-gemmascope-res-16k"}
    figures = {
        "sourceSetName": "gemmascope-res-16k",
        "maxActApprox": 30.5,
        "frac_nonzero": 0.001,
        "freq_hist_data_bar_heights": [4, 1],
        "freq_hist_data_bar_values": [7.5, 22.5],
        "pos_str": [" Texas"],
        "pos_values": [1.25],
        "neg_str": [],
        "neg_values": None,
        "vector": [],
    }
    lines(source / "features" / "batch-0.jsonl.gz", key | {"index": "10"} | figures)
    lines(source / "features" / "batch-1.jsonl.gz", key | {"index": "2", "maxActApprox": 5.0})
    act = {"tokens": ["a", "b"], "dfaValues": [], "binContains": 0.1}
    lines(
        source / "activations" / "batch-0.jsonl.gz",
        key | {"index": "10", "values": [0, 9], "maxValueTokenIndex": 1, "binMin": 0.5, "binMax": 10.0} | act,
        key | {"index": "10", "values": [29, 1], "maxValueTokenIndex": 0, "binMin": -1, "binMax": -1} | act,
        key | {"index": "10", "values": [30, 1], "maxValueTokenIndex": 0, "binMin": None, "binMax": None} | act,
        key | {"index": "10", "values": [20, 1], "maxValueTokenIndex": 0, "binMin": 15.0, "binMax": 30.5} | act,
    )
    said = {"typeName": "oai_token-act-pair", "explanationModelName": "gpt-4o-mini", "authorId": "x"}
    lines(
        source / "explanations" / "batch-0.jsonl.gz",
        key | {"index": "7", "description": "cities", "explanationModelName": None, "authorId": "ann"},
        key | {"index": "10", "description": "Texas"} | said,
        key | {"index": "10", "description": "states"} | said,
    )
    found = {d.feature: d for d in read_batches(tmp_path)}
    assert sorted(found) == [2, 7, 10]
    shown = found[10]
    assert (shown.layer, shown.act_min, shown.act_max, shown.histogram) == (20, 0.0, 30.0, (4.0, 1.0))
    assert (shown.top_logits, shown.top_values, shown.bottom_values) == ((" Texas",), (1.25,), ())
    assert [(g.name, [max(p.activations) for p in g.passages]) for g in shown.groups] == [
        ("Top activations", [30.0, 29.0]),
        ("Activations 15 to 30.5", [20.0]),
        ("Activations 0.5 to 10", [9.0]),
    ]
    assert [e.text for e in shown.explanations] == ["Texas", "states"]
    assert shown.explanations[0] == Explanation("Texas", "gpt-4o-mini", "oai_token-act-pair")
    assert found[7] == Dashboard(layer=20, feature=7, explanations=(Explanation("cities", "ann"),))
    assert (found[2].act_max, found[2].groups) == (5.0, ())


def test_examples_of_one_feature_in_two_files_are_refused(tmp_path):
    row = {"layer": "0-s", "index": "1", "tokens": ["a"], "values": [1.0]}
    for i in (0, 1):
        lines(tmp_path / "activations" / f"batch-{i}.jsonl.gz", row)
    with pytest.raises(FeatureFileError, match=r"batch-1.*in two"):
        list(read_batches(tmp_path))


@pytest.mark.parametrize(
    "row",
    [
        [],
        3,
        {},
        {"layer": "x-s", "index": "1"},
        {"layer": 3, "index": "1"},
        {"layer": "0-s", "index": None},
        {"layer": "0-s", "index": "1", "pos_str": "text"},
        {"layer": "0-s", "index": "1", "pos_values": ["x"]},
        {"layer": "0-s", "index": "1", "maxActApprox": [1]},
    ],
)
def test_bad_lines_are_refused(tmp_path, row):
    lines(tmp_path / "features" / "batch-0.jsonl.gz", row)
    with pytest.raises(FeatureFileError, match=r"batch-0\.jsonl\.gz"):
        list(read_batches(tmp_path))


@pytest.mark.parametrize(
    "tokens, values, peak", [([], [], 0), (["a"], [1, 2], 0), (["a"], [1], 1), ([1], [1], 0), ("a", [1], 0)]
)
def test_bad_examples_are_refused(tmp_path, tokens, values, peak):
    row = {"layer": "0-s", "index": "1", "tokens": tokens, "values": values, "maxValueTokenIndex": peak}
    lines(tmp_path / "activations" / "batch-0.jsonl.gz", row)
    with pytest.raises(FeatureFileError):
        list(read_batches(tmp_path))


def test_folders_of_another_kind_are_refused(tmp_path, empty):
    for read in (
        FeatureFolder,
        lambda path: list(read_batches(path)),
        lambda path: exchange.import_features(empty, path),
    ):
        with pytest.raises(FeatureFileError):
            read(tmp_path)
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "nothing")


anywhere = st.tuples(st.integers(0, 10**6), st.integers(0, 8), st.binary(max_size=4))


@settings(max_examples=250, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.integers(0, 5), place=anywhere, inside=st.booleans())
def test_bytes_changed_anywhere_are_read_or_refused(tmp_path, which, place, inside):
    """`inside`: before compression, so that the JSON itself is bad."""
    folder, (start, length, new) = tmp_path / "in", place
    if not folder.exists():
        write_folder(folder, [sample(0, 0), sample(1, 1)])
        shown = sample(0, 0, explanations=(Explanation("a", "b"),))
        write_batches(tmp_path / "np", [shown], model="m", source_set="s")
        write_folder(tmp_path / "one", [shown], packed=False)
    batches = [
        tmp_path / "np" / "0-s" / kind / "batch-0.jsonl.gz" for kind in ("features", "activations", "explanations")
    ]
    file = [folder / "index.json.gz", folder / "layer_1.bin", tmp_path / "one" / "0.json", *batches][which]
    whole = file.read_bytes()
    packed = inside and file.suffix == ".gz"
    text = gzip.decompress(whole) if packed else whole
    start %= len(text)
    text = text[:start] + new + text[start + length :]
    file.write_bytes(gzip.compress(text) if packed else text)
    try:
        found = list(exchange.read_features(tmp_path / "np" if which > 2 else file.parent))
        assert all(
            isinstance(d, Dashboard) and d == Dashboard.from_json(d.to_json(), d.layer, d.feature) for d in found
        )
    except FeatureFileError:
        pass
    finally:
        file.write_bytes(whole)


def test_labels_are_imported_with_their_source(empty, tmp_path):
    key = sample(0, 3, explanations=(Explanation("reds", "gpt"), Explanation("a colour", "ann")))
    folder = write_batches(tmp_path / "np", [key, sample(1, 2)], model="m", source_set="s")
    assert exchange.import_features(empty, folder, progress=False) == (2, 2)
    labels = empty.labels(0, 3)
    assert {(label.text, label.author, label.source, label.score) for label in labels} == {
        ("reds", "gpt", "imported:neuronpedia", None),
        ("a colour", "ann", "imported:neuronpedia", None),
    }
    assert empty.label(1, 2) is None
    assert [hit.text for hit in empty.search("red")] == ["reds"]
    assert exchange.import_features(empty, folder, progress=False) == (2, 0)  # nothing twice
    assert empty.labels(0, 3) == labels
    empty.set_label(0, 3, "mine", author="me", source="hand")
    exchange.import_features(empty, [key], where="elsewhere", progress=False)
    assert empty.label(0, 3).text == "mine"
    assert len(empty.labels(0, 3)) == 5


def test_what_others_show_is_kept_apart_and_whole(empty, store):
    shown = sample(0, 3, top_values=(2.0, 1.0), explanations=(Explanation("reds", "gpt", "auto"),))
    other = sample(0, 3, frequency=0.75)
    exchange.import_features(empty, [shown], where="there", progress=False)
    exchange.import_features(empty, [other, sample(1, 0)], where="here", progress=False)
    assert exchange.imported(empty, 0, 3) == {"here": other, "there": shown}
    assert exchange.imported(empty, 0, 4) == {}
    exchange.import_features(empty, [other], where="there", progress=False)
    assert exchange.imported(empty, 0, 3) == {"here": other, "there": other}
    assert len(empty) == 0  # no collection of ours
    with pytest.raises(FeatureError):
        exchange.imported(empty, 99, 0)


def test_another_dictionary_is_refused_before_anything_is_written(empty):
    beyond = sample(0, empty.n_features, explanations=(Explanation("a", "b"),))
    with pytest.raises(FeatureError):
        exchange.import_features(
            empty, [sample(0, 1, explanations=(Explanation("a", "b"),)), beyond], where="x", progress=False
        )
    assert exchange.imported(empty, 0, 1) == {}
    assert not empty.labelled()


def test_an_interrupted_import_is_completed_by_another(empty):
    shown = [
        sample(layer, i, explanations=(Explanation(f"{layer}/{i}", "a"),)) for layer in empty.layers for i in range(200)
    ]
    shown = [d for d in shown if (d.layer, d.feature) in empty]

    def broken():
        yield from shown[:-3]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        exchange.import_features(empty, (d for d in broken()), where="x", progress=False)
    assert exchange.import_features(empty, shown, where="x", progress=False).features == len(shown)
    assert {place: label.text for place, label in empty.labelled().items()} == {
        (d.layer, d.feature): d.explanations[0].text for d in shown
    }
    assert all(len(empty.labels(*place)) == 1 for place in empty.labelled())


def test_a_source_needs_a_name(empty):
    with pytest.raises(ArgumentError, match="where"):
        exchange.import_features(empty, [sample()], progress=False)


@pytest.mark.parametrize("layout", ["circuit-tracer", "circuit-tracer files", "neuronpedia"])
def test_a_store_goes_out_and_comes_in_elsewhere(store, empty, model, tmp_path, layout):
    places = store.keys()[:12]
    path = exchange.export_features(store, tmp_path / "out", layout=layout, features=places, progress=False)
    where = "neuronpedia" if layout == "neuronpedia" else "circuit-tracer"
    assert exchange.import_features(empty, path, progress=False) == (12, 1)
    for place in places:
        shown, found = Dashboard.of(store[place], None, store.transcoder), exchange.imported(empty, *place)[where]
        if layout == "neuronpedia":
            assert [p for g in found.groups for p in g.passages if g.name == "Top activations"] == list(
                shown.groups[0].passages
            )
            assert found.histogram == shown.histogram
            assert (found.frequency, found.act_max) == (shown.frequency, pytest.approx(shown.act_max))
        else:
            assert found == shown
    assert empty.label(*places[0]).source == f"imported:{where}"


def test_logits_go_along_when_the_model_is_there(store, model, tmp_path):
    place = store.keys()[3]
    path = exchange.export_features(store, tmp_path / "out", model=model, features=[place], progress=False)
    effects = gmc.features.logit_effects(model, place)
    found = FeatureFolder(path)[place]
    assert found.top_logits == tuple(t.token for t in effects.promoted)
    assert found.bottom_values == tuple(t.value for t in effects.suppressed)


def test_all_that_fired_or_have_a_label_are_written_by_default(empty, store, tmp_path):
    empty.set_label(1, 5, "x", author="a", source="hand")
    path = exchange.export_features(empty, tmp_path / "out", progress=False)
    assert list(FeatureFolder(path)) == [(1, 5)]
    assert list(FeatureFolder(exchange.export_features(store, tmp_path / "all", progress=False))) == store.keys()


def test_nothing_is_left_of_a_failed_export(store, random_model, tmp_path):
    def broken():
        yield sample(0, 1)
        raise KeyboardInterrupt

    for write in (write_folder, lambda path, shown: write_batches(path, shown, model="m", source_set="s")):
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path / "out", broken())
        for wrong in ([sample(0, 2), sample(0, 1)], [sample(1, 0), sample(0, 0)])[: 2 * (write is write_folder)]:
            with pytest.raises(ArgumentError, match="ascending"):
                write(tmp_path / "out", wrong)
    with pytest.raises(FeatureError):
        exchange.export_features(store, tmp_path / "out", features=[(99, 0)], progress=False)
    with pytest.raises(StoreMismatchError):
        exchange.export_features(store, tmp_path / "out", model=random_model("gemma2"), progress=False)
    with pytest.raises(ArgumentError, match="layout"):
        exchange.export_features(store, tmp_path / "out", layout="xml", progress=False)
    with pytest.raises(StorageError, match="exists"):
        exchange.export_features(store, tmp_path / "none" / "out", progress=False)
    assert not list(tmp_path.iterdir())
    (tmp_path / "out").mkdir()
    with pytest.raises(ArgumentError, match="does not exist yet"):
        exchange.export_features(store, tmp_path / "out", progress=False)


def test_numbers_of_numpy_are_no_hindrance(store, tmp_path):
    place = tuple(np.array(store.keys()[0]))
    assert len(FeatureFolder(exchange.export_features(store, tmp_path / "out", features=[place], progress=False))) == 1
