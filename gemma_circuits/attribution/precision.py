"""Coarser products of edges, where they are asked for and the hardware has them; sums are float32 all the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, get_args

import torch

from ..data.errors import ArgumentError

Precision = Literal["float32", "tf32", "bfloat16"]

_BY_BACKEND: dict[Precision, tuple[str, str]] = {
    "float32": ("ieee", "ieee"),
    "tf32": ("tf32", "tf32"),
    "bfloat16": ("tf32", "bf16"),  # CUDA rounds the operands of float32 products to TF32 at most
}
"""What torch calls them on CUDA and on CPUs."""


def check_precision(precision: str) -> None:
    """Refuse what is none.

    Raises:
        ArgumentError: it is none.
    """
    if precision not in _BY_BACKEND:
        raise ArgumentError("precision", expected="one of " + ", ".join(get_args(Precision)), got=repr(precision))


@contextmanager
def products(precision: Precision) -> Iterator[None]:
    """Compute products of float32 tensors with operands rounded to `precision`, in the whole process meanwhile."""
    torch_backends: Any = torch.backends  # its stubs do not know all of them
    backends = torch_backends.cuda.matmul, torch_backends.mkldnn.matmul
    before = [backend.fp32_precision for backend in backends]
    try:
        for backend, value in zip(backends, _BY_BACKEND[precision]):
            backend.fp32_precision = value
        yield
    finally:
        for backend, value in zip(backends, before):
            backend.fp32_precision = value
