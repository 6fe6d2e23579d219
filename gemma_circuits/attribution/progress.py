"""Progress bars that name the phase; short work shows none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass
from typing import Any, TypeVar

from tqdm.auto import tqdm

T = TypeVar("T")
_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} [{elapsed}, {remaining} left]"


@dataclass(frozen=True)
class Progress:
    """Makes the bars of one run."""

    shown: bool = True
    delay: float = 0.5
    """Seconds before a bar appears."""

    def steps(self, items: Iterable[T], phase: str) -> Iterator[T]:
        """Pass items through, advancing a bar by one for each."""
        total = len(items) if isinstance(items, Sized) else None
        with self.bar(phase, total) as bar:
            for item in items:
                yield item
                bar.update()

    def bar(self, phase: str, total: int | None = None) -> Any:
        """A bar to advance by hand, by fractions too; a context manager. It tells the time left."""
        shape = None if total is None else _FORMAT
        return tqdm(total=total, desc=phase, delay=self.delay, disable=not self.shown, leave=False, bar_format=shape)
