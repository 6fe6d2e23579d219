"""The feature store: labels, refusals, several processes, damage, versions."""

from __future__ import annotations

import html
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_models import random_transcoder, with_transcoder

import gemma_circuits as gmc
from gemma_circuits.data import errors
from gemma_circuits.features import schema, shards
from gemma_circuits.features.location import SHIPPED, default_path
from gemma_circuits.features.store import Store, describe

TEXTS = [f" w{i} w{i + 1} w{i + 2}" for i in range(17, 60, 3)]
SETTINGS = {"context": 8, "window": 5, "examples": 3, "quantiles": 2, "samples": 1, "progress": False}


@pytest.fixture(scope="module")
def collected(model, tmp_path_factory):
    """The folder of a small store; not to be written to."""
    folder = tmp_path_factory.mktemp("stores") / "store"
    gmc.features.collect(model, TEXTS, folder, **SETTINGS).close()
    return folder


@pytest.fixture
def folder(collected, tmp_path):
    return shutil.copytree(collected, tmp_path / "store")


@pytest.fixture
def store(folder, model):
    with gmc.features.open(folder, model=model) as store:
        yield store


def test_labels_keep_their_history(store, folder):
    for text in ("first", "second"):
        assert store.set_label(1, 3, text, author="Ada", source="hand").text == text
    store.set_label(1, 4, "another", author="Ada", source="hand", score=0.5)
    with gmc.features.open(folder) as again:
        assert [label.text for label in again.labels(1, 3)] == ["second", "first"]
        assert again.label(1, 3) == again[1, 3].label == again.labels(1, 3)[0]
        label = again.labels(1, 4)[0]
    assert (label.text, label.author, label.source, label.score) == ("another", "Ada", "hand", 0.5)
    assert label.created.endswith("+00:00")


def test_a_persons_word_outranks_an_imported_label_and_that_a_proposed_one(store):
    def current():
        label = store.label(0, 0)
        assert store.labelled().get((0, 0)) == label
        return label and label.text

    assert current() is None
    for author, source, text in (
        ("x", "proposed:tokens", "p1"), ("x", "imported:site", "i1"), ("me", "hand", "h1"),
        ("x", "imported:site", "i2"), ("x", "proposed:tokens", "p2"),
    ):  # fmt: skip
        store.set_label(0, 0, text, author=author, source=source)
    assert current() == "h1"
    store.set_label(0, 0, "", author="me", source="hand")
    assert current() == "i2"
    store.set_label(0, 0, " ", author="x", source="imported:site")
    assert current() == "p2"
    store.set_label(0, 0, "", author="x", source="proposed:model")
    assert current() is None
    assert [label.text for label in store.labels(0, 0)] == ["", "", "", "p2", "i2", "h1", "i1", "p1"]
    store.set_label(0, 0, "h2", author="me", source="hand")
    assert current() == "h2"


def test_many_labels_are_set_together_or_not_at_all(store):
    rows = [(0, feature, f"label {feature}", feature / 10) for feature in range(5)]
    assert store.set_labels(rows, author="x", source="imported:file") == 5
    assert {key: label.score for key, label in store.labelled().items()} == {(0, f): f / 10 for f in range(5)}
    with pytest.raises(errors.FeatureError):
        store.set_labels([(0, 7, "good", None), (0, 24, "bad", None)], author="x", source="imported:file")
    assert store.label(0, 7) is None


@pytest.mark.parametrize("source", ["", "guess", "hand:me", "imported", "imported:", "proposed", "a:b"])
def test_every_label_says_where_it_comes_from(store, source):
    with pytest.raises(errors.ArgumentError, match="source: expected hand, imported:<where> or proposed:<method>"):
        store.set_label(0, 0, "text", author="me", source=source)
    with pytest.raises(errors.ArgumentError, match="author"):
        store.set_label(0, 0, "text", author=" ", source="hand")


