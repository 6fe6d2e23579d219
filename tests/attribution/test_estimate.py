"""`estimate` against what `attribute` then does."""

import weakref

import pytest
import torch
from random_models import LAYERS, PROMPT, random_transcoder, with_transcoder
from torch.utils._python_dispatch import TorchDispatchMode

import gemma_circuits.attribution.sources as sources
from gemma_circuits import Estimate, attribute, estimate
from gemma_circuits.attribution.backward import Rows
from gemma_circuits.attribution.expanded import keep_all
from gemma_circuits.attribution.job import prepare
from gemma_circuits.attribution.progress import Progress

LONG = (2, *(20 + i * i % 70 for i in range(40)))


class PeakMemory(TorchDispatchMode):
    """Bytes of all tensors made inside that live at one time."""

    def __init__(self):
        super().__init__()
        self.sizes, self.now, self.peak = {}, 0, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else [result]:
            if isinstance(value, torch.Tensor):
                self.count(value.untyped_storage())
        return result

    def count(self, storage):
        key = storage.data_ptr()
        if key in self.sizes or not key:
            return
        self.sizes[key] = storage.nbytes()
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self.forget, key)

    def forget(self, key):
        self.now -= self.sizes.pop(key)


@pytest.mark.parametrize("settings", [{}, {"max_features": 50}, {"max_features": None, "position": 4}, {"targets": 40}])
def test_counts(model, settings):
    expected = estimate(model, PROMPT, **settings)
    graph = attribute(model, PROMPT, progress=False, **settings)
    assert expected.active == graph.metadata["active_features"]
    assert expected.rows == len(graph.edges)
    assert expected.seconds > 0


@pytest.mark.parametrize(
    "settings", [{"max_features": None}, {"max_features": 500}, {"max_features": None, "keep": 0.3}]
)
def test_memory_within_a_factor_of_three(model, settings):
    model = with_transcoder(model, random_transcoder("clt affine", features=96))
    attribute(model, LONG, progress=False)  # what is kept from call to call is the model's own
    expected = estimate(model, LONG, **settings).memory
    with PeakMemory() as measured:
        graph = attribute(model, LONG, progress=False, **settings)
    assert graph.metadata["active_features"] > 2000
    assert measured.peak > graph.edges.nbytes
    assert expected / 3 < measured.peak < expected * 3


def test_repr():
    shown = repr(Estimate(active=12_345, rows=8_202, seconds=12.34, memory=3 * 2**29))
    assert shown == "8,202 rows of 12,345 active features: about 12.3 s and 1.50 GiB beyond the model's own"


def test_nothing_fires(model):
    silent = random_transcoder()
    for layer in range(LAYERS):
        silent.tensors(layer).threshold.fill_(1e9)
    found = estimate(with_transcoder(model, silent), PROMPT)
    assert (found.active, found.rows) == (0, 10)


def test_fewer_edges_take_less_memory(model):
    model = with_transcoder(model, random_transcoder("clt affine", features=96))
    assert estimate(model, LONG, keep=0.3).memory < estimate(model, LONG).memory


@pytest.mark.parametrize("layer", range(LAYERS + 1))
@pytest.mark.parametrize("block", [4, 100])
def test_what_a_row_takes(model, monkeypatch, block, layer):
    """By how much the peak grows with rows: within a third, by layer, in blocks and whole."""
    monkeypatch.setattr(sources, "BLOCK", block)
    job = prepare(model, LONG, None, -1, 10, 0.95, Progress(False))
    job.backward(rows := Rows([layer] * 8, [len(LONG) - 1] * 8, torch.randn(8, model.d_model)))
    peaks = []
    for times in (1, 3):
        many = Rows(rows.layers * times, rows.positions * times, rows.vectors.repeat(times, 1))
        with PeakMemory() as measured:
            keep_all(torch.arange(len(many)), many.layers, *job.backward(many))
        peaks.append(measured.peak)
    grown = (peaks[1] - peaks[0]) / 16
    assert grown / 1.34 < int(job.row_bytes[layer]) < grown * 1.34


@pytest.mark.parametrize("share", [None, 0.3])
def test_a_batch_is_gone_when_its_rows_are_kept(model, share):
    """Or the next one would be computed beside it."""
    model = with_transcoder(model, random_transcoder("clt affine", features=96))
    job = prepare(model, LONG, None, -1, 10, 0.95, Progress(False))
    batch = 100 * job.sources.n_columns * 4
    with PeakMemory() as measured:
        kept = next(rows := job.rows(torch.arange(200), 100, share))
        size, before = kept.nbytes, measured.now
        rows.close()
        del kept
    assert measured.peak > batch
    assert before - measured.now < size + batch / 4
