"""Interrupted, or asked by two threads at once, a model goes on giving the same graphs."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch
from random_models import PROMPT, random_transcoder, with_transcoder

from gemma_circuits import attribute
from gemma_circuits.attribution.backward import Backward
from gemma_circuits.attribution.progress import Progress
from gemma_circuits.transcoders.stored import StoredTranscoder


def trace(model, prompt=PROMPT, **settings):
    return attribute(model, prompt, **{"progress": False, "max_features": 60, **settings})


def same(one, other):
    return (
        torch.equal(one.edges, other.edges)
        and torch.equal(one.target_bias, other.target_bias)
        and torch.equal(one.target_pre_activations, other.target_pre_activations)
        and list(one.nodes) == list(other.nodes)
    )


def on_call(count, function):
    """`function`, interrupted at its call number `count`."""
    calls = iter(range(count))

    def interrupted(*args, **kwargs):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return function(*args, **kwargs)

    return interrupted


@pytest.mark.parametrize(
    ("owner", "name", "count"),
    [
        (StoredTranscoder, "encode", 1),
        (StoredTranscoder, "decoder", 2),
        (StoredTranscoder, "encoder", 1),
        (Backward, "__call__", 0),
        (Backward, "__call__", 1),
        (Backward, "_attend", 4),
        (Progress, "bar", 2),
    ],
)
def test_interrupted_between_steps(model, monkeypatch, owner, name, count):
    before = trace(model)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(owner, name, on_call(count, getattr(owner, name)))
        trace(model)
    assert same(trace(model), before)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("layer", [0, 2])
def test_interrupted_within_the_forward_pass(model, layer, error):
    before = trace(model)

    def stop(*_):
        raise error

    hook = model.module.model.layers[layer].mlp.register_forward_hook(stop)
    with pytest.raises(error):
        trace(model)
    hook.remove()
    assert same(trace(model), before)
    assert model.lock.acquire(timeout=1)
    model.lock.release()


def test_interrupted_by_its_progress_bar(model, monkeypatch):
    from gemma_circuits.attribution import progress

    before = trace(model)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(progress.tqdm, "update", on_call(1, progress.tqdm.update))
        trace(model, progress=True, batch_size=4)
    assert same(trace(model), before)


def test_progress_changes_nothing(model):
    assert same(trace(model, progress=True), trace(model, progress=False))


def test_threads_share_a_model(model):
    prompts = [PROMPT, PROMPT[:5], (2, 91, 40, 17), (2, *range(20, 50))]
    expected = [trace(model, prompt) for prompt in prompts]
    together = Barrier(len(prompts))

    def work(index):
        together.wait()
        return all(same(trace(model, prompts[index]), expected[index]) for _ in range(4))

    with ThreadPoolExecutor(len(prompts)) as pool:
        assert all(pool.map(work, range(len(prompts))))


def test_threads_share_a_network_under_two_dictionaries(model):
    other = with_transcoder(model, random_transcoder("transcoder", "resid_mid"))
    models = [model, other]
    expected = [trace(one) for one in models]
    together = Barrier(2)

    def work(index):
        together.wait()
        return all(same(trace(models[index]), expected[index]) for _ in range(4))

    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(work, range(2)))
