"""Plotly figures of graphs, circuits and experiments, in one style."""

from .drawing import draw
from .style import figure

__all__ = ["draw", "figure"]
