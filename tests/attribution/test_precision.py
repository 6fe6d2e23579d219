"""Coarser products are used for edges only, and only while they are computed."""

import pytest
import torch
from random_models import PROMPT
from torch.utils._python_dispatch import TorchDispatchMode

from gemma_circuits import attribute
from gemma_circuits.attribution.job import Job

BACKENDS = torch.backends.cuda.matmul, torch.backends.mkldnn.matmul


def settings():
    return tuple(backend.fp32_precision for backend in BACKENDS)


class Seen(TorchDispatchMode):
    """Under which settings edges were multiplied, and under which everything before them."""

    def __init__(self):
        super().__init__()
        self.model, self.edges = set(), set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.addmm_.default:  # features meet their targets
            self.edges.add(settings())
        elif func is torch.ops.aten.mm.default and not self.edges:  # the model and the encoders
            self.model.add(settings())
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("precision", "wanted"), [("float32", ("ieee", "ieee")), ("tf32", ("tf32", "tf32")), ("bfloat16", ("tf32", "bf16"))]
)
def test_products_of_edges_only(model, precision, wanted):
    before = settings()
    with Seen() as seen:
        graph = attribute(model, PROMPT, precision=precision, progress=False)
    assert seen.edges == {wanted}
    assert before in seen.model and settings() == before
    assert graph.metadata["precision"] == precision
    assert graph.check() < (1e-4 if precision == "float32" else 2e-2)


def test_settings_are_back_after_an_interruption(model, monkeypatch):
    before = settings()
    monkeypatch.setattr(Job, "rows", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        attribute(model, PROMPT, precision="tf32", progress=False)
    assert settings() == before


@pytest.fixture(autouse=True)
def set_by_the_user():
    """What a user set for other work stays."""
    before = settings()
    torch.backends.mkldnn.matmul.fp32_precision = "tf32"
    yield
    for backend, value in zip(BACKENDS, before):
        backend.fp32_precision = value
