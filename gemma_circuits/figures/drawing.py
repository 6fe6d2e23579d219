"""One door to all figures: `draw` finds the one that fits what is to be shown."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import plotly.graph_objects as go

from ..data.errors import ArgumentError


@singledispatch
def draw(shown: Any, **options: Any) -> go.Figure:
    """The figure of a graph, a circuit, an effect, a sweep or a report; options are those of its module here.

    Raises:
        ArgumentError: nothing here draws such a value.
    """
    raise ArgumentError("draw", expected="a graph, a circuit or a result", got=type(shown).__name__)
