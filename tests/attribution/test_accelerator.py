"""The same graph on an accelerator, and nothing that makes the processor wait for one."""

import copy
from dataclasses import fields, is_dataclass, replace

import pytest
import torch
from random_models import ARCHITECTURES, LAYERS, PROMPT, random_folder, random_transcoder, with_transcoder
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import gemma_circuits.attribution.sources as sources
from gemma_circuits import attribute, load
from gemma_circuits.attribution.backward import Backward
from gemma_circuits.attribution.decoders import Decoders
from gemma_circuits.attribution.job import prepare
from gemma_circuits.attribution.progress import Progress
from gemma_circuits.attribution.ranking import Ranking

META = torch.device("meta")
"""Plays the accelerator: what is on it cannot be read, so that whatever would wait for a value fails."""


class Sent(TorchDispatchMode):
    """Counts tensors sent to the accelerator; fails where one is waited for."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        devices = {x.device for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor) and x.ndim}
        assert len(devices) < 2, f"{func} takes tensors of two devices: one is sent, and waited for"
        if func is torch.ops.aten._to_copy.default and devices == {torch.device("cpu")} and kwargs["device"] == META:
            assert kwargs.get("non_blocking"), "what is sent is waited for"
            self.count += 1
        return func(*args, **kwargs)


def sent_to_meta(value):
    """All tensors in dataclasses and tuples on the accelerator."""
    if isinstance(value, torch.Tensor):
        return value.to(META)
    if isinstance(value, tuple):
        return tuple(map(sent_to_meta, value))
    if is_dataclass(value):
        return replace(value, **{field.name: sent_to_meta(getattr(value, field.name)) for field in fields(value)})
    return value


def on_an_accelerator(job):
    """The job as `prepare` makes it on an accelerator that holds encoders and decoder vectors."""
    transcoder = copy.copy(job.model.transcoder)
    transcoder.hold_encoders(META)
    for layer in transcoder.layers:  # `encode` sends biases
        transcoder.encoder_bias(layer, torch.zeros(1, dtype=torch.int64, device=META))
    model = with_transcoder(job.model, transcoder)
    model._network = job.model.network._replace(module=copy.deepcopy(job.model.module).to(META))
    model.__dict__.pop("final_gain", None)
    own = job.sources
    decoders = Decoders(transcoder, own.active, [META] * LAYERS, own.n_positions, sources.BLOCK)
    assert decoders.held and list(decoders.within(0, own.n_positions))
    parts = {name: sent_to_meta(getattr(own, name)) for name in ("errors", "constants", "tokens")}
    captured, there = sent_to_meta(job.captured), replace(own, decoders=decoders, **parts)
    targets = job.targets._replace(vectors=job.targets.vectors.to(META))
    return replace(
        job, model=model, captured=captured, sources=there, targets=targets, backward=Backward(model, captured, there)
    )


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("block", [4, 64])
def test_rows_are_computed_without_waiting(random_model, monkeypatch, architecture, block):
    monkeypatch.setattr(sources, "BLOCK", block)
    job = prepare(random_model(architecture), PROMPT, None, -1, 10, 0.95, Progress(False))
    everything = torch.arange(len(job.sources.active))
    there, blocks = on_an_accelerator(job), -(-len(PROMPT) // block)
    with Sent() as sent:
        targets, rows = there.targets_rows(), list(there.rows(everything, 32))
    assert all(batch.edges.device == META for batch in (targets, *rows))
    assert [batch.edges.shape for batch in rows] == [batch.edges.shape for batch in job.rows(everything, 32)]
    assert sent.count <= (len(rows) + 1) * (blocks + 1)
    ranking = Ranking(targets, torch.ones(len(targets.edges), device=META), len(everything), LAYERS)
    for batch in rows:
        ranking.add(batch)
    with Sent() as sent:
        assert ranking.influence().device == META
    assert sent.count == 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_cuda_agrees_with_the_cpu(tmp_path, architecture):
    folder, dictionary = random_folder(tmp_path / "model", architecture), random_transcoder("clt affine")
    for settings in ({"max_features": None}, {"max_features": 50}):
        graphs = [
            attribute(load(folder, dictionary, device=device, dtype="float32"), PROMPT, progress=False, **settings)
            for device in ("cpu", "cuda")
        ]
        assert list(graphs[0].nodes) == list(graphs[1].nodes)
        assert graphs[1].check() < 1e-4
        torch.testing.assert_close(graphs[1].edges, graphs[0].edges, rtol=1e-3, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_is_not_waited_for(random_model):
    job = prepare(random_model("gemma3_text"), PROMPT, None, -1, 10, 0.95, Progress(False))
    everything = torch.arange(len(job.sources.active))
    list(job.rows(everything, 32))  # the first time kernels are loaded
    torch.cuda.set_sync_debug_mode("error")
    try:
        assert all(batch.edges.is_cuda for batch in job.rows(everything, 32))
    finally:
        torch.cuda.set_sync_debug_mode("default")
