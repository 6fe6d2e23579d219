"""Collections over tiny random models, against one context at a time and every activation written out."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections import Counter
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from random_models import WIDTH, random_transcoder, with_transcoder
from tqdm import tqdm

import gemma_circuits as gmc
from gemma_circuits.data import errors
from gemma_circuits.features.collection import sole
from gemma_circuits.features.corpus import contexts
from gemma_circuits.features.tally import EDGES
from gemma_circuits.transcoders.protocol import Site
from gemma_circuits.transcoders.stored import StoredTranscoder

CONTEXT, WINDOW, EXAMPLES = 8, 5, 3
SETTINGS = {"context": CONTEXT, "window": WINDOW, "examples": EXAMPLES, "quantiles": 2, "samples": 2, "progress": False}


def corpus(count=40, seed=0):
    """Strings of 1 to 20 words, an empty one, and token ids now and then."""
    random = np.random.default_rng(seed)
    texts = []
    for number in range(count):
        words = random.integers(17, 96, random.integers(1, 20))
        texts.append(words.tolist() if number % 7 == 3 else "".join(f" w{word}" for word in words))
    return [*texts[:5], "", *texts[5:]]


def cut(texts, bos=2):
    """The contexts, written out."""
    found = []
    for text in texts:
        if isinstance(text, str):
            ids = [int(word[1:]) for word in text.split()]
            found += [[bos, *ids[i : i + CONTEXT - 1]] for i in range(0, len(ids), CONTEXT - 1)]
        else:
            found += [text[i : i + CONTEXT] for i in range(0, len(text), CONTEXT)]
    return found


def dictionary(kind, reads, layers=(0, 1, 2)):
    """An SAE or a crosscoder."""
    generator = torch.Generator().manual_seed(3)
    width, features = 4 * 12 if reads == Site.ATTN_OUT else WIDTH, 20
    n_written = len(layers) if kind == "crosscoder" else 1
    tensors = {
        layer: {
            "w_enc": torch.randn(width, features, generator=generator) * width**-0.5,
            "w_dec": torch.randn(features, n_written, width, generator=generator),
            "b_enc": torch.randn(features, generator=generator) * 0.3,
            "b_dec": torch.zeros(width),
            "threshold": torch.rand(features, generator=generator),
        }
        for layer in layers
    }
    return StoredTranscoder.from_tensors(kind, tensors, reads=reads, writes=reads)


def activations(model, ids):
    """By layer (positions, features): of one context alone; zero at `<bos>`. For Gemma 3 only."""
    transcoder, hooks, seen = model.transcoder, [], {}
    for index in transcoder.layers:
        layer = model.module.model.layers[index]
        norm = layer.pre_feedforward_layernorm
        home, of = {
            Site.RESID_MID: (norm, lambda x, y: x),
            Site.MLP_IN: (norm, lambda x, y: y),
            Site.MLP_IN_NORMALIZED: (norm, lambda x, y, gain=1 + norm.weight: y / gain),
            Site.RESID_POST: (layer, lambda x, y: y),
            Site.ATTN_OUT: (layer.self_attn.o_proj, lambda x, y: x),
        }[transcoder.reads]
        hooks.append(
            home.register_forward_hook(lambda _, x, y, index=index, of=of: seen.update({index: of(x[0], y)[0]}))
        )
    model.module(torch.tensor([ids]))
    for hook in hooks:
        hook.remove()
    found = {}
    for index, x in seen.items():
        found[index] = transcoder.activate(index, transcoder.pre_activations(index, x))
        found[index][: int(ids[0] == 2)] = 0
    return found


@pytest.mark.parametrize(
    "transcoder",
    [
        random_transcoder("clt affine"),
        random_transcoder("transcoder", Site.RESID_MID),
        random_transcoder("transcoder", Site.MLP_IN_NORMALIZED),
        dictionary("sae", Site.RESID_POST, (0, 2)),
        dictionary("sae", Site.ATTN_OUT, (1,)),
        dictionary("crosscoder", Site.RESID_POST),
    ],
    ids=["clt", "mid", "normalized", "sae", "attention", "crosscoder"],
)
def test_a_collection_equals_writing_every_activation_out(model, transcoder, tmp_path):
    model, texts = with_transcoder(model, transcoder), corpus(25)
    store = gmc.features.collect(model, iter(texts), tmp_path / "store", batch_size=3, **SETTINGS)
    rows = cut(texts)
    dense = [activations(model, ids) for ids in rows]
    assert store.n_contexts == len(rows)
    assert store.n_tokens == sum(len(ids) - (ids[0] == 2) for ids in rows)
    fired = set()
    for layer in transcoder.layers:
        for feature in range(transcoder.n_features):
            columns = [context[layer][:, feature].tolist() for context in dense]
            record = store[layer, feature]
            fired |= {(layer, feature)} if any(map(any, columns)) else set()
            compare(record, columns, rows, model.tokenizer, store.n_tokens)
    assert set(store.keys()) == fired and len(store) == len(fired) > 0
    statistics = store.statistics(transcoder.layers[0])
    records = [store[key] for key in statistics]
    assert [(r.count, r.contexts, r.mean, r.max, r.frequency) for r in records] == list(
        zip(*(getattr(statistics, name).tolist() for name in ("count", "contexts", "mean", "max", "frequency")))
    )


def compare(record, columns, rows, tokenizer, n_tokens):
    """A feature's record and its activations in every context."""
    values = np.array([value for column in columns for value in column if value], np.float64)
    assert record.count == len(values) and record.contexts == sum(map(any, columns))
    assert record.frequency == len(values) / n_tokens
    if not len(values):
        assert not record.examples and not record.quantiles and not record.top_tokens
        return
    assert record.mean == pytest.approx(values.mean(), rel=1e-4)
    assert record.max == pytest.approx(values.max(), rel=1e-4)
    shown = dict(zip(record.histogram.edges, record.histogram.counts))
    counts = np.histogram(values, EDGES)[0]
    assert {edge: n for edge, n in shown.items() if n} == {e: n for e, n in zip(EDGES, counts.tolist()) if n}

    # Contexts that begin alike tie in theory, and in practice to within rounding.
    highest = sorted((max(column) for column in columns if any(column)), reverse=True)
    assert [example.activation for example in record.examples] == pytest.approx(highest[:EXAMPLES], rel=1e-5)
    assert len({example.context for example in record.examples}) == len(record.examples)
    sampled = [example for part in record.quantiles for example in part.examples]
    assert len({example.context for example in sampled}) == len(sampled) == min(4, len(highest))
    for example in (*record.examples, *sampled):
        column, ids = columns[example.context], rows[example.context]
        peak = column.index(max(column))
        first = max(0, peak - 3)
        assert (example.position, example.peak) == (peak, peak - first)
        assert list(example.token_ids) == ids[first : peak + 2]
        assert "".join(example.tokens) == example.text == tokenizer.decode(ids[first : peak + 2])
        assert example.activations == pytest.approx(column[first : peak + 2], rel=1e-4)
    peaks = [[example.activation for example in part.examples] for part in record.quantiles]
    assert sorted(chain(*peaks), reverse=True) == list(chain(*reversed(peaks)))
    assert [(part.lowest, part.highest) for part in record.quantiles] == [(p[-1], p[0]) for p in peaks]

    pairs = [(i, value) for ids, column in zip(rows, columns) for i, value in zip(ids, column)]
    true = Counter(i for i, value in pairs if value)
    assert not record.token_error or len(true) > 32
    for token in record.top_tokens:
        assert token.count <= true[token.token_id] <= token.count + record.token_error
        assert token.token == tokenizer.decode([token.token_id])
    assert [t.count for t in record.top_tokens] == sorted((t.count for t in record.top_tokens), reverse=True)
    if len(true) <= 32:
        assert {token.token_id: token.count for token in record.top_tokens} == true


