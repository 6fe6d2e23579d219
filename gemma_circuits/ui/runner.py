"""One computation at a time, beside the kernel's own thread, so that the page and the next cell go on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ..models.stopping import Stopped, stoppable


class Runner:
    """Runs one computation in a thread; a new one stops the one before it."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    @property
    def running(self) -> bool:
        """Whether a computation is under way."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, compute: Callable[[], Any], ended: Callable[[Any], None]) -> None:
        """Begin; `ended` gets the result, the error that ended it, or `Stopped`, in the same thread."""
        self.stop()
        self._stop = stop = threading.Event()

        def work() -> None:
            try:
                with stoppable(stop):
                    found = compute()
            except Exception as error:  # whoever asked must hear of any
                found = error
            ended(Stopped() if stop.is_set() else found)

        self._thread = threading.Thread(target=work, name="gemma-circuits experiment", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop what is under way, at the model's next module, and wait for that."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end; whether it came in time."""
        if self._thread is not None:
            self._thread.join(seconds)
        return not self.running