def test_notes(store):
    for text in ("one", "two"):
        note = store.add_note(2, 5, text, author="Ada")
    assert [n.text for n in store.notes(2, 5)] == ["two", "one"] and store.notes(2, 5)[0] == note


@pytest.mark.parametrize("place", [(3, 0), (-1, 0), (0, 24), (0, -1)])
def test_features_that_there_are_not(store, place):
    assert place not in store
    for ask in (store.__getitem__, lambda key: store.labels(*key), lambda key: store.notes(*key)):
        with pytest.raises(errors.FeatureError, match="expected layers 0, 1, 2, features 0 to 23"):
            ask(place)


def test_search_finds_labels_notes_and_examples(store, model):
    store.set_label(0, 1, "capitals of states", author="me", source="hand")
    store.set_label(0, 2, "a state", author="me", source="hand")
    store.add_note(2, 3, "the state's capital", author="me")
    found = store.search("capital state")
    assert [(hit.layer, hit.feature, hit.where) for hit in found] == [(0, 1, "label"), (2, 3, "note")]
    assert not store.search("governor")
    hits = store.search("w20 w21", limit=1000)
    text = "<bos> w20 w21 w22"
    assert {hit.text for hit in hits} == {text} and {hit.where for hit in hits} == {"example"}
    using = {(f.layer, f.feature) for f in store if any(e.context == 1 for e in f.examples)}
    assert {(hit.layer, hit.feature) for hit in hits} == using and using
    assert len(store.search("w20", limit=2)) == 2
    for odd in ('w20" OR "w21', "w20 NOT", "(", "text:w20", "*"):
        assert not store.search(odd) or odd == "("
    for bad in ({"text": " "}, {"text": "w20", "limit": 0}):
        with pytest.raises(errors.ArgumentError):
            store.search(**bad)


def test_a_store_of_another_model_or_transcoder_is_refused_by_name(model, random_model, folder):
    other = with_transcoder(model, random_transcoder("clt", source="other/release"))
    for ask in (
        lambda model: gmc.features.open(folder, model=model),
        lambda model: gmc.features.collect(model, TEXTS, folder, **SETTINGS),
    ):
        with pytest.raises(errors.StoreMismatchError, match=r"transcoder .*, memory \(.*got other/release \("):
            ask(other)
        with pytest.raises(errors.StoreMismatchError, match=r"model .*, gemma3_text \(.*got llama \("):
            ask(with_transcoder(random_model("llama"), model.transcoder))


def test_no_store(tmp_path, model):
    for keywords in ({}, {"model": model}):
        with pytest.raises(errors.MissingStoreError, match="expected a feature store, got nothing"):
            gmc.features.open(tmp_path / "none", **keywords)
    assert not (tmp_path / "none").exists()
    for keywords in ({}, {"path": tmp_path, "create": True}):
        with pytest.raises(errors.ArgumentError, match="a model to go by"):
            gmc.features.open(**keywords)


def test_an_empty_store_takes_labels(tmp_path, model):
    with gmc.features.open(tmp_path / "new", model=model, create=True) as store:
        store.set_label(1, 2, "text", author="me", source="hand")
        feature = store[1, 2]
        assert len(store) == 0 and not list(store) and "nothing collected" in repr(store)
    assert (feature.count, feature.examples, feature.label.text) == (0, (), "text")
    assert "never fired" in repr(feature) and feature.histogram.quantile(0.5) == 0
    with gmc.features.open(tmp_path / "new", model=model, create=True) as store:
        assert store.label(1, 2).text == "text"


def test_the_models_own_store_lies_in_the_users_data_folder(tmp_path, model, monkeypatch):
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_, **__: tmp_path)
    gmc.features.collect(model, TEXTS, **SETTINGS).close()
    digest = model.transcoder.fingerprint()[:12]
    path = tmp_path / "features" / "gemma3_text" / f"memory-{digest}"
    assert default_path(model) == path and (path / schema.FILE).is_file()
    with gmc.features.open(model=model) as store:
        assert len(store)


