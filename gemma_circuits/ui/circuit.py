"""The circuit graph: token columns by layer rows, pruned, searched, pinned and grouped by hand."""

from __future__ import annotations

from .widget import Widget


class CircuitGraph(Widget):
    """The circuit graph: token columns by layer rows, pruned, searched, pinned and grouped by hand."""

    bundle = "circuit"
