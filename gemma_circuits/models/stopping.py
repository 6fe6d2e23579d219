"""Stop a computation of another thread between two modules of the model."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from torch.nn.modules.module import register_module_forward_pre_hook


class Stopped(Exception):  # noqa: N818  nothing went wrong
    """The computation was told to stop; the model is as it was."""


@contextmanager
def stoppable(stop: threading.Event) -> Iterator[None]:
    """Within the block, forward passes of this thread raise `Stopped` at the next module once `stop` is set."""
    here = threading.get_ident()

    def look(*_: object) -> None:
        if stop.is_set() and threading.get_ident() == here:
            raise Stopped

    hook = register_module_forward_pre_hook(look)
    try:
        yield
    finally:
        hook.remove()