@pytest.fixture(scope="module")
def whole(model, tmp_path_factory):
    """A collection that nothing interrupted."""
    return gmc.features.collect(model, corpus(), tmp_path_factory.mktemp("whole") / "store", batch_size=2, **SETTINGS)


def assert_same(store, other):
    assert list(store) == list(other)
    assert store.collection == other.collection
    for query in ("SELECT * FROM features", "SELECT * FROM contexts", "SELECT * FROM tokens", "SELECT * FROM uses"):
        assert store.rows(query) == other.rows(query)


def assert_alike(store, other):
    """The same but for rounding: the batches were others."""
    assert store.collection == other.collection
    for mine, theirs in zip(store, other, strict=True):
        assert (mine.count, mine.contexts, mine.histogram) == (theirs.count, theirs.contexts, theirs.histogram)
        assert [e.activation for e in mine.examples] == pytest.approx([e.activation for e in theirs.examples], rel=1e-5)
        assert len({e.context for e in mine.examples}) == len(mine.examples)


class FailingError(Exception):
    pass


def test_a_failed_run_goes_on_and_nothing_is_counted_twice(model, whole, tmp_path):
    """The corpus fails at every text in turn; each run goes on from the last checkpoint."""

    def failing(at):
        for number, text in enumerate(corpus()):
            if number == at:
                raise FailingError
            yield text

    for at in range(0, 41, 6):
        with pytest.raises(FailingError):
            gmc.features.collect(model, failing(at), tmp_path / "store", batch_size=2, checkpoint=0, **SETTINGS)
    with gmc.features.open(tmp_path / "store", model=model) as store:
        assert 0 < store.n_tokens < whole.n_tokens and "so far" in repr(store)
    store = gmc.features.collect(model, corpus(), tmp_path / "store", **SETTINGS)
    assert_same(store, whole)
    assert "so far" not in repr(store)


