"""Undo and redo: earlier and later states of one thing."""

from __future__ import annotations

import time
from typing import Generic, TypeVar

S = TypeVar("S")
PAUSE = 1.0
"""Seconds: changes of the same part within this count as one step, as while a slider moves."""


class History(Generic[S]):
    """States before and after the current one.

    Example:
        >>> history = History()
        >>> history.push("first", "text")
        >>> history.undo("second")
        'first'
    """

    def __init__(self, limit: int = 500) -> None:
        self._past: list[S] = []
        self._future: list[S] = []
        self._limit = limit
        self._last: tuple[str, float] = ("", -PAUSE)

    def push(self, before: S, part: str) -> None:
        """Remember the state before a change of `part`; what was undone is forgotten."""
        now = time.monotonic()
        if not (self._past and part == self._last[0] and now - self._last[1] < PAUSE):
            self._past = [*self._past[1 - self._limit :], before]
        self._future, self._last = [], (part, now)

    def undo(self, current: S) -> S | None:
        """The state before `current`, None at the beginning."""
        return self._step(self._past, self._future, current)

    def redo(self, current: S) -> S | None:
        """The state that was undone last, None where there is none."""
        return self._step(self._future, self._past, current)

    def _step(self, source: list[S], other: list[S], current: S) -> S | None:
        if not source:
            return None
        other.append(current)
        self._last = ("", -PAUSE)
        return source.pop()

    @property
    def can_undo(self) -> bool:
        """Whether there is an earlier state."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether there is a later state."""
        return bool(self._future)