def test_a_second_writer_is_told(folder, model, monkeypatch):
    monkeypatch.setattr(schema, "PATIENCE", 0.05)
    with gmc.features.open(folder) as one, gmc.features.open(folder) as two:
        with one.writing():
            assert two.label(0, 0) is None and two[0, 0] == two[0, 0]  # readers go on
            with pytest.raises(errors.StoreBusyError, match="expected one writer, got a second one"):
                two.set_label(0, 0, "text", author="me", source="hand")
        two.set_label(0, 0, "text", author="me", source="hand")
        assert one.label(0, 0).text == "text"


def test_a_failed_write_leaves_nothing(store):
    with pytest.raises(RuntimeError), store.writing() as database:
        database.execute("DELETE FROM features")
        raise RuntimeError
    assert len(store) > 0


WRITER = """
import sys
from gemma_circuits.features import open
store = open(sys.argv[1])
for number in range(10**6):
    store.set_labels([(0, n, f"label {number}", None) for n in range(20)], author="me", source="hand")
    print(number, flush=True)
"""


def test_kill_9_leaves_labels_whole(folder):
    """Whatever was reported as written is there, and no group of labels is there in part."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    with gmc.features.open(folder) as reader:  # while it writes
        assert len(reader.labels(0, 0)) > 0
    time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    said = process.communicate()[0].split()
    with gmc.features.open(folder) as store:
        histories = [[label.text for label in store.labels(0, feature)] for feature in range(20)]
        assert len(histories[0]) >= len(said) > 1 and histories == [histories[0]] * 20
        assert histories[0] == [f"label {n}" for n in reversed(range(len(histories[0])))]
        assert store.row("PRAGMA integrity_check") == ("ok",)
        store.set_label(0, 0, "after", author="me", source="hand")


def test_a_reader_gets_either_state_while_a_collection_replaces_shards(model, folder, monkeypatch):
    """A shard that is deleted between the query and the reading of it is looked up again."""
    reader = gmc.features.open(folder)
    read, calls = shards.read, []

    def late(path, name, digest):
        calls.append(name)
        if len(calls) == 1:
            gmc.features.collect(model, [*TEXTS, " w70 w71"], folder, **SETTINGS).close()
            shards.read.cache_clear() if hasattr(shards.read, "cache_clear") else None
        return read.__wrapped__(path, name, digest)

    before = reader[0, 0].count
    monkeypatch.setattr(shards, "read", late)
    assert reader[0, 0].count >= before
    assert len(calls) > 1 and calls[-1] != calls[0]
    reader.close()


def layer_of(folder, name):
    with sqlite3.connect(folder / schema.FILE) as database:
        return database.execute("SELECT layer FROM shards WHERE name = ?", (name,)).fetchone()[0]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_shard_costs_its_own_features_only(collected, tmp_path_factory, data):
    folder = shutil.copytree(collected, tmp_path_factory.mktemp("damaged") / "store")
    path = data.draw(st.sampled_from(sorted((folder / "shards").iterdir())))
    content = bytearray(path.read_bytes())
    match data.draw(st.sampled_from(("flip", "cut", "grow", "gone"))):
        case "flip":
            content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        case "cut":
            del content[data.draw(st.integers(0, len(content) - 1)) :]
        case "grow":
            content += b"\0"
        case "gone":
            content.clear()
            path.unlink()
    if path.exists():
        path.write_bytes(content)
    bad = layer_of(folder, path.name)
    with gmc.features.open(folder) as store, gmc.features.open(collected) as whole:
        for layer, feature in whole.statistics():
            if layer == bad:
                with pytest.raises(errors.ShardError, match=f"{path.name}: .*the other features are not touched"):
                    _ = store[layer, feature]
                break
        other = (bad + 1) % 3
        assert [store[key] for key in store.keys(other)] == [whole[key] for key in whole.keys(other)]
        assert store.statistics(bad).count.tolist() == whole.statistics(bad).count.tolist()
        store.set_label(bad, 0, "still", author="me", source="hand")
        assert store.label(bad, 0).text == "still"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_database_is_an_error_of_ours(collected, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damaged") / "store"
    folder.mkdir()
    content = bytearray((collected / schema.FILE).read_bytes())
    if data.draw(st.booleans()):
        for _ in range(data.draw(st.integers(1, 8))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    else:
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    (folder / schema.FILE).write_bytes(content)
    (folder / "shards").symlink_to(collected / "shards")
    try:
        with gmc.features.open(folder) as store:
            repr(store), len(store), store.search("w20"), store.labelled()
            for key in store.keys()[:5]:
                _ = store[key]
    except errors.GemmaCircuitsError:
        pass


def test_figures_that_are_no_numbers_are_an_error_of_ours(collected, tmp_path):
    (tmp_path / schema.FILE).write_bytes((collected / schema.FILE).read_bytes())
    with closing(sqlite3.connect(tmp_path / schema.FILE)) as database:
        database.execute("UPDATE features SET contexts = 'many'")
        database.commit()
    with gmc.features.open(tmp_path) as store, pytest.raises(errors.StoreError, match=r"the figures of features.*many"):
        store.keys()


def test_older_versions_are_brought_up_to_date(tmp_path, model):
    """A store of version 1 had no text index."""
    (tmp_path / "old").mkdir()
    database = sqlite3.connect(tmp_path / "old" / schema.FILE)
    database.executescript(schema.MIGRATIONS[0])
    label = (0, 1, "capitals", "me", "hand", None, "2026-01-01T00:00:00+00:00")
    database.execute("INSERT INTO labels VALUES (1, ?, ?, ?, ?, ?, ?, ?)", label)
    database.execute(f"PRAGMA application_id = {schema.APPLICATION}")
    database.execute("PRAGMA user_version = 1")
    database.commit()
    database.close()
    with gmc.features.open(tmp_path / "old", model=model, create=True) as store:
        assert [hit.text for hit in store.search("capital")] == ["capitals"]
        assert store.row("PRAGMA user_version") == (schema.VERSION,)
        store.set_label(0, 2, "another capital", author="me", source="hand")
        assert len(store.search("capital")) == 2 and len(store.labels(0, 1)) == 1


def test_an_interrupted_migration_starts_over(tmp_path, model, monkeypatch):
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS[:1], "CREATE TABLE x (y);\nno sql;\n"))
    with pytest.raises(errors.StoreError, match="syntax error"):
        gmc.features.open(tmp_path / "new", model=model, create=True)
    monkeypatch.undo()
    with gmc.features.open(tmp_path / "new", model=model, create=True) as store:
        assert store.row("PRAGMA user_version") == (schema.VERSION,)


def test_newer_versions_and_other_files_are_refused(folder, tmp_path):
    with sqlite3.connect(folder / schema.FILE) as database:
        database.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    with pytest.raises(errors.NewerStoreError, match="upgrade gemma-circuits"):
        gmc.features.open(folder)
    with sqlite3.connect(folder / schema.FILE) as database:
        database.execute("PRAGMA application_id = 1")
    with pytest.raises(errors.StoreError, match="another program"):
        gmc.features.open(folder)
    for path in folder.glob(f"{schema.FILE}*"):
        path.write_text("no database at all, whatever its name says" * 99)
    with pytest.raises(errors.StoreError, match="not a database"):
        gmc.features.open(folder)


def test_feature_and_store_show_themselves(store, model):
    feature = max(store, key=lambda feature: feature.max)
    store.set_label(feature.layer, feature.feature, "a <b>", author="me", source="proposed:tokens", score=0.75)
    feature = store[feature.layer, feature.feature]
    assert repr(feature).startswith(f"Feature {feature.layer}/{feature.feature}: a <b> (proposed:tokens, score 0.75)")
    assert f"max {feature.max:.3g}" in repr(
        feature
    ) and f"[{feature.examples[0].tokens[feature.examples[0].peak]}]" in repr(feature)
    assert "a &lt;b&gt;" in feature._repr_html_()
    example, cells = feature.examples[0], re.findall(r"<td[^>]*>(.*?)</td>", feature._repr_html_())
    tokens = list(example.tokens)
    tokens[example.peak] = f"[{tokens[example.peak]}]"
    shown = [f"{example.activation:.3g}", html.escape("".join(tokens))]
    assert shown in [cells[i : i + 2] for i in range(len(cells))]
    assert f"{len(store):,} features over 45 tokens, 1 labelled; gemma3_text, memory" in repr(store)
    assert (5, 6, 7) not in store and "x" not in store


def test_histograms_know_their_quantiles_and_density():
    histogram = gmc.features.Histogram((1.0, 1.25, 1.5, 2.0), (2, 0, 2))
    assert [histogram.quantile(share) for share in (0, 0.25, 0.75, 1)] == [1, 1.125, 1.75, 2]
    assert histogram.density == (2, 0, 1)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_, **__: tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture(scope="module")
def pocket():
    return gmc.load()


def test_the_pocket_model_comes_with_a_store(pocket, home):
    before = sorted((path, path.stat().st_mtime_ns) for path in SHIPPED.rglob("*"))
    with gmc.features.open(model=pocket) as store:
        assert store.path == SHIPPED and len(store) > 2000
        for feature in store:
            assert len(feature.examples) >= min(5, feature.contexts) and feature.top_tokens
            assert sum(feature.histogram.counts) == feature.count > 0
            assert feature.examples[0].activation == feature.max
        hits = store.search("dallas", limit=10**4)
        shown = {(f.layer, f.feature) for f in store if any(" Dallas" in example.text for example in f.examples)}
        assert shown and shown <= {(hit.layer, hit.feature) for hit in hits}
        assert all("Dallas" in hit.text for hit in hits)
    assert sorted((path, path.stat().st_mtime_ns) for path in SHIPPED.rglob("*")) == before
    assert not home.exists()
    assert sum(path.stat().st_size for path in SHIPPED.rglob("*") if path.is_file()) < 2e6


def test_writing_to_the_pocket_store_goes_to_a_copy_of_the_users(pocket, home):
    before = sorted((path, path.stat().st_mtime_ns) for path in SHIPPED.rglob("*"))
    with gmc.features.open(model=pocket) as store, pytest.raises(errors.StoreMismatchError):
        gmc.features.collect(pocket, TEXTS, store, **SETTINGS)  # other settings; and not in the package's own folder
    with gmc.features.open(model=pocket) as store:
        store.set_label(3, 4, "mine", author="me", source="hand")
        assert store.label(3, 4).text == "mine" and store[3, 4].count >= 0
    assert sorted((path, path.stat().st_mtime_ns) for path in SHIPPED.rglob("*")) == before
    with gmc.features.open(model=pocket) as store:
        assert store.path == default_path(pocket) and store.path.is_relative_to(home)
        assert store.label(3, 4).text == "mine" and len(store) > 2000


def test_the_pocket_store_is_what_its_corpus_gives(pocket):
    """Some of the shipped figures, computed anew from the corpus."""
    from gemma_circuits.features.collect_pocket import corpus

    texts = corpus(pocket)
    with Store(SHIPPED, copy=SHIPPED) as store:
        assert store._meta["transcoder_fingerprint"] == describe(pocket)["transcoder_fingerprint"]
        assert store.collection["end"] == [len(texts), 0]
        assert store.n_contexts == len(texts)
        for key in store.keys()[::400]:
            for example in store[key].examples[:2]:
                ids = texts[example.context]
                captured = pocket.capture(tuple(ids))
                x = captured.read(key[0], pocket.transcoder.reads, pocket.layer(key[0]).mlp_gain)
                column = pocket.transcoder.activate(key[0], pocket.transcoder.pre_activations(key[0], x))[:, key[1]]
                assert example.activation == pytest.approx(column[example.position].item(), rel=1e-3)