def test_more_tokens_are_added_to_those_of_before(model, whole, tmp_path):
    first = gmc.features.collect(model, corpus(), tmp_path / "store", tokens=100, batch_size=2, **SETTINGS)
    assert 100 <= first.n_tokens < 100 + CONTEXT
    again = gmc.features.collect(model, corpus(), tmp_path / "store", tokens=100, **SETTINGS)
    assert again.n_tokens == first.n_tokens
    store = gmc.features.collect(model, corpus(), tmp_path / "store", **SETTINGS)
    assert_alike(store, whole)


KILLED = """
import os, signal, sys, warnings
sys.path.insert(0, {tests!r})
import test_collect as test
from random_models import random_transcoder
import gemma_circuits as gmc
from gemma_circuits.features import collection, shards

model = gmc.load({model!r}, random_transcoder("clt affine"))

def kill_at(count, home, name):
    true, left = getattr(home, name), [count]
    def killing(*arguments, **keywords):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return true(*arguments, **keywords)
    setattr(home, name, killing)

for count, home, name in [
    (4, shards, "replace_file"),          # between two shards
    (1, collection.Collection, "_state"), # in the middle of a transaction, one commit later
    (1, collection, "clean"),             # after a transaction, before the old shards are gone
    (4, collection, "_rows"),
    (0, collection.Collection, "_index"),  # all is there, but not yet indexed
]:
    child = os.fork()
    if not child:
        kill_at(count, home, name)
        gmc.features.collect(model, test.corpus(), {store!r}, batch_size=2, checkpoint=0, **test.SETTINGS)
        os._exit(0)
    print(name, os.WTERMSIG(os.waitpid(child, 0)[1]), flush=True)
with gmc.features.open({store!r}) as store:
    print("tokens", store.n_tokens, "so far" in repr(store))
for folder in ({store!r}, {whole!r}):
    gmc.features.collect(model, test.corpus(), folder, batch_size=2, **test.SETTINGS)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
def test_kill_9_in_the_middle_of_a_write_loses_and_doubles_nothing(model, tmp_path):
    model.module.save_pretrained(tmp_path / "model")
    model.tokenizer.save_pretrained(tmp_path / "model")
    folders = {name: str(tmp_path / name) for name in ("model", "store", "whole")}
    script = KILLED.format(tests=str(Path(__file__).parents[1]), **folders)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent)}
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert not run.returncode, run.stderr
    *killed, so_far = map(str.split, run.stdout.splitlines())
    assert killed == [[name, "9"] for name in ("replace_file", "_state", "clean", "_rows", "_index")]
    with gmc.features.open(folders["store"]) as store, gmc.features.open(folders["whole"]) as whole:
        assert_same(store, whole)
        assert so_far == ["tokens", str(whole.n_tokens), "True"]
        shards = sorted(name for (name,) in store.rows("SELECT name FROM shards"))
    assert sorted(path.name for path in (tmp_path / "store" / "shards").iterdir()) == shards


@pytest.mark.parametrize("settings", [{"examples": 4}, {"context": 9}, {"window": 6}, {"quantiles": 3}, {"samples": 3}])
def test_other_settings_are_refused(model, whole, settings):
    (name,) = settings
    with pytest.raises(errors.StoreMismatchError, match=f"{name}={SETTINGS[name]}.*{name}={settings[name]}"):
        gmc.features.collect(model, corpus(), whole.path, **SETTINGS | settings)


@pytest.mark.parametrize("other", [corpus(seed=1), corpus()[:20], [*corpus()[:-1], " w17"]])
def test_another_corpus_is_refused(model, whole, other):
    before = list(whole)
    with pytest.raises(errors.ArgumentError, match="corpus: expected the first 41 texts"):
        gmc.features.collect(model, other, whole.path, **SETTINGS)
    assert list(whole) == before


def test_a_longer_corpus_goes_on(model, whole, tmp_path):
    gmc.features.collect(model, corpus()[:20], tmp_path / "store", batch_size=2, **SETTINGS)
    store = gmc.features.collect(model, corpus(), tmp_path / "store", **SETTINGS)
    assert_alike(store, whole)


def test_two_collectors_at_once_are_refused(model, tmp_path):
    with (
        sole(tmp_path / "store"),
        pytest.raises(errors.StoreBusyError, match="expected one writer, got a second one"),
    ):
        gmc.features.collect(model, corpus(), tmp_path / "store", **SETTINGS)


@pytest.mark.parametrize(
    "setting",
    [{"context": 1}, {"context": 65}, {"window": 0}, {"examples": 0}, {"quantiles": 0}, {"samples": 0}, {"tokens": 0},
     {"batch_size": 0}],
)  # fmt: skip
def test_settings_out_of_range_are_refused(model, tmp_path, setting):
    with pytest.raises(errors.ArgumentError, match=next(iter(setting))):
        gmc.features.collect(model, corpus(), tmp_path / "store", **SETTINGS | setting)
    assert not (tmp_path / "store").exists()


def write(folder, texts):
    folder.mkdir()
    for name, text in texts.items():
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def test_files_folders_and_datasets_are_the_texts_in_them(model, tmp_path):
    folder = write(tmp_path / "texts", {"b.txt": " w20 w21", "a.txt": " w18\n", "c.md": " w50"})
    alone = [[2, 18, 6], [2, 20, 21]]
    assert [c.token_ids for c in contexts(model, folder, 8)] == alone
    assert [c.token_ids for c in contexts(model, str(folder / "b.txt"), 8)] == alone[1:]
    assert [c.token_ids for c in contexts(model, [{"text": " w20 w21"}], 8)] == alone[1:]
    assert [c.token_ids for c in contexts(model, [torch.tensor([5, 20]), np.array([20, 21])], 8)] == [[5, 20], [20, 21]]


def test_long_files_are_read_in_blocks_that_end_with_a_line(model, tmp_path, monkeypatch):
    monkeypatch.setattr("gemma_circuits.features.corpus.BLOCK", 10)
    folder = write(tmp_path / "texts", {"a.txt": " w18 w19 w20\n w21\n w22"})
    assert [c.token_ids for c in contexts(model, folder, 9)] == [[2, 18, 19, 20, 6], [2, 21, 6, 22]]


def test_chat_prefixes_are_left_out(random_model):
    model = random_model("chat")
    ids = list(model.prompt([{"role": "user", "content": " w20 w21"}]).token_ids)
    (context,) = contexts(model, [ids], 64)
    assert context.ignored == 4 and context.token_ids == ids
    assert not list(contexts(model, [ids[:4]], 64))


@pytest.mark.parametrize(
    "bad, place",
    [
        ({"a.txt": " w20", "b.txt": b"\xff\xfe w20"}, "b.txt: expected UTF-8 text"),
        ({"c.md": " w20"}, "corpus: expected text files, got none"),
        ([" w20", 3.5], "text 1: expected a string or token ids, got float"),
        ([" w20", {"body": " w20"}], "text 1: expected a column 'text', got columns body"),
        ([[2, 20], [2, 96]], "text 1: expected token ids from 0 to 95, got 96"),
        (["\ud800"], "text 0: expected Unicode text"),
        ("no such file", "corpus: expected text files"),
        ("w20 " * 999, "corpus: expected text files"),
        ([], "corpus: expected at least one token"),
        (["", []], "corpus: expected at least one token"),
    ],
)
def test_bad_texts_are_named(model, tmp_path, bad, place):
    texts = write(tmp_path / "texts", bad) if isinstance(bad, dict) else bad
    with pytest.raises(errors.CorpusError, match=place):
        gmc.features.collect(model, texts, tmp_path / "store", **SETTINGS)


def test_what_came_before_a_bad_text_is_kept(model, whole, tmp_path):
    texts = corpus()
    with pytest.raises(errors.CorpusError, match="text 30"):
        gmc.features.collect(model, [*texts[:30], b"\0", *texts[31:]], tmp_path / "store", batch_size=2, **SETTINGS)
    with gmc.features.open(tmp_path / "store", model=model) as store:
        assert 0 < store.n_tokens < whole.n_tokens
    assert_same(gmc.features.collect(model, texts, tmp_path / "store", **SETTINGS), whole)


def test_the_bar_counts_texts_or_tokens(model, tmp_path, monkeypatch):
    class Bar(tqdm):
        def update(self, n=1):
            seen.append(n)
            return super().update(n)

    bars, seen = [], []

    def bar(self, phase, total=None):
        bars.append(Bar(total=total, desc=phase, file=io.StringIO()))
        return bars[-1]

    monkeypatch.setattr("gemma_circuits.attribution.progress.Progress.bar", bar)
    gmc.features.collect(model, corpus(), tmp_path / "a", batch_size=4, **SETTINGS)
    gmc.features.collect(model, iter(corpus()), tmp_path / "b", tokens=100, batch_size=4, **SETTINGS)
    assert (bars[0].total, bars[0].n) == (41, 41)
    assert bars[1].total == 100 <= bars[1].n
    assert len(seen) > 10 and min(seen) >= 0  # with every batch
